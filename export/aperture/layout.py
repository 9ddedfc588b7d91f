"""From a code to a drawing: frame, marks, edge-bias compensation, mirror and tone, all in whole nm.

The code is laid out as the scene's light sees it.  A plate is drawn as its maker sees it, from the chrome side.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cidesign.constraints.aperture import Cells, Edges, Levels
from cidesign.errors import InputError, LimitError
from cidesign.export.aperture.fiducials import Mark, Marks, place_marks
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.pattern import ApertureMask

Tone = Literal["clear", "chrome"]
Reading = Literal["chrome_up", "chrome_down"]
Compression = Literal["packbits", "deflate"]
_GRID_TOLERANCE = 1e-6


@dataclass(frozen=True)
class OrderOptions:
    """What an order says beyond the design.

    `name` names the cell and is written on the plate.  `tone` is what the 1-pixels and polygons of the files become.
    `reading` is the side from which the code (and the text) reads right: `chrome_up`, seen from the chrome side, for
    a plate whose chrome faces the scene; `chrome_down`, seen through the glass, for a plate whose chrome faces the
    detector: then the drawing is mirrored left to right, and the shop must not mirror it again.  `tiff_pixel_um` is
    the side of a TIFF pixel (None: the largest in which everything is exact).  `join_rows` joins equal runs of
    neighbouring rows into one rectangle.
    """

    name: str = "MASK"
    tone: Tone = "clear"
    reading: Reading = "chrome_up"
    compression: Compression = "packbits"
    tiff_pixel_um: float | None = None
    join_rows: bool = True
    compensate_edge_bias: bool = True
    fiducials: bool = True

    def __post_init__(self) -> None:
        require_legal_name(self.name)
        for field, value, choices in (
            ("tone", self.tone, get_args(Tone)),
            ("reading side", self.reading, get_args(Reading)),
            ("TIFF compression", self.compression, get_args(Compression)),
        ):
            if value not in choices:
                raise InputError(f"mask order: {field} {value!r} is not known; choose {' or '.join(choices)}")
        if self.tiff_pixel_um is not None and not 0 < self.tiff_pixel_um < math.inf:
            raise InputError(f"mask order: a TIFF pixel of {self.tiff_pixel_um} um is not a length")


def require_legal_name(name: str) -> None:
    """Raise `InputError` unless a name suits every writer: 1 to 32 of A-Z a-z 0-9 _, a letter first, no `main`."""
    problem = illegal_name(name)
    if problem:
        raise InputError(f"mask order: the name {name!r} {problem}; use 1 to 32 letters, digits and _, a letter first")


def illegal_name(name: str) -> str | None:
    """What a mask writer would reject in a name, or None (GDSII: 32 characters; MLA150: no `main`, no blanks)."""
    if not 1 <= len(name) <= 32:
        return f"has {len(name)} characters"
    strange = [letter for letter in name if not (letter.isascii() and (letter.isalnum() or letter == "_"))]
    if strange:
        return f"holds {strange[0]!r}"
    if not name[0].isalpha():
        return "does not begin with a letter"
    return "contains 'main', which mask writers keep for themselves" if "main" in name.lower() else None


_Nm = Annotated[int, Field(ge=-2_000_000_000, le=2_000_000_000)]
_Side = Annotated[int, Field(ge=1, le=2_000_000_000)]


class Placement(BaseModel):
    """How the code lies in the files, in nm; x to the right, y down, from the code's upper left corner in the file.

    The drawing spans `left` .. `left + width` and `top` .. `top + height`; the origin of GDSII and OASIS (y up) is
    at (`origin_x`, `origin_y`), the grid point nearest to the centre of the code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: _Side
    columns: _Side
    pitch_nm: Annotated[int, Field(ge=1, le=1_000_000)]
    tone: Tone
    reading: Reading
    edge_bias_nm: _Nm
    left_nm: _Nm
    top_nm: _Nm
    width_nm: _Nm
    height_nm: _Nm
    origin_x_nm: _Nm
    origin_y_nm: _Nm

    @property
    def code_width_nm(self) -> int:
        """The width of the code."""
        return self.columns * self.pitch_nm

    @property
    def code_height_nm(self) -> int:
        """The height of the code."""
        return self.rows * self.pitch_nm


@dataclass(frozen=True)
class Plate:
    """A planned drawing: what the files will hold.

    `drawn` is 1 where the files have 1-pixels or polygons, edges in nm from the code's upper left corner; `marks` are
    in the file's orientation, and `pixel_nm` is the TIFF pixel.
    """

    drawn: Cells
    placement: Placement
    marks: tuple[Mark, ...]
    pixel_nm: int
    critical_dimension_nm: int


