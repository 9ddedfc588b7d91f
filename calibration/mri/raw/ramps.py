"""Samples that were taken while the gradient of a readout ramps lie unevenly: they are brought to even places."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError

# Singular values below this part of the largest are left out: nothing of the object is in them.
_LEAST = 1e-3
# How far, in samples, the outermost ones may lie inside of the even places that they have to tell.
_SHORT = 2.0

Positions = NDArray[np.float64]


@dataclass(frozen=True)
class ReadoutGradient:
    """A readout gradient of one lobe, and the window in which it is sampled, in us from the start of its ramp.

    `rounded`: ramps are quarters of a sine, else straight.
    """

    ramp_up_us: float
    flat_us: float
    ramp_down_us: float
    delay_us: float
    window_us: float
    rounded: bool = False

    def require_sound(self, path: Path, field: str) -> "ReadoutGradient":
        """Itself; raises `FileError` for a window that is not within the lobe."""
        end_us, lobe_us = self.delay_us + self.window_us, self.ramp_up_us + self.flat_us + self.ramp_down_us
        if min(self.ramp_up_us, self.flat_us, self.ramp_down_us, self.delay_us) < 0 or not self.window_us > 0:
            raise FileError(f"{path}: times of its readout gradient are negative ({field})")
        if end_us > lobe_us * (1 + 1e-6):
            raise FileError(
                f"{path}: samples are taken from {self.delay_us:g} to {end_us:g} us of a readout gradient of "
                f"{lobe_us:g} us ({field}), which cannot be"
            )
        return self

    def on_ramps(self, samples: int) -> bool:
        """Whether any of evenly timed samples is taken outside of the flat top."""
        times = self._times(samples)
        return bool(times[0] < self.ramp_up_us or times[-1] > self.ramp_up_us + self.flat_us)

    def positions(self, samples: int) -> Positions:
        """Where samples lie, in steps of an even readout of as many over the same width; 0: half of the lobe's area."""
        ends = self._area(np.array([self.delay_us, self.delay_us + self.window_us]))
        middle = self._area(np.array([self.ramp_up_us + self.flat_us + self.ramp_down_us])) / 2
        return np.asarray(samples * (self._area(self._times(samples)) - middle) / (ends[1] - ends[0]))

    def _times(self, samples: int) -> Positions:
        return np.asarray(self.delay_us + self.window_us / samples * (np.arange(samples) + 0.5), dtype=np.float64)

    def _area(self, times_us: Positions) -> Positions:
        """The area of the gradient up to a time, its flat top being 1."""
        up, top = np.minimum(times_us, self.ramp_up_us), np.clip(times_us - self.ramp_up_us, 0, self.flat_us)
        down = np.clip(times_us - self.ramp_up_us - self.flat_us, 0, self.ramp_down_us)
        falling = self._ramp(np.full(1, self.ramp_down_us), self.ramp_down_us)
        return np.asarray(
            self._ramp(up, self.ramp_up_us) + top + falling - self._ramp(self.ramp_down_us - down, self.ramp_down_us)
        )

    def _ramp(self, times_us: Positions, length_us: float) -> Positions:
        if length_us == 0:
            return np.zeros_like(times_us)
        if self.rounded:
            return np.asarray(2 * length_us / np.pi * (1 - np.cos(np.pi / 2 * times_us / length_us)))
        return np.asarray(times_us**2 / (2 * length_us))


class Regridding(NamedTuple):
    """`matrix` (m, m) takes samples as they were taken to even ones; `noise`: it changes its deviation by."""

    matrix: NDArray[np.complex64]
    noise: float


def regridding(path: Path, positions: Positions) -> Regridding:
    """The least-squares estimate of even samples, for an object in the middle of the readout's field of view.

    In the middle, where the gradient is strongest, samples lie further apart than even ones would: the object may be as
    wide as they still tell.  Raises `FileError` for samples that leave out one end of the even ones.
    """
    count = len(positions)
    if positions[0] > -(count // 2) + _SHORT or positions[-1] < count - count // 2 - 1 - _SHORT:
        raise FileError(
            f"{path}: samples on the ramps of its gradient lie from {positions[0]:.1f} to {positions[-1]:.1f} steps "
            f"from the centre of k-space, of {count}; one end is missing, and partial echoes are not regridded"
        )
    width = int(count / np.diff(positions).max())
    pixels = np.arange(width) - width // 2
    taken = np.exp(-2j * np.pi / count * np.outer(positions, pixels)) / count**0.5
    even = np.exp(-2j * np.pi / count * np.outer(np.arange(count) - count // 2, pixels)) / count**0.5
    image = np.linalg.pinv(taken, rcond=_LEAST)
    middle = np.abs(pixels) <= width // 4
    noise = float((np.abs(image[middle]) ** 2).sum(axis=1).mean() ** 0.5)
    return Regridding((even @ image).astype(np.complex64), noise)
