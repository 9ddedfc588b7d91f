"""A Pulseq file as it would be played: gradients, pulses, samples and labels over time, and the k-space they reach.

pypulseq takes the file apart; waveforms and k-space are put together here, so that what was written with pypulseq is
not also judged by it alone.
"""

import traceback
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.pulseq_library import collected_warnings, pypulseq, scanner_options
from cidesign.export.pulseq_text import MAX_SAMPLES, SeqText, read_seq_text
from cidesign.hardware_profiles.mri_schema import MriProfile

AXES = ("x", "y", "z")
# Corners of all gradients, and samples, of one file: more than any scan has, less than memory holds.
MAX_CORNERS = 20_000_000


class Waveform(NamedTuple):
    """One axis as corners joined by straight lines: times in s (rising), gradients in Hz/m.

    `jumps` are steps without a ramp: time, and height in Hz/m.
    """

    times_s: NDArray[np.float64]
    gradients_hz_per_m: NDArray[np.float64]
    jumps: tuple[tuple[float, float], ...]


class PulseEvent(NamedTuple):
    """One RF pulse: the middle of it, what it does, and its peak in Hz."""

    time_s: float
    use: str
    peak_hz: float


class Sampling(NamedTuple):
    """One readout: block number, start in s (half a dwell before the first sample), and the labels it has."""

    block: int
    start_s: float
    dwell_s: float
    samples: int
    labels: dict[str, int]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """The instants of the samples, which lie in the middle of their dwell."""
        return self.start_s + self.dwell_s * (np.arange(self.samples, dtype=np.float64) + 0.5)


class PlayedBlock(NamedTuple):
    """What one block is, apart from amplitudes and phases; `labels` are those set in it."""

    number: int
    start_s: float
    duration_s: float
    shape: tuple[object, ...]
    labels: dict[str, int]


class _Played(NamedTuple):
    """What is played; `waveforms` are those of x, y and z."""

    waveforms: tuple[Waveform, Waveform, Waveform]
    pulses: tuple[PulseEvent, ...]
    samplings: tuple[Sampling, ...]
    blocks: tuple[PlayedBlock, ...]


class PlayedSequence(NamedTuple):
    """A whole file, as it would be played, with what its text says and what pypulseq finds wrong in it."""

    text: SeqText
    played: _Played
    timing_errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def waveforms(self) -> tuple[Waveform, Waveform, Waveform]:
        """The gradients of x, y and z."""
        return self.played.waveforms

    @property
    def pulses(self) -> tuple[PulseEvent, ...]:
        """The RF pulses in their order."""
        return self.played.pulses

    @property
    def samplings(self) -> tuple[Sampling, ...]:
        """The readouts in their order."""
        return self.played.samplings

    @property
    def blocks(self) -> tuple[PlayedBlock, ...]:
        """The blocks in their order, one at least."""
        return self.played.blocks

    @property
    def total_s(self) -> float:
        """The length of the sequence."""
        return self.blocks[-1].start_s + self.blocks[-1].duration_s

    def block_at(self, time_s: float) -> int:
        """The number of the block that plays at a time."""
        starts = [block.start_s for block in self.blocks]
        return self.blocks[max(int(np.searchsorted(starts, time_s + 1e-9, side="right")) - 1, 0)].number


def read_pulseq(path: Path, profile: MriProfile) -> PlayedSequence:
    """Read a Pulseq file for a scanner; raises `FileError` in one line for whatever cannot be read."""
    text = read_seq_text(path)
    with collected_warnings() as found:
        try:
            sequence = pypulseq().Sequence(system=scanner_options(profile))
            # Before 1.5.0 the file does not say what a pulse is for; pypulseq then goes by its flip angle.
            sequence.read(str(path), detect_rf_use=text.version < (1, 5, 0))
            played = _played(sequence)
            errors = sequence.check_timing()[1]
        except InputError:
            raise
        except FileError as error:
            raise FileError(f"{path}: {error}") from error
        except Exception as error:  # pypulseq raises whatever its parsing runs into
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            traceback.clear_frames(error.__traceback__)  # pypulseq leaves the file open there
            raise FileError(
                f"{path}: pypulseq cannot read this Pulseq {text.version_text} file ({reason}); is it whole?"
            ) from error
    if len(played.blocks) != text.blocks:
        raise FileError(
            f"{path}: it has {text.blocks} lines in [BLOCKS], {len(played.blocks)} blocks were read; a "
            "number occurs twice"
        )
    return PlayedSequence(text, played, tuple(_timing_text(error) for error in errors), tuple(found))


