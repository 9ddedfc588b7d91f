"""Image codings of the DLPC900: whole images at a time, without a Python loop over pixels.

Both run-length codings work line by line.  A line is cut into runs of equal pixels; runs are joined to operations
(repeat one pixel, literal pixels, copy from the line above), and the bytes of all operations are placed at once.
Pixels are words: bits 0-7, 8-15 and 16-23 are the three bytes of a pixel in the order of the wire.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Compression = Literal["none", "rle", "erle"]
Words = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_REPEAT, _LITERAL, _COPY = 0, 1, 2


@dataclass(frozen=True)
class Lines:
    """An image's lines (M, columns) that differ from the line above, and for each row which of them it is."""

    words: Words
    of_row: Ints

    @classmethod
    def of(cls, image: Words) -> "Lines":
        """Take an image (rows, columns) apart."""
        new = np.ones(len(image), dtype=bool)
        new[1:] = (image[1:] != image[:-1]).any(axis=1)
        return cls(np.ascontiguousarray(image[new]), np.cumsum(new) - 1)

    @cached_property
    def opens_run(self) -> Flags:
        """Where a pixel differs from the one to its left; the first of each line does."""
        flags = np.ones(self.words.shape, dtype=bool)
        np.not_equal(self.words[:, 1:], self.words[:, :-1], out=flags[:, 1:])
        return flags

    @cached_property
    def same_above(self) -> Flags:
        """Where a pixel equals the one in the line above, which is the line before it in the image too."""
        flags = np.zeros(self.words.shape, dtype=bool)
        np.equal(self.words[1:], self.words[:-1], out=flags[1:])
        return flags


def smallest(image: Words) -> tuple[Compression, bytes]:
    """The shortest of the three codings of an image (rows, columns): its name and its bytes.

    A coding whose lower bound is no shorter than what is there already is not worked out.
    """
    lines = Lines.of(image)
    best: tuple[Compression, bytes] | None = None
    size = len(image) * _row_bytes(image.shape[1])
    runs = np.count_nonzero(lines.opens_run, axis=1)
    # Every run that is not copied takes at least one pixel of 3 bytes, and every new line one byte more.
    if 3 * (int(runs.sum()) - int(np.count_nonzero(lines.same_above))) + len(lines.words) < size:
        content = erle(lines)
        if len(content) < size:
            best, size = ("erle", content), len(content)
    if int((3 * runs + 3)[lines.of_row].sum()) < size:
        content = rle(lines)
        if len(content) < size:
            best = ("rle", content)
    return best or ("none", uncompressed(image))


def uncompressed(image: Words) -> bytes:
    """Rows top-down, three bytes a pixel, each row padded to 16 bytes (TI DLPC900 SDK)."""
    rows, columns = image.shape
    out = np.zeros((rows, _row_bytes(columns)), dtype=np.uint8)
    parts = image.astype("<u4", copy=False).view(np.uint8).reshape(rows, columns, 4)
    for byte in range(3):
        out[:, byte : 3 * columns : 3] = parts[:, :, byte]
    return out.tobytes()


def rle(lines: Lines) -> bytes:
    """Plain run-length coding.

    `n pixel` repeats 1..255 times; `0 c pixels` gives c = 2..255 literal pixels; `0 0` ends a line, which is
    padded to 4 bytes; `0 1` ends the image, which is padded to 16 (TI DLPU018F, RLE; TI DLPC900 SDK).
    """
    operations = _split(_operations(lines, copy=False), 255)
    literal = operations.kind == _LITERAL
    head = np.stack([np.where(literal, 0, operations.length), operations.length], axis=1).astype(np.uint8)
    encoded, ends = _encode(lines.words, operations, head, np.where(literal, 2, 1))
    coded = [line + b"\0\0" + bytes(-(len(line) + 2) % 4) for line in _cut(encoded, ends)]
    content = b"".join([coded[line] for line in lines.of_row.tolist()]) + b"\0\1"
    return content + bytes(-len(content) % 16)


