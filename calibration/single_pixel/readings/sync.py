"""Sync frames in the readings: where the sequence starts, what the lamp did, and where readings were lost or doubled.

A design with `sync_every` begins with a blink code of all-on and all-off frames, and shows an all-on and an all-off
frame after every so many patterns and at the end.  In a stream of a detector that runs freely, one reading a frame,
the code marks the start; the pairs carry the lamp and the dark level, and show whether readings are still in step.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.pattern import BLINK_CODE, PatternStack

# Correlation of 13 readings with the code: noise of a third of the swing from off to on leaves 0.8.
MIN_SCORE = 0.8
# No mirror gives more than all of them, none less than nothing; half a swing more is left to lamp and noise.
MARGIN_SWINGS = 0.5
MAX_OUTSIDE_SHARE = 0.02
# A chance match may have this share of the true code's swing; the true one of another repeat has more.
MIN_SWING_SHARE = 0.5
# Two starts nearer to each other than a sequence contradict each other unless one has this much less evidence.
CLEAR_LEAD = 0.3
# Readings lost or doubled between the start and any pair that are still found.
MAX_SLIP = 8
# Costs of a slip beside squared misfits in units of the swing, and of each reading that it is long.  A pair that was
# itself hit fits nowhere; its misfit counts no more than the last of these, or a far place that fits would be taken.
SLIP_COST, READING_COST, MAX_MISFIT = 0.1, 0.04, 0.3
SLIP_COST_PER_VARIANCE = 6.0
LAMP_PAIRS = 7
_LISTED = 5


@dataclass(frozen=True)
class StartFound:
    """A start of the sequence: the reading `index` of its first blink frame.

    `score`: correlation with the blink code times its swing over the largest one found, 1 for a code without noise;
    `second_best`: the highest such score of anything that is no start.  `inverted`: on mirrors read lower than off.
    """

    index: int
    score: float
    second_best: float
    inverted: bool


@dataclass(frozen=True)
class SyncReadings:
    """Readings of R sequences, sorted by what was shown, and the numbers of the displayed frames of each column.

    `scene` (R, F): the design's frames in display order; `on`, `off`: all mirrors on (the design's own all-on frame
    of offset encoding included) and off, blink code included.  `design_frames` (F,), `on_frames`, `off_frames`:
    when each column was shown, counted in frames from the start of the sequence.
    """

    scene: NDArray[np.float64]
    on: NDArray[np.float64]
    off: NDArray[np.float64]
    design_frames: NDArray[np.intp]
    on_frames: NDArray[np.intp]
    off_frames: NDArray[np.intp]


@dataclass(frozen=True)
class StreamReadings:
    """Whole sequences cut out of a stream, (R, frames) as recorded; `incomplete` more starts had no whole sequence."""

    readings: NDArray[np.float64]
    starts: tuple[StartFound, ...]
    incomplete: int


@dataclass(frozen=True)
class SyncSlip:
    """`lost` readings are missing (negative: doubled) in a segment between two sync pairs of a repeat.

    The segment shows patterns `first_pattern` .. `last_pattern`, and before it all readings of the repeat are in step
    once earlier slips are allowed for.
    """

    repeat: int
    segment: int
    first_pattern: int
    last_pattern: int
    lost: int

    def __str__(self) -> str:
        what = f"{abs(self.lost)} reading(s) {'lost' if self.lost > 0 else 'doubled'}"
        return f"{what} in repeat {self.repeat}, patterns {self.first_pattern} to {self.last_pattern}"


def find_start(stream: NDArray[np.float64], stack: PatternStack) -> StartFound:
    """The one start of the sequence in a stream (M,).

    Raises `FileError` when no blink code stands out, or when there are several starts.
    """
    starts = find_starts(stream, stack)
    if len(starts) > 1:
        listed = ", ".join(str(start.index) for start in starts[:_LISTED]) + (", ..." if len(starts) > _LISTED else "")
        raise FileError(
            f"stream: the sequence starts {len(starts)} times, at readings {listed}; it was shown in a loop: take "
            "every start, or record a single sequence"
        )
    return starts[0]


def find_starts(stream: NDArray[np.float64], stack: PatternStack) -> list[StartFound]:
    """Every start of the sequence in a stream (M,), rising, whatever its offset, its gain and the gain's sign.

    With the blink code c (0, 1) less its mean and a window w of the stream less its own, the correlation is
    <c, w> / (|c| |w|) and the swing <c, w> / |c|^2.  A start has a correlation of at least 0.8, no much smaller
    swing than the others, and nothing of the sequence after it is brighter than all on or darker than all off.
    Raises `FileError` when there is none, and when two starts overlap.
    """
    frames = len(_synced(stack).frames())
    stream = _checked(stream, 1, len(BLINK_CODE))
    correlation, swing = _against_code(stream)
    likely = np.flatnonzero(np.abs(correlation) >= MIN_SCORE)
    if not likely.size:
        raise FileError(
            f"stream: no blink code in its {stream.size} readings: the best correlation is "
            f"{float(np.abs(correlation).max()):.2f}, {MIN_SCORE} is needed; was the export made with --sync-every, "
            "and is there one reading a frame?"
        )
    largest = float(np.abs(swing[likely]).max())
    score = np.abs(correlation) * np.minimum(np.abs(swing) / largest, 1)
    likely = likely[np.abs(swing[likely]) >= MIN_SWING_SHARE * largest]
    if likely.size > 10 + 4 * stream.size / frames:
        raise FileError(
            f"stream: {likely.size} places look like the blink code, which a sequence of {frames} frames shows once; "
            "is there one reading a frame?"
        )
    evidence = {int(at): float(score[at]) + _evidence(stream[at : at + frames], stack) for at in likely}
    chosen = _choose(evidence, frames)
    elsewhere = score.copy()
    for at in chosen:
        elsewhere[max(at - len(BLINK_CODE) + 1, 0) : at + len(BLINK_CODE)] = 0
    second = float(elsewhere.max())
    return [StartFound(at, float(score[at]), second, bool(swing[at] < 0)) for at in chosen]


def _against_code(stream: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of the blink code at every place, (M - 12,), and its swing in units of the largest reading."""
    code = _code() - _code().mean()
    scaled = stream / max(float(np.abs(stream).max()), np.finfo(np.float64).tiny)
    centred = scaled - np.median(scaled)
    ones = np.ones(len(code))
    product = np.correlate(centred, code, "valid")
    spread = np.correlate(centred**2, ones, "valid") - np.correlate(centred, ones, "valid") ** 2 / len(code)
    square = float(code @ code)
    # Readings that do not change correlate with nothing; rounding must not make them.
    least = max(1e-16 * float(np.max(centred**2)), np.finfo(np.float64).tiny)
    length = np.sqrt(square * np.maximum(spread, least))
    return product / length, product / square


