"""Opens a mask file of any program to be checked: our own readers, gdstk as the other one, and what each can read."""

from pathlib import Path
from typing import NamedTuple

from cidesign.checks import Check, not_checked
from cidesign.errors import FileError, InputError
from cidesign.export.aperture.drawing import first_difference
from cidesign.export.aperture.files import Format, MaskFile, format_of, read_mask, require_layers
from cidesign.export.aperture.gds.layout import Layout, gdstk_is_installed, read_layout
from cidesign.export.aperture.gds.outlines import ForeignLayoutError

# Above this, a flat file of ours is not read a second time: gdstk needs half a kB for each shape.
_MOST_READ_TWICE = 1_000_000


class Opened(NamedTuple):
    """A mask as cells, or a slanted drawing as a layout; what is to be said of it, and what was not looked at."""

    mask: MaskFile | None
    layout: Layout | None
    remark: str = ""
    findings: tuple[Check, ...] = ()


def open_mask(path: Path, cell: str | None = None) -> Opened:
    """Read a mask file of any program; `cell` names the cell to take where a layout has several that may be meant.

    What both readers can read they must read alike.  Raises `FileError` for damage and for what programs read
    differently, `InputError` for a cell to be named, and where gdstk is needed and not there.
    """
    mask_format = format_of(path)
    if mask_format == "tiff":
        if cell is not None:
            raise InputError(f"{path}: a TIFF has no cells; leave out --set cell={cell}")
        mask = read_mask(path)
        others = mask.tiff.others if mask.tiff else ()
        left = (not_checked("other pages", f"not evaluated: {said}") for said in others)
        return Opened(mask, None, "", tuple(left))
    own: MaskFile | None = None
    foreign: ForeignLayoutError | None = None
    try:
        own = read_mask(path) if cell is None else None
    except ForeignLayoutError as error:
        foreign = error
    if not gdstk_is_installed():
        if own:
            return Opened(own, None)
        said = f"{foreign}; gdstk reads it" if foreign else f"{path}: gdstk reads one cell of several"
        raise InputError(f"{said}: pip install gdstk")
    shapes = sum(own.outlines.layers.values()) if own and own.outlines else 0
    if own and shapes > _MOST_READ_TWICE:
        said = f"not evaluated: {shapes} shapes; at most {_MOST_READ_TWICE} are read a second time"
        return Opened(own, None, "", (not_checked("second reader", said),))
    layout = read_layout(path, mask_format, cell)
    if own:
        _require_alike(own, layout)
        return Opened(own, None)
    return _of_layout(path, layout, mask_format)


def _of_layout(path: Path, layout: Layout, mask_format: Format) -> Opened:
    require_layers(path, {(layer, datatype) for layer, datatype in layout.layers.tolist()})
    remark = (
        f"; cell {layout.cell} with all below it (cells: {layout.cells}, shapes: {len(layout.sizes)}), in steps of "
        f"{layout.unit_m * 1e9:g} nm"
    )
    if not layout.rectilinear:
        return Opened(None, layout, remark)
    outlines = layout.outlines()
    return Opened(MaskFile(path, mask_format, outlines.cells(), outlines=outlines), None, remark)


def _require_alike(own: MaskFile, layout: Layout) -> None:
    difference = first_difference(own.cells, layout.outlines().cells()) if layout.rectilinear else None
    own_layers = set(own.outlines.layers) if own.outlines else set()
    layers = {(layer, datatype) for layer, datatype in layout.layers.tolist()}
    if not layout.rectilinear or own_layers != layers or difference:
        first = (
            f": {difference.area_um2:g} um2, first at {own.place(difference.x_nm, difference.y_nm)}"
            if difference
            else ""
        )
        raise FileError(
            f"{own.path}: our reader and gdstk read different drawings in it{first}; what a shop would read is not "
            "known, so save it anew"
        )