def plan_plate(mask: ApertureMask, profile: MaskProfile, options: OrderOptions) -> Plate:
    """Lay out an order; raises `LimitError` for lengths off the writer grid and for a drawing larger than the plate."""
    if mask.pitch_um != profile.pixel_pitch_um.value:
        raise InputError(
            f"mask: its pitch is {mask.pitch_um:g} um, {profile.id} says {profile.pixel_pitch_um.value:g} um; "
            "use the profile of the run"
        )
    if mask.open_fraction in (0.0, 1.0):
        raise InputError(
            f"mask: all {mask.levels.size} code pixels are {'open' if mask.open_fraction else 'blocked'}; there is "
            "nothing to write"
        )
    grid_nm = whole_nm(profile.lithography.writer_grid_um.value, "writer grid")
    pitch_nm = _on_grid(mask.pitch_um, grid_nm, "pitch", profile)
    bias_nm = _bias_nm(profile, options, pitch_nm, grid_nm)
    pixel_nm = _tiff_pixel_nm(options, pitch_nm, bias_nm, grid_nm, profile)
    marks = place_marks(mask.plate_levels, profile, options.name if options.fiducials else None)
    _require_plate(marks, pitch_nm, profile)
    rows, columns = marks.levels.shape
    y = (np.arange(rows + 1, dtype=np.int64) - marks.code_row) * pitch_nm
    x = (np.arange(columns + 1, dtype=np.int64) - marks.code_column) * pitch_nm
    clear = move_edges(Cells(marks.levels, y, x), -bias_nm)
    code_height, code_width = mask.levels.shape
    placed = marks.marks
    if options.reading == "chrome_down":
        clear = Cells(clear.levels[:, ::-1], clear.y, (code_width * pitch_nm - clear.x)[::-1])
        placed = tuple(mark.mirrored(code_width) for mark in placed)
    levels: Levels = clear.levels if options.tone == "clear" else np.uint8(1) - clear.levels
    placement = Placement(
        rows=code_height,
        columns=code_width,
        pitch_nm=pitch_nm,
        tone=options.tone,
        reading=options.reading,
        edge_bias_nm=bias_nm,
        left_nm=int(clear.x[0]),
        top_nm=int(clear.y[0]),
        width_nm=int(clear.x[-1] - clear.x[0]),
        height_nm=int(clear.y[-1] - clear.y[0]),
        origin_x_nm=code_width * pitch_nm // 2 // grid_nm * grid_nm,
        origin_y_nm=code_height * pitch_nm // 2 // grid_nm * grid_nm,
    )
    drawn = Cells(np.ascontiguousarray(levels), clear.y, clear.x)
    return Plate(drawn, placement, placed, pixel_nm, marks.critical_px * pitch_nm)


def move_edges(cells: Cells, by: int) -> Cells:
    """Cells whose 1-areas have every edge moved outwards by `by` (inwards when negative), in the unit of the edges.

    Exact for any arrangement of rectangles: every edge e becomes e - |by| and e + |by|, and in the bands between, a
    cell is 1 where one neighbour is (outwards) or all are (inwards).  Outside the cells nothing moves.
    """
    if by == 0:
        return cells
    combine = np.maximum if by > 0 else np.minimum
    levels = cells.levels
    for axis in (0, 1):
        levels = np.moveaxis(levels, axis, 0)
        wide = np.empty((2 * len(levels) - 1, *levels.shape[1:]), dtype=np.uint8)
        wide[0::2] = levels
        wide[1::2] = combine(levels[:-1], levels[1:])
        levels = np.moveaxis(wide, 0, axis)
    return Cells(np.ascontiguousarray(levels), _bands(cells.y, abs(by)), _bands(cells.x, abs(by)))


def _bands(edges: Edges, by: int) -> Edges:
    inner = np.column_stack([edges[1:-1] - by, edges[1:-1] + by]).ravel()
    return np.concatenate([edges[:1], inner, edges[-1:]])


def whole_nm(length_um: float, what: str) -> int:
    """A length in nm; raises `LimitError` when it is not a whole number, the unit of GDSII and OASIS files here."""
    length_nm = length_um * 1000
    if abs(length_nm - round(length_nm)) > _GRID_TOLERANCE:
        raise LimitError(
            f"{what} of {length_um:g} um: files are drawn in whole nm, this is {length_nm:g}; choose a length in nm"
        )
    return round(length_nm)


def _on_grid(length_um: float, grid_nm: int, what: str, profile: MaskProfile) -> int:
    length_nm = whole_nm(length_um, what)
    if length_nm % grid_nm:
        raise LimitError(
            f"{what} of {length_um:g} um: is {length_nm / grid_nm:.4g} steps of the writer grid "
            f"{grid_nm / 1000:g} um of {profile.id}; use a multiple of the grid"
        )
    return length_nm


def _bias_nm(profile: MaskProfile, options: OrderOptions, pitch_nm: int, grid_nm: int) -> int:
    bias = profile.lithography.edge_bias_um
    if bias is None or not options.compensate_edge_bias:
        return 0
    bias_nm = _on_grid(bias.value, grid_nm, "edge bias", profile)
    if 2 * abs(bias_nm) >= pitch_nm:
        raise LimitError(
            f"edge bias of {bias.value:g} um: on both sides it eats a code pixel of {pitch_nm / 1000:g} um; "
            "use a larger pitch or another process"
        )
    return bias_nm


def _tiff_pixel_nm(options: OrderOptions, pitch_nm: int, bias_nm: int, grid_nm: int, profile: MaskProfile) -> int:
    largest_nm = math.gcd(pitch_nm, bias_nm)
    if options.tiff_pixel_um is None:
        return largest_nm
    pixel_nm = _on_grid(options.tiff_pixel_um, grid_nm, "TIFF pixel", profile)
    if largest_nm % pixel_nm:
        raise LimitError(
            f"TIFF pixel of {options.tiff_pixel_um:g} um: does not divide the code pixel of {pitch_nm / 1000:g} um"
            f"{f' and the edge bias of {abs(bias_nm) / 1000:g} um' if bias_nm else ''}; "
            f"use {largest_nm / 1000:g} um or a whole fraction of it"
        )
    return pixel_nm


def _require_plate(marks: Marks, pitch_nm: int, profile: MaskProfile) -> None:
    height_mm, width_mm = (count * pitch_nm / 1e6 for count in marks.levels.shape)
    lithography = profile.lithography
    plate_mm = lithography.plate_width_mm.value, lithography.plate_height_mm.value
    if width_mm > plate_mm[0] or height_mm > plate_mm[1]:
        raise LimitError(
            f"drawing of {width_mm:g} x {height_mm:g} mm (code, marks and frame): the plate of {profile.id} is "
            f"{plate_mm[0]:g} x {plate_mm[1]:g} mm; use fewer code pixels, or leave out the fiducials"
        )