def _evidence(readings: NDArray[np.float64], stack: PatternStack) -> float:
    """How far readings from a start on are those of the sequence: -inf where they cannot be, else the share of
    sync pairs in their places."""
    level, _ = _normalised(readings)
    outside = np.mean((level < -MARGIN_SWINGS) | (level > 1 + MARGIN_SWINGS))
    if outside > MAX_OUTSIDE_SHARE:
        return -np.inf
    pairs = _pair_frames(stack)
    pairs = pairs[pairs + 1 < level.size]
    return float(np.mean(level[pairs] - level[pairs + 1] > MARGIN_SWINGS)) if pairs.size else 0.0


def _choose(evidence: dict[int, float], frames: int) -> list[int]:
    """Starts that do not overlap, those with the most evidence first."""
    ranked = sorted((at for at in evidence if evidence[at] > -np.inf), key=lambda at: -evidence[at])
    if not ranked:
        raise FileError(
            "stream: something like the blink code is in it, but the readings that follow are brighter than all on or "
            "darker than all off; was the sequence shown at all?"
        )
    chosen: list[int] = []
    for at in ranked:
        near = [other for other in chosen if abs(other - at) < frames - MAX_SLIP]
        if not near:
            chosen.append(at)
        elif evidence[at] > evidence[near[0]] - CLEAR_LEAD:
            raise FileError(
                f"stream: blink codes at readings {min(at, near[0])} and {max(at, near[0])} lie closer together than "
                f"the {frames} frames of a sequence; was it stopped and started again? Record a whole sequence"
            )
    return sorted(chosen)


