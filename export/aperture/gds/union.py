"""The outline of everything that slanted shapes draw together, by gdstk; runs in the child process of the reader."""

from typing import Any

import numpy as np

# The grid of the union in nm: what a crossing of two slanted edges is rounded to.
UNION_NM = 1e-3
# Shapes united at once: the time goes with the square of how many lie over one another.
AT_ONCE = 512


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
    found = [polygon.points for polygon in _together(parts)]
    if not found:
        return np.empty((0, 2)), np.empty(0, dtype=np.int64)
    return np.concatenate(found), np.array([len(points) for points in found])


def _together(parts: list[Any]) -> list[Any]:
    """The union of polygons: of neighbours first, until few are left, or hardly any lie over one another."""
    import gdstk

    while len(parts) > AT_ONCE:
        places = np.array([polygon.bounding_box()[0] for polygon in parts])
        order = np.lexsort((places[:, 1], places[:, 0])).tolist()
        before = len(parts)
        parts = [
            polygon
            for start in range(0, before, AT_ONCE)
            for polygon in gdstk.boolean(
                [parts[i] for i in order[start : start + AT_ONCE]], [], "or", precision=UNION_NM
            )
        ]
        if len(parts) > before // 2:
            break
    united: list[Any] = gdstk.boolean(parts, [], "or", precision=UNION_NM) if parts else []
    return united
