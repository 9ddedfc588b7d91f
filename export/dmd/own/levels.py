"""From the numbers of a file to the levels of mirrors: two values, signed weights, or grey."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.dmd.own.options import PatternOptions


class Levels(NamedTuple):
    """Levels (K, H, W), uint8; `signed`: the file holds weights of both signs, of which 0 is half way."""

    levels: NDArray[np.uint8]
    bit_depth: int
    signed: bool
    said: tuple[str, ...]


def to_levels(values: NDArray[np.generic], full: int | None, options: PatternOptions, where: str) -> Levels:
    """The levels that values (K, H, W) stand for; `full`: the value of white in their format, None where it has none.

    Raises `FileError` for NaN and infinity, and `InputError` for grey without a bit depth, or where more than one
    value can be white.
    """
    if values.dtype.kind == "f" and not all(bool(np.isfinite(one).all()) for one in values):
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise FileError(f"{where}: the value at {bad} is {values[bad]}; every pixel of a pattern needs a number")
    values = values.view(np.uint8) if values.dtype == np.bool_ else values
    low, high = values.min(), values.max()
    two = all(bool(((one == low) | (one == high)).all()) for one in values)
    if two and options.white is None and options.bit_depth in (None, 1):
        return _two_valued(values, full, options)
    if options.bit_depth in (None, 1):
        few = "no picture of black and white" if options.bit_depth is None else "more than 1 bit shows"
        raise InputError(
            f"{where}: holds grey values between {low:g} and {high:g}, {few}; say how many bits they take "
            "(`--set bit_depth=8`), or threshold them before"
        )
    return _grey(values, full, options, where)


def _two_valued(values: NDArray[np.generic], full: int | None, options: PatternOptions) -> Levels:
    low, high = float(values.min()), float(values.max())
    signed = low < 0 and (low == -high or low == high)
    if low == high:
        # One value: black, or white; of weights, -1 or +1.
        on = high > 0
        levels = np.full(values.shape, on, dtype=np.uint8)
        said = f"all values are {high:g}, which is {'on' if on else 'off'}"
    else:
        levels = (values == values.max()).astype(np.uint8)
        said = f"two values: {_number(high)} is on, {_number(low)} is off"
        if full is not None and 1 < high < full:
            said += f" (white would be {full})"
    if options.polarity == "inverted":
        levels = 1 - levels
        said += ", then on and off exchanged, as asked for (polarity=inverted)"
    return Levels(levels, 1, signed, (said,))


def _grey(values: NDArray[np.generic], full: int | None, options: PatternOptions, where: str) -> Levels:
    bits = options.bit_depth or 1
    most = 2**bits - 1
    low, high = float(values.min()), float(values.max())
    signed = low < 0
    white = _white(max(abs(low), abs(high)), values, full, options, where)
    if max(abs(low), abs(high)) > white:
        raise InputError(
            f"{where}: holds {max(-low, high):g}, above white ({white:g}); nothing is clipped, say which value is all "
            f"on (`--set white={max(abs(low), abs(high)):g}`)"
        )
    levels = np.empty(values.shape, dtype=np.uint8)
    largest = 0.0
    for level, one in zip(levels, values, strict=True):
        exact = one.astype(np.float64) / white
        exact = most * (0.5 * (exact + 1) if signed else exact)
        nearest = np.round(exact)
        largest = max(largest, float(np.abs(exact - nearest).max()))
        level[...] = nearest
    scale = f"-{white:g} is level 0, +{white:g} level {most}" if signed else f"0 is level 0, {white:g} level {most}"
    said = [f"grey values between {low:g} and {high:g} as {bits} bit: {scale}"]
    if largest > 1e-6:
        said.append(f"values were rounded to the nearest level, by up to {largest:.2g} of a level")
    if options.polarity == "inverted":
        levels = np.uint8(most) - levels
        said.append("levels were inverted, as asked for (polarity=inverted)")
    return Levels(levels, bits, signed, tuple(said))


def _white(largest: float, values: NDArray[np.generic], full: int | None, options: PatternOptions, where: str) -> float:
    """The value that is fully on; raises `InputError` where two values can be."""
    if options.white is not None:
        return options.white
    most = 2 ** (options.bit_depth or 1) - 1
    if values.min() < 0 or values.dtype.kind == "f":
        candidates = {1.0} if largest <= 1 else {largest}
        asked = largest > 1
    else:
        top = full or (255 if largest <= 255 else None)
        candidates = {float(top or largest)} | ({float(most)} if largest <= most else set())
        asked = len(candidates) > 1 or top is None
    if asked:
        ways = " or ".join(f"`--set white={value:g}`" for value in sorted(candidates))
        raise InputError(f"{where}: the values go up to {largest:g}; say which value is fully on: {ways}")
    return candidates.pop()


def _number(value: float) -> str:
    return f"{value:+g}" if value < 0 else f"{value:g}"
