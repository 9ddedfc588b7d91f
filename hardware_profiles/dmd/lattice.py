"""Where each mirror is, and which super-pixel it belongs to: one mapping for export and for registration."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import LimitError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

Unsigned = TypeVar("Unsigned", bound=np.unsignedinteger)


def mirror_centres_columns(profile: DmdProfile) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (x, y) of all mirrors, each (rows, columns), in units of the column pitch; y points down.

    Square lattice: x = c, y = r.  Diamond lattice (odd rows shifted right):
    x = c + (r odd) / 2, y = r / 2 (source: ALC SDK, dlp_platform; agrees with ChinLabQMS core/frame.py).
    """
    column, shift, y = _axes(profile)
    x = column + shift[:, None]
    return x, np.repeat(y[:, None], len(column), axis=1)


def _axes(profile: DmdProfile) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where columns lie, how far each row is shifted, and where rows lie, in column pitches."""
    mirrors = profile.mirrors
    column = np.arange(mirrors.columns.value, dtype=np.float64)
    row = np.arange(mirrors.rows.value, dtype=np.float64)
    shift = 0.5 * (row % 2) if mirrors.lattice.value == "diamond_odd_right" else np.zeros_like(row)
    return column, shift, row * mirrors.row_pitch_columns


@dataclass(frozen=True)
class SuperpixelGrid:
    """n x n square super-pixels on the mirrors.

    `index` (rows, columns), int32: i * n + j for the super-pixel in image row i and column j that the mirror's
    centre lies in, -1 outside the field.  `side_columns`: the side of a super-pixel in column pitches; `side_um`:
    the same in um, None where the profile has no pitch.  `left_columns`, `top_columns`: the corner of the field, on
    the scale of `mirror_centres_columns`.
    """

    index: NDArray[np.int32]
    side: int
    side_columns: int
    side_um: float | None
    left_columns: float
    top_columns: float

    def spread(self, levels: NDArray[Unsigned]) -> NDArray[Unsigned]:
        """Levels of super-pixels (n, n) -> levels of mirrors (rows, columns); mirrors outside the field are 0."""
        padded = np.zeros(self.side * self.side + 1, dtype=levels.dtype)
        padded[:-1] = levels.reshape(-1)
        return padded[self.index]


@dataclass(frozen=True)
class MirrorGrid:
    """Frames of the mirrors themselves, (rows, columns): nothing is spread."""

    rows: int
    columns: int

    def spread(self, levels: NDArray[Unsigned]) -> NDArray[Unsigned]:
        """Levels of mirrors as they are; raises `LimitError` for frames of another size."""
        if levels.shape != (self.rows, self.columns):
            raise LimitError(
                f"frames of {levels.shape[1]} x {levels.shape[0]} mirrors are not of this device, which has "
                f"{self.columns} x {self.rows}"
            )
        return levels


Grid = SuperpixelGrid | MirrorGrid


def mirror_grid(profile: DmdProfile) -> MirrorGrid:
    """The mirrors of a device as they are."""
    return MirrorGrid(profile.mirrors.rows.value, profile.mirrors.columns.value)


def superpixel_grid(profile: DmdProfile, side: int) -> SuperpixelGrid:
    """The largest centred grid of `side` x `side` square super-pixels that the mirror array holds.

    A super-pixel is a square of a whole number of column pitches in real space, whatever the lattice, so an
    image is not stretched; a mirror belongs to the super-pixel that its centre lies in.
    Raises `LimitError` when a super-pixel would be smaller than one column pitch.
    """
    column, shift, y = _axes(profile)
    width, height = profile.mirrors.columns.value, profile.mirrors.rows.value * profile.mirrors.row_pitch_columns
    largest = int(min(width, height))
    if side < 1 or side > largest:
        raise LimitError(
            f"{profile.id}: {side} x {side} super-pixels do not fit; the mirror array holds 1 to {largest} a side"
        )
    side_columns = largest // side
    field = side * side_columns
    left = 0.5 * (float(column.max()) + float(shift.max())) - 0.5 * field
    top = 0.5 * float(y.max()) - 0.5 * field
    # A centre exactly on an edge belongs to the right (lower) super-pixel; the tiny shift keeps float error out.
    shifts, shift_of_row = np.unique(shift, return_inverse=True)
    j = np.floor((column + shifts[:, None] - left) / side_columns + 1e-9).astype(np.int32)[shift_of_row]
    i = np.floor((y - top) / side_columns + 1e-9).astype(np.int32)[:, None]
    within = (i >= 0) & (i < side) & (j >= 0) & (j < side)
    index = np.where(within, i * np.int32(side) + j, np.int32(-1))
    pitch = profile.mirrors.pitch_x_um
    return SuperpixelGrid(index, side, side_columns, None if pitch is None else side_columns * pitch.value, left, top)
