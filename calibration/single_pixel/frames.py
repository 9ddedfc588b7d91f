"""Readings of one sequence put in the order of the design's frames: design, number, saturation and triggers checked."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.converter import converter_step
from cidesign.calibration.single_pixel.capture import Capture, SequenceName, check_not_saturated
from cidesign.calibration.single_pixel.readings.sync import check_sync, cut_stream, split_sync
from cidesign.calibration.single_pixel.readings.triggers import MOST_EVENTS, RecordShift, TriggerEvent, align_pairs
from cidesign.calibration.single_pixel.response import Response
from cidesign.checks import FaultName
from cidesign.errors import FileError
from cidesign.pattern import PatternStack
from cidesign.records import shown

LOST: FaultName = "lost-trigger"


@dataclass(frozen=True)
class Frames:
    """Readings (R, F) in counts, one for each frame of the design; NaN where a lost or doubled trigger left none.

    `on` (R, M): readings of the sync frames that let all light pass, M = 0 without sync frames.  `times` (F + M,): when
    the design's frames began, then those of `on`, in us from the first one, or as numbers of frames where the times are
    not known (`timed` False); `sequences` (F + M,): the sequence that each belongs to, whose times count on their own,
    None where there is one.
    `events`: what was found and put right.  `odd` (R,), empty where none is: rows as recorded whose pairs fit only
    where all readings are moved by an odd number.
    """

    readings: NDArray[np.float64]
    on: NDArray[np.float64]
    times: NDArray[np.float64]
    timed: bool
    events: tuple[TriggerEvent | RecordShift, ...] = ()
    odd: tuple[bool, ...] = ()
    sequences: NDArray[np.intp] | None = None

    @property
    def design_times(self) -> NDArray[np.float64]:
        """When the design's frames began, (F,)."""
        return self.times[: self.readings.shape[1]]

    @property
    def sequence(self) -> NDArray[np.intp]:
        """The sequence of each frame, (F + M,), 0 the first."""
        return np.zeros(self.times.size, dtype=np.intp) if self.sequences is None else self.sequences

    @property
    def pair_starts(self) -> tuple[int, ...]:
        """The first pair of each sequence, of a record of pairs."""
        of_pair = self.sequence[: len(self.design_times) : 2]
        return (0, *(1 + np.flatnonzero(np.diff(of_pair))).tolist())


def frames_of(capture: Capture, name: SequenceName, design: PatternStack, response: Response) -> Frames:
    """The readings of `name` in the capture; those of a scene still have to be put in order by `scene_in_order`.

    Raises `FileError` when they are missing, belong to another design, are saturated, do not change, or differ in
    number from the frames in a way that cannot be put right.
    """
    if name not in capture.arrays:
        raise FileError(f"{capture.path}: this capture holds no {name} readings, only {shown(capture.arrays)}")
    require_design(capture, design)
    where = f"{capture.path}: {name}"
    recorded = capture.arrays[name]
    check_not_saturated(recorded, capture.saturation_counts, where)
    if recorded.size > 2 and np.ptp(recorded) == 0:
        raise FileError(
            f"{where}: all {recorded.size} readings are {recorded.flat[0]:g}; the detector is dead, saturated or not "
            "connected, or the mirrors did not move"
        )
    _require_converter(recorded, response, where)
    whole = _without_sync(capture, recorded, design, where)
    if design.encoding != "complementary" or whole.readings.shape[1] != len(design.frames()):
        _require_count(whole.readings, design, where, _repairable(whole, design))
    if design.encoding != "complementary":
        return whole
    times = whole.times[: 2 * design.count] if whole.timed else None
    noise_counts2 = noise_of_reading(whole.readings, response)
    starts = whole.pair_starts
    aligned = [align_pairs(row, design.count, noise_counts2, times, where, starts) for row in whole.readings]
    events = tuple(event for one in aligned for event in one.events)
    odd = tuple(one.odd for one in aligned)
    if any(odd) and name != "scene":
        raise FileError(
            f"{where}: the sums of the pairs fit only where all readings are moved by one or another odd number: the "
            "record begins late or early; check when the detector is armed, and record again",
            fault="lost-trigger",
        )
    readings = np.concatenate([one.readings for one in aligned])
    return replace(whole, readings=readings, events=events, odd=odd if any(odd) else ())


def noise_of_reading(readings: NDArray[np.float64], response: Response) -> float:
    """The variance expected of a reading of the median light among these, in counts squared."""
    light = max(float(np.nanmedian(readings)) - response.dark_counts.value, 0.0)
    return response.gain_for_noise * light + response.noise_variance_counts2


