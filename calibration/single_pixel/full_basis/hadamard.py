"""Captures of Hadamard patterns: one reading, or a complementary pair, for each row that was shown.

With the Sylvester matrix H (N x N, N = H W) the image is H^T data / N = H data / N, row by row from the top.
Any other pattern is a combination of rows of H, so what it would have read follows exactly: y = phi . image.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard_files import RawReadings, read_hadamard_file
from cidesign.calibration.single_pixel.full_basis.pairs import unpaired
from cidesign.calibration.single_pixel.full_basis.rows import HadamardRows, is_sylvester, size_text
from cidesign.errors import FileError, InputError
from cidesign.pattern.hadamard import hadamard_order_rows

MAX_SIDE = 128


@dataclass(frozen=True)
class HadamardCapture:
    """Readings (R, N) of R detector regions in natural (Sylvester) order, for images of `size` (H, W).

    Units are the lab's own.  `labels` name the regions.  `measured_noise` are the standard deviations of a reading of
    each, where pairs told them.  `own_basis`: the file says which rows were shown; as read without it, the order and
    what was shown are not known yet (`settle_readings` decides).  `notes`: what was decided while reading.
    """

    path: Path
    readings: NDArray[np.float64]
    labels: tuple[str, ...]
    size: tuple[int, int]
    measured_noise: tuple[float, ...] | None = None
    own_basis: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> HadamardRows:
        """All rows of Sylvester's matrix."""
        return HadamardRows(self.size, self.size, np.arange(self.readings.shape[1]))

    def choose_region(self, region: int | None) -> int:
        """The region to use: the one asked for, or the middle one; raises `InputError` when there is no such."""
        return choose_region(self.path, len(self.labels), region)

    def image(self, region: int) -> NDArray[np.float64]:
        """The full-basis image H data / N of a region, (H, W), row 0 at the top, in the capture's units."""
        return self.image_of(self.readings[region])

    def image_of(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        """The image (H, W) of readings (N,) in natural order."""
        return self.rows.image(readings)

    def corner_excess(self, region: int) -> float:
        """How far pixel (0, 0) departs from the image's mean, relative to that mean.

        Every row of H starts with +1, so the sum of the readings after the first is N times that departure.  Where
        their common part was lost or removed, it is near 0 and the pixel shows the mean instead of the scene.
        """
        first, rest = self.readings[region, 0], self.readings[region, 1:]
        return float(rest.sum() / first) if first != 0 else float("inf")

    def reading_noise(self, region: int) -> float:
        """The standard deviation of one reading, or an upper bound: root mean square of the finest quarter of the rows.

        Fine detail of the scene is in those readings too, so the true noise is smaller.
        """
        if self.measured_noise is not None:
            return self.measured_noise[region]
        order = hadamard_order_rows(*self.size)["diagonal"]
        finest = self.readings[region, order[-(order.size // 4) :]]
        return float(np.sqrt(np.mean(finest**2)))


def choose_region(path: Path, count: int, region: int | None) -> int:
    """The region to use of a capture of `count`; raises `InputError` when there is no such."""
    if region is None:
        return count // 2
    if not 0 <= region < count:
        raise InputError(f"region {region}: {path} holds regions 0 to {count - 1}")
    return region


def read_hadamard_capture(path: Path) -> HadamardCapture:
    """Read a full basis of square patterns, whose number says their size; see `read_hadamard_file`.

    2 N readings are complementary pairs, one after the other or in two halves, and are subtracted.
    Raises `FileError` for anything else.
    """
    raw = read_hadamard_file(path)
    side = full_side(raw)
    if side is None:
        raise FileError(not_full(raw))
    return full_basis_of(raw, (side, side), None)


def full_basis_of(raw: RawReadings, size: tuple[int, int], patterns: str | None) -> HadamardCapture:
    """The readings of a file as a full basis of patterns of `size`; raises `FileError` for another number of them."""
    pixels = math.prod(size)
    if raw.matrix is not None and not (raw.matrix.shape == (pixels, pixels) and is_sylvester(raw.matrix)):
        raise FileError(f"{raw.path}: the rows of vecs are not the Hadamard matrix in natural (Sylvester) order")
    read = unpaired(raw, size, patterns)
    if read.readings.shape[1] != pixels:
        raise FileError(f"{raw.path}: {read.readings.shape[1]} readings, but {size_text(size)} has {pixels} patterns")
    noise = None if read.noise is None else tuple(read.noise.tolist())
    return HadamardCapture(raw.path, read.readings, raw.labels, size, noise, raw.matrix is not None, read.notes)


def full_side(raw: RawReadings) -> int | None:
    """n where a file says it, or holds as many readings as a full basis of n x n has (or pairs of them); else None."""
    if raw.size is not None:
        return raw.size[0] if raw.size[0] == raw.size[1] else None
    count = raw.data.shape[1]
    sides = [math.isqrt(count), math.isqrt(count // 2)]
    return next((side for side in sides if side**2 in (count, count / 2) and is_side(side)), None)


def is_side(side: int) -> bool:
    """Whether patterns of Sylvester's matrix can have this side."""
    return 2 <= side <= MAX_SIDE and not side & (side - 1)


def not_full(raw: RawReadings) -> str:
    """What is to be said of readings that are no full basis of a square."""
    count = raw.data.shape[1]
    whole = math.isqrt(count + 1)
    lost = "; one is missing: is it the first, with all mirrors on?" if whole**2 == count + 1 > 1 else ""
    return (
        f"{raw.path}: data has shape {raw.data.shape}; one row per region of n * n readings is needed (or of as many "
        f"complementary pairs), n a power of two up to {MAX_SIDE}{lost}"
    )
