"""Full-basis Hadamard captures: one reading for each row of the Hadamard matrix, signed, in natural order.

With the Sylvester matrix H (N x N, N = n * n) the image is H^T data / N = H data / N, row by row from the top.
Any other pattern is a combination of rows of H, so what it would have read follows exactly: y = phi . image.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.readers import as_numbers
from cidesign.errors import FileError, InputError
from cidesign.files import load_npz
from cidesign.hadamard import sequency_order, sylvester_matrix, walsh_hadamard
from cidesign.matlab import read_matrices
from cidesign.records import shown

MAX_CAPTURE_BYTES = 256_000_000
MAX_SIDE = 128


@dataclass(frozen=True)
class HadamardCapture:
    """Readings (R, N) of R detector regions in natural (Sylvester) order, for an image of `side` x `side`.

    Units are the lab's own.  `labels` name the regions.  `measured_noise` is the standard deviation of one reading,
    where the bench told it.
    """

    path: Path
    readings: NDArray[np.float64]
    labels: tuple[str, ...]
    side: int
    measured_noise: float | None = None

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
    .mat (MATLAB 5 to 7): `data` (1, N) and `vecs` (N, N), which must be the Sylvester matrix.
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
    readings = np.atleast_2d(as_numbers(arrays["data"], path, "data"))
    side = _side(path, readings)
    if "n" in arrays and (arrays["n"].size != 1 or int(as_numbers(arrays["n"], path, "n").flat[0]) != side):
        raise FileError(f"{path}: n is {arrays['n']}, but {readings.shape[1]} readings make {side} x {side} pixels")
    labels = tuple(f"region {index}" for index in range(len(readings)))
    if "roi_px" in arrays:
        widths = as_numbers(arrays["roi_px"], path, "roi_px").reshape(-1)
        if widths.size != len(readings):
            raise FileError(f"{path}: {widths.size} values of roi_px for {len(readings)} regions of data")
        labels = tuple(f"{label} (roi {width:g} px)" for label, width in zip(labels, widths, strict=True))
    return HadamardCapture(path, readings, labels, side)


def _read_mat(path: Path) -> HadamardCapture:
    variables = read_matrices(path, ("data", "vecs"))
    readings = as_numbers(variables["data"], path, "data")
    if readings.ndim == 2 and readings.shape[1] == 1:
        readings = readings.T
    side = _side(path, readings)
    basis = variables["vecs"]
    if basis.shape != (side * side, side * side):
        raise FileError(f"{path}: vecs has shape {basis.shape}, but data holds {side * side} readings")
    if not np.array_equal(basis, sylvester_matrix(side * side)):
        raise FileError(f"{path}: the rows of vecs are not the Hadamard matrix in natural (Sylvester) order")
    return HadamardCapture(path, readings, tuple(f"region {index}" for index in range(len(readings))), side)


def _side(path: Path, readings: NDArray[np.float64]) -> int:
    count = readings.shape[1] if readings.ndim == 2 else 0
    side = math.isqrt(count)
    if side * side != count or side < 2 or side > MAX_SIDE or side & (side - 1) or len(readings) == 0:
        raise FileError(
            f"{path}: data has shape {readings.shape}; one row per region of n * n readings is needed, "
            f"n a power of two up to {MAX_SIDE}"
        )
    return side
