"""Readings put in the order of the frames: lost triggers, converter, sync frames, reference detector."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.frames import frames_of, reference_of
from cidesign.calibration.single_pixel.response import Response, estimate_response
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

Take = Callable[..., Capture]
Changed = Callable[..., Capture]


@pytest.fixture(scope="module")
def capture(card_design: PatternStack, take: Take) -> Capture:
    return take(card_design)


@pytest.fixture(scope="module")
def response(capture: Capture) -> Response:
    return estimate_response(capture)[0]


def test_a_whole_record(capture: Capture, card_design: PatternStack, response: Response) -> None:
    found = frames_of(capture, "scene", card_design, response)
    assert np.array_equal(found.readings[0], capture.arrays["scene"])
    assert found.timed
    assert np.array_equal(found.design_times, 235.0 * np.arange(160))
    assert found.on.shape == (1, 0)
    assert found.events == ()
    untimed = replace(capture, arrays={key: array for key, array in capture.arrays.items() if key != "time_us"})
    assert not frames_of(untimed, "scene", card_design, response).timed


@pytest.mark.parametrize("place", [40, 41, 97])
def test_a_lost_reading_leaves_its_pair_out(
    capture: Capture, card_design: PatternStack, response: Response, changed: Changed, place: int
) -> None:
    truth = capture.arrays["card"]
    found = frames_of(changed(capture, card=np.delete(truth, place)), "card", card_design, response)
    there = np.isfinite(found.readings[0])
    assert np.array_equal(found.readings[0][there], truth[there])
    assert not there[place]
    assert there.sum() >= 150
    (event,) = found.events
    assert event.kind == "lost"
    assert place // 2 in event.left_out


def test_repeats_are_not_repaired(
    capture: Capture, card_design: PatternStack, response: Response, changed: Changed
) -> None:
    rows = np.stack([capture.arrays["card"]] * 3)
    assert frames_of(changed(capture, card=rows), "card", card_design, response).readings.shape == (3, 160)
    with pytest.raises(FileError, match=r"card: readings of shape \(3, 159\), but the design shows 160 frames"):
        frames_of(changed(capture, card=rows[:, 1:]), "card", card_design, response)


def test_missing_readings_name_what_is_there(
    capture: Capture, card_design: PatternStack, response: Response, changed: Changed
) -> None:
    with pytest.raises(FileError, match="this capture holds no flat readings, only"):
        frames_of(changed(capture, flat=None), "flat", card_design, response)


def test_a_converter_that_was_set_otherwise(
    capture: Capture, card_design: PatternStack, response: Response, changed: Changed
) -> None:
    shifted = capture.arrays["scene"] // 16 * 16
    with pytest.raises(FileError, match=r"multiples of 16, those of the calibration of 1: .*\(bit-justification\)"):
        frames_of(changed(capture, scene=shifted), "scene", card_design, response)


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_sync_frames_are_taken_out(make_design: Callable[..., PatternStack], take: Take, encoding: str) -> None:
    design = make_design(16, 80, 1, encoding)
    stack = design.with_sync(8)
    capture = take(stack)
    response = estimate_response(capture)[0]
    found = frames_of(capture, "card", design, response)
    assert np.array_equal(found.readings[0], capture.arrays["card"][stack.design_frames])
    assert np.array_equal(found.design_times, 235.0 * stack.design_frames)
    on = capture.arrays["card"].max()
    assert found.on.min() > 0.98 * on
    # In a stream that ran freely, the blink code marks the start.
    stream = np.concatenate([np.full(37, 200.0), capture.arrays["card"], np.full(50, 200.0)])
    stream[:37] += np.arange(37) % 3
    cut = frames_of(replace(capture, arrays={**capture.arrays, "card": stream}), "card", design, response)
    assert np.array_equal(cut.readings, found.readings)


def test_bright_sync_frames_of_exchanged_mirrors(card_design: PatternStack, take: Take) -> None:
    capture = take(card_design.with_sync(8), faults={"inversion": 1})
    found = frames_of(capture, "card", card_design, estimate_response(capture)[0])
    assert found.on.min() > 0.98 * capture.arrays["card"].max()


def test_the_reference_at_the_design_s_frames(
    capture: Capture, card_design: PatternStack, take: Take, changed: Changed
) -> None:
    assert reference_of(capture, card_design) is None
    lamp: NDArray[np.float64] = np.arange(160.0)
    found = reference_of(changed(capture, reference=lamp), card_design)
    assert found is not None
    assert np.array_equal(found, lamp[None])
    stack = card_design.with_sync(8)
    whole = np.arange(float(len(stack.frames())))
    synced = changed(take(stack), reference=whole)
    found = reference_of(synced, card_design)
    assert found is not None
    assert np.array_equal(found[0], whole[stack.design_frames])
    with pytest.raises(FileError, match=r"reference: 160 readings for .* frames; one for each reading of the scene"):
        reference_of(changed(synced, reference=lamp), card_design)
