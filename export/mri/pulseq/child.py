"""Reads Pulseq files with pypulseq for `pulseq_read`, in the bounded child process: it can loop, grow, or stop.

pypulseq takes the file apart; waveforms are put together here, so that what was written with pypulseq is not also
judged by it alone.
"""

import os
import tempfile
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.export.mri.pulseq.library import collected_warnings, pypulseq, scanner_options
from cidesign.export.mri.pulseq.sections import UnsupportedSequence
from cidesign.export.mri.pulseq.structure import MAX_SAMPLES
from cidesign.files import Json
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.child import Arrays

# Corners of all gradients of one file: more than any scan has, less than memory holds.
MAX_CORNERS = 10_000_000
MAX_TEXT = 200

Corners = tuple[NDArray[np.float64], NDArray[np.float64]]


class Request(TypedDict):
    """What is played; see `answer`."""

    text: str
    profile: dict[str, Json] | None
    guess_use: bool


@dataclass(frozen=True)
class Events:
    """What is played beside the gradients, each in the order of the fields of its class in `pulseq.read`."""

    pulses: list[tuple[float, str, float]] = field(default_factory=list)
    samplings: list[tuple[int, float, float, int, dict[str, int]]] = field(default_factory=list)
    blocks: list[tuple[int, float, float, int, dict[str, int]]] = field(default_factory=list)


@dataclass(frozen=True)
class SequenceHead:
    """Why the text cannot be read here (`unsupported`), or what in it cannot be played (`wrong`); else all of it."""

    unsupported: str | None = None
    wrong: str | None = None
    events: Events = field(default_factory=Events)
    timing_errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def answer(request: Request) -> tuple[SequenceHead, Arrays]:
    """Play `text` on the scanner `profile`; `guess_use`: what a pulse is for is guessed from its flip angle.

    Without a profile the text says all rasters, and no timing is looked at.
    """
    profile = None if request["profile"] is None else MriProfile.model_validate(request["profile"])
    with collected_warnings() as found:
        try:
            sequence = pypulseq().Sequence(system=None if profile is None else scanner_options(profile))
            _read(sequence, request["text"], request["guess_use"])
            events, arrays = _played(sequence)
            errors = [] if profile is None else sequence.check_timing()[1]
        except UnsupportedSequence as error:
            return SequenceHead(unsupported=str(error)), {}
        except FileError as error:
            return SequenceHead(wrong=str(error)), {}
        except MemoryError:
            raise
        except Exception as error:  # pypulseq raises whatever its parsing runs into
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_TEXT]
            return SequenceHead(unsupported=f"pypulseq stops at something in it ({reason})"), {}
    timing_errors = [_timing_text(error) for error in errors]
    return SequenceHead(events=events, timing_errors=timing_errors, warnings=list(found)), arrays


def _read(sequence: Any, text: str, guess_use: bool) -> None:
    """Have pypulseq read a text: `open` takes the number of an open file for a path."""
    with tempfile.TemporaryFile() as stream:
        # What is not ASCII stands in definitions and is of no meaning here.
        stream.write(text.encode("ascii", "backslashreplace"))
        stream.seek(0)
        sequence.read(os.dup(stream.fileno()), detect_rf_use=guess_use, remove_duplicates=False)


def _played(sequence: Any) -> tuple[Events, Arrays]:
    pieces: list[list[Corners]] = [[], [], []]
    events = Events()
    shapes: dict[tuple[object, ...], int] = {}
    labels: dict[str, int] = {}
    now_s, total_samples, corners = 0.0, 0, 0
    for number in sequence.block_events:
        block, duration_s = sequence.get_block(number), float(sequence.block_durations[number])
        if not 0 <= duration_s < 1e6:
            raise FileError(f"block {number} lasts {duration_s} s, which cannot be")
        here = _labels(block, labels)
        if block.rf is not None:
            rf = block.rf
            peak_hz = float(np.abs(rf.signal).max(initial=0))
            events.pulses.append((now_s + float(rf.delay + rf.center), str(rf.use), peak_hz))
        for axis, gradient in enumerate((block.gx, block.gy, block.gz)):
            if gradient is not None:
                times, heights = _corners(gradient, sequence.grad_raster_time)
                pieces[axis].append((now_s + times, heights))
                corners += len(times)
        if corners > MAX_CORNERS:
            raise UnsupportedSequence(f"its gradients have more than {MAX_CORNERS} corners")
        if block.adc is not None:
            adc = block.adc
            total_samples += int(adc.num_samples)
            if total_samples > MAX_SAMPLES:
                raise UnsupportedSequence(f"its readouts have more than {MAX_SAMPLES} samples")
            if not 0 < float(adc.dwell) < 1:
                raise FileError(f"block {number} samples every {adc.dwell} s, which cannot be")
            start_s = now_s + float(adc.delay)
            events.samplings.append((int(number), start_s, float(adc.dwell), int(adc.num_samples), dict(labels)))
        shape = shapes.setdefault(_shape(block, duration_s), len(shapes))
        events.blocks.append((int(number), now_s, duration_s, shape, here))
        now_s += duration_s
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, parts in zip("xyz", pieces, strict=True):
        times, heights, jumps = _joined(parts)
        arrays |= {f"{name}_times_s": times, f"{name}_heights": heights, f"{name}_jumps": jumps}
    return events, arrays


def _labels(block: Any, labels: dict[str, int]) -> dict[str, int]:
    """Apply the labels of a block to `labels` (set before increment, as the specification says); those set in it."""
    here = {}
    events = list(block.label.values()) if block.label is not None else []
    for event in sorted(events, key=lambda event: event.type != "labelset"):
        value = int(event.value)
        labels[event.label] = value if event.type == "labelset" else labels.get(event.label, 0) + value
        here[event.label] = labels[event.label]
    return here


def _corners(gradient: Any, raster_s: float) -> Corners:
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


def _joined(pieces: list[Corners]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """One axis as one line, times and heights, and its jumps (time, height): steps that no ramp makes.

    Between events it is 0.
    """
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
    return np.concatenate(times), np.concatenate(heights), np.array(jumps).reshape(-1, 2)


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
