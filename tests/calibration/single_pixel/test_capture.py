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

from cidesign.calibration.single_pixel.capture import (
    Capture,
    CaptureRecord,
    SimulatedBench,
    check_not_saturated,
    read_capture,
    write_capture,
)
from cidesign.calibration.single_pixel.frames import frames_of
from cidesign.calibration.single_pixel.response import Response
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.calibration.single_pixel.twin import capture_record, simulate_readings
from cidesign.errors import CidesignError, FileError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]
SceneOf = Callable[..., NDArray[np.float64]]


@pytest.fixture
def design(make_design: MakeDesign) -> PatternStack:
    return make_design()


@pytest.fixture
def folder(tmp_path: Path, design: PatternStack, f_scene: MakeScene, make_bench: Callable[..., SimulatedBench]) -> Path:
    bench = make_bench(photoelectrons_per_frame=1e5, read_noise_counts=2, faults={"drift": 1}, seed=3)
    record = capture_record(design, bench, 235.0, "2026-01-01T00:00:00+00:00")
    readings = simulate_readings(design, f_scene(design.side), bench, 235.0 * np.arange(40))
    write_capture(tmp_path / "capture", record, readings, force=False)
    return tmp_path / "capture"


@pytest.fixture
def scene_of(design: PatternStack, ideal_response: Callable[..., Response]) -> Callable[..., NDArray[np.float64]]:
    """The readings of the scene, put in the order of the frames."""

    def read(capture: Capture, other: PatternStack | None = None) -> NDArray[np.float64]:
        response = ideal_response(4e4, 0.0, 1.0, 60.0)
        return frames_of(capture, "scene", other or design, response).readings

    return read


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


def test_what_is_written_is_read(folder: Path, design: PatternStack, f_scene: MakeScene, scene_of: SceneOf) -> None:
    capture = read_capture(folder)
    assert np.array_equal(scene_of(capture)[0], np.load(folder / "readings.npz")["scene"])
    assert capture.truth is not None
    assert np.array_equal(capture.truth, f_scene(8))
    assert capture.record is not None
    assert capture.record.design_digest == design.design_digest
    assert capture.bench is not None
    assert (capture.bench.simulated_at, capture.bench.drift_percent) == ("super-pixel", 1)
    assert capture.bench.faults == {"drift": 1}
    assert np.array_equal(capture.arrays["time_us"], 235.0 * np.arange(40))
    assert read_capture(folder / "capture.json").path == folder


def test_own_files_in_a_folder(folder: Path, scene_of: SceneOf) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, (3, 40))
    _own_files(folder, readings)
    assert np.array_equal(scene_of(read_capture(folder)), readings)


def test_a_bare_array(tmp_path: Path, scene_of: SceneOf) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, 40)
    (tmp_path / "scene.csv").write_text("counts\n" + "\n".join(repr(float(value)) for value in readings))
    np.save(tmp_path / "scene.npy", readings)
    for name in ("scene.csv", "scene.npy"):
        capture = read_capture(tmp_path / name)
        assert capture.record is None
        assert np.array_equal(scene_of(capture), readings[None])


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((36,), r"scene: 36 readings, but the design shows 40 frames \(20 patterns, complementary\); look for lost"),
        ((20,), "scene: 20 readings.*both readings of each pair"),
        ((80,), r"scene: 80 readings.*store an array of shape \(2, 40\)"),
        ((2, 39), r"scene: readings of shape \(2, 39\), but the design shows 40 frames"),
    ],
)
def test_count_mismatch_names_both(folder: Path, shape: tuple[int, ...], said: str, scene_of: SceneOf) -> None:
    _own_files(folder, np.random.default_rng(0).normal(1000, 50, shape))
    with pytest.raises(FileError, match=said):
        scene_of(read_capture(folder))


def test_missing_all_on_frame(tmp_path: Path, make_design: MakeDesign, scene_of: SceneOf) -> None:
    np.save(tmp_path / "scene.npy", np.arange(20.0))
    with pytest.raises(FileError, match="all-on frame that follows the patterns is missing"):
        scene_of(read_capture(tmp_path / "scene.npy"), make_design(encoding="offset"))


def test_other_design(folder: Path, make_design: MakeDesign, scene_of: SceneOf) -> None:
    with pytest.raises(FileError, match=r"was recorded with design .* name the run whose patterns were shown"):
        scene_of(read_capture(folder), make_design(bit_depth=2))


def test_saturated_readings_are_counted(folder: Path, scene_of: SceneOf) -> None:
    readings = np.random.default_rng(0).normal(1000, 50, 40)
    readings[[4, 17, 30]] = 65535
    _own_files(folder, readings)
    _rewrite(folder, lambda record: record.update(saturation_counts=65535))
    with pytest.raises(FileError, match=re.escape("3 of 40 readings are at or above the saturation level of 65535")):
        scene_of(read_capture(folder))
    with pytest.raises(FileError, match=r"\(readings 4, 17, 30\)"):
        scene_of(read_capture(folder))


def test_a_pile_up_is_saturation() -> None:
    clean = np.random.default_rng(1).normal(1000, 50, 400)
    check_not_saturated(clean, None, "scene")
    check_not_saturated(np.rint(clean), None, "scene")
    check_not_saturated(np.rint(clean / 30), None, "scene")  # few values: a coarse converter, not a clipped one
    with pytest.raises(FileError, match="piled up on the largest value, 1060 counts"):
        check_not_saturated(np.minimum(clean, 1060), None, "scene")


