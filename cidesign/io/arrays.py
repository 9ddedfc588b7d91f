"""Arrays that a bench writes, read without trusting them: .npy, .npz, .csv, .mat, TIFF and PNG stacks."""

import io
import math
import tokenize
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, first_line
from cidesign.files import load_npz, read_limited, read_npy_header
from cidesign.io.csv_readings import read_csv
from cidesign.io.mat import read_every_matrix
from cidesign.io.pictures import STACK_SUFFIXES, read_image_stack
from cidesign.records import shown

MAX_ARRAY_FILE_BYTES = 256_000_000
# Files that hold one array.  A .npz holds several by name, so a record must name the one it means.
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
ARRAY_SUFFIXES = (".npy", *TABLE_SUFFIXES, ".mat", *STACK_SUFFIXES)
# What arrays of a bench are called: a file whose only array has one of these names holds that one and no other.
ROLES = frozenset({"scene", "dark", "white", "flat", "mask", "truth"})


def read_array(path: Path, what: str) -> NDArray[np.float64]:
    """Read an array of numbers; `what` names its role (`scene`, `dark`, ...) in files of several and in errors.

    .npy   any shape
    .npz   the array named `what`, or the only one
    .csv   a table (rows, columns); one column gives one dimension, a first column titled as time or index is
           checked and left out (`csv_readings`); .tsv and .txt likewise
    .mat   (levels 4 to 7.3) the matrix named `what`, or the only one; a row or a column gives one dimension
    .tif, .tiff, .png, or a folder of them with numbers in their names: (H, W), or (frames, H, W) for several

    Raises `FileError` for another format, damage, what could be read in two ways, or non-finite numbers.
    """
    suffix = path.suffix.lower()
    if suffix in STACK_SUFFIXES or path.is_dir():
        return as_numbers(read_image_stack(path, what), path, what)
    if suffix in (".npy", ".npz", ".mat"):
        return as_numbers(read_stored(path, what), path, what)
    if suffix in TABLE_SUFFIXES:
        return as_numbers(read_csv(path, what, MAX_ARRAY_FILE_BYTES), path, what)
    raise FileError(
        f"{path}: {what} in a {suffix or 'nameless'} file is not read; use .npy, .npz, .csv or .mat, "
        "or 16-bit TIFF or PNG pictures"
    )


def read_stored(path: Path, what: str, max_bytes: int = MAX_ARRAY_FILE_BYTES) -> NDArray[np.generic]:
    """The array of a .npy, .npz or .mat file in the type it is stored in, of at most `max_bytes`; see `read_array`."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _read_npy(path, what, max_bytes)
    if suffix == ".npz":
        return _read_npz(path, what, max_bytes)
    if suffix == ".mat":
        return _read_mat(path, what)
    raise FileError(f"{path}: {what} in a {suffix or 'nameless'} file is not read; use .npy, .npz or .mat")


def float64_of(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """The array as float64, without NumPy's warning at the signalling NaNs that damaged files hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float64)


def as_numbers(array: NDArray[np.generic], path: Path, what: str) -> NDArray[np.float64]:
    """The array as float64; raises `FileError` when it holds no real numbers, or names the first NaN or infinity."""
    if array.dtype.kind not in "iuf":
        raise FileError(f"{path}: {what} holds {array.dtype} values; real numbers are needed")
    numbers = float64_of(array)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        index = ", ".join(str(int(i)) for i in np.unravel_index(int(bad[0]), numbers.shape))
        raise FileError(
            f"{path}: {what}[{index}] is {numbers.flat[int(bad[0])]} and {bad.size} of {numbers.size} readings are not "
            "finite; find out why the detector gave no number there, and record again"
        )
    return numbers


def _read_npy(path: Path, what: str, max_bytes: int) -> NDArray[np.generic]:
    """Like numpy.load without pickle, but the declared size is compared with the file's before memory is taken."""
    content = read_limited(path, what, max_bytes)
    stream = io.BytesIO(content)
    try:
        shape, fortran_order, dtype = read_npy_header(stream)
    # SyntaxError, TypeError and TokenError come from headers that are not the literal they should be.
    except (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError) as error:
        raise FileError(f"{path}: {what} is not a sound npy file ({first_line(error)})") from error
    if dtype.hasobject:
        raise FileError(f"{path}: {what} holds Python objects, which are never loaded; save an array of numbers")
    rest = content[stream.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise FileError(
            f"{path}: {what} declares shape {shape} of {dtype}, but holds {len(rest)} bytes; is it cut off?"
        )
    flat = np.frombuffer(rest, dtype=dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_npz(path: Path, what: str, max_bytes: int) -> NDArray[np.generic]:
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(info.file_size for info in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        declared = 0  # load_npz says what is wrong
    if declared > max_bytes:
        raise FileError(f"{path}: declares {declared} bytes of arrays; at most {max_bytes} are read")
    arrays = load_npz(path, what, max_bytes)
    return arrays[_chosen(path, what, tuple(arrays), ())]


def _read_mat(path: Path, what: str) -> NDArray[np.generic]:
    matrices, others = read_every_matrix(path)
    if what in others:
        raise FileError(f"{path}: `{what}` is {others[what]}; a real numeric matrix is needed")
    matrix = matrices[_chosen(path, what, tuple(matrices), tuple(others))]
    return matrix.reshape(-1) if matrix.ndim == 2 and 1 in matrix.shape else matrix


def _chosen(path: Path, what: str, names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """The name of the array that `what` means in a file: its own, or the only one that is there.

    What lies in a structure (`scan.scene`) counts where nothing outside does.
    """
    if what in names:
        return what
    own = [name for name in names if name.endswith(f".{what}")]
    if len(own) == 1:
        return own[0]
    outer = [name for name in names if not set(".{") & set(name)] or list(names)
    if len(outer) == 1 and outer[0].rpartition(".")[2] not in ROLES:
        return outer[0]
    unread = f" (and {shown(others)}, which hold no real numbers)" if others else ""
    raise FileError(
        f"{path}: holds no array {what!r}, only {shown(names)}{unread}; name the one that is meant {what!r}"
    )
