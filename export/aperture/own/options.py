"""What a file of a mask leaves open, and its owner knows."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.orientation import OrientationOptions
from cidesign.records import Finite, Positive

AS_STORED = "row 0 of the file is the top of the image, column 0 its left"
MaskLevels = NDArray[np.uint8] | NDArray[np.float32]


class MaskOptions(OrientationOptions):
    """How to read a mask; None: taken from the file where it leaves one reading, asked for where it does not.

    `pitch_um`       the side of one code pixel on the plate; None: the layout's grid, or the profile's pitch
    `polarity`       normal: the greater value, or what a layout draws, lets light pass; inverted: it blocks light
    `white`, `black` the values in the file of full and of no transmission
    `transpose`, `flip_vertical`, `flip_horizontal`: in this order
    `array`          the name of the array in a file of several
    `cell`           the cell of a layout that is the mask, where several may be meant
    `layer`          the layer of a layout that is the mask, as 1/0, where there are several
    """

    pitch_um: Positive | None = None
    polarity: Literal["normal", "inverted"] | None = None
    white: Finite | None = None
    black: Finite | None = None
    array: Annotated[str, Field(min_length=1)] = "mask"
    cell: Annotated[str, Field(min_length=1)] | None = None
    layer: Annotated[str, Field(pattern=r"^[0-9]{1,9}/[0-9]{1,9}$")] | None = None
