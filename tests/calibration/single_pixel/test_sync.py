"""The start of a sequence in a stream, sync frames taken apart, and lost or doubled readings traced to a segment."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.readings.sync import (
    MAX_SLIP,
    StartFound,
    check_sync,
    cut_stream,
    find_start,
    find_starts,
    split_sync,
)
from cidesign.errors import FileError, InputError
from cidesign.pattern import BLINK_CODE, Encoding, PatternStack

COUNT, SIDE = 40, 8
CODE = [float(role == "on") for role in BLINK_CODE]


def design(every: int = 8, encoding: Encoding = "offset", seed: int = 5) -> PatternStack:
    levels = np.random.default_rng(seed).integers(0, 2, (COUNT, SIDE, SIDE), dtype=np.uint8)
    return PatternStack(levels, 1, encoding, "dlp4500", "ab" * 32, every)


def light(stack: PatternStack, seed: int = 0) -> NDArray[np.float64]:
    """What reaches the detector in every displayed frame, all on = 1: a bright rectangle on a slope."""
    rng = np.random.default_rng([seed, 7])
    scene = np.linspace(0.05, 0.3, SIDE * SIDE).reshape(SIDE, SIDE)
    top, left = rng.integers(0, SIDE - 3, 2)
    scene[top : top + 3, left : left + 2] = 0.9
    level: NDArray[np.float64] = (stack.displayed() * scene).sum(axis=(1, 2)) / scene.sum()
    return level


def flicker(count: int, amplitude: float, period: float) -> NDArray[np.float64]:
    return 1 + amplitude * np.sin(2 * np.pi * np.arange(count) / period + 0.3)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    before=st.integers(0, 400),
    after=st.integers(0, 400),
    gain=st.floats(1e-3, 1e6),
    sign=st.sampled_from([-1, 1]),
    offset=st.floats(-1e4, 1e4),
    noise=st.floats(0, 0.05),
    period=st.floats(2.1, 300),
    every=st.integers(1, COUNT),
    encoding=st.sampled_from(["offset", "complementary"]),
    idle=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_start_is_found_whatever_gain_offset_noise_and_flicker(
    seed: int, before: int, after: int, gain: float, sign: int, offset: float, noise: float, period: float,
    every: int, encoding: Encoding, idle: float,
) -> None:  # fmt: skip
    """Before and after the sequence the mirrors are parked: all off, at random, or all on."""
    stack = design(every, encoding)
    rng = np.random.default_rng(seed)
    stream = np.concatenate([np.full(before, idle), light(stack, seed), np.full(after, idle)])
    stream = stream * flicker(stream.size, 0.05, period) + noise * rng.normal(size=stream.size)
    found = find_start(sign * gain * stream + offset * gain, stack)
    assert found.index == before
    assert found.inverted == (sign < 0)
    assert found.score > 0.85
    assert found.second_best < found.score


def test_the_score_is_one_without_noise_and_falls_with_it() -> None:
    stack = design()
    stream = np.concatenate([np.zeros(50), light(stack), np.zeros(20)])
    clean = find_start(stream, stack)
    assert clean == StartFound(50, pytest.approx(1.0), clean.second_best, False)
    noisy = find_start(stream + 0.1 * np.random.default_rng(1).normal(size=stream.size), stack)
    # Correlation of a code with variance 36/169 in noise of variance 0.01.
    assert noisy.score == pytest.approx((36 / 169 / (36 / 169 + 0.01)) ** 0.5, abs=0.02)


def test_every_start_of_a_loop_is_found_and_one_is_not_chosen() -> None:
    stack = design(encoding="complementary")
    level = light(stack)
    rng = np.random.default_rng(3)
    stream = np.concatenate([level[-30:], level, np.delete(level, 50), level, level[:40]])
    lamp = np.linspace(1, 0.7, stream.size)  # it ages
    stream = 300 + 2000 * stream * lamp + 20 * rng.normal(size=stream.size)
    places = [30, 30 + level.size, 29 + 2 * level.size, 29 + 3 * level.size]
    assert [start.index for start in find_starts(stream, stack)] == places
    with pytest.raises(FileError, match=rf"starts 4 times, at readings 30, {places[1]}, .* every start"):
        find_start(stream, stack)
    cut = cut_stream(stream, stack)
    assert cut.readings.shape == (3, level.size)
    assert cut.incomplete == 1
    assert [start.index for start in cut.starts] == places[:3]
    np.testing.assert_array_equal(cut.readings[2], stream[places[2] : places[3]])
    slips = check_sync(cut.readings, stack)
    assert [(slip.repeat, slip.segment, slip.lost) for slip in slips] == [(1, 2, 1)]


def test_a_stream_without_the_code_is_refused() -> None:
    stack = design()
    level = light(stack)
    rng = np.random.default_rng(2)
    for stream in (
        level[13:],
        np.full(500, 7.0),
        np.zeros(500),
        rng.normal(size=3000),
        np.repeat(level, 2),
        np.tile(CODE, 30),
    ):
        with pytest.raises(FileError, match=r"^stream: .*(blink code)"):
            find_start(stream, stack)


def test_a_code_whose_sequence_cannot_follow_is_refused() -> None:
    """Thirteen readings that match by chance, in readings far outside what all on and all off allow."""
    stream = np.concatenate([np.tile([-5.0, 5.0], 40), CODE, np.tile([-5.0, 5.0], 40)])
    with pytest.raises(FileError, match="brighter than all on or darker than all off"):
        find_start(stream, design())


def test_of_two_overlapping_starts_the_one_with_its_pairs_is_taken() -> None:
    stack = design()
    level = light(stack)
    found = find_start(np.concatenate([np.zeros(20), level[:35], level]), stack)
    assert found.index == 55
    assert found.second_best > 0.95, "the start that was given up must be seen"


def test_overlapping_starts_that_nothing_tells_apart_are_refused() -> None:
    stack = design(every=COUNT)
    level = light(stack)
    with pytest.raises(FileError, match=r"blink codes at readings 20 and 45 lie closer together than the \d+ frames"):
        find_starts(np.concatenate([np.zeros(20), level[:25], level[:25]]), stack)


def test_a_sequence_that_is_cut_short_is_refused() -> None:
    stack = design()
    level = light(stack)
    with pytest.raises(FileError, match=rf"only {level.size - 1} of its {level.size} frames follow; record longer"):
        cut_stream(np.concatenate([np.zeros(20), level[:-1]]), stack)


@pytest.mark.parametrize("call", [find_start, find_starts, cut_stream, split_sync, check_sync])
def test_unusable_readings_are_refused(call: Callable[..., object]) -> None:
    stack = design()
    flat = call in (find_start, find_starts, cut_stream)
    frames = len(stack.frames())
    with pytest.raises(FileError, match=r"readings: shape \(0,\)"):
        call(np.empty(0), stack)
    with pytest.raises(FileError, match="readings: shape"):
        call(np.zeros((2, frames)) if flat else np.zeros(frames), stack)
    for bad in (np.nan, np.inf):
        readings = light(stack)
        readings[3] = bad
        with pytest.raises(FileError, match="1 are not finite"):
            call(readings if flat else readings[None], stack)
    with pytest.raises(InputError, match="no sync frames; show the one exported with --sync-every"):
        call(light(stack), PatternStack(stack.levels, 1, "offset", "dlp4500", stack.profile_digest))


@settings(max_examples=40, deadline=None)
@given(every=st.integers(1, COUNT), encoding=st.sampled_from(["offset", "complementary"]), repeats=st.integers(1, 3))
def test_splitting_puts_every_reading_in_one_place(every: int, encoding: Encoding, repeats: int) -> None:
    stack = design(every, encoding)
    plain = PatternStack(stack.levels, 1, encoding, "dlp4500", stack.profile_digest)
    frames = len(stack.frames())
    readings = np.arange(repeats * frames, dtype=float).reshape(repeats, frames)
    parts = split_sync(readings, stack)
    assert parts.scene.shape == (repeats, len(plain.frames()))
    again = np.full_like(readings, -1)
    for values, places in ((parts.on, parts.on_frames), (parts.off, parts.off_frames)):
        again[:, places] = values
    again[:, parts.design_frames] = parts.scene
    np.testing.assert_array_equal(again, readings)
    # The design's own all-on frame is the only one that is in two parts.
    assert len(np.intersect1d(parts.on_frames, parts.design_frames)) == (encoding == "offset")
    shown = split_sync(light(stack)[None], stack)
    np.testing.assert_allclose(shown.scene[0], light(plain))
    np.testing.assert_allclose(shown.on, 1)
    np.testing.assert_array_equal(shown.off, 0)


def test_the_lamp_can_be_read_from_the_on_and_off_frames() -> None:
    """A drifting lamp and a dark level: on less off, between the pairs, is the lamp at the design's frames."""
    stack = design(every=2)
    lamp = np.linspace(1, 1.3, len(stack.frames()))
    parts = split_sync((500 + 4000 * lamp * light(stack))[None], stack)
    assert parts.off == pytest.approx(500)
    seen = np.interp(parts.design_frames, parts.on_frames, parts.on[0] - parts.off.mean()) / 4000
    np.testing.assert_allclose(seen, lamp[parts.design_frames], rtol=1e-12)


