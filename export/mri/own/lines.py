"""From the numbers of a file to the lines that are measured, of how many, and with how many samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.mri.own.arrays import is_mask, real_numbers, refuse_settings
from cidesign.export.mri.own.options import LineOptions
from cidesign.pattern import MAX_MATRIX, centre_block

_LISTED = 8


class Lines(NamedTuple):
    """`acquired` (L,), rising, of `lines`; `readout` None where the file does not say it; and how it was understood."""

    acquired: NDArray[np.int64]
    lines: int
    readout: int | None
    said: tuple[str, ...]


def lines_of(values: NDArray[np.generic], where: str, options: LineOptions, bart: bool = False) -> Lines:
    """The lines of an array: a list of line numbers, a mask of lines (N,), or a mask of points (H, W).

    `bart`: axis 0 of two is the readout.  Raises `FileError` for what names no lines of a 2-D scan, `InputError` where
    it can be read in several ways, naming them and the option that decides.
    """
    numbers = real_numbers(values, where, "lines")
    if not is_mask(values, numbers):
        if numbers.ndim != 1:
            raise FileError(
                f"{where}: shape {values.shape} with values {numbers.min():g} to {numbers.max():g}; a list of line "
                "numbers has one axis, and a mask holds 0 and 1 alone (weights are no lines)"
            )
        refuse_settings(where, "a list of line numbers", axis=options.axis, centre=options.centre)
        return _of_list(numbers, where, options)
    refuse_settings(where, "a mask", first=options.first)
    mask = numbers.astype(bool)
    if not mask.any():
        raise FileError(f"{where}: measures no line")
    if mask.ndim == 1:
        refuse_settings(where, "a mask of lines", axis=options.axis)
        along, readout, said = mask, None, [f"a mask of {len(mask)} lines: 1 is measured"]
    else:
        along, readout, said = _of_points(mask, where, options, bart)
    if options.lines is not None and options.lines != len(along):
        raise InputError(f"--set lines={options.lines}: {where} is a mask of {len(along)} lines; leave it out")
    along, told = _centred(along, where, options)
    return Lines(np.flatnonzero(along).astype(np.int64), len(along), readout, (*said, told))


def _of_list(numbers: NDArray[np.float64], where: str, options: LineOptions) -> Lines:
    whole = np.rint(numbers).astype(np.int64)
    if np.any(whole != numbers) or np.abs(numbers).max() > MAX_MATRIX:
        raise FileError(f"{where}: {numbers[whole != numbers][:1].tolist() or numbers.max()} is no line number")
    unique, counts = np.unique(whole, return_counts=True)
    if (counts > 1).any():
        raise FileError(f"{where}: lines {_listed(unique[counts > 1])} occur more than once; a design names each once")
    if options.lines is None:
        raise InputError(
            f"{where}: a list of {len(unique)} lines, {unique[0]} to {unique[-1]}; of how many? --set lines=N"
        )
    count = options.lines
    offset, told = _offset(unique, count, where, options)
    acquired = unique + offset
    said = [f"a list of {len(unique)} of {count} lines, {told}"]
    if np.any(np.diff(whole) < 0):
        said.append("the order in which the file names them is no part of a design: they rise")
    return Lines(acquired, count, None, tuple(said))


def _offset(found: NDArray[np.int64], count: int, where: str, options: LineOptions) -> tuple[int, str]:
    """What is added to the numbers of a list to count from 0."""
    low, high = int(found[0]), int(found[-1])
    if low < 0:
        if options.first is not None:
            raise InputError(f"--set first={options.first}: {where} has negative numbers; leave it out")
        if low < -(count // 2) or high > count - 1 - count // 2:
            raise InputError(
                f"{where}: lines {low} to {high} counted from the centre are outside -{count // 2} to "
                f"{count - 1 - count // 2} of {count} lines; is --set lines={count} right?"
            )
        return count // 2, f"counted from the centre of k-space, which is line {count // 2} from 0"
    fits = [first for first in (0, 1) if first <= low and high < count + first]
    if not fits or (options.first is not None and options.first not in fits):
        raise InputError(f"{where}: lines {low} to {high} are not among {count} counted from {options.first or 0}")
    if options.first is None and len(fits) == 2:
        raise InputError(
            f"{where}: lines {low} to {high} of {count} fit counting from 0 (--set first=0, centre line {count // 2}) "
            f"and from 1 (--set first=1, centre line {count // 2 + 1}); say which"
        )
    first = fits[0] if options.first is None else options.first
    asked = ", as asked for" if options.first is not None else f": {'0' if not first else count} is among them"
    return -first, f"counted from {first}{asked}"


def _of_points(
    mask: NDArray[np.bool_], where: str, options: LineOptions, bart: bool
) -> tuple[NDArray[np.bool_], int, list[str]]:
    """A mask of points (H, W) that is constant along the readout: its lines, and the samples of one."""
    height, width = mask.shape
    by_row, by_column = bool((mask == mask[:, :1]).all()), bool((mask == mask[:1]).all())
    axis = "columns" if bart and options.axis is None else options.axis
    if not (by_row or by_column):
        rows, columns = (
            np.flatnonzero((mask != mask[:, :1]).any(axis=1)),
            np.flatnonzero((mask != mask[:1]).any(axis=0)),
        )
        raise FileError(
            f"{where}: is not Cartesian lines: of {height} x {width}, rows {_listed(rows)} are measured in part, "
            f"and so are columns {_listed(columns)}; a 2-D scan can only skip whole phase-encode lines. Use a mask "
            "that is constant along the readout, or take it as the points (ky, kz) of a 3-D scan: --set sampling=points"
        )
    if axis is None:
        if by_row and by_column:
            raise InputError(
                f"{where}: all {height} x {width} points are measured; are the phase-encode lines its {height} rows "
                f"(--set axis=rows) or its {width} columns (--set axis=columns)?"
            )
        axis = "rows" if by_row else "columns"
        why = "the mask is constant along the other axis"
    else:
        why = "as BART has it" if options.axis is None else "as asked for"
    if not (by_row if axis == "rows" else by_column):
        other = "columns" if axis == "rows" else "rows"
        raise FileError(
            f"{where}: along its {axis} the mask is not lines, along its {other} it is: parts of the readout are "
            f"skipped. Are the phase-encode lines its {other}? --set axis={other}"
        )
    along, readout = (mask[:, 0], width) if axis == "rows" else (mask[0], height)
    if options.readout is not None and options.readout != readout:
        raise InputError(f"--set readout={options.readout}: {where} has {readout} points along a line; leave it out")
    text = f"a mask of {height} x {width} points: its {axis} are the {len(along)} phase-encode lines ({why}), "
    return along, readout, [f"{text}a line has {readout} samples"]


def _centred(along: NDArray[np.bool_], where: str, options: LineOptions) -> tuple[NDArray[np.bool_], str]:
    """The mask with the centre of k-space on line N // 2."""
    count = len(along)
    if options.centre == "corner":
        return np.fft.fftshift(
            along
        ), f"line 0 of the file is the centre of k-space, as asked for; here it is {count // 2}"
    if options.centre is None and not along[count // 2] and along[0]:
        raise InputError(
            f"{where}: line {count // 2}, where the centre of k-space should be, is not measured, and line 0 is; is "
            "the mask in the order of an FFT (--set centre=corner), or is the centre left out (--set centre=middle)?"
        )
    asked = ", as asked for" if options.centre else ""
    return along, f"the centre of k-space is line {count // 2}, counted from 0{asked}"


def calibration_lines(acquired: NDArray[np.int64], lines: int) -> int:
    """The largest block around the centre (`centre_block`) that is wholly measured; 0 where the centre is not."""
    measured = set(acquired.tolist())
    count = 0
    while count < lines and set(centre_block(lines, count + 1)) <= measured:
        count += 1
    return count


def _listed(numbers: NDArray[np.int64]) -> str:
    text = ", ".join(str(number) for number in numbers[:_LISTED].tolist())
    return f"{text} ..." if len(numbers) > _LISTED else text
