"""What the images of a design take in the flash of a DLPC350, run-length coded as by TI's tools."""

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan
from cidesign.export.dmd.bitplanes import images_of
from cidesign.hardware_profiles.dmd.lattice import Grid, SuperpixelGrid
from cidesign.pattern import PatternStack

_HEADER_BYTES = 32
_LONGEST_RUN = 255
_BYTES_A_PIXEL = 3


def flash_bytes(pattern: PatternStack, plan: SequencePlan, grid: Grid) -> int:
    """Bytes of all images of a plan in flash: of each the shorter of raw rows and run lengths, with its header.

    A run of up to 255 equal pixels takes four bytes, c > 1 single ones in a row 2 + 3 c; a line ends with two and is
    padded to four (TI LightCrafter 4500 GUI source, firmware images; TI DLPU018F, RLE).
    """
    lines, times = _lines(grid)
    total = 0
    for groups in images_of(pattern, plan):
        low, middle, high = groups.astype(np.uint32)
        words = low | middle << np.uint32(8) | high << np.uint32(16)
        shown = words if lines is None else np.append(words.reshape(-1), np.uint32(0))[lines]
        rows, columns = int(times.sum()) if lines is not None else len(shown), shown.shape[1]
        coded = int((_line_bytes(shown) * times).sum())
        total += _HEADER_BYTES + min(coded, _BYTES_A_PIXEL * rows * columns)
    return total


def _lines(grid: Grid) -> tuple[NDArray[np.int32] | None, NDArray[np.int64]]:
    """The different lines of a grid of super-pixels, as indices of them, and how often each is there."""
    if not isinstance(grid, SuperpixelGrid):
        return None, np.ones(1, dtype=np.int64)
    lines, times = np.unique(grid.index, axis=0, return_counts=True)
    return lines, times


def _line_bytes(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Coded bytes of each line (rows,) of words (rows, columns)."""
    rows, columns = words.shape
    opens = np.ones((rows, columns), dtype=bool)
    opens[:, 1:] = words[:, 1:] != words[:, :-1]
    at = np.flatnonzero(opens)
    length = np.diff(np.append(at, opens.size))
    row = at // columns
    single = length == 1
    # A single pixel alone is a run; from two in a row on they are literals, two bytes for each such block.
    before = np.concatenate([[False], single[:-1]]) & (np.diff(row, prepend=-1) == 0)
    after = np.concatenate([single[1:], [False]]) & (np.diff(row, append=-1) == 0)
    alone, begins = single & ~before & ~after, single & ~before & after
    taken = np.where(single, _BYTES_A_PIXEL, 4 * -(-length // _LONGEST_RUN)) + alone + 2 * begins
    line = np.bincount(row, weights=taken, minlength=rows).astype(np.int64) + 2
    padded: NDArray[np.int64] = (line + 3) // 4 * 4
    return padded