def cut_stream(stream: NDArray[np.float64], stack: PatternStack) -> StreamReadings:
    """Cut the whole sequences out of a stream (M,); raises `FileError` where `find_starts` does or none is whole."""
    starts = find_starts(stream, stack)
    frames = len(stack.frames())
    whole = [start for start in starts if start.index + frames <= stream.size]
    if not whole:
        raise FileError(
            f"stream: the sequence starts at reading {starts[0].index}, but only "
            f"{stream.size - starts[0].index} of its {frames} frames follow; record longer"
        )
    readings = np.stack([np.asarray(stream[start.index : start.index + frames], np.float64) for start in whole])
    return StreamReadings(readings, tuple(whole), len(starts) - len(whole))


def split_sync(readings: NDArray[np.float64], stack: PatternStack) -> SyncReadings:
    """Sort readings (R, frames) of whole sequences by what was shown; raises `FileError` for another number."""
    frames = len(_synced(stack).frames())
    readings = _checked(readings, 2, 1)
    if readings.shape[1] != frames:
        raise FileError(
            f"scene: {readings.shape[1]} readings a sequence, but with its sync frames the design shows {frames} "
            f"({len(stack.design_frames)} of them its own); look for lost or doubled readings with the sync frames",
            fault="lost-trigger",
        )
    on, off = stack.frames_of("on"), stack.frames_of("off")
    own = stack.design_frames
    return SyncReadings(readings[:, own], readings[:, on], readings[:, off], own, on, off)


def check_sync(readings: NDArray[np.float64], stack: PatternStack) -> list[SyncSlip]:
    """Where readings (R, M) of sequences that begin at their first reading were lost or doubled; empty when nowhere.

    Each sync pair is looked for up to 8 readings around its place; the path of places with the least sum of squared
    misfits (all on = 1, all off = 0) and costs of slips is taken.  Where M differs from the number of frames (by at
    most 8) the slips add up to the difference.  Where it does not, the row may be cut out of a longer stream: a slip is
    then known modulo the frames between two pairs, and after the last pair but one the end of the row hides part of it.
    Raises `FileError` where a repeat does not begin with the blink code.
    """
    frames = len(_synced(stack).frames())
    readings = _checked(readings, 2, len(BLINK_CODE))
    if abs(readings.shape[1] - frames) > MAX_SLIP:
        raise FileError(
            f"scene: {readings.shape[1]} readings a sequence, but the design shows {frames} frames; a difference of "
            f"more than {MAX_SLIP} cannot be traced to single readings, record again",
            fault="lost-trigger",
        )
    pairs = _pair_frames(stack)
    every = stack.sync_every or stack.count
    slips = []
    for repeat, row in enumerate(readings):
        score = float(abs(_against_code(row[: len(BLINK_CODE)])[0][0]))
        if score < MIN_SCORE:
            raise FileError(
                f"scene: repeat {repeat} does not begin with the blink code (correlation {score:.2f}, {MIN_SCORE} is "
                "needed); readings were lost in the code, or the start is elsewhere",
                fault="lost-trigger",
            )
        path = _path(*_normalised(row), pairs, None if row.size == frames else row.size - frames)
        later = np.diff(path, prepend=0)
        for segment in map(int, np.flatnonzero(later)):
            last = min((segment + 1) * every, stack.count) - 1
            slips.append(SyncSlip(repeat, segment, segment * every, last, -int(later[segment])))
    return slips


