"""What mask files hold, whatever their format: cells that are drawn or not, with every edge in whole nm."""

from typing import NamedTuple

import numpy as np

from cidesign.constraints.aperture import Cells, Levels
from cidesign.errors import FileError
from cidesign.export.aperture.layout import Placement, move_edges

# 8000 x 8000 cells: four times a code of 2048 x 2048 pixels with edge-bias compensation.
MAX_CELLS = 64_000_000


class Difference(NamedTuple):
    """Where two drawings differ first, in nm, and how large the area is on which they differ."""

    x_nm: int
    y_nm: int
    area_um2: float


def simplified(cells: Cells) -> Cells:
    """The same drawing with as few cells as possible: equal neighbouring rows and columns joined, nothing around it.

    Two drawings have the same area exactly when their simplified cells are equal.
    """
    levels, edges = cells.levels, [cells.y, cells.x]
    for axis in (0, 1):
        rows = np.moveaxis(levels, axis, 0)
        drawn = np.flatnonzero(rows.any(axis=1))
        if not len(drawn):
            return Cells(np.zeros((0, 0), dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        rows, around = rows[drawn[0] : drawn[-1] + 1], edges[axis][drawn[0] : drawn[-1] + 2]
        first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
        levels = np.moveaxis(rows[first], 0, axis)
        edges[axis] = np.append(around[first], around[-1])
    return Cells(np.ascontiguousarray(levels), edges[0], edges[1])


def moved(cells: Cells, dx_nm: int, dy_nm: int) -> Cells:
    """The same drawing at another place."""
    return Cells(cells.levels, cells.y + dy_nm, cells.x + dx_nm)


def first_difference(found: Cells, expected: Cells) -> Difference | None:
    """Where two drawings differ; None when not one square nanometre does."""
    found, expected = simplified(found), simplified(expected)
    same_edges = np.array_equal(found.y, expected.y) and np.array_equal(found.x, expected.x)
    if same_edges and np.array_equal(found.levels, expected.levels):
        return None
    y, x = np.union1d(found.y, expected.y), np.union1d(found.x, expected.x)
    differs = _sampled(found, y, x) != _sampled(expected, y, x)
    row, column = (int(index) for index in np.argwhere(differs)[0])
    area_nm2 = float(np.diff(y).astype(float) @ differs @ np.diff(x).astype(float))
    return Difference(int(x[column]), int(y[row]), area_nm2 / 1e6)


def _sampled(cells: Cells, y: np.ndarray, x: np.ndarray) -> Levels:
    """The levels of cells on finer edges; nothing is drawn outside them."""
    framed = np.pad(cells.levels, 1)
    rows = np.searchsorted(cells.y, y[:-1], side="right")
    columns = np.searchsorted(cells.x, x[:-1], side="right")
    return framed[np.ix_(rows, columns)]


def code_levels(drawn: Cells, placement: Placement, where: str) -> Levels:
    """Rebuild the code (H, W), 1 where light passes, row 0 on top as the scene sees it, from a drawing.

    `drawn` has its origin at the code's upper left corner.  Tone, mirror and edge bias are undone; the code is drawn
    again and must give the same area, to the square nanometre.  Raises `FileError` that names the first place.
    """
    pitch, rows, columns = placement.pitch_nm, placement.rows, placement.columns
    centres_y, centres_x = (np.arange(count, dtype=np.int64) * pitch + pitch // 2 for count in (rows, columns))
    framed = np.pad(drawn.levels, 1)
    levels = framed[
        np.ix_(
            np.searchsorted(drawn.y, centres_y, side="right"),
            np.searchsorted(drawn.x, centres_x, side="right"),
        )
    ]
    if placement.tone == "chrome":
        levels = np.uint8(1) - levels
    again = code_cells(levels, placement)
    difference = first_difference(_cropped(drawn, placement), _cropped(again, placement))
    if difference:
        x_um, y_um = difference.x_nm / 1000, difference.y_nm / 1000
        raise FileError(
            f"{where}: the drawing is not made of code pixels of {pitch / 1000:g} um: {difference.area_um2:g} um2 "
            f"differ, first at x = {x_um:g} um, y = {y_um:g} um from the code's upper left corner; the file was "
            "edited, or belongs to another order"
        )
    if placement.reading == "chrome_down":
        levels = levels[:, ::-1]
    return np.ascontiguousarray(levels)


def code_cells(levels: Levels, placement: Placement) -> Cells:
    """What the files hold of a code (H, W), 1 where light passes, in the file's orientation, opaque around it."""
    pitch = placement.pitch_nm
    y, x = (np.arange(-1, count + 2, dtype=np.int64) * pitch for count in levels.shape)
    clear = move_edges(Cells(np.pad(levels, 1), y, x), -placement.edge_bias_nm)
    return clear if placement.tone == "clear" else Cells(np.uint8(1) - clear.levels, clear.y, clear.x)


def _cropped(cells: Cells, placement: Placement) -> Cells:
    """What lies inside the code's rectangle, widened by what the edge bias may draw around it."""
    margin = abs(placement.edge_bias_nm)
    edges = []
    for own, end in ((cells.y, placement.code_height_nm), (cells.x, placement.code_width_nm)):
        inner = own[(own > -margin) & (own < end + margin)]
        edges.append(np.concatenate([[-margin], inner, [end + margin]]).astype(np.int64))
    return Cells(_sampled(cells, edges[0], edges[1]), edges[0], edges[1])
