"""The calibration folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cidesign.calibration.single_pixel.calibrate import SpcCalibration, calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.record import SinglePixelCalibration, read_calibration, write_calibration
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import CidesignError, FileError
from cidesign.files import sha256_file
from cidesign.orientation import Orientation
from cidesign.pattern import PatternStack


@pytest.fixture(scope="module")
def capture(card_design: PatternStack, take: Callable[..., Capture]) -> Capture:
    return take(card_design, faults={"mirror": 1, "shift": 1})


@pytest.fixture(scope="module")
def found(capture: Capture, card_design: PatternStack) -> SpcCalibration:
    return calibrate_spc(capture, card_design)


@pytest.fixture
def written(tmp_path: Path, capture: Capture, found: SpcCalibration) -> SinglePixelCalibration:
    return write_calibration(tmp_path / "cal", capture, found, "2026-01-02", force=False)


def _failed(found: SpcCalibration) -> SpcCalibration:
    check = Check(name="held-out patterns", status="failed", text="the operator does not predict them", fault="shift")
    return replace(found, verification=Verification(score=0.9, score_meaning="", checks=[check]))


def test_what_is_written_is_read(written: SinglePixelCalibration, capture: Capture, found: SpcCalibration) -> None:
    response, levels = found.response, found.levels
    again = read_calibration(written.path)
    assert again.response == response
    assert again.optics.placement == found.operator.placement
    assert np.array_equal(again.optics.illumination, found.operator.illumination)
    assert replace(again.optics, illumination=found.operator.illumination) == found.operator
    assert again.record.verification == found.verification
    assert again.record.simulated_bench == capture.bench
    assert again.record.exposure_us == 235
    assert capture.record is not None
    assert again.record.circumstances == capture.record.circumstances
    arrays = np.load(written.path / "arrays.npz")
    assert np.array_equal(arrays["mean_counts"], levels.mean_counts)
    assert np.abs(arrays["linearity_residual_counts"]).max() / response.scale_counts.value * 100 == pytest.approx(
        response.linearity_percent
    )


def test_the_preview_is_a_picture(written: SinglePixelCalibration) -> None:
    for name in ("photon_transfer.png", "operator.png"):
        with Image.open(written.path / name) as picture:
            assert picture.format == "PNG"
            assert picture.width > 2 * picture.height
            assert np.asarray(picture.convert("L")).std() > 5


def test_existing_calibration_is_kept(written: SinglePixelCalibration, capture: Capture, found: SpcCalibration) -> None:
    before = {path.name: path.read_bytes() for path in written.path.iterdir()}
    with pytest.raises(FileError, match="--force"):
        write_calibration(written.path, capture, found, "2027-01-01", force=False)
    assert {path.name: path.read_bytes() for path in written.path.iterdir()} == before
    again = write_calibration(written.path, capture, found, "2027-01-01", force=True)
    assert read_calibration(written.path).record.created_utc == again.record.created_utc == "2027-01-01"


def test_changed_and_missing_files(written: SinglePixelCalibration, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such calibration"):
        read_calibration(tmp_path / "absent")
    content = json.loads((written.path / "calibration.json").read_text())
    for change, said in (
        ({"schema_version": 3}, "schema version 3, this program reads 2; update cidesign"),
        ({"schema_version": 1}, "was written before calibrations were verified; calibrate again"),
        ({"modality": "mri"}, "a calibration of the modality 'mri'; this run takes one of single-pixel"),
        ({"operator": {**content["operator"], "polarity": 0}}, "operator.polarity"),
        (
            {"scale_counts": {"value": 0.0, "standard_error": 1.0}},
            "scale_counts: Value error, the value 0 is not above 0",
        ),
        ({"dark_counts": {"value": 10.0}}, "dark_counts.standard_error: Field required"),
        (
            {"dark_counts": {"value": 10.0, "standard_error": -1.0}},
            "dark_counts.standard_error: .* greater than or equal",
        ),
        ({"dark_counts": {"value": 1.0, "standard_error": 1.0, "unit": "counts"}}, "dark_counts.unit: Unexpected"),
        ({"arrays_sha256": "0" * 64}, "calibrate again"),
    ):
        (written.path / "calibration.json").write_text(json.dumps(content | change))
        with pytest.raises(FileError, match=said):
            read_calibration(written.path)
    (written.path / "calibration.json").write_text(json.dumps(content))
    (written.path / "arrays.npz").unlink()
    with pytest.raises(FileError, match="does not exist"):
        read_calibration(written.path)


def test_a_failed_calibration_never_replaces_an_earlier_one(
    written: SinglePixelCalibration, capture: Capture, found: SpcCalibration
) -> None:
    before = {path.name: path.read_bytes() for path in written.path.iterdir()}
    again = write_calibration(written.path, capture, _failed(found), "2027-01-01", force=True)
    assert again.path == written.path.with_name("cal-failed")
    assert read_calibration(again.path).record.verification.verdict == "failed"
    assert {path.name: path.read_bytes() for path in written.path.iterdir()} == before
    alone = write_calibration(written.path.with_name("new"), capture, _failed(found), "2027-01-01", force=False)
    assert alone.path.name == "new"


@pytest.mark.parametrize(
    ("light", "said"),
    [
        (np.ones((4, 5)), "no square illumination"),
        (np.ones((4, 4), np.float32), "no square illumination"),
        (np.zeros((4, 4)), "values that are no light"),
    ],
)
def test_illuminations_that_are_none(written: SinglePixelCalibration, light: Any, said: str) -> None:
    arrays = dict(np.load(written.path / "arrays.npz")) | {"illumination": light}
    np.savez(written.path / "arrays.npz", **arrays)
    content = json.loads((written.path / "calibration.json").read_text())
    content["arrays_sha256"] = sha256_file(written.path / "arrays.npz")
    (written.path / "calibration.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=said):
        read_calibration(written.path)


def test_the_illumination_is_read_by_its_earlier_name(written: SinglePixelCalibration) -> None:
    arrays = dict(np.load(written.path / "arrays.npz"))
    arrays["light_map"] = arrays.pop("illumination")
    np.savez(written.path / "arrays.npz", **arrays)
    content = json.loads((written.path / "calibration.json").read_text())
    content["arrays_sha256"] = sha256_file(written.path / "arrays.npz")
    (written.path / "calibration.json").write_text(json.dumps(content))
    assert np.array_equal(read_calibration(written.path).optics.illumination, written.optics.illumination)


def test_the_orientation_is_read_from_fields_of_its_own_as_well(written: SinglePixelCalibration) -> None:
    content = json.loads((written.path / "calibration.json").read_text())
    del content["operator"]["orientation"]
    content["operator"] |= {"transpose": True, "flip_vertical": False, "flip_horizontal": True}
    (written.path / "calibration.json").write_text(json.dumps(content))
    again = read_calibration(written.path)
    assert again.optics.placement.orientation == Orientation(transpose=True, flip_horizontal=True)
    del content["operator"]["transpose"]
    (written.path / "calibration.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match="operator"):
        read_calibration(written.path)


def test_a_bare_array_is_no_calibration(tmp_path: Path, capture: Capture, found: SpcCalibration) -> None:
    with pytest.raises(FileError, match="a bare array says nothing of the bench"):
        write_calibration(tmp_path / "cal", replace(capture, record=None), found, "", force=False)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_mutated_records_are_an_error_or_a_calibration(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    estimate = {"value": 1.0, "standard_error": 0.1}
    np.savez(folder / "arrays.npz", a=np.zeros(1))
    record: dict[str, Any] = {
        "schema_version": 2, "kind": "calibration", "modality": "single-pixel", "cidesign_version": "0.1.0",
        "created_utc": "", "capture": "", "capture_utc": "", "design_digest": "0" * 64, "profile_digest": "0" * 64,
        "exposure_us": 1.0, "dark_counts": estimate, "read_noise_counts": estimate,
        "gain_counts_per_photoelectron": estimate, "scale_counts": estimate,
        "photon_transfer_intercept_counts2": estimate, "linearity_percent": 0.1, "step_counts": 1.0, "notes": [],
        "simulated_bench": None, "arrays_sha256": "0" * 64, "stray_counts": 0.0, "bench": {},
        "verification": {"score": None, "score_meaning": "", "checks": []},
        "operator": {
            "rotation_deg": 0.0, "down_px": 0.0, "right_px": 0.0, "transpose": False, "flip_vertical": False,
            "flip_horizontal": False, "polarity": 1, "rotation_error_deg": 0.0, "shift_error_px": 0.0,
            "light_error": 0.0, "fitted": False,
        },
    }  # fmt: skip
    field = data.draw(st.sampled_from(sorted(record)))
    record[field] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"value": -1})
    )
    text = json.dumps(record)
    position = data.draw(st.integers(0, len(text)))
    (folder / "calibration.json").write_text(
        text[:position] + data.draw(st.sampled_from(["", "}", "1"])) + text[position:]
    )
    with pytest.raises(CidesignError) as caught:  # at the least, the digest of the arrays is wrong
        read_calibration(folder)
    assert "\n" not in str(caught.value)
