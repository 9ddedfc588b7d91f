"""Targets to hold before a single-pixel camera: what calibration expects to see on them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DARK, GREY, BRIGHT = 0.05, 0.2, 0.9


def f_card(side: int) -> NDArray[np.float64]:
    """An F on grey with a black frame, (n, n), reflectance 0 to 1: none of the 8 orientations leaves it as it is.

    The frame keeps what lies beyond the card out of the readings; the strokes differ in length, and a dot stands in one
    corner, so that half of the field suffices to tell the orientation.
    """
    card = np.full((side, side), DARK)
    edge = max(side // 12, 1)
    card[edge : side - edge, edge : side - edge] = GREY
    stroke = max(side // 8, 1)
    top, left, bottom = side // 5, side // 4, side - side // 5
    card[top:bottom, left : left + stroke] = BRIGHT
    card[top : top + stroke, left : left + side // 2] = BRIGHT
    middle = side // 2 - stroke // 2
    card[middle : middle + stroke, left : left + side // 3] = BRIGHT
    dot = slice(side - edge - 2 * stroke, side - edge - stroke)
    card[dot, dot] = DARK
    return card


def card_png(side: int, pixels_per_superpixel: int = 32) -> bytes:
    """The F card to print, as an 8-bit grey PNG; level = 255 x reflectance."""
    levels = np.rint(255 * f_card(side)).astype(np.uint8)
    enlarged = np.kron(levels, np.ones((pixels_per_superpixel, pixels_per_superpixel), dtype=np.uint8))
    target = io.BytesIO()
    Image.fromarray(enlarged).save(target, format="PNG")
    return target.getvalue()
