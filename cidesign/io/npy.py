"""Files of measured arrays: which there are, and .npy read without trusting it."""

import math
import tokenize
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, first_line
from cidesign.files import MAX_ARRAY_BYTES, read_npy_header
from cidesign.io.kinds import suffix_of


def find_data(path: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    """The file `path`, or every file below the folder `path` with one of `suffixes`, in a fixed order.

    Raises `FileError` when there is none; `what` is their role in errors.
    """
    if path.is_file():
        if suffix_of(path, suffixes) not in suffixes:
            raise FileError(
                f"{path}: {path.suffix or 'nameless'} files are not read as {what}; use {_listed(suffixes)}"
            )
        return [path]
    if not path.is_dir():
        raise FileError(f"{path}: no such file or folder of {what}; leave --data out for procedural data")
    found = sorted(entry for entry in path.rglob("*") if entry.is_file() and suffix_of(entry, suffixes) in suffixes)
    if not found:
        raise FileError(f"{path}: no {what} below this folder; looked for {_listed(suffixes)}")
    return found


def _listed(suffixes: tuple[str, ...]) -> str:
    return ", ".join(suffixes)


def reason(path: Path, error: Exception) -> str:
    """Why `path` was left out, in one line without its name."""
    return first_line(error).removeprefix(f"{path}: ")


def read_npy(path: Path, what: str) -> NDArray[np.generic]:
    """An array of a .npy file without pickle; its declared size must be the file's, and is checked before memory is
    taken.  Raises `FileError`."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as stream:
            shape, fortran_order, dtype = read_npy_header(stream)
            if dtype.hasobject:
                raise FileError(f"{path}: holds Python objects, which are never loaded; save an array of numbers")
            declared = math.prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or declared != size_bytes - stream.tell() or declared > MAX_ARRAY_BYTES:
                raise FileError(
                    f"{path}: declares shape {shape} of {dtype}, {declared} bytes, but holds "
                    f"{size_bytes - stream.tell()}; at most {MAX_ARRAY_BYTES} are read"
                )
            flat = np.frombuffer(stream.read(declared), dtype=dtype)
    # SyntaxError, TypeError and TokenError come from headers that are not the literal they should be.
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError) as error:
        raise FileError(f"{path}: this {what} is not a sound npy file ({first_line(error)})") from error
    return flat.reshape(shape, order="F" if fortran_order else "C")
