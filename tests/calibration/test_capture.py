"""The capture folder: written, read back, and everything that can be wrong with it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.calibration.capture import CaptureRecord, check_not_saturated, read_capture, write_capture
from cidesign.calibration.twin import bench_settings, capture_record, simulate_readings
from cidesign.errors import CidesignError, FileError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]


@pytest.fixture
def design(make_design: MakeDesign) -> PatternStack:
    return make_design()


@pytest.fixture
def folder(tmp_path: Path, design: PatternStack, f_scene: MakeScene) -> Path:
    bench = bench_settings(
        dark_counts=100,
        gain=None,
        photoelectrons_per_frame=1e5,
        read_noise_counts=2,
        read_noise_photoelectrons=0,
        drift_percent=1,
        adc_bits=16,
        seed=3,
        scene="F",
    )
    record = capture_record(design, bench, 235.0, "2026-01-01T00:00:00+00:00")
    write_capture(tmp_path / "capture", record, simulate_readings(design, f_scene(design.side), bench), force=False)
    return tmp_path / "capture"


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((folder / "capture.json").read_text())
    change(record)
    (folder / "capture.json").write_text(json.dumps(record))


def _own_files(folder: Path, scene: NDArray[np.generic]) -> None:
    """Turn a simulated folder into one that a user would write: one file for each array."""
    np.save(folder / "mine.npy", scene)

    def change(record: dict[str, Any]) -> None:
        record["arrays"] = {"scene": {"file": "mine.npy"}}
        record["saturation_counts"] = None
        del record["bench"]

    _rewrite(folder, change)


def test_what_is_written_is_read(folder: Path, design: PatternStack, f_scene: MakeScene) -> None:
    capture = read_capture(folder)
    assert np.array_equal(capture.scene(design)[0], np.load(folder / "readings.npz")["scene"])
    assert capture.truth is not None
    assert np.array_equal(capture.truth, f_scene(8))
    assert capture.record is not None
    assert capture.record.design_digest == design.design_digest
    assert capture.bench is not None
    assert (capture.bench.simulated_at, capture.bench.drift_percent) == ("super-pixel", 1)
    assert read_capture(folder / "capture.json").path == folder


def test_own_files_in_a_folder(folder: Path, design: PatternStack) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, (3, 40))
    _own_files(folder, readings)
    assert np.array_equal(read_capture(folder).scene(design), readings)


def test_a_bare_array(tmp_path: Path, design: PatternStack) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, 40)
    (tmp_path / "scene.csv").write_text("counts\n" + "\n".join(repr(float(value)) for value in readings))
    np.save(tmp_path / "scene.npy", readings)
    for name in ("scene.csv", "scene.npy"):
        capture = read_capture(tmp_path / name)
        assert capture.record is None
        assert np.array_equal(capture.scene(design), readings[None])


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((39,), r"39 scene readings, but the design shows 40 frames \(20 patterns, complementary\); look for lost"),
        ((20,), "20 scene readings.*both readings of each pair"),
        ((80,), r"80 scene readings.*store an array of shape \(2, 40\)"),
        ((2, 39), r"scene readings of shape \(2, 39\), but the design shows 40 frames"),
    ],
)
def test_count_mismatch_names_both(folder: Path, design: PatternStack, shape: tuple[int, ...], said: str) -> None:
    _own_files(folder, np.random.default_rng(0).normal(1000, 50, shape))
    with pytest.raises(FileError, match=said):
        read_capture(folder).scene(design)


def test_missing_all_on_frame(tmp_path: Path, make_design: MakeDesign) -> None:
    np.save(tmp_path / "scene.npy", np.arange(20.0))
    with pytest.raises(FileError, match="all-on frame that follows the patterns is missing"):
        read_capture(tmp_path / "scene.npy").scene(make_design(encoding="offset"))


def test_other_design(folder: Path, make_design: MakeDesign) -> None:
    with pytest.raises(FileError, match=r"was recorded with design .* name the run whose patterns were shown"):
        read_capture(folder).scene(make_design(bit_depth=2))


def test_saturated_readings_are_counted(folder: Path, design: PatternStack) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, 40)
    readings[[4, 17, 30]] = 65535
    _own_files(folder, readings)
    _rewrite(folder, lambda record: record.update(saturation_counts=65535))
    with pytest.raises(FileError, match=re.escape("3 of 40 readings are at or above the saturation level of 65535")):
        read_capture(folder).scene(design)
    with pytest.raises(FileError, match=r"\(readings 4, 17, 30\)"):
        read_capture(folder).scene(design)


def test_a_pile_up_is_saturation() -> None:
    clean = np.random.default_rng(1).normal(1000, 50, 400)
    check_not_saturated(clean, None, "scene")
    check_not_saturated(np.rint(clean), None, "scene")
    check_not_saturated(np.rint(clean / 30), None, "scene")  # few values: a coarse converter, not a clipped one
    with pytest.raises(FileError, match="piled up on the largest value, 1060 counts"):
        check_not_saturated(np.minimum(clean, 1060), None, "scene")


def test_a_dead_detector(tmp_path: Path, design: PatternStack) -> None:
    np.save(tmp_path / "scene.npy", np.full(40, 123.0))
    with pytest.raises(FileError, match="all 40 scene readings are 123"):
        read_capture(tmp_path / "scene.npy").scene(design)


def test_nan_in_a_folder(folder: Path) -> None:
    readings = np.arange(40.0)
    readings[7] = np.inf
    _own_files(folder, readings)
    with pytest.raises(FileError, match=r"scene\[7\] is inf and 1 of 40"):
        read_capture(folder)


def test_half_written_captures(folder: Path, tmp_path: Path) -> None:
    content = (folder / "readings.npz").read_bytes()
    (folder / "readings.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="not a sound npz"):
        read_capture(folder)
    (folder / "readings.npz").unlink()
    with pytest.raises(FileError, match="does not exist"):
        read_capture(folder)
    (folder / "capture.json").unlink()
    with pytest.raises(FileError, match=r"capture.json is missing; .* half written"):
        read_capture(folder)
    with pytest.raises(FileError, match="no such capture"):
        read_capture(tmp_path / "absent")


def test_a_hadamard_file_is_recognised(tmp_path: Path) -> None:
    np.savez(tmp_path / "car.npz", data=np.ones((1, 16)))
    with pytest.raises(FileError, match="--reader hadamard"):
        read_capture(tmp_path / "car.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.update(schema_version=2), "schema version 2, this program reads 1; update"),
        (lambda record: record.pop("exposure_us"), "exposure_us: Field required"),
        (lambda record: record.update(exposure_us=-1), "exposure_us: Input should be greater than 0"),
        (lambda record: record.update(kind="run"), "kind: Input should be 'capture'"),
        (lambda record: record.update(typo=1), "typo: Extra inputs"),
        (lambda record: record["arrays"]["scene"].update(file="../x.npy"), "not a file inside its folder"),
        (lambda record: record["arrays"]["scene"].update(file="a\0.npy"), "should match pattern"),
        (lambda record: record["arrays"]["scene"].update(file="x.pkl"), ".npz, .npy and .csv are read"),
        (lambda record: record["arrays"]["white"].update(light_fractions=[1.0]), "8 light levels, .* gives 1 light_fr"),
        (lambda record: record["arrays"].update(dark={"file": "readings.npz"}, truth={"file": "absent.npz"}), "exist"),
    ],
)
def test_wrong_records(folder: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    _rewrite(folder, change)
    with pytest.raises(FileError, match=said):
        read_capture(folder)


def test_existing_capture_is_kept(folder: Path) -> None:
    record = read_capture(folder).record
    assert record is not None
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileError, match="--force"):
        write_capture(folder, record, {"scene": np.zeros(3)}, force=False)
    with pytest.raises(FileError):  # arrays that the record names are missing: the old folder stays
        write_capture(folder, record, {"scene": np.zeros(3)}, force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["capture"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_records_are_an_error_or_a_capture(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    np.save(folder / "scene.npy", np.arange(4.0))
    record: dict[str, Any] = {
        "schema_version": 1,
        "kind": "capture",
        "modality": "single-pixel",
        "design_digest": "0" * 64,
        "profile_digest": "0" * 64,
        "encoding": "offset",
        "exposure_us": 235,
        "units": "counts",
        "saturation_counts": None,
        "created_utc": "",
        "arrays": {"scene": {"file": "scene.npy"}},
    }
    target = data.draw(st.sampled_from([record, record["arrays"], record["arrays"]["scene"]]))
    target[data.draw(st.sampled_from([*target, "white", "dark", "bench"]))] = data.draw(_JSON)
    text = json.dumps(record)
    position = data.draw(st.integers(0, len(text)))
    text = text[:position] + data.draw(st.text(max_size=2)) + text[position:]
    (folder / "capture.json").write_bytes(text.encode(errors="surrogatepass"))
    message = ""
    try:
        capture = read_capture(folder)
        assert isinstance(capture.record, CaptureRecord)
        assert np.isfinite(next(iter(capture.arrays.values()), np.zeros(1))).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message