def _path(level: NDArray[np.float64], variance: float, pairs: NDArray[np.intp], at_end: int | None) -> NDArray[np.intp]:
    """How many readings late each pair comes, (S,), in -8 .. 8, by dynamic programming over all pairs.

    `at_end`: how many readings there are too many, where their number tells; the last segment then ends with it.
    """
    late = np.arange(-MAX_SLIP, MAX_SLIP + 1)
    slip = SLIP_COST + SLIP_COST_PER_VARIANCE * variance
    places = pairs[:, None] + late
    # A pair that would lie outside the readings cannot be looked at; that must not be cheaper than one that fits.
    on_there, off_there = places < level.size, places + 1 < level.size
    on, off = (level[np.minimum(place, level.size - 1)] for place in (places, places + 1))
    lamp = _lamp(np.where(on_there, on, -np.inf).max(axis=1))[:, None]
    misfit = np.where(on_there, (1 - on / lamp) ** 2, slip / 2) + np.where(off_there, (off / lamp) ** 2, slip / 2)
    misfit = np.minimum(misfit, MAX_MISFIT)
    step = np.abs(late[:, None] - late)
    change = np.where(step > 0, slip + READING_COST * step, 0.0)
    total, came = np.where(late == 0, 0.0, np.inf), np.empty(places.shape, dtype=np.intp)
    for segment, cost in enumerate(misfit):
        ways = total[:, None] + change
        came[segment] = ways.argmin(axis=0)
        total = ways.min(axis=0) + cost
    if at_end is not None:
        total = total + change[:, MAX_SLIP + at_end]
    path = np.empty(len(pairs), dtype=np.intp)
    state = int(total.argmin())
    for segment in range(len(pairs) - 1, -1, -1):
        path[segment] = late[state]
        state = int(came[segment, state])
    if at_end is not None:
        path[-1] = at_end
    return path


def _lamp(brightest: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lamp at each pair in units of its light during the blink code: the brightest reading around it, as the
    lower median over the nearest pairs, which a spike that two of them see does not move."""
    known = np.concatenate([[1.0], brightest])
    width = min(LAMP_PAIRS, known.size)
    medians = np.sort(np.lib.stride_tricks.sliding_window_view(known, width), axis=1)[:, (width - 1) // 2]
    nearest = np.clip(np.arange(1, known.size) - width // 2, 0, medians.size - 1)
    lamp: NDArray[np.float64] = np.maximum(medians[nearest], 0.01)
    return lamp


def _normalised(readings: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Readings from a start on in units of the swing, all off = 0 and all on = 1, and their variance in the code."""
    code = _code()
    begin = readings[: len(code)]
    off, on = float(begin[code == 0].mean()), float(begin[code == 1].mean())
    level = (readings - off) / (on - off)
    return level, float(np.sum((level[: len(code)] - code) ** 2) / (len(code) - 2))


def _code() -> NDArray[np.float64]:
    return np.array([float(role == "on") for role in BLINK_CODE])


def _pair_frames(stack: PatternStack) -> NDArray[np.intp]:
    """The frame of the all-on half of each sync pair, (S,); the all-off half follows it."""
    off = stack.frames_of("off")
    return off[off >= len(BLINK_CODE)] - 1


def _synced(stack: PatternStack) -> PatternStack:
    if stack.sync_every is None:
        raise InputError("patterns: this design has no sync frames; show the one exported with --sync-every")
    return stack


def _checked(readings: NDArray[np.float64], dimensions: int, least: int) -> NDArray[np.float64]:
    """Readings as numbers of the right shape; raises `FileError`."""
    array = np.asarray(readings, dtype=np.float64)
    if array.ndim != dimensions or array.shape[-1] < least or array.shape[0] == 0:
        wanted = "(M,)" if dimensions == 1 else "(R, M)"
        raise FileError(f"readings: shape {array.shape} is not {wanted} with at least {least} readings in a row")
    if not np.isfinite(array).all():
        raise FileError(f"readings: {int(np.count_nonzero(~np.isfinite(array)))} are not finite; record again")
    return array