def _without_sync(capture: Capture, recorded: NDArray[np.float64], design: PatternStack, where: str) -> Frames:
    """The readings with sync frames taken out, in rows; a free-running record is cut where the blink code begins."""
    every = capture.record.sync_every if capture.record else None
    if every is None:
        rows, frames = np.atleast_2d(recorded), len(design.frames())
        times = capture.frame_times_us(frames)
        numbers = np.arange(frames, dtype=np.float64)
        return Frames(
            rows,
            np.empty((len(rows), 0)),
            numbers if times is None else times,
            times is not None,
            sequences=_sequence_of(capture, design, frames),
        )
    stack = design.with_sync(every)
    frames = len(stack.frames())
    rows = np.atleast_2d(recorded)
    if recorded.ndim == 1 and recorded.size > frames + MOST_EVENTS:
        rows = cut_stream(recorded, stack).readings
    slips = check_sync(rows, stack)
    if slips:
        raise FileError(
            f"{where}: the sync frames are not where they should be: {'; '.join(map(str, slips))}; check trigger level "
            "and cable, and record again",
            fault="lost-trigger",
        )
    parts = split_sync(rows, stack)
    times = capture.frame_times_us(frames)
    # Where on and off mirrors are exchanged, the frames with all mirrors off are the bright ones.
    swapped = parts.off.mean() > parts.on.mean()
    on, on_frames = (parts.off, parts.off_frames) if swapped else (parts.on, parts.on_frames)
    at = np.concatenate([parts.design_frames, on_frames])
    return Frames(
        parts.scene,
        on,
        at.astype(np.float64) if times is None else times[at],
        times is not None,
        sequences=_sequence_of(capture, stack, frames)[at],
    )


def _sequence_of(capture: Capture, shown_frames: PatternStack, frames: int) -> NDArray[np.intp]:
    """The sequence of each frame; raises `FileError` where a pattern and its complement are in different ones."""
    sequence = capture.sequence_of(frames)
    first = shown_frames.pairs_from
    if first is None:
        return sequence
    torn = np.flatnonzero(np.diff(sequence)[first::2]).tolist()
    if torn:
        raise FileError(
            f"{capture.path}: sequence_starts: frame {first + 2 * torn[0] + 1} begins a sequence, and is the "
            "complement of the pattern before it; those of the export begin with a pattern (`cidesign calibrate "
            "--plan` writes them)"
        )
    return sequence


def reference_of(capture: Capture, design: PatternStack) -> NDArray[np.float64] | None:
    """The lamp's reference detector at the design's frames, (R, F); None where it was not recorded.

    Raises `FileError` for another number of readings than frames were shown.
    """
    if "reference" not in capture.arrays:
        return None
    rows = np.atleast_2d(capture.arrays["reference"])
    every = capture.record.sync_every if capture.record else None
    shown_frames = design if every is None else design.with_sync(every)
    frames = len(shown_frames.frames())
    if rows.shape[1] != frames:
        raise FileError(
            f"{capture.path}: reference: {rows.shape[1]} readings for {frames} frames; one for each reading of the "
            "scene is needed, from the same triggers",
            fault="lost-trigger",
        )
    return rows[:, shown_frames.design_frames]


def _repairable(whole: Frames, design: PatternStack) -> bool:
    """Whether a wrong number of readings may be lost or doubled triggers: one record of pairs, off by a few."""
    off = abs(whole.readings.shape[1] - len(design.frames()))
    return design.encoding == "complementary" and len(whole.readings) == 1 and off <= MOST_EVENTS


def require_design(capture: Capture, design: PatternStack) -> None:
    """Raise `FileError` for a capture that was recorded with other patterns."""
    record = capture.record
    if record is None:
        return
    if record.design_digest != design.design_digest:
        raise FileError(
            f"{capture.path}: was recorded with design {record.design_digest[:12]}, not with this run's "
            f"{design.design_digest[:12]}; name the run whose patterns were shown"
        )
    if record.encoding != design.encoding:
        raise FileError(f"{capture.path}: encoding is {record.encoding!r}, the design's is {design.encoding!r}")


def _require_converter(recorded: NDArray[np.float64], response: Response, where: str) -> None:
    """Refuse readings whose low bits are always 0 where those of the calibration were not, or the other way round."""
    step = converter_step(recorded)
    if 0 < response.step_counts < step and recorded.size >= 64:
        raise FileError(
            f"{where}: all readings are multiples of {step:g}, those of the calibration of {response.step_counts:g}: "
            "the converter's bits were shifted in between (bit-justification); use one setting, and calibrate with it",
            fault="bit-justification",
        )


def _require_count(rows: NDArray[np.float64], design: PatternStack, where: str, repairable: bool) -> None:
    frames = len(design.frames())
    if repairable or (rows.ndim == 2 and rows.shape[0] and rows.shape[1] == frames):
        return
    count = f"{rows.size} readings" if len(rows) == 1 else f"readings of shape {rows.shape}"
    hint, fault = _count_hint(rows, design)
    raise FileError(
        f"{where}: {count}, but the design shows {frames} frames ({design.count} patterns, {design.encoding}); {hint}",
        fault=fault,
    )


def _count_hint(rows: NDArray[np.float64], design: PatternStack) -> tuple[str, FaultName | None]:
    """What to do about a wrong number of readings, and the fault that it resembles; None where they are only stored in
    another way."""
    frames, count = len(design.frames()), rows.shape[-1]
    if count and count % frames == 0:
        times = count // frames
        return f"for {times} repeats of the sequence store an array of shape ({times}, {frames})", None
    if design.encoding == "complementary" and count == design.count:
        return "store both readings of each pair, in display order, not their difference", None
    if design.encoding == "offset" and count == design.count:
        return "the all-on frame that follows the patterns is missing, or a trigger was lost; record again", LOST
    return "look for lost or extra triggers, and record again", LOST
