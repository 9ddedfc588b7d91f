"""Arrays that a bench writes (.npy, one-table .csv), read without trusting them."""

import csv
import math
import tokenize
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import read_limited

MAX_ARRAY_FILE_BYTES = 256_000_000
ARRAY_SUFFIXES = (".npy", ".csv")


def read_array(path: Path, what: str) -> NDArray[np.float64]:
    """Read the numbers of a .npy file (any shape) or a .csv table (rows, columns; one column gives one dimension).

    `what` names the array's role in errors.  Raises `FileError` for another format, damage, or non-finite numbers.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return as_numbers(_read_npy(path, what), path, what)
    if suffix == ".csv":
        return as_numbers(_read_csv(path, what), path, what)
    if suffix in (".tif", ".tiff"):
        raise FileError(
            f"{path}: image stacks are not read; a single-pixel detector gives one number per frame, "
            "so write the readings as .npy or as a .csv with one column"
        )
    raise FileError(f"{path}: {what} in a {suffix or 'nameless'} file is not read; use .npy, or .csv with one column")


def as_numbers(array: NDArray[np.generic], path: Path, what: str) -> NDArray[np.float64]:
    """The array as float64; raises `FileError` when it holds no real numbers, or names the first NaN or infinity."""
    if array.dtype.kind not in "iuf":
        raise FileError(f"{path}: {what} holds {array.dtype} values; real numbers are needed")
    numbers = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        index = ", ".join(str(int(i)) for i in np.unravel_index(int(bad[0]), numbers.shape))
        raise FileError(
            f"{path}: {what}[{index}] is {numbers.flat[int(bad[0])]} and {bad.size} of {numbers.size} readings are not "
            "finite; find out why the detector gave no number there, and record again"
        )
    return numbers


def _read_npy(path: Path, what: str) -> NDArray[np.generic]:
    """Like numpy.load without pickle, but the declared size is compared with the file's before memory is taken."""
    import io

    content = read_limited(path, what, MAX_ARRAY_FILE_BYTES)
    stream = io.BytesIO(content)
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, fortran_order, dtype = npy_format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran_order, dtype = npy_format.read_array_header_2_0(stream)
        else:
            raise FileError(f"{path}: {what} has npy version {version}; 1.0 and 2.0 are known")
    # SyntaxError, TypeError and TokenError come from headers that are not the literal they should be.
    except (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError) as error:
        raise FileError(f"{path}: {what} is not a sound npy file ({error})") from error
    if dtype.hasobject:
        raise FileError(f"{path}: {what} holds Python objects, which are never loaded; save an array of numbers")
    rest = content[stream.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise FileError(
            f"{path}: {what} declares shape {shape} of {dtype}, but holds {len(rest)} bytes; is it cut off?"
        )
    flat = np.frombuffer(rest, dtype=dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_csv(path: Path, what: str) -> NDArray[np.float64]:
    content = read_limited(path, what, MAX_ARRAY_FILE_BYTES)
    try:
        text = content.decode("utf-8-sig")
        lines = [(number, cells) for number, cells in enumerate(csv.reader(text.splitlines()), start=1) if cells]
    except (ValueError, csv.Error) as error:
        raise FileError(f"{path}: {what} is not a readable csv file ({error})") from error
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        lines = lines[1:]  # a line of column titles
    if not lines:
        raise FileError(f"{path}: {what} holds no numbers")
    width = len(lines[0][1])
    rows = []
    for number, cells in lines:
        if len(cells) != width:
            raise FileError(f"{path}: line {number} of {what} has {len(cells)} columns, the first has {width}")
        wrong = next((cell for cell in cells if not _is_number(cell)), None)
        if wrong is not None:
            raise FileError(
                f"{path}: line {number} of {what} holds {wrong[:40]!r}, which is not a number; "
                "columns are separated by commas, decimals by a point"
            )
        rows.append([float(cell) for cell in cells])
    table = np.array(rows, dtype=np.float64)
    return table[:, 0] if width == 1 else table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
