"""BART arrays: a `.hdr` with the dimensions beside a `.cfl` of little-endian complex64, first dimension fastest."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import MAX_ARRAY_BYTES, read_limited, write_bytes
from cidesign.pattern import CartesianLines, CartesianPoints

BART_DIMENSIONS = 16
_ITEM = np.dtype("<c8")


def bart_mask(trajectory: CartesianLines) -> NDArray[np.complex64]:
    """The sampling pattern (readout, lines), 1 where measured: `bart pics -p` wants the whole readout."""
    return np.broadcast_to(trajectory.mask, (trajectory.readout, trajectory.lines)).astype(np.complex64)


def bart_trajectory(trajectory: CartesianLines, lines: list[int]) -> NDArray[np.complex64]:
    """The points (3, readout, L) of the lines in order of acquisition, in 1/FOV; without oversampling, k = 0 whole."""
    points = np.zeros((3, trajectory.readout, len(lines)), dtype=np.complex64)
    points[0] = (np.arange(trajectory.readout) - trajectory.readout // 2)[:, None]
    points[1] = np.asarray(lines) - trajectory.lines // 2
    return points


def bart_points(design: CartesianPoints) -> NDArray[np.complex64]:
    """The pattern (1, lines, partitions), 1 where measured, as BART's `poisson` has it; `bart repmat 0` for all x."""
    return design.mask[None].astype(np.complex64)


def write_cfl(stem: Path, array: NDArray[np.complex64]) -> list[Path]:
    """Write `stem`.cfl and `stem`.hdr, and read them back; returns both paths."""
    dimensions = [*array.shape, *([1] * (BART_DIMENSIONS - array.ndim))]
    header, data = stem.with_name(stem.name + ".hdr"), stem.with_name(stem.name + ".cfl")
    write_bytes(data, array.astype(_ITEM).tobytes(order="F"))
    write_bytes(header, f"# Dimensions\n{' '.join(map(str, dimensions))}\n".encode())
    if not np.array_equal(read_cfl(stem, array.ndim), array):
        raise FileError(f"{data}: did not read back as written; is the disk sound?")
    return [data, header]


def read_cfl(stem: Path, least_dimensions: int = 1) -> NDArray[np.complex64]:
    """Read `stem`.cfl with its `.hdr`, without its trailing dimensions of 1; raises `FileError` for damaged pairs.

    There are at least `least_dimensions` of them, 1 where the header leaves them out.  `stem` may also be the path of
    either file.
    """
    if stem.suffix in (".cfl", ".hdr"):
        stem = stem.with_suffix("")
    header, data = stem.with_name(stem.name + ".hdr"), stem.with_name(stem.name + ".cfl")
    dimensions = _dimensions(header)
    expected_bytes = math.prod(dimensions) * _ITEM.itemsize
    if expected_bytes > MAX_ARRAY_BYTES:
        raise FileError(f"{header}: declares {expected_bytes} bytes; at most {MAX_ARRAY_BYTES} are read")
    content = read_limited(data, "BART array", MAX_ARRAY_BYTES)
    if len(content) != expected_bytes:
        raise FileError(
            f"{data}: has {len(content)} bytes, its header says {expected_bytes} ({' x '.join(map(str, dimensions))} "
            "complex64); the file is cut short or belongs to another header"
        )
    # A header may leave out dimensions of 1 at the end.
    dimensions += [1] * (least_dimensions - len(dimensions))
    while len(dimensions) > least_dimensions and dimensions[-1] == 1:
        dimensions.pop()
    return np.frombuffer(content, dtype=_ITEM).reshape(dimensions, order="F").astype(np.complex64)


def _dimensions(header: Path) -> list[int]:
    try:
        lines = read_limited(header, "BART header", 100_000).decode().splitlines()
        if lines[0].strip() != "# Dimensions":
            raise ValueError("the first line is not '# Dimensions'")
        dimensions = [int(word) for word in lines[1].split()]
        if not 1 <= len(dimensions) <= BART_DIMENSIONS or min(dimensions) < 1 or max(dimensions) > 10**9:
            raise ValueError(f"dimensions {lines[1].strip()[:60]!r}")
    except (ValueError, IndexError) as error:
        raise FileError(f"{header}: this BART header is damaged ({error})") from error
    return dimensions
