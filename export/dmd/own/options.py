"""What a file of patterns leaves open, and its owner knows."""

from typing import Annotated, Literal

from pydantic import Field

from cidesign.orientation import OrientationOptions
from cidesign.pattern import Encoding
from cidesign.records import Positive

AS_STORED = "row 0 of the file is the top of the mirrors, column 0 the left"


class PatternOptions(OrientationOptions):
    """How to read patterns; None: taken from the files where they leave one reading, asked for where they do not.

    `encoding`       complementary, offset or as-shown, see `PatternStack`
    `polarity`       normal: the greater value is an on mirror; inverted: the smaller one is
    `bit_depth`      bits of a pattern; grey values need it
    `white`          the value in the file that is on during the whole exposure (of weights: the value of 1)
    `order`          of flattened patterns: row (row by row, as NumPy) or column (column by column, as MATLAB)
    `axis`           along which axis of an array the patterns lie: first, last, or none (the array is one pattern)
    `planes`         24: a 24-bit picture holds 24 bit planes; 1: it is a picture
    `channels`       GRB or GBR: the colours of the planes 0-7, 8-15 and 16-23
    `transpose`, `flip_vertical`, `flip_horizontal`: of each pattern, in this order
    `array`          the name of the array in a file of several
    """

    encoding: Encoding | None = None
    polarity: Literal["normal", "inverted"] = "normal"
    bit_depth: Annotated[int, Field(ge=1, le=8)] | None = None
    white: Positive | None = None
    order: Literal["row", "column"] | None = None
    axis: Literal["first", "last", "none"] | None = None
    planes: Literal[1, 24] | None = None
    channels: Literal["GRB", "GBR"] | None = None
    array: Annotated[str, Field(min_length=1)] = "patterns"
