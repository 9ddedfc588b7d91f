"""The calibration folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cidesign.calibration.capture import Capture
from cidesign.calibration.record import Calibration, read_calibration, require_fitting, write_calibration
from cidesign.calibration.response import estimate_response
from cidesign.calibration.twin import bench_settings, capture_record, simulate_readings
from cidesign.errors import CidesignError, FileError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]


@pytest.fixture
def capture(make_design: MakeDesign, f_scene: MakeScene) -> Capture:
    design = make_design()
    bench = bench_settings(
        dark_counts=200, gain=0.35, photoelectrons_per_frame=1e5, read_noise_counts=12,
        read_noise_photoelectrons=0, drift_percent=0, adc_bits=16, seed=5, scene="F",
    )  # fmt: skip
    readings = simulate_readings(design, f_scene(8), bench)
    arrays = {name: array.astype(np.float64) for name, array in readings.items()}
    return Capture(Path("capture"), capture_record(design, bench, 235.0, "2026-01-01"), arrays)


@pytest.fixture
def written(tmp_path: Path, capture: Capture) -> Calibration:
    return write_calibration(tmp_path / "cal", capture, *estimate_response(capture), "2026-01-02", force=False)


def test_what_is_written_is_read(written: Calibration, capture: Capture) -> None:
    response, levels = estimate_response(capture)
    again = read_calibration(written.path)
    assert again.response == response
    assert again.record.simulated_bench == capture.bench
    assert again.record.exposure_us == 235
    arrays = np.load(written.path / "arrays.npz")
    assert np.array_equal(arrays["mean_counts"], levels.mean_counts)
    assert np.abs(arrays["linearity_residual_counts"]).max() / response.scale_counts.value * 100 == pytest.approx(
        response.linearity_percent
    )


def test_the_preview_is_a_picture(written: Calibration) -> None:
    with Image.open(written.path / "photon_transfer.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * picture.height
        assert np.asarray(picture.convert("L")).std() > 5


def test_existing_calibration_is_kept(written: Calibration, capture: Capture) -> None:
    before = {path.name: path.read_bytes() for path in written.path.iterdir()}
    with pytest.raises(FileError, match="--force"):
        write_calibration(written.path, capture, *estimate_response(capture), "2027-01-01", force=False)
    assert {path.name: path.read_bytes() for path in written.path.iterdir()} == before
    again = write_calibration(written.path, capture, *estimate_response(capture), "2027-01-01", force=True)
    assert read_calibration(written.path).record.created_utc == again.record.created_utc == "2027-01-01"


def test_changed_and_missing_files(written: Calibration, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such calibration"):
        read_calibration(tmp_path / "absent")
    content = json.loads((written.path / "calibration.json").read_text())
    for change, said in (
        ({"schema_version": 2}, "schema version 2"),
        ({"scale_counts": {"value": 0.0, "standard_error": 1.0}}, "scale_counts.value: Input should be greater than 0"),
        ({"arrays_sha256": "0" * 64}, "calibrate again"),
    ):
        (written.path / "calibration.json").write_text(json.dumps(content | change))
        with pytest.raises(FileError, match=said):
            read_calibration(written.path)
    (written.path / "calibration.json").write_text(json.dumps(content))
    (written.path / "arrays.npz").unlink()
    with pytest.raises(FileError, match="does not exist"):
        read_calibration(written.path)


def test_foreign_calibrations(written: Calibration, capture: Capture) -> None:
    assert capture.record is not None
    profile, design = capture.record.profile_digest, capture.record.design_digest
    assert require_fitting(written, capture, profile, design) == []
    with pytest.raises(FileError, match="profile aaaaaaaaaaaa was calibrated, the run is for profile bbbbbbbbbbbb"):
        require_fitting(written, capture, "b" * 64, design)
    slow = Capture(capture.path, capture.record.model_copy(update={"exposure_us": 500.0}), capture.arrays)
    with pytest.raises(FileError, match="exposure 235 us was calibrated, the capture was taken with 500 us"):
        require_fitting(written, slow, profile, design)
    (note,) = require_fitting(written, capture, profile, "b" * 64)
    assert "another design" in note
    (note,) = require_fitting(written, Capture(Path("a.npy"), None, capture.arrays), profile, design)
    assert "could not be checked" in note


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_mutated_records_are_an_error_or_a_calibration(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    estimate = {"value": 1.0, "standard_error": 0.1}
    np.savez(folder / "arrays.npz", a=np.zeros(1))
    record: dict[str, Any] = {
        "schema_version": 1, "kind": "calibration", "modality": "single-pixel", "cidesign_version": "0.1.0",
        "created_utc": "", "capture": "", "capture_utc": "", "design_digest": "0" * 64, "profile_digest": "0" * 64,
        "exposure_us": 1.0, "dark_counts": estimate, "read_noise_counts": estimate,
        "gain_counts_per_photoelectron": estimate, "scale_counts": estimate,
        "photon_transfer_intercept_counts2": estimate, "linearity_percent": 0.1, "step_counts": 1.0, "notes": [],
        "simulated_bench": None, "arrays_sha256": "0" * 64,
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
