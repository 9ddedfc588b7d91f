"""A Pulseq file as it would be played: gradients, pulses, samples and labels over time, and the k-space they reach."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.mri.pulseq.child import Events, SequenceHead
from cidesign.export.mri.pulseq.sections import UnsupportedSequence
from cidesign.export.mri.pulseq.structure import RASTERS
from cidesign.export.mri.pulseq.text import SeqText, not_supported, read_seq_text
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.child import SPARE_BYTES, Arrays, ask, typed_head

AXES = ("x", "y", "z")
CHILD = "cidesign.export.mri.pulseq.child"
# 25 us a byte were seen on a busy machine; starting takes seconds.
LONGEST_S, LONGEST_S_PER_BYTE = 30.0, 100e-6


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
    """What one block is; `labels` are those set in it.

    Blocks of one `shape` have the same events of the same lengths, and differ in amplitudes and phases alone.
    """

    number: int
    start_s: float
    duration_s: float
    shape: int
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


def read_pulseq(path: Path, profile: MriProfile | None) -> PlayedSequence:
    """Read a Pulseq file for a scanner, in the bounded child process.

    `profile` None: on the rasters that the file says itself, and without errors of timing, which are those of a
    scanner; a file that does not say them (before Pulseq 1.4) needs a profile.

    Raises `FileError` in one line for what is cut or damaged, `UnsupportedSequence` for what pypulseq cannot read, and
    `InputError` without pypulseq.
    """
    text = read_seq_text(path)
    if importlib.util.find_spec("pypulseq") is None:
        raise InputError("Pulseq files need the package pypulseq; install it with `pip install 'cidesign[mri]'`")
    unsaid = [name for name in RASTERS if name not in text.definitions]
    if profile is None and unsaid:
        raise FileError(f"{path}: does not say its {unsaid[0]}, and is read for no scanner; name a profile")
    request = {
        "text": text.playable,
        "profile": None if profile is None else profile.model_dump(mode="json", exclude_none=True),
        # Before 1.5.0 the file does not say what a pulse is for; pypulseq then goes by its flip angle.
        "guess_use": text.version < (1, 5, 0),
    }
    size = len(text.playable)
    longest_s, memory_bytes = LONGEST_S + LONGEST_S_PER_BYTE * size, SPARE_BYTES + 100 * size
    try:
        said, arrays = ask(path, CHILD, request, "Pulseq file", longest_s, memory_bytes, longest_s)
    except FileError as error:
        # Every line of the file is as the specification has it: that its reader fails is no fault of the file.
        raise UnsupportedSequence(f"{error}; nothing was evaluated") from error
    head = typed_head(SequenceHead, said)
    if head.wrong is not None:
        raise FileError(f"{path}: {head.wrong}; the file is damaged")
    if head.unsupported is not None:
        raise not_supported(f"{path}: this Pulseq {text.version_text} file cannot be read: {head.unsupported}")
    played = _played(head.events, arrays)
    if len(played.blocks) != text.blocks:
        raise not_supported(f"{path}: of its {text.blocks} blocks {len(played.blocks)} were read")
    return PlayedSequence(text, played, tuple(head.timing_errors), tuple(head.warnings))


def _played(events: Events, arrays: Arrays) -> _Played:
    """The answer of the child."""
    waveforms = [
        Waveform(
            arrays[f"{axis}_times_s"], arrays[f"{axis}_heights"], tuple(map(tuple, arrays[f"{axis}_jumps"].tolist()))
        )
        for axis in AXES
    ]
    pulses = [PulseEvent(*row) for row in events.pulses]
    samplings = [Sampling(*row) for row in events.samplings]
    blocks = [PlayedBlock(*row) for row in events.blocks]
    return _Played((waveforms[0], waveforms[1], waveforms[2]), tuple(pulses), tuple(samplings), tuple(blocks))


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
