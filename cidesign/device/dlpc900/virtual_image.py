"""The image decoder of the virtual DLPC900, written from TI's description alone; shares no code with the export.

An image block is a 48-byte header ('Spld'; TI DLPU018F Table 2-106) and data in one of three codings: rows padded to
16 bytes, run-length (Table 2-107), enhanced run-length (Table 2-109).  Three bytes a pixel, planes 16-23 first.
It is stricter than the documents where they are vague: what passes here should pass the real one.
"""

import struct

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 48
_HEADER = struct.Struct("<4sHHI8s4sBBB21s")
_RAW, _RLE, _ERLE = 0, 1, 2
_MAX_PADDING = 15

Words = NDArray[np.uint32]


class BadImage(Exception):
    """The block cannot be shown; `code` is the controller's error code for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class _Pixels:
    """The raster being filled: `columns` x `rows` pixels of three bytes."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.line_bytes = 3 * columns
        self.data = bytearray(self.line_bytes * rows)
        self.at = 0

    def put(self, content: bytes) -> None:
        """Append pixels that do not cross the end of a line."""
        if self.at % self.line_bytes + len(content) > self.line_bytes or self.at >= len(self.data):
            raise BadImage(9, f"line {self.at // self.line_bytes} is written past its end")
        self.data[self.at : self.at + len(content)] = content
        self.at += len(content)

    def copy(self, count: int) -> None:
        """Repeat `count` pixels of the line above."""
        if self.at < self.line_bytes:
            raise BadImage(9, "line 0 copies from a line above it")
        above = self.at - self.line_bytes
        self.put(bytes(self.data[above : above + 3 * count]))


class _Source:
    """The coded bytes, read from the front."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        part = self.content[self.at : self.at + count]
        if len(part) < count:
            raise BadImage(9, "the data end before the end-of-image mark")
        self.at += count
        return part

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def length(self) -> int:
        """A length of the enhanced coding: one byte below 128, else two with 7 + 8 bits."""
        low = self.byte()
        return low if low < 128 else low & 0x7F | self.byte() << 7

    def align(self, size: int) -> None:
        """Skip to a multiple of `size` bytes."""
        self.take(-self.at % size)

    def finish(self) -> None:
        """Nothing but padding may be left."""
        rest = self.content[self.at :]
        if len(rest) > _MAX_PADDING or any(rest):
            raise BadImage(9, f"{len(rest)} bytes follow the end-of-image mark")


def decode_block(content: bytes, columns: int, rows: int) -> Words:
    """The 24-bit words (rows, columns) of an image block; bit p is plane p.  Raises `BadImage`.

    Memory is taken only after the header names exactly `columns` x `rows`.
    """
    if len(content) < HEADER_BYTES:
        raise BadImage(6, f"{len(content)} bytes hold no image header")
    signature, width, height, size, filler, _, pixel_format, coding, order, _ = _HEADER.unpack_from(content)
    data = content[HEADER_BYTES:]
    if signature != b"Spld" or filler != b"\xff" * 8 or pixel_format > 1 or order != 1:
        raise BadImage(6, "image header")
    if (width, height) != (columns, rows):
        raise BadImage(6, f"image of {width} x {height}, this controller drives {columns} x {rows}")
    if size not in (len(data), len(content)):
        raise BadImage(6, f"image header claims {size} bytes, {len(data)} came")
    if coding == _RAW:
        return _words(_decode_raw(data, columns, rows), columns, rows)
    if coding not in (_RLE, _ERLE):
        raise BadImage(9, f"compression {coding}")
    pixels = _Pixels(columns, rows)
    source = _Source(data)
    (_decode_rle if coding == _RLE else _decode_erle)(source, pixels)
    if pixels.at != len(pixels.data):
        raise BadImage(9, f"the image ends in line {pixels.at // pixels.line_bytes}")
    source.finish()
    return _words(pixels.data, columns, rows)


def _decode_raw(data: bytes, columns: int, rows: int) -> bytes:
    row_bytes = (3 * columns + 15) // 16 * 16
    if len(data) != row_bytes * rows:
        raise BadImage(6, f"{len(data)} bytes of pixels, {row_bytes * rows} are needed")
    padded = np.frombuffer(data, dtype=np.uint8).reshape(rows, row_bytes)
    return padded[:, : 3 * columns].tobytes()


def _decode_rle(source: _Source, pixels: _Pixels) -> None:
    line = 0
    while True:
        count = source.byte()
        if count:
            if pixels.at == (line + 1) * pixels.line_bytes:
                raise BadImage(9, f"line {line} is written past its end")
            pixels.put(source.take(3) * count)
            continue
        literal = source.byte()
        if literal == 1:
            return
        if literal:
            pixels.put(source.take(3 * literal))
            continue
        line += 1
        if pixels.at != line * pixels.line_bytes:
            raise BadImage(9, f"line {line - 1} ends early")
        source.align(4)


def _decode_erle(source: _Source, pixels: _Pixels) -> None:
    while True:
        count = source.length()
        if count:
            pixels.put(source.take(3) * count)
            continue
        count = source.length()
        if count == 0:
            if pixels.at % pixels.line_bytes:
                raise BadImage(9, f"line {pixels.at // pixels.line_bytes} ends early")
        elif count == 1:
            copied = source.length()
            if copied == 0:
                return
            pixels.copy(copied)
        else:
            pixels.put(source.take(3 * count))


def _words(pixels: bytes | bytearray, columns: int, rows: int) -> Words:
    groups = np.frombuffer(pixels, dtype=np.uint8).reshape(rows, columns, 3).astype(np.uint32)
    return groups[..., 0] << np.uint32(16) | groups[..., 1] << np.uint32(8) | groups[..., 2]
