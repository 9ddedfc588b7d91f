"""Where each mirror is, and which super-pixel it belongs to: one mapping for export and for registration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import LimitError
from cidesign.hardware_profiles.schema import DmdProfile


def mirror_centres_columns(profile: DmdProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (x, y) of all mirrors, each (rows, columns), in units of the column pitch; y points down.

    Square lattice: x = c, y = r * pitch_y / pitch_x.  Diamond lattice (odd rows shifted right):
    x = c + (r odd) / 2, y = r / 2 (source: ALC SDK, dlp_platform; agrees with ChinLabQMS core/frame.py).
    """
    mirrors = profile.mirrors
    row, column = np.mgrid[0 : mirrors.rows.value, 0 : mirrors.columns.value].astype(np.float64)
    if mirrors.lattice.value == "diamond_odd_right":
        column = column + 0.5 * (row % 2)
    return column, row * (mirrors.pitch_y_um.value / mirrors.pitch_x_um.value)


@dataclass(frozen=True)
class SuperpixelGrid:
    """n x n square super-pixels on the mirrors.

    `index` (rows, columns), int32: i * n + j for the super-pixel in image row i and column j that the mirror's
    centre lies in, -1 outside the field.  `side_columns`: the side of a super-pixel in column pitches.
    """

    index: NDArray[np.int32]
    side: int
    side_columns: int
    side_um: float

    def spread(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Levels of super-pixels (n, n) -> levels of mirrors (rows, columns); mirrors outside the field are 0."""
        padded = np.append(levels.reshape(-1), np.uint8(0))
        return padded[self.index]


def superpixel_grid(profile: DmdProfile, side: int) -> SuperpixelGrid:
    """The largest centred grid of `side` x `side` square super-pixels that the mirror array holds.

    A super-pixel is a square of a whole number of column pitches in real space, whatever the lattice, so an
    image is not stretched; a mirror belongs to the super-pixel that its centre lies in.
    Raises `LimitError` when a super-pixel would be smaller than one column pitch.
    """
    x, y = mirror_centres_columns(profile)
    row_pitch = profile.mirrors.pitch_y_um.value / profile.mirrors.pitch_x_um.value
    width, height = profile.mirrors.columns.value, profile.mirrors.rows.value * row_pitch
    largest = int(min(width, height))
    if side < 1 or side > largest:
        raise LimitError(
            f"{profile.id}: {side} x {side} super-pixels do not fit; the mirror array holds 1 to {largest} a side"
        )
    side_columns = largest // side
    field = side * side_columns
    left = 0.5 * (float(x.min()) + float(x.max())) - 0.5 * field
    top = 0.5 * (float(y.min()) + float(y.max())) - 0.5 * field
    # A centre exactly on an edge belongs to the right (lower) super-pixel; the tiny shift keeps float error out.
    j = np.floor((x - left) / side_columns + 1e-9).astype(np.int32)
    i = np.floor((y - top) / side_columns + 1e-9).astype(np.int32)
    within = (i >= 0) & (i < side) & (j >= 0) & (j < side)
    index = np.where(within, i * side + j, -1).astype(np.int32)
    return SuperpixelGrid(index, side, side_columns, side_columns * profile.mirrors.pitch_x_um.value)
