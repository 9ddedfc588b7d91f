"""What one outline draws: every point that it winds round, either way (non-zero winding), as mask writers fill it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError

Points = NDArray[np.int64]
Edges = NDArray[np.int64]
# Cells of the small grids that outlines are filled on: at once, and of a whole file (about a minute).
_BATCH_CELLS, MAX_FILLED_CELLS = 4_000_000, 3_000_000_000
# Outlines of more corners are filled one by one, on the coordinates that differ.
_FEW_CORNERS = 64


def drawn_edges(outlines: Points, where: str) -> Edges:
    """(4, m): x, upper y, lower y (y down) and +1 or -1 for what begins or ends to the right of each vertical edge.

    `outlines` (n, k, 2) are axis-parallel, y up; each is filled by itself, so that a lobe of the other turn, an overlap
    or a hole that is cut open counts as it is drawn.  Raises `FileError`, which begins with `where`, for too many.
    """
    count, corners, _ = outlines.shape
    if corners < 4:
        return np.empty((4, 0), dtype=np.int64)  # axis-parallel, so without an area
    if corners == 4:
        return _of_rectangles(outlines)
    if corners > _FEW_CORNERS:
        return np.concatenate([np.empty((4, 0), dtype=np.int64), *_one_by_one(outlines, where)], axis=1)
    if count * corners**2 > MAX_FILLED_CELLS:
        raise FileError(f"{where}: {count} outlines of {corners} corners; save it as rectangles")
    step = max(1, _BATCH_CELLS // corners**2)
    parts = [_together(outlines[first : first + step]) for first in range(0, count, step)]
    return np.concatenate(parts, axis=1)


def _of_rectangles(outlines: Points) -> Edges:
    """Four corners joined along the axes are a rectangle, or have no area."""
    left, bottom = outlines.min(axis=1).T
    right, top = outlines.max(axis=1).T
    open_inside = ((outlines[:, 0] != outlines[:, 2]) & (outlines[:, 1] != outlines[:, 3])).all(axis=1)
    left, bottom, right, top = (edge[open_inside] for edge in (left, bottom, right, top))
    begins = np.ones(len(left), dtype=np.int64)
    return np.concatenate([np.stack([left, -top, -bottom, begins]), np.stack([right, -top, -bottom, -begins])], axis=1)


def _together(outlines: Points) -> Edges:
    """Each outline on a grid of its own corners' coordinates; those that are equal leave cells without a size."""
    count, corners, _ = outlines.shape
    x, y = outlines[..., 0], -outlines[..., 1]
    order_x, order_y = np.argsort(x, axis=1), np.argsort(y, axis=1)
    xs, ys = np.take_along_axis(x, order_x, axis=1), np.take_along_axis(y, order_y, axis=1)
    column, row = (np.argsort(order, axis=1) for order in (order_x, order_y))
    following = np.roll(row, -1, axis=1)
    upright = np.roll(y, -1, axis=1) != y
    outline = np.broadcast_to(np.arange(count)[:, None], x.shape)[upright]
    at, first, last = column[upright], row[upright], following[upright]
    winding = np.zeros((count, corners, corners), dtype=np.int16)
    np.add.at(winding, (outline, first, at), 1)
    np.add.at(winding, (outline, last, at), -1)
    inside = winding.cumsum(axis=1, dtype=np.int16).cumsum(axis=2, dtype=np.int16) != 0
    change = np.diff(inside.astype(np.int8), axis=2, prepend=0)[:, :-1]
    outline, row_of, column_of = np.nonzero(change)
    found = np.stack(
        [xs[outline, column_of], ys[outline, row_of], ys[outline, row_of + 1], change[outline, row_of, column_of]]
    )
    return found[:, found[1] < found[2]]


def _one_by_one(outlines: Points, where: str) -> Iterator[Edges]:
    filled = 0
    for outline in outlines:
        x, y = outline[:, 0], -outline[:, 1]
        (xs, column), (ys, row) = (np.unique(axis, return_inverse=True) for axis in (x, y))
        filled += len(xs) * len(ys)
        if filled > MAX_FILLED_CELLS:
            raise FileError(f"{where}: outlines of {len(outline)} corners are too large; save it as rectangles")
        winding = np.zeros((len(ys), len(xs)), dtype=np.int32)
        np.add.at(winding, (row, column), 1)
        np.add.at(winding, (np.roll(row, -1), column), -1)
        np.cumsum(winding, axis=0, out=winding)
        np.cumsum(winding, axis=1, out=winding)
        change = np.diff((winding != 0).astype(np.int8), axis=1, prepend=0)[:-1]
        row, column = np.nonzero(change)
        yield np.stack([xs[column], ys[row], ys[row + 1], change[row, column]])