def test_a_dead_detector(tmp_path: Path, scene_of: SceneOf) -> None:
    np.save(tmp_path / "scene.npy", np.full(40, 123.0))
    with pytest.raises(FileError, match="scene: all 40 readings are 123"):
        scene_of(read_capture(tmp_path / "scene.npy"))


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
        (lambda record: record.update(schema_version=3), "schema version 3, this program reads 2; update"),
        (lambda record: record.pop("exposure_us"), "exposure_us: Field required"),
        (lambda record: record.update(exposure_us=-1), "exposure_us: Input should be greater than 0"),
        (lambda record: record.update(kind="run"), "kind: Input should be 'capture'"),
        (lambda record: record.update(typo=1), "typo: Extra inputs"),
        (lambda record: record["arrays"]["scene"].update(file="../x.npy"), "not a file inside its folder"),
        (lambda record: record["arrays"]["scene"].update(file="a\0.npy"), "should match pattern"),
        (lambda record: record["arrays"]["scene"].update(file="x.pkl"), r"names 'x.pkl' for scene; \.npz, \.npy"),
        (lambda record: record["arrays"]["white"].update(light_fractions=[1.0]), "8 light levels, .* gives 1 light_fr"),
        (lambda record: record["arrays"].update(dark={"file": "readings.npz"}, truth={"file": "absent.npz"}), "exist"),
        (lambda record: record["arrays"].pop("card_picture"), "card is there without card_picture"),
        (lambda record: record["arrays"].update(reference={"file": "readings.npz"}), "holds no array 'reference'"),
        (lambda record: record.update(frame_period_us=0), "frame_period_us: Input should be greater than 0"),
        (lambda record: record.update(sync_every=0), "sync_every: Input should be greater than or equal to 1"),
        (lambda record: record.update(bench_state={"binning": 0}), "bench_state.binning"),
        (lambda record: record["bench"].update(faults={"No Such": 1}), "bench.faults"),
    ],
)
def test_wrong_records(folder: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    _rewrite(folder, change)
    with pytest.raises(FileError, match=said):
        read_capture(folder)


@pytest.mark.parametrize("shape", [(2,), (3, 4)])
def test_a_card_that_is_not_square(folder: Path, shape: tuple[int, ...]) -> None:
    np.save(folder / "picture.npy", np.ones(shape))
    _rewrite(folder, lambda record: record["arrays"].update(card_picture={"file": "picture.npy"}))
    with pytest.raises(FileError, match=r"card_picture has shape .*(needed|square)"):
        read_capture(folder)


@pytest.mark.parametrize("name", ["card.png", "card.tif", "card.npz"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_card_picture_in_grey_levels(folder: Path, name: str, depth: type[np.integer]) -> None:
    """Scaled by the full scale of its type, with a note."""
    import cv2

    full = np.iinfo(depth).max
    levels = np.rint(full * f_card(16)).astype(depth)
    if name == "card.npz":
        np.savez(folder / name, card_picture=levels)
    else:
        cv2.imwrite(str(folder / name), levels)
    _rewrite(folder, lambda record: record["arrays"]["card_picture"].update(file=name))
    capture = read_capture(folder)
    assert capture.arrays["card_picture"] == pytest.approx(f_card(16), abs=0.6 / full)
    assert capture.notes == (
        f"{name}: card_picture holds grey levels 0 to {levels.max()}; {full} is taken as reflectance 1",
    )


@pytest.mark.parametrize("scale", [255.0, 65535.0, -1.0])
def test_a_card_picture_that_is_no_reflectance(folder: Path, scale: float) -> None:
    np.savez(folder / "card.npz", card_picture=scale * f_card(16))
    _rewrite(folder, lambda record: record["arrays"]["card_picture"].update(file="card.npz"))
    with pytest.raises(FileError, match=r"card_picture holds values .*; reflectances from 0 \(black\) to 1 \(white\)"):
        read_capture(folder)


def test_patterns_are_no_readings(tmp_path: Path) -> None:
    np.save(tmp_path / "mypat.npy", np.zeros((32, 16, 16), dtype=np.uint8))
    with pytest.raises(FileError, match=r"shape \(32, 16, 16\) is no record of readings.* Are these patterns"):
        read_capture(tmp_path / "mypat.npy")


def test_a_record_of_the_first_version_is_read(folder: Path) -> None:
    def older(record: dict[str, Any]) -> None:
        record["schema_version"] = 1
        for name in ("frame_period_us", "sync_every", "bench_state"):
            del record[name]
        del record["bench"]["faults"]

    before = read_capture(folder)
    _rewrite(folder, older)
    assert all(np.array_equal(array, before.arrays[name]) for name, array in read_capture(folder).arrays.items())


def test_times_of_the_frames(folder: Path) -> None:
    capture = read_capture(folder)
    times = capture.frame_times_us(40)
    assert times is not None
    assert np.array_equal(times, 235.0 * np.arange(40))
    with pytest.raises(FileError, match="time_us holds 40 times; 41 rising ones are needed"):
        capture.frame_times_us(41)
    repeated = times.copy()
    repeated[7] = repeated[6]
    with pytest.raises(FileError, match="40 rising ones are needed"):
        Capture(capture.path, capture.record, {"time_us": repeated}).frame_times_us(40)
    assert capture.record is not None
    even = Capture(capture.path, capture.record.model_copy(update={"frame_period_us": 500.0}), {})
    periods = even.frame_times_us(3)
    assert periods is not None
    assert periods.tolist() == [0, 500, 1000]
    assert Capture(capture.path, None, {}).frame_times_us(3) is None


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
        "schema_version": 2,
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