def erle(lines: Lines) -> bytes:
    """Enhanced run-length coding.

    Lengths L(n) take one byte below 128, else `(n & 0x7F) | 0x80, n >> 7`.  `L(n) pixel` repeats; `0 L(n) pixels`
    gives n > 1 literal pixels; `0 1 L(n)` copies n pixels from the line above; `0 1 0` ends the image, which is
    padded to 4 bytes.  No operation crosses a line end (TI DLPU018F Tables 2-109 and 2-110; TI DLPC900 SDK).
    """
    operations = _operations(lines, copy=True)
    kind, length = operations.kind, operations.length
    long = length >= 128
    opening = kind.astype(np.int64)  # bytes before L(n): none for a repeat, 0 for literals, 0 1 for a copy
    head = np.zeros((len(kind), 4), dtype=np.uint8)
    head[kind == _COPY, 1] = 1
    head[np.arange(len(kind)), opening] = np.where(long, length & 0x7F | 0x80, length)
    head[np.flatnonzero(long), opening[long] + 1] = length[long] >> 7
    encoded, ends = _encode(lines.words, operations, head, opening + 1 + long)
    coded = _cut(encoded, ends)
    whole_line = b"\0\1" + length_code(lines.words.shape[1])
    new = np.diff(lines.of_row, prepend=-1) > 0
    rows = [coded[line] if own else whole_line for line, own in zip(lines.of_row.tolist(), new.tolist(), strict=True)]
    content = b"".join(rows) + b"\0\1\0"
    return content + bytes(-len(content) % 4)


def length_code(count: int) -> bytes:
    """L(n) of the enhanced coding for n = 0..32767: 0x1234 -> B4 24."""
    return bytes([count]) if count < 128 else bytes([count & 0x7F | 0x80, count >> 7])


@dataclass(frozen=True)
class _Operations:
    """Operations in order: what, the first pixel (index into the lines laid end to end), and how many pixels."""

    kind: NDArray[np.int8]
    start: Ints
    length: Ints


def _row_bytes(columns: int) -> int:
    return (3 * columns + 15) // 16 * 16


def _operations(lines: Lines, copy: bool) -> _Operations:
    """Join runs: single pixels to literals and, with `copy`, runs found in the line above to copies."""
    start = np.flatnonzero(lines.opens_run)
    length = np.diff(start, append=lines.words.size)
    kind = (length == 1).astype(np.int8)  # literal or repeat
    opens_line = start % lines.words.shape[1] == 0
    if copy:
        copied = np.logical_and.reduceat(lines.same_above.reshape(-1), start)
        group = np.flatnonzero(opens_line | np.diff(copied, prepend=False))
        # A copy of one pixel costs as much as the pixel, and would cut a literal in two.
        worth = np.repeat(np.add.reduceat(length, group) > 1, np.diff(group, append=len(start)))
        kind[copied & worth] = _COPY
    joined = (kind != _REPEAT) & ~opens_line
    joined[1:] &= kind[1:] == kind[:-1]
    first = np.flatnonzero(~joined)
    kind, start, length = kind[first], start[first], np.diff(start[first], append=lines.words.size)
    kind[(kind == _LITERAL) & (length == 1)] = _REPEAT  # one literal pixel cannot be said
    return _Operations(kind, start, length)


def _split(operations: _Operations, longest: int) -> _Operations:
    """Cut operations to at most `longest` pixels; a literal's last single pixel becomes a repeat."""
    pieces = -(-operations.length // longest)
    of = np.repeat(np.arange(len(pieces)), pieces)
    done = longest * (np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
    length = np.minimum(longest, operations.length[of] - done)
    kind = operations.kind[of]
    kind[(kind == _LITERAL) & (length == 1)] = _REPEAT
    return _Operations(kind, operations.start[of] + done, length)


def _encode(words: Words, operations: _Operations, head: Bytes, head_size: Ints) -> tuple[Bytes, Ints]:
    """The bytes of all operations, each its head and then its pixels, and where each line ends in them."""
    literal, repeat = operations.kind == _LITERAL, operations.kind == _REPEAT
    sizes = head_size + 3 * np.where(literal, operations.length, repeat)
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]), dtype=np.uint8)
    is_pixel = np.ones(len(out), dtype=bool)
    for byte in range(head.shape[1]):
        has = head_size > byte
        place = (ends - sizes)[has] + byte
        out[place] = head[has, byte]
        is_pixel[place] = False
    # What is left are pixels, in the order of the image: all of a literal, the first of a repeat.
    shown = np.repeat(literal, operations.length)
    shown[operations.start[repeat]] = True
    pixels = words.reshape(-1)[shown].astype("<u4", copy=False)
    out[is_pixel] = pixels.view(np.uint8).reshape(-1, 4)[:, :3].reshape(-1)
    closes_line = (operations.start + operations.length) % words.shape[1] == 0
    return out, ends[closes_line]


def _cut(encoded: Bytes, ends: Ints) -> list[bytes]:
    content, places = encoded.tobytes(), [0, *ends.tolist()]
    return [content[a:b] for a, b in pairwise(places)]
