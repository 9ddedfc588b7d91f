"""What a file of points leaves open, and its owner knows."""

from typing import Annotated, Literal

from pydantic import Field

from cidesign.pattern import MAX_MATRIX
from cidesign.records import Strict

_Count = Annotated[int, Field(ge=1, le=MAX_MATRIX)]


class PointOptions(Strict):
    """How to read points; None: taken from the file where it leaves one reading, asked for where it does not.

    `readout`      samples of a readout, without oversampling; needed where the file holds no such axis
    `lines`, `partitions`  the matrix; needed for a list of points
    `first`        what the numbers of a list count from: 0 (C, Python) or 1 (MATLAB)
    `axis`         which axis of a mask the lines (ky) are: rows (else those of a BART pattern) or columns
    `centre`       where the centre of k-space lies in a mask: middle (N // 2) or corner (0, as an FFT has it)
    `array`        the name of the array in a file of several
    """

    readout: _Count | None = None
    lines: _Count | None = None
    partitions: _Count | None = None
    first: Literal[0, 1] | None = None
    axis: Literal["rows", "columns"] | None = None
    centre: Literal["middle", "corner"] | None = None
    array: Annotated[str, Field(min_length=1)] = "mask"
