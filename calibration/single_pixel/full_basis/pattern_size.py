"""Of which size the patterns of a capture are: as stated, as the file says, or as the number of readings tells."""

import math
import re

from cidesign.calibration.single_pixel.full_basis.hadamard import full_side, not_full
from cidesign.calibration.single_pixel.full_basis.hadamard_files import RawReadings
from cidesign.calibration.single_pixel.full_basis.pairs import WAYS
from cidesign.calibration.single_pixel.full_basis.rows import is_sylvester, size_text
from cidesign.errors import FileError, InputError

LARGEST_SIDE = 256


def size_of_patterns(raw: RawReadings, stated: str | None, own_side: int | None) -> tuple[int, int]:
    """Height and width; `stated` is `HxW`, or one number for a square, `own_side` that of the run.

    Raises `InputError` for a size that the file contradicts, and `FileError` where readings may be of two sizes.
    """
    told = raw.size
    if told is None and raw.matrix is not None:
        side = math.isqrt(raw.matrix.shape[1])
        told = (side, side) if side * side == raw.matrix.shape[1] else None
    if stated is not None:
        size = _parsed(stated)
        pixels = None if raw.matrix is None else raw.matrix.shape[1]
        if (raw.size is not None and size != raw.size) or (pixels is not None and math.prod(size) != pixels):
            said = size_text(raw.size) if raw.size is not None else f"{pixels} pixels"
            raise InputError(f"--set size={stated}: {raw.path} says {said}; leave it out")
        return size
    if told is not None:
        return _limited(raw, told)
    if raw.matrix is not None:
        raise InputError(
            f"{raw.path}: vecs has {raw.matrix.shape[1]} columns, which are no square; state the height and width of "
            "the patterns with --set size=HxW"
        )
    full, count = full_side(raw), raw.data.shape[1]
    if full is None:
        if own_side is None:
            raise FileError(not_full(raw))
        return own_side, own_side
    if own_side is not None and full != own_side and count <= 2 * own_side**2:
        raise FileError(
            f"{raw.path}: {count} readings can be all patterns of {full} x {full}, or some of the run's {own_side} x "
            f"{own_side}; state which with --set size={full}x{full} or --set size={own_side}x{own_side}"
        )
    return full, full


def is_full_basis(raw: RawReadings, size: tuple[int, int], patterns: str | None) -> bool:
    """Whether the readings are of all rows of Sylvester's matrix of this size, one or a pair for each."""
    count, pixels = raw.data.shape[1], math.prod(size)
    if any(side & (side - 1) for side in size):
        return False
    if raw.matrix is not None:
        return raw.matrix.shape == (pixels, pixels) and is_sylvester(raw.matrix)
    return count == 2 * pixels or (count == pixels and patterns not in WAYS)


def _parsed(stated: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,4})\s*(?:[xX×]\s*(\d{1,4})\s*)?", stated)
    if found is None:
        raise InputError(f"--set size={stated}: height and width such as 32x64 are needed, or one number for a square")
    size = int(found[1]), int(found[2] or found[1])
    if not all(2 <= side <= LARGEST_SIDE for side in size):
        raise InputError(f"--set size={stated}: sides from 2 to {LARGEST_SIDE} are read")
    return size


def _limited(raw: RawReadings, size: tuple[int, int]) -> tuple[int, int]:
    if not all(2 <= side <= LARGEST_SIDE for side in size):
        raise FileError(f"{raw.path}: patterns of {size_text(size)}; sides from 2 to {LARGEST_SIDE} are read")
    return size
