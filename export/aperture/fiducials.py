"""What stands around the code: fiducials, text, a cross to measure and a scale bar, all clear in an opaque frame.

Every mark lies outside the rows of the code by more than the bands are shifted along rows, so that its light never
reaches the image of the code: the reconstruction knows nothing of the marks and needs to know nothing.
"""

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cidesign.constraints.aperture import Levels, feature_rule
from cidesign.export.aperture.fiducial_font import GLYPH_COLUMNS, GLYPH_ROWS, text_cells
from cidesign.hardware_profiles.mask import MaskProfile

Role = Literal["fiducial", "text", "cross", "scale_bar"]
# An L of unequal arms on three corners: no flip or turn of the plate maps the three onto themselves.
_L_ROWS, _L_COLUMNS, _L_STROKE = 7, 4, 2
_GAP = 2  # between the marks, and around them
_CLEARANCE = 4  # between the code and the marks, for what the optics blur
_BAND = _L_ROWS + 2 * _GAP  # height of the margin above and of a line of text below


_Place = Annotated[float, Field(ge=-2e9, le=2e9, allow_inf_nan=False)]
_Edge = Annotated[int, Field(ge=-2_000_000_000, le=2_000_000_000)]


class Mark(BaseModel):
    """One mark: its box in code pixels from the code's upper left corner (rows down, columns right; both can be < 0).

    The point (`row`, `column`) is what calibration looks for: the outer corner of an L, the centre of the cross, the
    upper left corner of the text and of the bar.  `note` says what a person should read or measure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    name: str
    row: _Place
    column: _Place
    top: _Edge
    left: _Edge
    bottom: _Edge
    right: _Edge
    note: str

    def mirrored(self, code_columns: int) -> "Mark":
        """The same mark in a drawing that is mirrored left to right."""
        columns = {
            "column": code_columns - self.column,
            "left": code_columns - self.right,
            "right": code_columns - self.left,
        }
        return self.model_copy(update=columns)


class Marks(NamedTuple):
    """A code with what stands around it: `levels` 1 where light passes; the code begins at (code_row, code_column)."""

    levels: Levels
    code_row: int
    code_column: int
    marks: tuple[Mark, ...]
    critical_px: int


def place_marks(code: Levels, profile: MaskProfile, text: str | None) -> Marks:
    """Put a code into an opaque frame, with marks and `text` around it (None: the frame alone).

    One unit of the marks is a whole number of the process' smallest cells, 1/64 of the code's shorter side or more.
    """
    rule = feature_rule(profile)
    height, width = code.shape
    unit = rule.cell_px * max(1, min(height, width) // (64 * rule.cell_px))
    if text is None:
        frame = 2 * _GAP * unit
        return Marks(np.pad(code, frame), frame, frame, (), rule.cell_px)
    clearance = _CLEARANCE * unit + math.ceil(profile.spread_rows_px)
    side = (_L_COLUMNS + 2 * _GAP) * unit
    per_line = max(8, (width + 2 * side) // ((GLYPH_COLUMNS + 1) * unit) - _GAP)
    pitch_um = profile.pixel_pitch_um.value
    bar_px = 10 ** int(math.log10(2 * _BAND * unit - 1))
    lines = [text[first : first + per_line] for first in range(0, len(text), per_line)]
    lines += [f"CD {rule.cell_px * pitch_um:g}UM", f"BAR {bar_px * pitch_um:g}UM"]
    above = clearance + (_L_ROWS + _GAP) * unit
    below = clearance + (len(lines) * (GLYPH_ROWS + _GAP)) * unit
    # A short code is narrower than its text, the cross and the bar beside each other.
    needed = max(max(map(len, lines)) * (GLYPH_COLUMNS + 1), 3 * _BAND) * unit
    right = max(side, needed + _GAP * unit - width)
    canvas = _Canvas(np.pad(code, ((above, below), (side, right))), above, side, [])
    arm_top, arm_left = -clearance - _L_ROWS * unit, -(_GAP + _L_COLUMNS) * unit
    for name, top, left in (
        ("upper left", arm_top, arm_left),
        ("upper right", arm_top, width + right - side + _GAP * unit),
        ("lower left", height + clearance, arm_left),
    ):
        canvas.draw_l(name, top, left, unit)
    canvas.draw_cross(arm_top, 0, unit, rule.cell_px)
    canvas.draw_bar(arm_top, _BAND * unit, unit, bar_px, f"{bar_px * pitch_um:g} um long")
    for number, line in enumerate(lines):
        canvas.draw_text(line, height + clearance + number * (GLYPH_ROWS + _GAP) * unit, 0, unit)
    return Marks(canvas.levels, above, side, tuple(canvas.marks), rule.cell_px)


class _Canvas(NamedTuple):
    """Draws in code pixels relative to the code's upper left corner."""

    levels: Levels
    code_row: int
    code_column: int
    marks: list[Mark]

    def fill(self, top: int, left: int, bottom: int, right: int) -> None:
        row, column = self.code_row, self.code_column
        self.levels[row + top : row + bottom, column + left : column + right] = 1

    def draw_l(self, name: str, top: int, left: int, unit: int) -> None:
        bottom, right, stroke = top + _L_ROWS * unit, left + _L_COLUMNS * unit, _L_STROKE * unit
        self.fill(top, left, bottom, left + stroke)
        self.fill(bottom - stroke, left, bottom, right)
        self._mark("fiducial", name, (bottom, left), (top, left, bottom, right), "outer corner of the L")

    def draw_cross(self, top: int, left: int, unit: int, stroke: int) -> None:
        """A cross of the critical dimension: `stroke` code pixels wide."""
        size = _L_ROWS * unit
        size -= (size - stroke) % 2
        middle = (size - stroke) // 2
        self.fill(top + middle, left, top + middle + stroke, left + size)
        self.fill(top, left + middle, top + size, left + middle + stroke)
        note = f"measure its lines: {stroke} code pixels wide"
        self._mark("cross", "cross", (top + size / 2, left + size / 2), (top, left, top + size, left + size), note)

    def draw_bar(self, top: int, left: int, unit: int, pixels: int, note: str) -> None:
        """A bar of 10, 100 ... code pixels, the longest that is not wider than two marks."""
        self.fill(top, left, top + unit, left + pixels)
        self._mark("scale_bar", "bar", (top, left), (top, left, top + unit, left + pixels), note)

    def draw_text(self, text: str, top: int, left: int, unit: int) -> None:
        cells = np.kron(text_cells(text), np.ones((unit, unit), dtype=np.uint8))
        rows, columns = cells.shape
        row, column = self.code_row + top, self.code_column + left
        self.levels[row : row + rows, column : column + columns] |= cells
        self._mark("text", text, (top, left), (top, left, top + rows, left + columns), f"reads {text}")

    def _mark(
        self, role: Role, name: str, point: tuple[float, float], box: tuple[int, int, int, int], note: str
    ) -> None:
        top, left, bottom, right = box
        row, column = point
        self.marks.append(
            Mark(
                role=role, name=name, row=row, column=column, top=top, left=left, bottom=bottom, right=right, note=note
            )
        )
