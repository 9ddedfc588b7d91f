"""Lost and doubled readings: every repaired reading is in its place, or the record is refused; never a wrong place."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.readings.triggers import FEWEST_PAIRS, MOST_EVENTS, align_pairs
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

FrameMeans = Callable[[PatternStack, NDArray[np.float64]], NDArray[np.float64]]
PAIRS, FRAME_US = 100, 235.0
CHARGE, GAIN, READ_NOISE = 1e7, 0.004, 0.4


@pytest.fixture(scope="module")
def light(make_design: Callable[..., PatternStack], frame_means: FrameMeans) -> NDArray[np.float64]:
    """Frame means of the F card, (200,)."""
    return frame_means(make_design(16, PAIRS), f_card(16))


def _record(light: NDArray[np.float64], seed: int, drift: float, flicker: float) -> NDArray[np.float64]:
    """Readings less dark, with photon noise, under a lamp that bends by `drift` and flickers at 100 Hz."""
    rng = np.random.default_rng(seed)
    times = FRAME_US * np.arange(light.size)
    lamp = 1 + drift * np.linspace(0, 1, light.size) ** 2
    lamp = lamp + flicker * np.sin(2e-6 * np.pi * 100 * times + rng.uniform(0, 6))
    readings: NDArray[np.float64] = GAIN * rng.poisson(CHARGE * light * lamp) + rng.normal(0, READ_NOISE, light.size)
    return readings


def _align(
    stream: NDArray[np.float64], light: NDArray[np.float64], timed: bool = True
) -> tuple[NDArray[np.float64], list[tuple[str, int]]]:
    noise = GAIN**2 * CHARGE * float(light.mean()) + READ_NOISE**2
    times = FRAME_US * np.arange(2 * PAIRS) if timed else None
    found = align_pairs(stream, PAIRS, noise, times, "scene")
    return found.readings[0], [(event.kind, event.pair) for event in found.events]


def _hit(stream: NDArray[np.float64], places: list[int], lost: bool) -> NDArray[np.float64]:
    return np.delete(stream, places) if lost else np.insert(stream, places, stream[places])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    drift=st.sampled_from([0.0, 0.05, -0.1]),
    flicker=st.sampled_from([0.0, 0.05]),
    lost=st.booleans(),
    places=st.lists(st.integers(0, 2 * PAIRS - 1), min_size=1, max_size=MOST_EVENTS, unique=True),
)
def test_every_reading_in_its_place_or_an_error(
    light: NDArray[np.float64], seed: int, drift: float, flicker: float, lost: bool, places: list[int]
) -> None:
    truth = _record(light, seed, drift, flicker)
    try:
        readings, _ = _align(_hit(truth, sorted(places), lost), light)
    except FileError as error:
        assert "record again" in str(error)  # noqa: PT017
        return
    there = np.isfinite(readings)
    assert np.array_equal(readings[there], truth[there])
    assert there.mean() > 0.8
    # What was hit is left out, its pair too: a doubled reading may stand in its own pair.
    if lost:
        assert not there[places].any()


@pytest.mark.parametrize("frame", [2, 197])
def test_near_an_end_the_lamp_curve_hides_the_place(light: NDArray[np.float64], frame: int) -> None:
    with pytest.raises(FileError, match=r"within 5 pairs of an end .* the place is not sure; record again"):
        _align(np.delete(_record(light, 0, 0.0, 0.0), frame), light)


def test_most_single_events_are_put_right(light: NDArray[np.float64]) -> None:
    """And the place named is within the pairs that are left out."""
    put_right = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 1])
        place, lost = int(rng.integers(4, 2 * PAIRS - 4)), bool(seed % 2)
        truth = _record(light, seed, 0.05 * (seed % 3), 0.05 * (seed % 4 == 0))
        try:
            readings, events = _align(_hit(truth, [place], lost), light)
        except FileError:
            continue
        put_right += 1
        assert [kind for kind, _ in events] == ["lost" if lost else "doubled"]
        assert np.isnan(readings[2 * (place // 2)])
        assert abs(events[0][1] - place // 2) <= 3
    assert put_right >= 55


def test_nothing_happens_to_a_whole_record(light: NDArray[np.float64]) -> None:
    for seed in range(40):
        truth = _record(light, seed, 0.2, 0.05)
        readings, events = _align(truth, light, timed=True)
        assert np.array_equal(readings, truth)
        assert events == []


def test_a_slip_with_the_right_count_is_refused_by_its_frame(light: NDArray[np.float64]) -> None:
    truth = _record(light, 3, 0.05, 0.0)
    slipped = np.delete(np.append(truth, truth[0]), 61)
    with pytest.raises(FileError, match=r"slip by one reading at frame 60 or 61 \(pattern 30\), though the number"):
        _align(slipped, light)


def test_a_whole_pair_that_is_lost_is_refused(light: NDArray[np.float64]) -> None:
    """Sums say nothing of a pair that is missing whole; nor of two losses in one."""
    for place in (40, 41, 90):
        with pytest.raises(FileError, match="record again"):
            _align(np.delete(_record(light, 1, 0.0, 0.0), [place, place + 1]), light)
        truth = _record(light, 1, 0.0, 0.0)
        with pytest.raises(FileError, match="record again"):
            _align(np.insert(truth, place, truth[place : place + 2]), light)


def test_too_many_and_too_few(light: NDArray[np.float64]) -> None:
    truth = _record(light, 2, 0.0, 0.0)
    with pytest.raises(FileError, match=r"scene: 196 readings for 200 frames; up to 3 lost or doubled triggers"):
        _align(np.delete(truth, [20, 60, 100, 140]), light)
    few = truth[: 2 * FEWEST_PAIRS - 3]
    with pytest.raises(FileError, match=r"29 readings for 30 frames; up to 0 lost"):
        align_pairs(few, FEWEST_PAIRS - 1, 1.0, None, "scene")
    nonsense = np.random.default_rng(0).normal(1000, 300, 2 * PAIRS - 1)
    with pytest.raises(FileError, match=r"no place of 1 lost trigger\(s\) explains the sums of the pairs"):
        _align(nonsense, light)


def test_a_scene_without_structure_is_refused_rather_than_guessed() -> None:
    """All readings alike: the place of a lost one cannot be told."""
    flat = np.full(200, 500.0) + np.random.default_rng(0).normal(0, 1, 200)
    with pytest.raises(FileError, match=r"but \d+ pairs fit as well; record again"):
        align_pairs(np.delete(flat, 77), 100, 1.0, None, "scene")
