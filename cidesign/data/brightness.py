"""What is white in a picture, and whether there is anything to see in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTAINER_BITS = (8, 10, 12, 14, 16)
# So much of the values, on either side, may be hot pixels and dead ones.
OUTSIDE = 0.001
# All the rest within this part of the scale: nothing but rounding and noise.  Below the second, the user is told.
NO_CONTRAST, LOW_CONTRAST = 0.02, 0.1
# A crop is nearly flat when the standard deviation of its values is below this part of the scale.
FLAT_DEVIATION = 0.02
# Told from the first share of nearly flat crops on, refused from the second on.
MANY_FLAT, TOO_MANY_FLAT = 0.2, 0.95
SAMPLE = 1_000_000
FLAT_BATCH = 200


@dataclass(frozen=True)
class Range:
    """The least and the largest value of a picture, and those of all but a thousandth on either side."""

    low: float
    high: float
    inner_low: float
    inner_high: float


def range_of(picture: NDArray[np.generic]) -> Range:
    """The range of the values (H, W); raises `ValueError` for values that cannot be light: not finite, or negative."""
    if picture.dtype.kind == "f" and not np.isfinite(picture).all():
        bad = picture.size - int(np.count_nonzero(np.isfinite(picture)))
        raise ValueError(f"{bad} of its {picture.size} values are not finite")
    low, high = float(picture.min()), float(picture.max())
    if low < 0:
        raise ValueError(f"it holds negative values ({low:g} to {high:g}); images are light, 0 or more: add an offset")
    step = max(1, int((picture.size / SAMPLE) ** 0.5))
    sample = picture[::step, ::step].ravel()
    outside = int(OUTSIDE * sample.size)
    parted = np.partition(sample, (outside, sample.size - 1 - outside))
    return Range(low, high, float(parted[outside]), float(parted[sample.size - 1 - outside]))


def white_level(dtype: np.dtype[np.generic], high: float) -> tuple[float, str, str]:
    """The value of white for pictures of one kind whose largest value is `high`.

    Then remarks where it had to be guessed: one on the kind of files, and one on this file.
    """
    if dtype.kind == "f":
        if high <= 1:
            return 1.0, "", ""
        return high, "", f"its float values go above 1 and are divided by the largest, {high:g}"
    bits = next((bits for bits in CONTAINER_BITS if high < 2**bits), None)
    if bits is None:
        return high, "", f"its integers go above 16 bits and are divided by the largest, {high:g}"
    note = ""
    if dtype.itemsize > 1 and bits < 16:
        note = f"16-bit files that use only {bits} bits are read as {bits}-bit pictures"
    return float(2**bits - 1), note, ""


def contrast(found: Range, white: float) -> float:
    """How much of the scale from black to white all but a thousandth of the values on either side take up."""
    return (found.inner_high - found.inner_low) / white


def without_contrast(found: Range, white: float, integers: bool) -> str:
    """Why there is nothing to see in a picture, with the numbers; "" where there is."""
    if contrast(found, white) >= NO_CONTRAST:
        return ""
    if found.low == found.high:
        return f"no contrast: all of its values are {found.low:g} of {white:g}"
    said = f"no contrast: values {found.low:g} to {found.high:g} of {white:g}"
    if (found.inner_low, found.inner_high) != (found.low, found.high):
        said += f", nearly all of them {found.inner_low:g} to {found.inner_high:g}"
    if integers and found.low == 0 and found.high == 1:
        return f"{said}; a mask of 0 and 1? Multiply it by {white:g}, or save it as bool"
    if integers and found.high * NO_CONTRAST < 1:
        return f"{said}; labels or a dark picture? Spread it over 0 to {white:g}"
    return f"{said}; spread it over the scale"


def flat_share(crops: NDArray[np.uint8]) -> float:
    """Which part of crops (M, ..., n, n), 255 = white, are nearly flat in every channel."""
    flat = 0
    for start in range(0, len(crops), FLAT_BATCH):
        deviation = crops[start : start + FLAT_BATCH].astype(np.float32).std(axis=(-2, -1))
        flat += int((deviation < 255 * FLAT_DEVIATION).reshape(len(deviation), -1).all(axis=1).sum())
    return flat / len(crops)
