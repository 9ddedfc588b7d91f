"""What a file of lines leaves open, and its owner knows."""

from typing import Annotated, Literal

from pydantic import Field

from cidesign.pattern import MAX_MATRIX
from cidesign.records import Strict

_Count = Annotated[int, Field(ge=1, le=MAX_MATRIX)]


class LineOptions(Strict):
    """How to read lines; None: taken from the file where it leaves one reading, asked for where it does not.

    `lines`        how many lines the matrix has; needed for a list of line numbers
    `readout`      samples of a line, without oversampling; needed where the file holds no second axis
    `first`        the number of the first line in a list: 0 (C, Python) or 1 (MATLAB)
    `axis`         along which axis of a mask of points (H, W) the phase-encode lines are counted: rows or columns
    `centre`       where the centre of k-space lies in a mask: middle (line N // 2) or corner (line 0, as an FFT has it)
    `array`        the name of the array in a file of several
    `slice_index`, `measurement`, `encoding`, `matrix_lines`: which part of a scan is meant
    """

    lines: _Count | None = None
    readout: _Count | None = None
    first: Literal[0, 1] | None = None
    axis: Literal["rows", "columns"] | None = None
    centre: Literal["middle", "corner"] | None = None
    array: Annotated[str, Field(min_length=1)] = "mask"
    slice_index: Annotated[int, Field(ge=0)] | None = None
    measurement: str | None = None
    encoding: Annotated[int, Field(ge=0)] | None = None
    matrix_lines: _Count | None = None
