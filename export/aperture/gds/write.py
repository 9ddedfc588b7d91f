"""GDSII and OASIS: rectangles only, one for every run of a row, so that no polygon has more than four corners.

Merged outlines would join the whole code through touching corners into polygons of 100,000 points and more.
"""

import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.aperture import Cells, runs
from cidesign.errors import InputError
from cidesign.export.aperture.files import CODE_LAYER, SURROUND_LAYER
from cidesign.export.aperture.layout import Plate

if TYPE_CHECKING:
    import gdstk

# One date for all, so that the same design gives the same bytes.
_DATE = datetime.datetime(2000, 1, 1)


class Rectangles(NamedTuple):
    """`boxes` (n, 4): x0, y0, x1, y1 in nm, y down."""

    layer: tuple[int, int]
    boxes: NDArray[np.int64]


def plate_rectangles(plate: Plate, join_rows: bool) -> list[Rectangles]:
    """The rectangles of each layer; none overlap, and those of the code lie inside it."""
    placement, drawn = plate.placement, plate.drawn
    margin = abs(placement.edge_bias_nm)
    rows = (drawn.y[:-1] >= -margin) & (drawn.y[1:] <= placement.code_height_nm + margin)
    columns = (drawn.x[:-1] >= -margin) & (drawn.x[1:] <= placement.code_width_nm + margin)
    inside = np.outer(rows, columns)
    return [
        Rectangles(layer, cell_rectangles(Cells(drawn.levels * part, drawn.y, drawn.x), join_rows))
        for layer, part in ((CODE_LAYER, inside), (SURROUND_LAYER, ~inside))
    ]


def cell_rectangles(cells: Cells, join_rows: bool) -> NDArray[np.int64]:
    """(n, 4) x0, y0, x1, y1: one rectangle for every run of every row, or of equal runs in neighbouring rows."""
    rows, starts, ends = runs(cells.levels == 1)
    last = rows
    if join_rows and len(rows):
        order = np.lexsort((rows, ends, starts))
        rows, starts, ends = rows[order], starts[order], ends[order]
        follows = (rows[1:] == rows[:-1] + 1) & (starts[1:] == starts[:-1]) & (ends[1:] == ends[:-1])
        first = np.flatnonzero(np.append(True, ~follows))
        last = rows[np.append(first[1:], len(rows)) - 1]
        rows, starts, ends = rows[first], starts[first], ends[first]
    return np.column_stack([cells.x[starts], cells.y[rows], cells.x[ends], cells.y[last + 1]])


def build_library(plate: Plate, name: str, join_rows: bool) -> "gdstk.Library":
    """A library of one cell with the drawing in um, y up, around the plate's origin; needs gdstk."""
    module = _gdstk()
    library: gdstk.Library = module.Library(name, unit=1e-6, precision=1e-9)
    cell = library.new_cell(name)
    placement = plate.placement
    shift = np.array([placement.origin_x_nm, placement.origin_y_nm] * 2)
    for (layer, datatype), boxes in plate_rectangles(plate, join_rows):
        corners_um = ((boxes - shift) * np.array([1, -1, 1, -1]) / 1000).tolist()
        cell.add(
            *(module.rectangle((x0, y0), (x1, y1), layer=layer, datatype=datatype) for x0, y0, x1, y1 in corners_um)
        )
    return library


def write_gds(library: "gdstk.Library", path: Path) -> None:
    """Write a library as GDSII with a database unit of 1 nm."""
    library.write_gds(str(path), timestamp=_DATE)


def write_oasis(library: "gdstk.Library", path: Path) -> None:
    """Write a library as OASIS with a grid of 1 nm, compressed, with a checksum."""
    library.write_oas(str(path), compression_level=6, validation="crc32")


def _gdstk() -> ModuleType:
    """The gdstk module; raises `InputError` that names the extra."""
    try:
        import gdstk
    except ImportError as error:
        raise InputError(
            "GDSII and OASIS are written by gdstk, which is not installed; `pip install gdstk`, or export "
            "TIFF alone with --format tiff"
        ) from error
    return gdstk
