"""Layouts of other programs: cells, arrays, paths, any unit; read and flattened by gdstk in the bounded child."""

import importlib.util
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.export.aperture.gds.layout_child import LayoutHead, following
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.io.child import ask, typed_head

_LONGEST_S = 120.0
_READER = "cidesign.export.aperture.gds.layout_child"


class Layout(NamedTuple):
    """The shapes of one cell, flattened.

    `corners` (N, 2) are nm, y up, those of shape i being the next `sizes[i]`; `layers` (shapes, 2) are layer and
    datatype; `round` tells which shapes stand for a circle or a round end.  `cells` counts the cells that took part.  A
    drawing is `rectilinear` when all edges lie along the axes between whole nm; else `united` and `united_sizes` are
    polygons that overlap nowhere and draw the same.
    """

    path: Path
    cell: str
    cells: int
    unit_m: float
    corners: NDArray[np.float64]
    sizes: NDArray[np.int64]
    layers: NDArray[np.int64]
    round: NDArray[np.bool_]
    rectilinear: bool
    united: NDArray[np.float64]
    united_sizes: NDArray[np.int64]

    def following(self) -> NDArray[np.float64]:
        """The next corner (N, 2) of the same shape for each corner."""
        found: NDArray[np.float64] = following(self.corners, self.sizes)
        return found

    def outlines(self) -> Outlines:
        """The same as outlines on whole nm; meant for a rectilinear layout."""
        found = Outlines(self.path, [self.cell])
        whole = np.rint(self.corners).astype(np.int64)
        starts = np.cumsum(self.sizes) - self.sizes
        kinds = np.column_stack([self.sizes, self.layers])
        for kind in np.unique(kinds, axis=0):
            chosen = starts[(kinds == kind).all(axis=1)]
            size, layer, datatype = kind.tolist()
            if size:
                found.add((layer, datatype), whole[chosen[:, None] + np.arange(size)])
        return found


def gdstk_is_installed() -> bool:
    """Whether gdstk is there."""
    return importlib.util.find_spec("gdstk") is not None


def read_layout(path: Path, layout_format: Literal["gds", "oasis"], cell: str | None = None) -> Layout:
    """Read and flatten `cell`, or the one cell that no other refers to (None).

    Raises `InputError` where several such cells are there and none is named, or the named one is not there, and
    `FileError` for damage, for more shapes than can be borne, and for what programs draw differently.
    """
    what = "GDSII file" if layout_format == "gds" else "OASIS file"
    said, arrays = ask(path, _READER, {"format": layout_format, "cell": cell}, what, _LONGEST_S, cpu_s=_LONGEST_S)
    head = typed_head(LayoutHead, said)
    if head.drawing is None:
        several = f"has {head.count} cells that no other refers to" if cell is None else f"has no cell {cell!r}"
        raise InputError(
            f"{path}: {several}; say which is the mask with --set cell=NAME, one of {', '.join(head.choose)}"
        )
    return Layout(
        path,
        **vars(head.drawing),
        corners=arrays["corners"],
        sizes=arrays["sizes"],
        layers=arrays["layers"],
        round=arrays["round"],
        united=arrays["united"],
        united_sizes=arrays["united_sizes"],
    )
