"""A design that was shown in several sequences: one record of all frames, and nobody knows the time between them."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture, SimulatedBench, read_capture, write_capture
from cidesign.calibration.single_pixel.frames import frames_of
from cidesign.calibration.single_pixel.measurement import measurements_from_counts
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.plan import plan_spc, write_plan_files
from cidesign.calibration.single_pixel.response import estimate_response
from cidesign.calibration.single_pixel.twin import capture_record, lamp_brightness, simulate_readings
from cidesign.errors import FileError
from cidesign.files import read_json
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

SIDE, COUNT, FRAME_US = 16, 80, 235.0
STARTS = (0, 64, 112)
UTC = "2026-01-01T00:00:00+00:00"


def times_us(frames: int, starts: tuple[int, ...]) -> NDArray[np.float64]:
    number = np.arange(frames)
    first = np.array(starts)[np.searchsorted(starts, number, side="right") - 1]
    return FRAME_US * (number - first)


@pytest.fixture
def take_in_parts(make_bench: Callable[..., SimulatedBench]) -> Callable[..., Capture]:
    def make(
        design: PatternStack, scene: NDArray[np.float64], starts: tuple[int, ...] = STARTS, **changes: Any
    ) -> Capture:
        bench = make_bench(**changes)
        times = times_us(len(design.frames()), starts)
        readings = simulate_readings(design, scene, bench, times, starts)
        arrays = {name: array.astype(np.float64) for name, array in readings.items()}
        return Capture(Path("capture"), capture_record(design, bench, FRAME_US, UTC, starts), arrays)

    return make


@pytest.fixture
def design(make_design: Callable[..., PatternStack]) -> PatternStack:
    return make_design(SIDE, COUNT)


def relative_error(capture: Capture, design: PatternStack, scene: NDArray[np.float64]) -> float:
    """Of the readings, less what calibrates them, against the patterns written out."""
    response, _ = estimate_response(capture)
    frames = frames_of(capture, "scene", design, response)
    measured = measurements_from_counts(frames, design, response, SpcOperator.as_designed(SIDE))
    expected = (2.0 * design.levels.reshape(design.count, -1) - 1) @ scene.reshape(-1) / SIDE
    scale = float(measured.y @ expected / (expected @ expected))
    return float(np.std(measured.y / scale - expected) / np.std(expected))


def test_a_lamp_that_steps_between_sequences_is_divided_out(
    take_in_parts: Callable[..., Capture], make_design: Callable[..., PatternStack], f_scene: Callable[..., Any]
) -> None:
    design, scene, starts = make_design(SIDE, 200), f_scene(SIDE), (0, 200)
    capture = take_in_parts(design, scene, starts, faults={"drift": 8.0, "flicker": 3.0})
    assert capture.record is not None
    assert capture.bench is not None
    lamp = lamp_brightness(capture.bench, times_us(400, starts), 1, starts)
    assert abs(lamp[200] / lamp[199] - 1) > 0.01
    noise = relative_error(take_in_parts(design, scene, starts), design, scene)
    assert relative_error(capture, design, scene) < 1.1 * noise
    # Taken for one sequence with frames one after the other, the same readings are refused, or are worse.
    record = capture.record.model_copy(update={"sequence_starts": None, "frame_period_us": FRAME_US})
    arrays = {name: array for name, array in capture.arrays.items() if name != "time_us"}
    with contextlib.suppress(FileError):
        assert relative_error(replace(capture, record=record, arrays=arrays), design, scene) > 1.5 * noise


def test_a_calibration_of_several_sequences_passes(
    take_in_parts: Callable[..., Capture], design: PatternStack, f_scene: Callable[..., Any]
) -> None:
    found = calibrate_spc(take_in_parts(design, f_scene(SIDE), faults={"drift": 5.0}), design)
    assert found.verification.verdict == "passed", [str(check) for check in found.verification.checks]


def test_a_lost_trigger_in_a_later_sequence_is_found(
    take_in_parts: Callable[..., Capture], make_design: Callable[..., PatternStack], f_scene: Callable[..., Any]
) -> None:
    design = make_design(SIDE, 200)
    capture = take_in_parts(design, f_scene(SIDE), (0, 240), faults={"drift": 5.0})
    hit = {**capture.arrays, "scene": np.delete(capture.arrays["scene"], 321)}
    found = calibrate_spc(capture, design)
    frames = frames_of(replace(capture, arrays=hit), "scene", design, found.response)
    (event,) = frames.events
    assert (event.kind, event.pair) == ("lost", 160)  # type: ignore[union-attr]


def test_starts_are_kept_on_disk_and_only_where_there_are_several(
    take_in_parts: Callable[..., Capture], take: Callable[..., Capture], design: PatternStack, tmp_path: Path,
    f_scene: Callable[..., Any],
) -> None:  # fmt: skip
    for name, capture in (("parts", take_in_parts(design, f_scene(SIDE))), ("whole", take(design))):
        assert capture.record is not None
        arrays: dict[str, Any] = dict(capture.arrays)
        write_capture(tmp_path / name, capture.record, arrays, force=False)
    assert read_json(tmp_path / "parts" / "capture.json", "capture")["sequence_starts"] == list(STARTS)
    assert "sequence_starts" not in read_json(tmp_path / "whole" / "capture.json", "capture")
    again = read_capture(tmp_path / "parts")
    assert again.sequence_of(160)[[0, 63, 64, 111, 112, 159]].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("starts", "text"),
    [
        ([0, 64, 64], "rising from 0"),
        ([2, 64], "rising from 0"),
        ([0, 160], "below the 160 frames"),
        ([0, 65], "is the complement of the pattern before it"),
    ],
)
def test_starts_that_cannot_be_are_refused(
    take_in_parts: Callable[..., Capture],
    design: PatternStack,
    f_scene: Callable[..., Any],
    starts: list[int],
    text: str,
) -> None:
    capture = take_in_parts(design, f_scene(SIDE))
    assert capture.record is not None
    wrong = replace(capture, record=capture.record.model_copy(update={"sequence_starts": starts}))
    wrong.arrays["time_us"] = FRAME_US * np.arange(160)
    with pytest.raises(FileError, match=text):
        calibrate_spc(wrong, design)


def test_times_that_fall_inside_a_sequence_are_refused(
    take_in_parts: Callable[..., Capture], design: PatternStack, f_scene: Callable[..., Any]
) -> None:
    capture = take_in_parts(design, f_scene(SIDE))
    capture.arrays["time_us"] = times_us(160, (0, 64))
    assert capture.frame_times_us(160) is not None
    capture.arrays["time_us"] = times_us(160, (0, 66, 112))
    with pytest.raises(FileError, match="160 rising ones are needed"):
        capture.frame_times_us(160)


def test_the_plan_names_the_sequences(tmp_path: Path, design: PatternStack) -> None:
    text = " ".join(step.how for step in plan_spc(design, FRAME_US, STARTS))
    assert "run the 3 sequences of the export once each" in text
    assert "over HDMI" not in text
    assert "remove time_us" in " ".join(step.how for step in plan_spc(design, FRAME_US, STARTS, hdmi_too=True))
    profile: Any = load_profile("dlp4500")
    write_plan_files(tmp_path / "plan", design, profile, FRAME_US, times_us(160, STARTS), False, STARTS)
    assert read_json(tmp_path / "plan" / "capture.json", "capture")["sequence_starts"] == list(STARTS)
    write_plan_files(tmp_path / "hdmi", design, profile, FRAME_US, None, False)
    with np.load(tmp_path / "hdmi" / "known.npz") as known:
        assert sorted(known) == ["card_picture"]
    assert "time_us" not in read_json(tmp_path / "hdmi" / "capture.json", "capture")["arrays"]
