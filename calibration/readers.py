"""Arrays that a bench writes, read without trusting them: .npy, .npz, .csv, .mat, TIFF and PNG stacks."""

import csv
import math
import re
import tokenize
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cidesign.calibration.image_stacks import STACK_SUFFIXES, read_image_stack
from cidesign.errors import FileError
from cidesign.files import load_npz, read_limited
from cidesign.matlab import read_every_matrix
from cidesign.records import shown

MAX_ARRAY_FILE_BYTES = 256_000_000
# Files that hold one array.  A .npz holds several by name, so a record must name the one it means.
ARRAY_SUFFIXES = (".npy", ".csv", ".mat", *STACK_SUFFIXES)
# What arrays of a bench are called: a file whose only array has one of these names holds that one and no other.
ROLES = frozenset({"scene", "dark", "white", "flat", "mask", "truth"})
TITLES_OF_COUNTS = re.compile(r"(index|idx|frame|frames|sample|samples|number|no|n|i|#)")
TITLES_OF_TIMES = re.compile(r"(time|timestamp|t|zeit)([ _]?(s|ms|us|µs|ns|sec|seconds))?")
# 1.234 or 1,234: a number with three decimals, or one thousand and more.
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")
# What stands before a decimal comma, and after it.
WHOLE = re.compile(r"[+-]?\d+")
DECIMALS = re.compile(r"\d+([eE][+-]?\d+)?")


def read_array(path: Path, what: str) -> NDArray[np.float64]:
    """Read an array of numbers; `what` names its role (`scene`, `dark`, ...) in files of several and in errors.

    .npy   any shape
    .npz   the array named `what`, or the only one
    .csv   a table (rows, columns); one column gives one dimension, a first column titled as time or index is
           checked and left out; `;` with decimal commas and `#` comments are known
    .mat   (levels 4 to 7.3) the matrix named `what`, or the only one; a row or a column gives one dimension
    .tif, .tiff, .png, or a folder of them with numbers in their names: (H, W), or (frames, H, W) for several

    Raises `FileError` for another format, damage, what could be read in two ways, or non-finite numbers.
    """
    suffix = path.suffix.lower()
    if suffix in STACK_SUFFIXES or path.is_dir():
        return as_numbers(read_image_stack(path, what), path, what)
    if suffix == ".npy":
        return as_numbers(_read_npy(path, what), path, what)
    if suffix == ".npz":
        return as_numbers(_read_npz(path, what), path, what)
    if suffix == ".mat":
        return as_numbers(_read_mat(path, what), path, what)
    if suffix == ".csv":
        return as_numbers(_read_csv(path, what), path, what)
    raise FileError(
        f"{path}: {what} in a {suffix or 'nameless'} file is not read; use .npy, .npz, .csv or .mat, "
        "or 16-bit TIFF or PNG pictures"
    )


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


