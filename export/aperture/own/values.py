"""From the numbers of a file to transmissions of 0 to 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.aperture.drawing import MAX_CELLS
from cidesign.export.aperture.own.options import MaskLevels, MaskOptions

Values = NDArray[np.generic]
# What pictures of 8 and 16 bits call white.
FULL_SCALES = (255, 65_535)
# Transmissions that were stored in single precision after a division miss 0 and 1 by no more.
ROUNDING = 1e-6


def plane_of(values: Values, where: str) -> NDArray[np.float64]:
    """A mask (H, W) as float64; axes of one element are left out.

    Raises `FileError` for what is no real number or no picture, and names the first NaN or infinity.
    """
    if values.dtype.kind not in "biuf":
        raise FileError(f"{where}: holds {values.dtype} values; a transmission is a real number")
    shape = tuple(length for length in values.shape if length != 1)
    if len(shape) == 3:
        axis = int(np.argmin(shape))
        size = " x ".join(str(length) for number, length in enumerate(shape) if number != axis)
        raise FileError(
            f"{where}: a cube of {shape[axis]} bands of {size}; one mask (H, W) is a design. Masks as they are seen in "
            "each band are the `mask` of an instrument file"
        )
    if len(shape) != 2:
        raise FileError(f"{where}: has shape {values.shape}; a mask is (H, W), with more than one row and column")
    if shape[0] * shape[1] > MAX_CELLS:
        raise FileError(f"{where}: {shape[0]} x {shape[1]} code pixels; at most {MAX_CELLS} are read")
    with np.errstate(over="ignore", invalid="ignore"):
        plane = values.reshape(shape).astype(np.float64)
    bad = np.argwhere(~np.isfinite(plane))
    if len(bad):
        row, column = bad[0].tolist()
        raise FileError(
            f"{where}: {len(bad)} of {plane.size} values are not finite, the first {plane[row, column]} at row {row}, "
            f"column {column}; fill what was not measured, or cut it off"
        )
    if plane.min() == plane.max():
        raise FileError(f"{where}: all {plane.size} values are {plane.min():g}; there is no mask in it")
    return plane


def transmission(
    plane: NDArray[np.float64], dtype: np.dtype[Any], options: MaskOptions, where: str
) -> tuple[MaskLevels, list[str]]:
    """The levels (H, W) of a mask as `ApertureMask` has them, and how the values were understood.

    Raises `InputError` where the values can be scaled in several ways, naming them and the option that decides.
    """
    low, high = float(plane.min()), float(plane.max())
    black, white, how = _scale(plane, dtype, options, where)
    scaled = (plane - black) / (white - black)
    outside = int(np.count_nonzero((scaled < -ROUNDING) | (scaled > 1 + ROUNDING)))
    if outside:
        raise InputError(
            f"{where}: {outside} of {plane.size} values are outside {black:g} to {white:g} ({low:g} to {high:g}); a "
            f"transmission is 0 to 1. Give the value of full transmission with --set white={high:g}, and that of "
            f"none with --set black={low:g}, or other ones"
        )
    rounded = int(np.count_nonzero((scaled < 0) | (scaled > 1)))
    levels = np.clip(scaled, 0, 1).astype(np.float32)
    said = [how]
    if rounded:
        said.append(f"{rounded} values outside by less than {ROUNDING:g} are taken as 0 or 1")
    if options.polarity == "inverted":
        levels = np.float32(1) - levels
        said.append("the smaller value lets light pass, as asked for")
    else:
        asked = ", as asked for" if options.polarity else "; --set polarity=inverted says the opposite"
        said.append(f"the greater value lets light pass{asked}")
    if np.any((levels != 0) & (levels != 1)):
        grey = int(np.count_nonzero((levels != 0) & (levels != 1)))
        said.append(
            f"grey: {grey} of {levels.size} code pixels let a part of the light pass, {levels.min():.3g} to "
            f"{levels.max():.3g}, mean {levels.mean(dtype=np.float64):.3f}; no plate can have it, so it is not exported"
        )
        return levels, said
    return levels.astype(np.uint8), [*said, f"binary: {levels.mean(dtype=np.float64):.1%} of the code pixels are open"]


def _scale(
    plane: NDArray[np.float64], dtype: np.dtype[Any], options: MaskOptions, where: str
) -> tuple[float, float, str]:
    """The values of no and of full transmission, and why."""
    low, high = float(plane.min()), float(plane.max())
    if options.white is not None or options.black is not None:
        black = 0.0 if options.black is None else options.black
        white = options.white if options.white is not None else 1.0 if high <= 1 else high
        if not black < white:
            raise InputError(
                f"{where}: --set black={black:g} and white={white:g}: white is the greater one; where the smaller "
                "value lets light pass, add --set polarity=inverted"
            )
        return black, white, f"transmission 0 at {black:g} and 1 at {white:g}, as asked for"
    if low < -ROUNDING:
        raise InputError(
            f"{where}: values from {low:g} to {high:g}; a transmission is 0 to 1. If {low:g} lets no light pass, say "
            f"--set black={low:g} --set white={high:g}; if it is noise around 0, say which value is none"
        )
    if high <= 1 + ROUNDING:
        return 0.0, 1.0, "values are transmissions, 0 to 1"
    for full in FULL_SCALES:
        if high == full and (dtype.kind in "iu" or np.array_equal(plane, np.rint(plane))):
            return 0.0, float(full), f"values are 0 to {full}: {full} is full transmission"
    kind = f"the full scale of {dtype}, {np.iinfo(dtype).max}" if dtype.kind == "u" else "an own full scale"
    raise InputError(
        f"{where}: values from {low:g} to {high:g}: full transmission may be the largest value (--set white={high:g}) "
        f"or {kind} (--set white={np.iinfo(dtype).max if dtype.kind == 'u' else 'VALUE'}); say which"
    )
