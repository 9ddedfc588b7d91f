"""Full-basis Hadamard captures: one reading, or a complementary pair, for each row of the Hadamard matrix.

With the Sylvester matrix H (N x N, N = n * n) the image is H^T data / N = H data / N, row by row from the top.
Any other pattern is a combination of rows of H, so what it would have read follows exactly: y = phi . image.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import load_npz
from cidesign.hadamard import sequency_order, sylvester_matrix, walsh_hadamard
from cidesign.io.arrays import as_numbers
from cidesign.io.mat import read_matrices
from cidesign.records import shown

MAX_CAPTURE_BYTES = 256_000_000
MAX_SIDE = 128
# The sums of complementary pairs vary less than that part of their differences.
PAIR_SUM_PART = 0.5


@dataclass(frozen=True)
class HadamardCapture:
    """Readings (R, N) of R detector regions in natural (Sylvester) order, for an image of `side` x `side`.

    Units are the lab's own.  `labels` name the regions.  `measured_noise` is the standard deviation of one reading,
    where the bench told it.  `own_basis`: the file says which rows were shown; as read without it, the order and what
    was shown are not known yet (`settle_readings` decides).  `notes`: what was decided while reading.
    """

    path: Path
    readings: NDArray[np.float64]
    labels: tuple[str, ...]
    side: int
    measured_noise: float | None = None
    own_basis: bool = False
    notes: tuple[str, ...] = ()

    def choose_region(self, region: int | None) -> int:
        """The region to use: the one asked for, or the middle one; raises `InputError` when there is no such."""
        count = len(self.labels)
        if region is None:
            return count // 2
        if not 0 <= region < count:
            raise InputError(f"region {region}: {self.path} holds regions 0 to {count - 1}")
        return region

    def image(self, region: int) -> NDArray[np.float64]:
        """The full-basis image H data / N of a region, (n, n), row 0 at the top, in the capture's units."""
        image: NDArray[np.float64] = walsh_hadamard(self.readings[region]) / self.readings.shape[1]
        return image.reshape(self.side, self.side)

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
            return self.measured_noise
        order = sequency_order(self.side)
        finest = self.readings[region, order[-(order.size // 4) :]]
        return float(np.sqrt(np.mean(finest**2)))


def read_hadamard_capture(path: Path) -> HadamardCapture:
    """Read a full-basis capture.

    .npz: `data` (R, N), and where present `n` (side of the image) and `roi_px` (R,), which names the regions.
    .mat (levels 4 to 7.3): `data` (1, N) and `vecs` (N, N), which must be the Sylvester matrix.
    2 N readings are complementary pairs, one after the other or in two halves, and are subtracted.
    Raises `FileError` for anything else.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path)
    if suffix == ".mat":
        return _read_mat(path)
    raise FileError(f"{path}: Hadamard captures are read from .npz and .mat files")


def _read_npz(path: Path) -> HadamardCapture:
    arrays = load_npz(path, "Hadamard capture", MAX_CAPTURE_BYTES)
    if "data" not in arrays:
        raise FileError(f"{path}: this Hadamard capture holds no array `data`, only {shown(sorted(arrays))}")
    readings, notes = _unpaired(path, _rows(as_numbers(arrays["data"], path, "data")))
    side = _side(path, readings)
    if "n" in arrays and (arrays["n"].size != 1 or int(as_numbers(arrays["n"], path, "n").flat[0]) != side):
        raise FileError(f"{path}: n is {arrays['n']}, but {readings.shape[1]} readings make {side} x {side} pixels")
    labels = tuple(f"region {index}" for index in range(len(readings)))
    if "roi_px" in arrays:
        widths = as_numbers(arrays["roi_px"], path, "roi_px").reshape(-1)
        if widths.size != len(readings):
            raise FileError(f"{path}: {widths.size} values of roi_px for {len(readings)} regions of data")
        labels = tuple(f"{label} (roi {width:g} px)" for label, width in zip(labels, widths, strict=True))
    return HadamardCapture(path, readings, labels, side, notes=notes)


def _read_mat(path: Path) -> HadamardCapture:
    variables = read_matrices(path, ("data", "vecs"))
    readings, notes = _unpaired(path, _rows(as_numbers(variables["data"], path, "data")))
    side = _side(path, readings)
    basis = variables["vecs"]
    if basis.shape != (side * side, side * side):
        raise FileError(f"{path}: vecs has shape {basis.shape}, but data holds {side * side} readings")
    if not np.array_equal(basis, sylvester_matrix(side * side)):
        raise FileError(f"{path}: the rows of vecs are not the Hadamard matrix in natural (Sylvester) order")
    labels = tuple(f"region {index}" for index in range(len(readings)))
    return HadamardCapture(path, readings, labels, side, own_basis=True, notes=notes)


def _rows(readings: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector, or a matrix of one column, as one row."""
    rows = np.atleast_2d(readings)
    return rows.T if rows.ndim == 2 and rows.shape[1] == 1 else rows


def _is_side(side: int) -> bool:
    return 2 <= side <= MAX_SIDE and not side & (side - 1)


def _unpaired(path: Path, readings: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Readings with complementary pairs subtracted, and a note that says so; the sums of pairs are all the light.

    Raises `FileError` for twice as many readings as a basis has that are no such pairs.
    """
    count = readings.shape[1] if readings.ndim == 2 else 0
    half = count // 2
    side = math.isqrt(half)
    if count != 2 * side * side or not _is_side(side) or len(readings) == 0:
        return readings, ()
    parts = {
        "one after the other": (readings[:, 0::2], readings[:, 1::2]),
        "in two halves of the record": (readings[:, :half], readings[:, half:]),
    }
    sound = {}
    for how, (positive, negative) in parts.items():
        # Steps of the sums, because the lamp drifts.  The first pair, all on and all off, says nothing.
        steps = np.diff((positive + negative)[:, 1:], axis=1)
        differences = (positive - negative)[:, 1:]
        if np.mean(steps**2) / 2 < PAIR_SUM_PART**2 * np.mean(differences**2):
            sound[how] = positive - negative
    if len(sound) != 1:
        raise FileError(
            f"{path}: {count} readings are twice {side} x {side}, but no complementary pairs: their sums vary as much "
            "as their differences, one after the other as in two halves; give one signed reading for each pattern"
        )
    ((how, signed),) = sound.items()
    return signed, (f"put right: {count} readings are complementary pairs, {how}; their differences are used",)


def _side(path: Path, readings: NDArray[np.float64]) -> int:
    count = readings.shape[1] if readings.ndim == 2 else 0
    side = math.isqrt(count)
    if side * side != count or not _is_side(side) or len(readings) == 0:
        whole = math.isqrt(count + 1)
        lost = "; one is missing: is it the first, with all mirrors on?" if whole**2 == count + 1 > 1 else ""
        raise FileError(
            f"{path}: data has shape {readings.shape}; one row per region of n * n readings is needed (or of as many "
            f"complementary pairs), n a power of two up to {MAX_SIDE}{lost}"
        )
    return side
