"""Files of readings of Hadamard patterns: readings by detector region, and what the file says of the patterns."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import load_npz
from cidesign.io.arrays import TABLE_SUFFIXES, as_numbers, read_array
from cidesign.io.mat import read_every_matrix
from cidesign.records import shown

MAX_CAPTURE_BYTES = 256_000_000
READINGS, PATTERNS = "data", "vecs"
CONVERTER_BITS = (8, 10, 12, 14, 16)
# Squares of readings stay numbers.
LARGEST_READING = 1e100


@dataclass(frozen=True)
class RawReadings:
    """Readings (R, F) of R detector regions as they stand in a file, in the order in which patterns were shown.

    `labels` name the regions; `size` (H, W) of the patterns, and the patterns themselves (M, H W) of +1 and -1, where
    the file says them; `unsigned`: it has them as 0 and 1.
    """

    path: Path
    data: NDArray[np.float64]
    labels: tuple[str, ...]
    size: tuple[int, int] | None = None
    matrix: NDArray[np.int8] | None = None
    unsigned: bool = False


def read_hadamard_file(path: Path) -> RawReadings:
    """Read the file of a capture of Hadamard patterns.

    .npz, .mat (levels 4 to 7.3): `data` (R, F) or a vector, `vecs` (M, N), the patterns themselves, and `n`, their
    side; of .npz also `roi_px` (R,), which names the regions.  An only array needs no name.  .npy: an array like
    `data`.  .csv: a reading in each line, a region in each column.  Raises `FileError` for anything else, and for
    patterns that are not orthogonal.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays: dict[str, NDArray[np.generic]] = dict(load_npz(path, "Hadamard capture", MAX_CAPTURE_BYTES))
    elif suffix == ".mat":
        arrays, others = read_every_matrix(path)
        if READINGS not in arrays and READINGS in others:
            raise FileError(f"{path}: `{READINGS}` is {others[READINGS]}; a real numeric matrix is needed")
    elif suffix == ".npy":
        arrays = {READINGS: read_array(path, READINGS)}
    elif suffix in TABLE_SUFFIXES:
        table = read_array(path, READINGS)
        arrays = {READINGS: table.T if len(table) >= table.size / len(table) else table}
    else:
        raise FileError(f"{path}: Hadamard captures are read from .npz, .mat, .npy and .csv files")
    if READINGS not in arrays and len(arrays) == 1:
        arrays = {READINGS: next(iter(arrays.values()))}
    if READINGS not in arrays:
        raise FileError(
            f"{path}: this Hadamard capture holds no array `{READINGS}`, only {shown(sorted(arrays))}; call the "
            f"readings `{READINGS}`"
        )
    return _checked(path, arrays)


def converter_words(raw: RawReadings, region: int) -> list[str]:
    """What is to be said of a largest reading that is the end of a converter's range."""
    readings = raw.data[region]
    largest = readings.max()
    bits = [bits for bits in CONVERTER_BITS if largest == 2**bits - 1]
    if not bits or (readings != np.rint(readings)).any():
        return []
    return [
        f"the largest reading, of pattern {int(readings.argmax())}, is {largest:.0f}, the end of {bits[0]} bits: if it "
        "was cut off there (saturated), the image is too dark by an even amount"
    ]


def _checked(path: Path, arrays: dict[str, NDArray[np.generic]]) -> RawReadings:
    data = _rows(as_numbers(arrays[READINGS], path, READINGS))
    if data.ndim != 2 or data.shape[0] == 0 or data.shape[1] < 2:
        raise FileError(f"{path}: data has shape {data.shape}; one row of readings per detector region is needed")
    largest = float(np.abs(data).max())
    if largest > LARGEST_READING:
        raise FileError(f"{path}: data holds {largest:.3g}; no detector reads more than {LARGEST_READING:g}")
    labels = tuple(f"region {index}" for index in range(len(data)))
    if "roi_px" in arrays:
        widths = as_numbers(arrays["roi_px"], path, "roi_px").reshape(-1)
        if widths.size != len(data):
            raise FileError(f"{path}: {widths.size} values of roi_px for {len(data)} regions of data")
        labels = tuple(f"{label} (roi {width:g} px)" for label, width in zip(labels, widths, strict=True))
    size = None
    if "n" in arrays:
        sides = as_numbers(arrays["n"], path, "n").reshape(-1)
        if sides.size not in (1, 2) or (sides != np.rint(sides)).any() or sides.min() < 1 or sides.max() > 2**15:
            raise FileError(
                f"{path}: n is {shown(sides[:4])}; the side of a pattern, or its height and width, is needed"
            )
        size = (int(sides[0]), int(sides[-1]))
    if PATTERNS not in arrays:
        return RawReadings(path, data, labels, size)
    matrix, unsigned = _patterns(path, as_numbers(arrays[PATTERNS], path, PATTERNS), data.shape[1])
    if size is not None and math.prod(size) != matrix.shape[1]:
        raise FileError(f"{path}: n says {size[0]} x {size[1]} pixels, but vecs has {matrix.shape[1]} columns")
    return RawReadings(path, data, labels, size, matrix, unsigned)


def _rows(readings: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector, or a matrix of one column, as one row."""
    rows = np.atleast_2d(readings)
    return rows.T if rows.ndim == 2 and rows.shape[1] == 1 else rows


def _patterns(path: Path, found: NDArray[np.float64], readings: int) -> tuple[NDArray[np.int8], bool]:
    """Patterns (M, N) of +1 and -1, and whether they stand in the file as 0 and 1."""
    flat = found.reshape(len(found), -1) if found.ndim == 3 else found
    if flat.ndim != 2 or flat.size == 0 or len(flat) not in (readings, readings / 2):
        raise FileError(
            f"{path}: vecs has shape {found.shape}, but data holds {readings} readings: as many patterns are needed, "
            "or half as many for complementary pairs"
        )
    levels = np.unique(flat)
    if not (set(levels) <= {-1.0, 1.0} or set(levels) <= {0.0, 1.0}):
        raise FileError(
            f"{path}: vecs holds values such as {shown(levels[:3])}; Hadamard patterns are of +1 and -1, or of 0 and 1"
        )
    unsigned = bool(levels.min() == 0)
    matrix = (2 * flat - 1 if unsigned else flat).astype(np.int8)
    products = matrix.astype(np.float32) @ matrix.T.astype(np.float32)
    if np.abs(products - flat.shape[1] * np.eye(len(flat), dtype=np.float32)).max() > 0.5:
        raise FileError(
            f"{path}: the rows of vecs are not those of a Hadamard matrix (they are not orthogonal); patterns of any "
            "kind become a design by `cidesign design`"
        )
    return matrix, unsigned