def _read_npz(path: Path, what: str) -> NDArray[np.generic]:
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(info.file_size for info in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        declared = 0  # load_npz says what is wrong
    if declared > MAX_ARRAY_FILE_BYTES:
        raise FileError(f"{path}: declares {declared} bytes of arrays; at most {MAX_ARRAY_FILE_BYTES} are read")
    arrays = load_npz(path, what, MAX_ARRAY_FILE_BYTES)
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


def _read_csv(path: Path, what: str) -> NDArray[np.float64]:
    content = read_limited(path, what, MAX_ARRAY_FILE_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except ValueError:
        text = content.decode("latin-1")  # titles of a European Excel; numbers are the same
    titles, lines, separator = _csv_cells(path, what, text)
    if not lines:
        raise FileError(f"{path}: {what} holds no numbers")
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise FileError(f"{path}: line {number} of {what} has {len(cells)} columns, the first has {width}")
    if titles and len(titles) != width:
        raise FileError(f"{path}: {what} has {len(titles)} titles over {width} columns; give each column its own")
    if separator == ";":
        lines = _decimal_points(path, what, lines)
    elif width == 2 and not titles and all(WHOLE.fullmatch(a) and DECIMALS.fullmatch(b) for _, (a, b) in lines):
        raise FileError(
            f"{path}: {what} can be two columns, or one with decimal commas ({','.join(lines[0][1])[:40]}); write "
            "decimals with a point, or give each column a title"
        )
    rows = []
    for number, cells in lines:
        wrong = next((cell for cell in cells if not _is_number(cell)), None)
        if wrong is not None:
            raise FileError(
                f"{path}: line {number} of {what} holds {wrong[:40]!r}, which is not a number; "
                "columns are separated by commas and decimals by a point, or by semicolons and a comma"
            )
        rows.append([float(cell) for cell in cells])
    table = _without_clock(path, what, titles, np.array(rows, dtype=np.float64))
    return table[:, 0] if table.shape[1] == 1 else table


_Lines = list[tuple[int, list[str]]]


def _csv_cells(path: Path, what: str, text: str) -> tuple[list[str], _Lines, str]:
    """Titles of the columns, the numbered lines of cells, and the separator; `#` lines are comments.

    The comment just before the first line of numbers holds the titles, as numpy.savetxt writes them, when it has as
    many parts.
    """
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    comments = [(number, line) for number, line in numbered if line.lstrip().startswith("#")]
    body = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    separator = ";" if any(";" in line for _, line in body) else ","
    if body and re.fullmatch(r"sep=.", body[0][1].strip()):
        separator = body.pop(0)[1].strip()[-1]
    try:
        cells = [next(csv.reader([line], delimiter=separator)) for _, line in body]
    except (ValueError, TypeError, csv.Error) as error:
        raise FileError(f"{path}: {what} is not a readable csv file ({error})") from error
    lines = [(number, [cell.strip() for cell in found]) for (number, _), found in zip(body, cells, strict=True)]
    if lines and not any(_is_number(cell.replace(",", ".")) for cell in lines[0][1]):
        return lines[0][1], lines[1:], separator
    before = [line for number, line in comments if lines and number < lines[0][0]]
    titles = [part.strip() for part in before[-1].lstrip().lstrip("#").split(separator)] if before else []
    return (titles if lines and len(titles) == len(lines[0][1]) else []), lines, separator


def _decimal_points(path: Path, what: str, lines: _Lines) -> _Lines:
    """Cells between semicolons with their decimal commas turned into points; what has two meanings is refused."""
    flat = [cell for _, cells in lines for cell in cells]
    commas, points = [cell for cell in flat if "," in cell], [cell for cell in flat if "." in cell]
    if commas and points:
        raise FileError(
            f"{path}: {what} holds {commas[0][:40]!r} and {points[0][:40]!r}: which is the decimal sign? Write no "
            "thousands separators"
        )
    marked = commas or points
    if marked and all(GROUPED.fullmatch(cell) for cell in marked):
        raise FileError(
            f"{path}: {what} holds {marked[0][:40]!r}, which can be a number with three decimals or one of thousands; "
            "write commas between the columns and points for decimals"
        )
    return [(number, [cell.replace(",", ".") for cell in cells]) for number, cells in lines]


def _without_clock(path: Path, what: str, titles: list[str], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table without a first column whose title says time or index; it must rise, an index by one."""
    title = re.sub(r"[(\[].*[)\]]", "", titles[0]).strip().lower() if titles else ""
    counts = TITLES_OF_COUNTS.fullmatch(title) is not None
    if table.shape[1] < 2 or not (counts or TITLES_OF_TIMES.fullmatch(title)):
        return table
    steps = np.diff(table[:, 0])
    # Not `steps <= 0`: a step that is no number is no step either.
    wrong = np.flatnonzero(steps != 1 if counts else ~(steps > 0))
    if wrong.size:
        row = int(wrong[0])
        raise FileError(
            f"{path}: {titles[0][:40]!r} of {what} goes from {table[row, 0]:g} to {table[row + 1, 0]:g} after row "
            f"{row}; readings are missing or out of order, so record again"
        )
    return table[:, 1:]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