def test_another_number_of_readings_is_not_split() -> None:
    stack = design()
    frames = len(stack.frames())
    for count in (frames - 1, frames + 1, COUNT + 1):
        with pytest.raises(FileError, match=rf"{count} readings a sequence, but .* the design shows {frames} \(41 of"):
            split_sync(np.ones((1, count)), stack)


def slipped(readings: NDArray[np.float64], at: int, lost: int) -> NDArray[np.float64]:
    """Readings of which `lost` from `at` on are missing, or that of `at` is there again (negative)."""
    if lost > 0:
        return np.delete(readings, np.s_[at : at + lost])
    return np.insert(readings, at, np.repeat(readings[at], -lost))


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lost=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    segment=st.integers(0, 4),
    where=st.floats(0, 1),
    encoding=st.sampled_from(["offset", "complementary"]),
    noise=st.floats(0, 0.03),
    drift=st.floats(-0.5, 0.5),
    sign=st.sampled_from([-1, 1]),
)
def test_lost_and_doubled_readings_are_traced_to_their_segment(
    seed: int, lost: int, segment: int, where: float, encoding: Encoding, noise: float, drift: float, sign: int
) -> None:
    """The number of readings is one that a triggered recording has; flicker and drift of the lamp come on top."""
    stack = design(8, encoding, seed)
    rng = np.random.default_rng(seed)
    level = light(stack, seed)
    lamp = (1 + drift * np.linspace(0, 1, level.size)) * flicker(level.size, 0.05, 3.7)
    whole = sign * (100 + 1000 * (lamp * level + noise * rng.normal(size=level.size)))
    assert check_sync(np.stack([whole, whole]), stack) == []
    own = stack.design_frames[segment * 8 * (2 if encoding == "complementary" else 1) :]
    own = own[own < own[0] + 8]  # frames of this segment alone
    at = int(own[int(where * (len(own) - max(lost, 1)))])
    found = check_sync(slipped(whole, at, lost)[None], stack)
    assert [(slip.repeat, slip.segment, slip.lost) for slip in found] == [(0, segment, lost)]
    assert (found[0].first_pattern, found[0].last_pattern) == (8 * segment, 8 * segment + 7)