def _played(sequence: Any) -> _Played:
    pieces: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = [[], [], []]
    pulses, samplings, blocks = [], [], []
    labels: dict[str, int] = {}
    now_s, total_samples, corners = 0.0, 0, 0
    for number in sequence.block_events:
        block, duration_s = sequence.get_block(number), float(sequence.block_durations[number])
        if not 0 <= duration_s < 1e6:
            raise FileError(f"block {number} lasts {duration_s} s, which cannot be")
        here = _labels(block, labels)
        if block.rf is not None:
            rf = block.rf
            pulses.append(
                PulseEvent(now_s + float(rf.delay + rf.center), str(rf.use), float(np.abs(rf.signal).max(initial=0)))
            )
        for axis, gradient in enumerate((block.gx, block.gy, block.gz)):
            if gradient is not None:
                times, heights = _corners(gradient, sequence.grad_raster_time)
                pieces[axis].append((now_s + times, heights))
                corners += len(times)
        if corners > MAX_CORNERS:
            raise FileError(f"its gradients have more than {MAX_CORNERS} corners; that is not read")
        if block.adc is not None:
            adc = block.adc
            total_samples += int(adc.num_samples)
            if total_samples > MAX_SAMPLES or not 0 < float(adc.dwell) < 1:
                raise FileError(
                    f"block {number} samples {adc.num_samples} times every {adc.dwell} s, which is not read"
                )
            start_s = now_s + float(adc.delay)
            samplings.append(Sampling(number, start_s, float(adc.dwell), int(adc.num_samples), dict(labels)))
        blocks.append(PlayedBlock(number, now_s, duration_s, _shape(block, duration_s), here))
        now_s += duration_s
    if not blocks:
        raise FileError("it has no blocks")
    waveforms = (_joined(pieces[0]), _joined(pieces[1]), _joined(pieces[2]))
    return _Played(waveforms, tuple(pulses), tuple(samplings), tuple(blocks))


def _labels(block: Any, labels: dict[str, int]) -> dict[str, int]:
    """Apply the labels of a block to `labels` (set before increment, as the specification says); those set in it."""
    here = {}
    events = list(block.label.values()) if block.label is not None else []
    for event in sorted(events, key=lambda event: event.type != "labelset"):
        value = int(event.value)
        labels[event.label] = value if event.type == "labelset" else labels.get(event.label, 0) + value
        here[event.label] = labels[event.label]
    return here


