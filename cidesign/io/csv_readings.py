"""Readings from text tables, as oscilloscopes, loggers and spreadsheets write them.

Lines before the first line of numbers are titles, units and the instrument's own words; after it, every line is of
numbers.  A first column that is titled as time or index is checked and left out.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import read_limited

TITLES_OF_COUNTS = re.compile(r"(index|idx|frame|frames|sample|samples|sequence|pattern|number|no|n|i|#)")
TITLES_OF_TIMES = re.compile(
    r"(time|timestamp|t|zeit|x|x-axis|second|seconds)([ _]?(s|ms|us|µs|ns|sec|second|seconds))?"
)
TITLES_OF_PAIRS = (re.compile(r"(pos|positive|plus|\+)"), re.compile(r"(neg|negative|minus|-|inverse)"))
# 1.234 or 1,234: a number with three decimals, or one thousand and more.
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+")
# What stands before a decimal comma, and after it; and what may be a number with one.
WHOLE = re.compile(r"[+-]?\d+")
DECIMALS = re.compile(r"\d+([eE][+-]?\d+)?")
LIKE_A_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?")
# As many times tell that they are evenly spaced, and were rounded when they were written.
LEAST_ROUNDED = 8

_Lines = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class _Table:
    """Lines of words above the numbers, the numbered lines of numbers, and the separator."""

    words: list[list[str]]
    lines: _Lines
    separator: str


def read_csv(path: Path, what: str, max_bytes: int) -> NDArray[np.float64]:
    """A table (rows, columns), or (rows,) of one column; columns `positive` and `negative` give pairs in their order.

    UTF-8, UTF-16 and Latin-1; columns between commas, tabs, or semicolons, then with decimal commas; `#` comments.
    Raises `FileError` for what is no table of numbers, or could be read in two ways.
    """
    table = _split(path, what, _text(read_limited(path, what, max_bytes)))
    lines = table.lines
    if table.separator != ",":
        lines = _decimal_points(path, what, lines)
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise FileError(f"{path}: line {number} of {what} has {len(cells)} columns, the first has {width}")
        wrong = next((cell for cell in cells if not _is_number(cell)), None)
        if wrong is not None:
            raise FileError(
                f"{path}: line {number} of {what} holds {wrong[:40]!r}, which is not a number; "
                "columns are separated by commas and decimals by a point, or by semicolons and a comma"
            )
    words = [row for row in table.words if len(row) == width]
    if len(table.words) == 1 and not words:
        raise FileError(
            f"{path}: {what} has {len(table.words[0])} titles over {width} columns; give each column its own"
        )
    if (
        table.separator == ","
        and width == 2
        and not table.words
        and all(WHOLE.fullmatch(a) and DECIMALS.fullmatch(b) for _, (a, b) in lines)
    ):
        raise FileError(
            f"{path}: {what} can be two columns, or one with decimal commas ({','.join(lines[0][1])[:40]}); write "
            "decimals with a point, or give each column a title"
        )
    values = np.array([[float(cell) for cell in cells] for _, cells in lines], dtype=np.float64)
    return _readings(path, what, words, values, instrument=len(table.words) > 1)


def _text(content: bytes) -> str:
    """The text in the encoding that its first bytes show; titles alone depend on it."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if content[1:2] == b"\0" or content[:1] == b"\0":
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return content.decode("utf-8-sig")
    except ValueError:
        return content.decode("latin-1")


def _split(path: Path, what: str, text: str) -> _Table:
    """Cells of the lines, without the columns that are empty all the way down."""
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    comments = [(number, line) for number, line in numbered if line.lstrip().startswith("#")]
    body = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    separator = next((one for one in (";", "\t") if any(one in line for _, line in body)), ",")
    if body and re.fullmatch(r"sep=.", body[0][1].strip("\r\n ")):
        separator = body.pop(0)[1].strip("\r\n ")[-1]
    try:
        rows = [next(csv.reader([line], delimiter=separator)) for _, line in body]
    except (ValueError, TypeError, csv.Error) as error:
        raise FileError(f"{path}: {what} is not a readable csv file ({error})") from error
    lines = [(number, [cell.strip() for cell in row]) for (number, _), row in zip(body, rows, strict=True)]
    beside = _beside_words(lines, separator)
    if beside:
        return _Table([["", ""], ["", ""]], beside, separator)
    first = next((k for k, (_, cells) in enumerate(lines) if _numbers(cells, separator)), len(lines))
    words, data = [cells for _, cells in lines[:first]], lines[first:]
    if not data:
        number, cell = next(((n, c) for n, row in lines for c in row if any(x.isdigit() for x in c)), (0, ""))
        if cell:
            raise FileError(f"{path}: line {number} of {what} holds {cell[:40]!r}, which is not a number")
        raise FileError(f"{path}: {what} holds no numbers")
    used = max(k + 1 for _, cells in data for k, cell in enumerate(cells) if cell)
    data = [(number, cells[:used] if not any(cells[used:]) else cells) for number, cells in data]
    # Titles of columns that stay empty below (Rigol keeps start and increment there) go with them.
    words = [cells[:used] if first > 1 or not any(cells[used:]) else cells for cells in words]
    before = [line for number, line in comments if number < data[0][0]]
    if not words and before:
        titles = [part.strip() for part in before[-1].lstrip().lstrip("#").split(separator)]
        words = [titles] if len(titles) == used else []
    return _Table(words, data, separator)


