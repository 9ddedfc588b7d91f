"""The code in a layout (GDSII, OASIS) or in a bilevel TIFF of a plate: from edges in nm to code pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.aperture import Cells
from cidesign.errors import FileError, InputError
from cidesign.export.aperture.drawing import MAX_CELLS
from cidesign.export.aperture.files import format_of
from cidesign.export.aperture.gds.layout import Layout, gdstk_is_installed, read_layout
from cidesign.export.aperture.gds.outlines import ForeignLayoutError, Outlines
from cidesign.export.aperture.gds.read_gds import read_gds
from cidesign.export.aperture.gds.read_oasis import read_oasis
from cidesign.export.aperture.own.options import MaskOptions

# Edges may lie off the code's grid by this part of its pitch, as an order's edge compensation moves them.
MOST_OFF_GRID = 0.2


class Drawn(NamedTuple):
    """`levels` (H, W), uint8, 1 where the layout draws, row 0 on top; the pitch, and how it was understood."""

    levels: NDArray[np.uint8]
    pitch_um: float
    said: tuple[str, ...]


def read_drawn(path: Path, profile_pitch_um: float, options: MaskOptions) -> Drawn:
    """The code of a layout: what one layer of one cell draws, on the grid of the code's pitch.

    Raises `FileError` for damage and for edges on no grid, `InputError` for a cell, layer or pitch to be named.
    """
    outlines, said = _outlines(path, options)
    cells = outlines.cells()
    if not cells.levels.size:
        raise FileError(f"{path}: draws nothing")
    pitch_nm, why = _pitch_nm(path, cells, profile_pitch_um, options)
    (rows, off_y), (columns, off_x) = (_grid(path, edges, pitch_nm) for edges in (cells.y, cells.x))
    if (len(rows) - 1) * (len(columns) - 1) > MAX_CELLS:
        raise FileError(f"{path}: {len(rows) - 1} x {len(columns) - 1} code pixels; at most {MAX_CELLS} are read")
    middle_y, middle_x = rows[:-1] + pitch_nm / 2, columns[:-1] + pitch_nm / 2
    framed = np.pad(cells.levels, 1)
    levels = framed[
        np.ix_(
            np.searchsorted(cells.y, middle_y, side="right"),
            np.searchsorted(cells.x, middle_x, side="right"),
        )
    ]
    off_um = max(off_y, off_x) / 1000
    if off_um:
        said.append(
            f"edges lie up to {off_um:g} um off the grid, as edge compensation moves them; each code pixel is taken as "
            "its centre is drawn"
        )
    said.append(
        f"{why}: {levels.shape[0]} x {levels.shape[1]} code pixels, the bounding box of what is drawn; a border that "
        "nothing is drawn in is not in the file, and not in the mask"
    )
    said.append("row 0 is the top (largest y), column 0 the smallest x, as the layout is drawn")
    return Drawn(np.ascontiguousarray(levels), pitch_nm / 1000, tuple(said))


def _outlines(path: Path, options: MaskOptions) -> tuple[Outlines, list[str]]:
    layout_format = format_of(path)
    if layout_format == "tiff":
        raise InputError(f"{path}: a TIFF is no layout")
    if options.cell is None and options.layer is None:
        try:
            own = read_gds(path) if layout_format == "gds" else read_oasis(path)
            if len(own.layers) == 1:
                ((layer, datatype),) = own.layers
                return own, [f"layer {layer}/{datatype}, {sum(own.layers.values())} shapes"]
        except ForeignLayoutError as error:
            if not gdstk_is_installed():
                raise InputError(f"{error}; gdstk reads it: pip install gdstk") from error
    if not gdstk_is_installed():
        raise InputError(f"{path}: gdstk reads one cell or layer of several: pip install gdstk")
    layout = _of_layer(read_layout(path, layout_format, options.cell), options.layer)
    if not layout.rectilinear:
        raise FileError(
            f"{path}: cell {layout.cell} has edges that are slanted or off whole nm; a code has edges along x and y"
        )
    layer, datatype = layout.layers[0].tolist()
    return layout.outlines(), [f"cell {layout.cell}, layer {layer}/{datatype}, {len(layout.sizes)} shapes"]


def _of_layer(layout: Layout, wanted: str | None) -> Layout:
    """The shapes of one layer."""
    kinds, counts = np.unique(layout.layers, axis=0, return_counts=True)
    names = [f"{layer}/{datatype}" for layer, datatype in kinds.tolist()]
    listing = ", ".join(f"{name} ({count} shapes)" for name, count in zip(names, counts.tolist(), strict=True))
    if not names:
        raise FileError(f"{layout.path}: cell {layout.cell} draws nothing")
    if wanted is None and len(names) > 1:
        raise InputError(f"{layout.path}: draws on layers {listing}; say which is the mask with --set layer=N/M")
    if wanted is not None and wanted not in names:
        raise InputError(f"{layout.path}: draws nothing on layer {wanted}; there are {listing}")
    name = names[0] if wanted is None else wanted
    kept = (layout.layers == kinds[names.index(name)]).all(axis=1)
    corners = np.repeat(kept, layout.sizes)
    following = np.empty((0, 2)), np.empty(0, dtype=np.int64)
    slanted = not layout.rectilinear and not _rectilinear(layout, corners)
    return layout._replace(
        corners=layout.corners[corners], sizes=layout.sizes[kept], layers=layout.layers[kept], round=layout.round[kept],
        rectilinear=not slanted, united=following[0], united_sizes=following[1],
    )  # fmt: skip


def _rectilinear(layout: Layout, corners: NDArray[np.bool_]) -> bool:
    """Whether the chosen corners are whole nm, with edges along the axes."""
    here, after = layout.corners[corners], layout.following()[corners]
    whole = np.abs(here - np.rint(here)).max(initial=0.0) < 1e-3
    return bool(whole and (np.abs(after - here).min(axis=1) < 1e-3).all())


def _pitch_nm(path: Path, cells: Cells, profile_pitch_um: float, options: MaskOptions) -> tuple[int, str]:
    if options.pitch_um is not None:
        pitch_nm = round(options.pitch_um * 1000)
        if pitch_nm < 1 or abs(pitch_nm - options.pitch_um * 1000) > 1e-6 * pitch_nm:
            raise InputError(f"--set pitch_um={options.pitch_um:g}: a layout has pitches in whole nm")
        return pitch_nm, f"code pixels of {options.pitch_um:g} um, as asked for"
    profile_nm = round(profile_pitch_um * 1000)
    if max(_off_grid(edges, profile_nm)[1] for edges in (cells.y, cells.x)) <= MOST_OFF_GRID * profile_nm:
        return profile_nm, f"code pixels of {profile_pitch_um:g} um, the profile's pitch, whose grid all edges keep"
    steps = np.concatenate([np.diff(cells.y), np.diff(cells.x)])
    own_nm = int(np.gcd.reduce(steps))
    if own_nm < 0.25 * int(steps.min()):
        raise InputError(
            f"{path}: edges keep neither the grid of the profile's pitch, {profile_pitch_um:g} um, nor a coarse one "
            f"of their own (common step {own_nm / 1000:g} um, smallest distance {int(steps.min()) / 1000:g} um); say "
            "the side of a code pixel with --set pitch_um=VALUE"
        )
    return own_nm, f"code pixels of {own_nm / 1000:g} um, the grid of its edges (the profile has {profile_pitch_um:g})"


def _off_grid(edges: NDArray[np.int64], pitch_nm: int) -> tuple[float, float]:
    """Where the grid of a pitch lies that fits edges best, and how far the worst edge is from it, nm."""
    turn = np.exp(2j * np.pi * (edges % pitch_nm) / pitch_nm)
    origin = float(np.angle(turn.mean())) / (2 * np.pi) * pitch_nm
    off = (edges - origin + pitch_nm / 2) % pitch_nm - pitch_nm / 2
    return origin, float(np.abs(off).max())


def _grid(path: Path, edges: NDArray[np.int64], pitch_nm: int) -> tuple[NDArray[np.float64], float]:
    """The lines of the grid from the first edge to the last, and how far the worst edge is from its line, nm."""
    origin, off = _off_grid(edges, pitch_nm)
    if off > MOST_OFF_GRID * pitch_nm:
        raise InputError(
            f"{path}: edges lie up to {off / 1000:g} um off the grid of {pitch_nm / 1000:g} um; is that the side of a "
            "code pixel? Say --set pitch_um=VALUE"
        )
    first, last = (round((float(edge) - origin) / pitch_nm) for edge in (edges[0], edges[-1]))
    return origin + pitch_nm * np.arange(first, last + 1, dtype=np.float64), 0.0 if off < 0.5 else round(off)
