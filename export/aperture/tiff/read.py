"""Reads 1-bit TIFF masks, whoever saved them; shares no code with the writer and never takes what it reads on trust.

Strips without compression, PackBits and Deflate are streamed; other codecs go through Pillow, within its size limit.
"""

import warnings
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from cidesign.constraints.aperture import Cells
from cidesign.errors import FileError
from cidesign.export.aperture.drawing import MAX_CELLS
from cidesign.export.aperture.tiff.pages import Page, exactly, the_drawing

_COMPRESSIONS = {1: "none", 8: "deflate", 32946: "deflate", 32773: "packbits"}
_CODEC_NAMES = {2: "CCITT RLE", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 7: "JPEG"}
_NM_PER_UNIT = {2: 25_400_000, 3: 10_000_000}
_MAX_SIDE, _MAX_ROW_STORE = 1_000_000, 400_000_000


class TiffMask(NamedTuple):
    """What a TIFF holds: cells in pixels (1 where the bit is 1, row 0 on top), the pixel, and its description.

    `others` names the pages that say that they are not the drawing; nothing of them was looked at.
    """

    cells_px: Cells
    pixel_nm: float
    columns: int
    rows: int
    description: str
    compression: str
    others: tuple[str, ...] = ()


def read_tiff(path: Path) -> TiffMask:
    """Read a mask; raises `FileError` for anything whose size, tone or orientation would have to be guessed."""
    try:
        with path.open("rb") as stream:
            tags, others = the_drawing(stream, path)
            columns, rows = (tags.need(tag, name)[0] for tag, name in ((256, "width"), (257, "height")))
            _refuse_ambiguous(tags, columns, rows)
            pixel_nm = _pixel_nm(tags)
            store = _RowStore(path, columns)
            for row in _rows(stream, tags, columns, rows):
                store.add(row)
    except OSError as error:
        raise FileError(f"{path}: this TIFF cannot be read ({error.strerror or error})") from error
    compression = _COMPRESSIONS.get(tags.one(259, 1), "other")
    return TiffMask(store.cells(), pixel_nm, columns, rows, tags.texts.get(270, ""), compression, others)


def _refuse_ambiguous(tags: Page, columns: int, rows: int) -> None:
    path = tags.path
    if not (0 < columns <= _MAX_SIDE and 0 < rows <= _MAX_SIDE):
        raise FileError(f"{path}: {columns} x {rows} pixels; a mask has 1 to {_MAX_SIDE} a side")
    bits, samples = tags.one(258, 1), tags.one(277, 1)
    if bits != 1 or samples != 1:
        raise FileError(
            f"{path}: {samples} sample(s) of {bits} bits a pixel; a mask has one bit, so that no grey value has to be "
            "guessed to be 0 or 1. Save it as bilevel"
        )
    photometric = tags.one(262, -1)
    if photometric == 0:
        raise FileError(
            f"{path}: PhotometricInterpretation is 0 (WhiteIsZero). Some programs show the bits of such a file, others "
            "their inverse, so open and chrome could be swapped; save it as BlackIsZero (1)"
        )
    if photometric != 1:
        shown = "missing" if photometric < 0 else str(photometric)
        raise FileError(f"{path}: PhotometricInterpretation is {shown}; a mask is BlackIsZero (1)")
    if tags.one(274, 1) != 1:
        raise FileError(
            f"{path}: Orientation is {tags.one(274, 1)}; some programs flip such a file, others do not. Save it with 1 "
            "(first row on top)"
        )
    if tags.one(266, 1) != 1:
        raise FileError(f"{path}: FillOrder is {tags.one(266, 1)}, which few programs read; save it with 1")
    if 322 in tags.values or 324 in tags.values:
        raise FileError(f"{path}: the image is stored in tiles, which mask converters do not read; save it in strips")


def _pixel_nm(tags: Page) -> float:
    unit = tags.one(296, 2)
    x, y = tags.values.get(282, ()), tags.values.get(283, ())
    if unit not in _NM_PER_UNIT or len(x) != 2 or len(y) != 2 or 0 in (*x, *y):
        raise FileError(
            f"{tags.path}: no resolution is in this TIFF, so the size of the mask is not known; save it with pixels "
            "per centimetre or inch"
        )
    if Fraction(*x) != Fraction(*y):
        raise FileError(
            f"{tags.path}: {float(Fraction(*x)):g} pixels along x and {float(Fraction(*y)):g} along y, a unit of "
            "length; a code pixel is a square"
        )
    return float(_NM_PER_UNIT[unit] / Fraction(*x))