def _beside_words(lines: _Lines, separator: str) -> _Lines:
    """The numbers of an instrument that writes its settings in columns left of them; else []."""
    width = len(lines[0][1]) if lines else 0
    if len(lines) < 2 or any(len(cells) != width for _, cells in lines) or _numbers(lines[0][1], separator):
        return []
    full = [k for k in range(width) if all(_numbers([cells[k]], separator) for _, cells in lines)]
    if not full or full != list(range(full[0], full[-1] + 1)) or len(full) > 2:
        return []
    return [(number, [cells[k] for k in full]) for number, cells in lines]


def _numbers(cells: list[str], separator: str) -> bool:
    """Whether a line holds numbers and nothing else, empty cells aside."""
    filled = [cell for cell in cells if cell]
    like = separator != ","
    return bool(filled) and all(_is_number(cell) or (like and LIKE_A_NUMBER.fullmatch(cell)) for cell in filled)


def _decimal_points(path: Path, what: str, lines: _Lines) -> _Lines:
    """Cells with their decimal commas turned into points; what has two meanings is refused."""
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


def _plain(title: str) -> str:
    return re.sub(r"[(\[].*[)\]]", "", title).strip().lower()


def _readings(
    path: Path, what: str, words: list[list[str]], values: NDArray[np.float64], instrument: bool
) -> NDArray[np.float64]:
    """The columns that are readings; `instrument`: there are lines of words above that only an instrument writes."""
    titles = [[_plain(row[k]) for row in words] for k in range(values.shape[1])]
    named = next((row[0] for row in words if row[0]), "the first column")
    if values.shape[1] > 1:
        counts = any(TITLES_OF_COUNTS.fullmatch(title) for title in titles[0])
        times = any(TITLES_OF_TIMES.fullmatch(title) for title in titles[0])
        # Without a title, beside one channel, what an instrument writes first is time.
        untitled = instrument and values.shape[1] == 2 and _evenly(values[:, 0])
        if counts or times or untitled:
            _check_clock(path, what, named, values[:, 0], counts and not times)
            values, titles = values[:, 1:], titles[1:]
    if values.shape[1] == 2 and all(
        any(pattern.fullmatch(title) for title in column)
        for pattern, column in zip(TITLES_OF_PAIRS, titles, strict=True)
    ):
        return values.reshape(-1)
    return values[:, 0] if values.shape[1] == 1 else values


def _check_clock(path: Path, what: str, title: str, clock: NDArray[np.float64], counts: bool) -> None:
    """Raise `FileError` unless an index rises by one, and times rise, or are evenly spaced but for their rounding."""
    steps = np.diff(clock)
    # Not `steps <= 0`: a step that is no number is no step either.
    wrong = np.flatnonzero(steps != 1 if counts else ~(steps > 0))
    if wrong.size and (counts or not _evenly(clock)):
        row = int(wrong[0])
        raise FileError(
            f"{path}: {title[:40]!r} of {what} goes from {clock[row]:g} to {clock[row + 1]:g} after row {row}; "
            "readings are missing or out of order, so record again, or delete the column if it means nothing"
        )


def _evenly(clock: NDArray[np.float64]) -> bool:
    """Whether times are evenly spaced, each rounded to no more than the smallest step between them."""
    steps = np.diff(clock)
    if clock.size < LEAST_ROUNDED or not np.isfinite(clock).all() or (steps < 0).any() or not steps.any():
        return False
    even = np.linspace(clock[0], clock[-1], clock.size)
    return bool(np.abs(clock - even).max() <= 1.001 * steps[steps > 0].min())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
