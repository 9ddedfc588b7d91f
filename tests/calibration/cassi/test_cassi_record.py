"""Capture and calibration folders of an SD-CASSI bench: what is written is read again, what is damaged is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.calibration.cassi.calibrate import CassiOutcome, calibrate_bench
from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture, write_cassi_capture
from cidesign.calibration.cassi.plan import cassi_plan
from cidesign.calibration.cassi.record import read_cassi_calibration, write_cassi_calibration
from cidesign.calibration.cassi.twin import CassiTwin, TwinSettings
from cidesign.calibration.plan import plan_text
from cidesign.errors import FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.orientation import Orientation
from cidesign.pattern import ApertureMask

PROFILE = load_profile("chrome-laser-10um")
SIDE = 24
MASK = ApertureMask(
    np.random.default_rng(2).integers(0, 2, (SIDE, SIDE)).astype(np.uint8), 10.0, PROFILE.id, PROFILE.digest
)
NOW = "2026-01-02T00:00:00+00:00"


def write_twin(folder: Path, faults: dict | None = None, force: bool = False) -> None:
    twin = CassiTwin(MASK, PROFILE, TwinSettings(dark_frames=4, flat_frames=4, white_frames=2), faults or {})
    cube = np.full((8, SIDE, SIDE), 0.5)
    write_cassi_capture(folder, twin.record("2026-01-01T00:00:00+00:00", "grey"), twin.arrays(cube), force)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[CassiCapture, CassiOutcome, Path]:
    folder = tmp_path_factory.mktemp("cassi")
    write_twin(folder / "capture")
    capture = read_cassi_capture(folder / "capture")
    outcome = calibrate_bench(capture, MASK, PROFILE)
    write_cassi_calibration(folder / "calibration", capture, outcome, NOW, False)
    return capture, outcome, folder


def copied(bench: tuple, tmp_path: Path, what: str) -> Path:
    target = tmp_path / what
    target.mkdir()
    for file in (bench[2] / what).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def edited(folder: Path, **fields: object) -> None:
    file = folder / ("capture.json" if (folder / "capture.json").exists() else "calibration.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_a_calibration_is_read_as_it_was_written(bench):
    capture, outcome, folder = bench
    stored = read_cassi_calibration(folder / "calibration")
    was, found = outcome.calibration, stored.calibration
    for name in ("masks", "to_code", "response"):
        assert np.array_equal(getattr(found.operator, name), getattr(was.operator, name))
    for name in ("dark_counts", "flat", "shift_px", "usable"):
        assert np.array_equal(getattr(found, name), getattr(was, name))
    assert (found.scale_counts, found.saturation_counts, found.binning) == (was.scale_counts, 65535.0, 2)
    assert found.operator.size == was.operator.size
    assert found.notes == was.notes
    for one, other in zip(found.measurements(capture.scene), was.measurements(capture.scene), strict=True):
        assert np.array_equal(one, other)
    assert stored.record.verification == outcome.verification
    assert stored.record.circumstances.exposure_us == 20_000
    assert stored.record.simulated_bench == capture.bench


def test_the_place_is_read_by_its_earlier_name(bench, tmp_path):
    folder = copied(bench, tmp_path, "calibration")
    record = json.loads((folder / "calibration.json").read_text())
    was = record["placement"].pop("offset_px")
    assert len(was) == 2
    edited(folder, placement={**record["placement"], "displaced_px": was})
    assert read_cassi_calibration(folder).record.placement.offset_px == tuple(was)


def test_the_orientation_is_read_from_fields_of_its_own_as_well(bench, tmp_path):
    folder = copied(bench, tmp_path, "calibration")
    placement = json.loads((folder / "calibration.json").read_text())["placement"]
    assert placement.pop("orientation") == {"transpose": False, "flip_vertical": False, "flip_horizontal": False}
    edited(folder, placement={**placement, "transposed": True, "rows_reversed": False, "columns_reversed": True})
    again = read_cassi_calibration(folder).record.placement
    assert again.orientation == Orientation(transpose=True, flip_horizontal=True)


def test_the_pictures_are_there(bench):
    for name in ("mask.png", "dispersion.png", "white_target.png"):
        assert (bench[2] / "calibration" / name).read_bytes().startswith(b"\x89PNG")


def test_a_calibration_that_failed_never_replaces_an_earlier_one(bench, tmp_path):
    earlier = copied(bench, tmp_path, "calibration")
    before = {file.name: file.read_bytes() for file in earlier.iterdir()}
    write_twin(tmp_path / "bad", {"dark": 3.0})
    capture = read_cassi_capture(tmp_path / "bad")
    outcome = calibrate_bench(capture, MASK, PROFILE)
    with pytest.raises(FileError, match="exists already"):
        write_cassi_calibration(earlier, capture, outcome, NOW, False)
    stored = write_cassi_calibration(earlier, capture, outcome, NOW, True)
    assert stored.path == tmp_path / "calibration-failed"
    assert read_cassi_calibration(stored.path).record.verification.faults == ("dark",)
    assert {file.name: file.read_bytes() for file in earlier.iterdir()} == before


def test_a_capture_that_cannot_be_read_leaves_the_earlier_calibration(bench, tmp_path):
    earlier = copied(bench, tmp_path, "calibration")
    before = {file.name: file.read_bytes() for file in earlier.iterdir()}
    capture = copied(bench, tmp_path, "capture")
    (capture / "images.npz").write_bytes(b"no archive")
    with pytest.raises(FileError, match="not a sound npz"):
        read_cassi_capture(capture)
    assert {file.name: file.read_bytes() for file in earlier.iterdir()} == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 9}, "has schema version 9, this program reads"),
        ({"modality": "mri"}, "a calibration of the modality 'mri'"),
        ({"scale_counts": -1.0}, "scale_counts: Input should be greater than 0"),
        ({"arrays_sha256": "0" * 64}, "arrays.npz is not the one that calibration.json names"),
        ({"code_size": [24, 25]}, r"masks has shape \(8, 24, 24\), calibration.json says \(8, 24, 25\)"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_a_damaged_calibration_is_refused(bench, tmp_path, fields, message):
    folder = copied(bench, tmp_path, "calibration")
    edited(folder, **fields)
    with pytest.raises(FileError, match=message) as error:
        read_cassi_calibration(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 9}, "has schema version 9, this program reads 1; update cidesign"),
        ({"modality": "single-pixel"}, "a capture of the modality 'single-pixel'"),
        ({"exposure_us": 0}, "exposure_us: Input should be greater than 0"),
        ({"detector_px_per_code_px": 5}, "both must be multiples of detector_px_per_code_px, 5"),
        ({"line_nm": [450.0, 500.0]}, "7 images in lines, but line_nm lists 2 wavelengths"),
        ({"check_line_nm": None}, "gives no check_line_nm"),
        (
            {"lamp": {"wavelength_nm": [500, 400], "relative": [1, 1], "source": ""}},
            "wavelengths of a spectrum must rise",
        ),
        ({"lamp": {"wavelength_nm": [400, 500], "relative": [1, 1, 1], "source": ""}}, "3 values for 2 wavelengths"),
        ({"arrays": {"scene": {"file": "../../secret.npy"}}}, "is not a file inside its folder"),
        ({"arrays": {"dark": {"file": "absent.npy"}}}, "absent.npy"),
    ],
)
def test_a_damaged_capture_is_refused(bench, tmp_path, fields, message):
    folder = copied(bench, tmp_path, "capture")
    edited(folder, **fields)
    with pytest.raises(FileError, match=message) as error:
        read_cassi_capture(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), r"flat has shape \(3, 4\); 3 filled dimension"),
        (np.zeros((1, 10, 10)), "images of several sizes"),
        (np.full((1, 92, 106), np.nan), "are not finite"),
    ],
)
def test_an_array_of_the_wrong_kind_is_refused(bench, tmp_path, array, message):
    folder = copied(bench, tmp_path, "capture")
    np.save(folder / "flat.npy", array)
    record = json.loads((folder / "capture.json").read_text())
    record["arrays"]["flat"]["file"] = "flat.npy"
    (folder / "capture.json").write_text(json.dumps(record))
    with pytest.raises(FileError, match=message):
        read_cassi_capture(folder)


def test_images_may_lie_in_files_of_their_own(bench, tmp_path):
    import tifffile

    folder = copied(bench, tmp_path, "capture")
    record = json.loads((folder / "capture.json").read_text())
    np.save(folder / "flat.npy", bench[0].arrays["flat"].astype(np.uint16))
    tifffile.imwrite(folder / "white.tif", bench[0].arrays["white"].astype(np.uint16), photometric="minisblack")
    record["arrays"]["flat"]["file"], record["arrays"]["white"]["file"] = "flat.npy", "white.tif"
    (folder / "capture.json").write_text(json.dumps(record))
    again = read_cassi_capture(folder)
    assert np.array_equal(again.arrays["flat"], bench[0].arrays["flat"])
    assert np.array_equal(again.white, bench[0].white)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), byte=st.integers(0, 255))
def test_any_damage_of_the_record_is_told_in_one_line(bench, place, byte):
    """One byte of capture.json changed: read, or refused as a file, and never anything else."""
    folder = bench[2] / "damaged"
    folder.mkdir(exist_ok=True)
    if not (folder / "images.npz").exists():
        (folder / "images.npz").write_bytes((bench[2] / "capture" / "images.npz").read_bytes())
    content = bytearray((bench[2] / "capture" / "capture.json").read_bytes())
    content[int(place * (len(content) - 1))] = byte
    (folder / "capture.json").write_bytes(content)
    told = ""
    try:
        read_cassi_capture(folder)
    except FileError as error:
        told = str(error)
    assert "\n" not in told


def test_what_is_no_capture_is_refused(tmp_path):
    with pytest.raises(FileError, match="no such capture; make one with"):
        read_cassi_capture(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"capture.json is missing"):
        read_cassi_capture(tmp_path)
    with pytest.raises(FileError, match="no such calibration; make one with"):
        read_cassi_calibration(tmp_path / "nowhere")


def test_the_plan_lists_the_captures_in_order_and_says_what_is_needed():
    steps = cassi_plan(MASK, PROFILE)
    assert [step.arrays.split(" ")[0] for step in steps][1:] == [
        "dark", "flat", "lines", "flat_lines", "check_line", "white", "scene",
    ]  # fmt: skip
    assert [step.needed for step in steps] == [True, True, True, True, False, False, True, True]
    text = plan_text(steps)
    assert "445, 480, 515, 550, 585, 620, 655 nm" in text
    assert "white target" in text.lower()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"detector_px_per_code_px": 0}, "detector_px_per_code_px 0: from 1 to 8"),
        ({"rotation_deg": 9}, "rotation_deg 9: from -5 to 5 is possible"),
        ({"displacement_across_px": 30}, "displacement_across_px 30: from -8 to 8"),
        ({"adc_bits": 8}, "leaves no room for light in 255 counts"),
        ({"edge_bias_um": -6}, "at most 2.5 um"),
    ],
)
def test_a_bench_that_cannot_be_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        CassiTwin(MASK, PROFILE, TwinSettings(**fields), {})


def test_a_scene_of_another_shape_or_range_is_refused():
    twin = CassiTwin(MASK, PROFILE, TwinSettings(), {})
    with pytest.raises(InputError, match=r"scene: shape \(8, 4, 4\)"):
        twin.arrays(np.ones((8, 4, 4)))
    with pytest.raises(InputError, match=r"outside 0 \.\. 1"):
        twin.arrays(np.full((8, SIDE, SIDE), 1.5))