def _corners(gradient: Any, raster_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times from the start of the block and heights of the corners of one gradient event."""
    delay_s = float(gradient.delay)
    if gradient.type == "trap":
        ramps = [gradient.rise_time, gradient.flat_time, gradient.fall_time]
        times = delay_s + np.concatenate([[0.0], np.cumsum(np.asarray(ramps, dtype=np.float64))])
        heights = np.array([0.0, gradient.amplitude, gradient.amplitude, 0.0])
        if gradient.flat_time == 0:
            times, heights = np.delete(times, 2), np.delete(heights, 2)
    else:
        times = np.asarray(gradient.tt, dtype=np.float64)
        heights = np.asarray(gradient.waveform, dtype=np.float64)
        on_raster = np.allclose(times / raster_s + 0.5, np.arange(1, len(times) + 1), atol=1e-6)
        if on_raster:  # samples in the middle of their raster; the ends are kept apart
            times = np.concatenate([[0.0], times, [times[-1] + raster_s / 2]])
            heights = np.concatenate([[gradient.first], heights, [gradient.last]])
        times = times + delay_s
    if not (np.isfinite(times).all() and np.isfinite(heights).all() and (np.diff(times) > -1e-12).all()):
        raise FileError(f"a gradient on {gradient.channel} has times that go back, or values that are not numbers")
    return times, heights


def _joined(pieces: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Waveform:
    """One axis as one line; between the events it is 0, and a step that no ramp makes is a jump."""
    times: list[NDArray[np.float64]] = [np.zeros(1)]
    heights: list[NDArray[np.float64]] = [np.zeros(1)]
    jumps: list[tuple[float, float]] = []
    end_s, end_height = 0.0, 0.0

    def step(at_s: float, height: float) -> None:
        if height != 0:
            jumps.append((at_s, float(height)))

    for when, value in pieces:
        if when[0] - end_s > 1e-9:
            step(end_s, -end_height)
            step(float(when[0]), float(value[0]))
        else:
            step(float(when[0]), float(value[0]) - end_height)
        times.append(when)
        heights.append(value)
        end_s, end_height = float(when[-1]), float(value[-1])
    step(end_s, -end_height)
    # Events that touch share an instant; the later value stands, and the height between events is told by the jumps.
    return Waveform(np.concatenate(times), np.concatenate(heights), tuple(jumps))


def _shape(block: Any, duration_s: float) -> tuple[object, ...]:
    """What must not differ between repetitions of one segment: which events there are and how long they take."""
    parts: list[object] = [round(duration_s * 1e9)]
    for name in ("rf", "gx", "gy", "gz", "adc"):
        event = getattr(block, name)
        if event is None:
            parts.append(None)
        elif name == "rf":
            parts.append((round(float(event.delay) * 1e9), len(event.signal), round(float(event.shape_dur) * 1e9)))
        elif name == "adc":
            parts.append((round(float(event.delay) * 1e9), int(event.num_samples), round(float(event.dwell) * 1e9)))
        elif event.type == "trap":
            times = (event.delay, event.rise_time, event.flat_time, event.fall_time)
            parts.append(tuple(round(float(time) * 1e9) for time in times))
        else:
            parts.append((round(float(event.delay) * 1e9), len(event.waveform)))
    return tuple(parts)


def _timing_text(error: Any) -> str:
    """One of pypulseq's timing errors in words (its own formatter evaluates text, and is not used)."""
    where = f"block {error.block}, {error.event} {error.field}".replace("_", " ")
    value_us = float(getattr(error, "value", 0.0)) * 1e6
    if error.error_type == "BLOCK_DURATION_MISMATCH":
        lasts_us = float(error.duration) * 1e6
        return f"{where}: its events and their dead times take {value_us:.6g} us, the block lasts {lasts_us:.6g} us"
    kind = str(error.error_type).replace("_", " ").lower()
    raster = f" ({error.raster.replace('_', ' ')})" if hasattr(error, "raster") else ""
    return f"{where}: {value_us:.6g} us, {kind}{raster}"


def kspace_at(played: PlayedSequence, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """k in cycles/m at rising times, (3, T): k = integral of G since the excitation, negated by each refocusing.

    Where no excitation came before, k counts from the start of the file.
    """
    turning = [pulse for pulse in played.pulses if pulse.use in ("excitation", "refocusing", "undefined")]
    kept = [pulse.time_s for pulse in turning]
    moments = np.stack([_moment(wave, np.concatenate([np.asarray(kept), times_s])) for wave in played.waveforms])
    at_pulses, at_times = moments[:, : len(kept)], moments[:, len(kept) :]
    offsets = np.zeros((3, len(kept) + 1))
    for index, pulse in enumerate(turning):
        negated = -2 * at_pulses[:, index] - offsets[:, index]
        offsets[:, index + 1] = negated if pulse.use == "refocusing" else -at_pulses[:, index]
    return at_times + offsets[:, np.searchsorted(kept, times_s, side="right")]


def _moment(wave: Waveform, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral of a waveform from 0 to each time."""
    times, heights = wave.times_s, wave.gradients_hz_per_m
    steps = np.diff(times)
    whole = np.concatenate([[0.0], np.cumsum(steps * (heights[1:] + heights[:-1]) / 2)])
    index = np.clip(np.searchsorted(times, times_s, side="right") - 1, 0, len(times) - 1)
    since = times_s - times[index]
    following = np.minimum(index + 1, len(times) - 1)
    width = times[following] - times[index]
    slope = np.divide(heights[following] - heights[index], width, out=np.zeros_like(width), where=width > 0)
    height = np.where(following > index, heights[index], 0.0)
    return whole[index] + since * height + slope * since**2 / 2