def _rows(stream: BinaryIO, tags: Page, columns: int, rows: int) -> Iterator[bytes]:
    """The packed rows from top to bottom, the first pixel in the highest bit."""
    codec = tags.one(259, 1)
    if codec not in _COMPRESSIONS:
        yield from _pillow_rows(tags, codec)
        return
    row_bytes = -(-columns // 8)
    per_strip = min(tags.one(278, rows), rows)
    if per_strip < 1:
        raise FileError(f"{tags.path}: strips of {per_strip} rows; this TIFF is damaged")
    offsets, counts = tags.need(273, "strip offsets"), tags.need(279, "strip lengths")
    expected = -(-rows // per_strip)
    if len(offsets) != expected or len(counts) != expected:
        raise FileError(f"{tags.path}: {len(offsets)} strips, {expected} are needed; this TIFF is damaged")
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        strip_rows = min(per_strip, rows - number * per_strip)
        if count > 2 * strip_rows * row_bytes + 1024:
            raise FileError(f"{tags.path}: strip {number} has {count} bytes, more than its pixels need; it is damaged")
        stream.seek(offset)
        content = exactly(stream, count, tags.path)
        yield from _decoded(content, _COMPRESSIONS[codec], strip_rows, row_bytes, f"{tags.path}: strip {number}")


def _decoded(content: bytes, compression: str, rows: int, row_bytes: int, where: str) -> Iterator[bytes]:
    if compression == "packbits":
        yield from _unpacked(content, rows, row_bytes, where)
        return
    if compression == "deflate":
        try:
            content = zlib.decompressobj().decompress(content, rows * row_bytes)
        except zlib.error as error:
            raise FileError(f"{where} cannot be decompressed ({error})") from error
    if len(content) < rows * row_bytes:
        raise FileError(f"{where} holds fewer rows than it should")
    for row in range(rows):
        yield content[row * row_bytes : (row + 1) * row_bytes]


def _unpacked(content: bytes, rows: int, row_bytes: int, where: str) -> Iterator[bytes]:
    """PackBits; a row whose code repeats that of the row before is not decoded again."""
    position, code, row = 0, b"", b""
    for _ in range(rows):
        if not (code and content.startswith(code, position)):
            first, out = position, bytearray()
            while len(out) < row_bytes:
                if position + 1 >= len(content):
                    raise FileError(f"{where} holds fewer rows than it should")
                count = content[position]
                if count < 128:
                    out += content[position + 1 : position + 2 + count]
                    position += 2 + count
                elif count > 128:
                    out += content[position + 1 : position + 2] * (257 - count)
                    position += 2
                else:
                    position += 1
            if len(out) != row_bytes:
                raise FileError(f"{where}: a row is {len(out)} bytes long, not {row_bytes}")
            # A code of several rows in one (runs that pass the end of a row) would have failed above.
            row, code = bytes(out), content[first:position]
        else:
            position += len(code)
        yield row


def _pillow_rows(tags: Page, codec: int) -> Iterator[bytes]:
    name = _CODEC_NAMES.get(codec, f"number {codec}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(tags.path) as image:
                image.seek(tags.number - 1)
                if image.mode != "1":
                    raise FileError(f"{tags.path}: Pillow reads it as mode {image.mode}, not as bits")
                packed = np.packbits(np.asarray(image), axis=1)
    except FileError:
        raise
    # Pillow meets damage in many ways, and has no one class for them.
    except Exception as error:
        raise FileError(
            f"{tags.path}: the compression {name} cannot be read ({error}); save it with PackBits, Deflate or none"
        ) from error
    for row in packed:
        yield row.tobytes()


class _RowStore:
    """Collects packed rows; rows that repeat the one before are counted, not kept."""

    def __init__(self, path: Path, columns: int) -> None:
        self.path, self.columns = path, columns
        self.distinct: list[bytes] = []
        self.heights: list[int] = []
        self.previous: bytes | None = None

    def add(self, row: bytes) -> None:
        if row == self.previous:
            self.heights[-1] += 1
            return
        if (len(self.distinct) + 1) * len(row) > _MAX_ROW_STORE:
            raise FileError(f"{self.path}: more than {_MAX_ROW_STORE} bytes of different rows; a code repeats its rows")
        self.previous = row
        self.distinct.append(row)
        self.heights.append(1)

    def cells(self) -> Cells:
        changes = np.zeros(max(self.columns - 1, 0), dtype=bool)
        for row in self.distinct:
            bits = np.unpackbits(np.frombuffer(row, dtype=np.uint8), count=self.columns)
            changes |= bits[1:] != bits[:-1]
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        if len(first) * len(self.distinct) > MAX_CELLS:
            raise FileError(f"{self.path}: {len(self.distinct)} x {len(first)} cells; at most {MAX_CELLS} are read")
        levels = np.stack(
            [np.unpackbits(np.frombuffer(row, dtype=np.uint8), count=self.columns)[first] for row in self.distinct]
        )
        y = np.concatenate([[0], np.cumsum(self.heights)]).astype(np.int64)
        return Cells(levels, y, np.append(first, self.columns).astype(np.int64))
