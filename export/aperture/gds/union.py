"""The outline of everything that slanted shapes draw together, by gdstk; runs in the child process of the reader."""

from typing import Any

import numpy as np

# The grid of the union in nm: what a crossing of two slanted edges is rounded to.
UNION_NM = 1e-3


def united(corners: Any, sizes: Any) -> tuple[Any, Any]:
    """Corners (n, 2) and sizes of polygons that overlap nowhere and draw what `corners` (nm) and `sizes` draw.

    Each shape is filled by itself first, where it winds round either way: otherwise a lobe of the other turn would
    take away from the shapes that it lies on.
    """
    import gdstk

    ends = np.cumsum(sizes)
    parts = []
    for end, size in zip(ends.tolist(), sizes.tolist(), strict=True):
        if size < 3:
            continue
        shape = gdstk.Polygon(corners[end - size : end])
        parts += [shape] if size == 3 else gdstk.boolean(shape, [], "or", precision=UNION_NM)
    found = [polygon.points for polygon in gdstk.boolean(parts, [], "or", precision=UNION_NM)] if parts else []
    if not found:
        return np.empty((0, 2)), np.empty(0, dtype=np.int64)
    return np.concatenate(found), np.array([len(points) for points in found])