def test_slips_of_several_segments_and_repeats_are_told_apart() -> None:
    stack = design(8, "complementary")
    level = light(stack)
    frames, own = level.size, stack.design_frames
    second = slipped(slipped(level, int(own[40]), -2), int(own[5]), 1)
    readings = np.stack([level, np.concatenate([second, [0.4]])[:frames]])
    assert [str(slip) for slip in check_sync(readings, stack)] == [
        "1 reading(s) lost in repeat 1, patterns 0 to 7",
        "2 reading(s) doubled in repeat 1, patterns 16 to 23",
    ]


def test_no_slip_is_seen_in_sound_readings() -> None:
    """200 benches with flicker, drift of up to half the light, and noise of up to 5 % of it."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        stack = design([1, 5, 16, COUNT][seed % 4], "offset" if seed % 3 else "complementary", seed)
        level = light(stack, seed)
        lamp = (1 + rng.uniform(-0.5, 0.5) * np.linspace(0, 1, level.size)) * flicker(level.size, 0.05, 3.1)
        readings = 50 + 800 * (lamp * level + rng.uniform(0, 0.05) * rng.normal(size=level.size))
        assert check_sync(readings[None], stack) == [], seed


def test_a_single_spike_is_no_slip() -> None:
    """Unless it is in the last pair: an all-off frame that is bright looks like one that comes later."""
    stack = design(8)
    for at in range(13, len(stack.frames()) - 2):
        readings = light(stack)
        readings[at] += 2.0
        assert check_sync(readings[None], stack) == [], at


def test_readings_that_cannot_be_traced_are_refused() -> None:
    stack = design()
    level = light(stack)
    with pytest.raises(FileError, match=f"a difference of more than {MAX_SLIP} cannot be traced"):
        check_sync(level[None, : -MAX_SLIP - 1], stack)
    with pytest.raises(FileError, match=r"repeat 1 does not begin with the blink code \(correlation"):
        check_sync(np.stack([level, np.roll(level, 3)]), stack)
