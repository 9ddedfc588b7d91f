"""1-bit TIFF for mask writers: BlackIsZero, strips, PackBits or Deflate, streamed so that memory stays bounded.

TIFF 6.0, baseline bilevel images; a row of the drawing is packed and compressed once, however often it repeats.
"""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.aperture import Cells
from cidesign.errors import LimitError
from cidesign.export.aperture.layout import Compression

# Classic TIFF counts bytes in 32 bits; the table of strips comes on top of the pixels.
MAX_TIFF_BYTES = 2**32 - 2**26
_STRIP_BYTES = 65_536
_CODES = {"packbits": 32773, "deflate": 8}
_NM_PER_CM = 10_000_000


def write_tiff(
    path: Path, drawn: Cells, pixel_nm: int, compression: Compression, description: str, software: str
) -> tuple[int, int]:
    """Write a drawing, 1 where it is drawn, and return columns and rows; the first row is the top.

    Memory is bounded by a few rows.  Every edge must lie on the pixel grid.  Raises `LimitError` when the file would
    pass the 4 GiB of classic TIFF.
    """
    heights, widths = (np.diff(edges) // pixel_nm for edges in (drawn.y, drawn.x))
    rows, columns = int(heights.sum()), int(widths.sum())
    row_bytes = -(-columns // 8)
    rows_per_strip = max(1, _STRIP_BYTES // row_bytes)
    # No code of either compression is shorter than this; it saves writing 4 GiB before finding out.
    _require_size(path, rows * (row_bytes // (64 if compression == "packbits" else 1032)), columns, rows, pixel_nm)
    offsets, counts = [], []
    with path.open("wb") as stream:
        stream.write(struct.pack("<2sHI", b"II", 42, 0))
        for strip in _strips(drawn, heights, widths, rows_per_strip, compression):
            offsets.append(stream.tell())
            counts.append(len(strip))
            _require_size(path, offsets[-1] + len(strip), columns, rows, pixel_nm)
            stream.write(strip)
        stream.write(b"\0" * (stream.tell() % 2))
        directory = stream.tell()
        stream.write(
            _directory(
                directory,
                {
                    256: ("I", [columns]),  # ImageWidth
                    257: ("I", [rows]),  # ImageLength
                    258: ("H", [1]),  # BitsPerSample
                    259: ("H", [_CODES[compression]]),
                    262: ("H", [1]),  # PhotometricInterpretation: BlackIsZero
                    270: ("s", description),
                    273: ("I", offsets),
                    274: ("H", [1]),  # Orientation: first row on top, first column left
                    277: ("H", [1]),  # SamplesPerPixel
                    278: ("I", [rows_per_strip]),
                    279: ("I", counts),
                    282: ("r", Fraction(_NM_PER_CM, pixel_nm)),
                    283: ("r", Fraction(_NM_PER_CM, pixel_nm)),
                    296: ("H", [3]),  # ResolutionUnit: centimetre
                    305: ("s", software),
                },
            )
        )
        stream.seek(4)
        stream.write(struct.pack("<I", directory))
    return columns, rows


def _require_size(path: Path, size_bytes: int, columns: int, rows: int, pixel_nm: int) -> None:
    if size_bytes > MAX_TIFF_BYTES:
        raise LimitError(
            f"{path.name}: {columns} x {rows} pixels of {pixel_nm / 1000:g} um need more than the 4 GiB that a TIFF "
            "can have; use larger TIFF pixels, deflate, or GDSII or OASIS alone"
        )


def _strips(
    drawn: Cells,
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    rows_per_strip: int,
    compression: Compression,
) -> Iterator[bytes]:
    """The compressed strips from top to bottom; a strip of one row repeated is compressed once."""
    pack = packbits if compression == "packbits" else bytes
    finish = bytes if compression == "packbits" else zlib.compress
    strip, free = bytearray(), rows_per_strip
    for levels, height in zip(drawn.levels, heights.tolist(), strict=True):
        row = pack(np.packbits(np.repeat(levels, widths)).tobytes())
        used = min(free, height)
        strip += row * used
        free -= used
        if free:
            continue
        yield finish(bytes(strip))
        whole, used = divmod(height - used, rows_per_strip)
        if whole:
            full = finish(row * rows_per_strip)
            for _ in range(whole):
                yield full
        strip, free = bytearray(row * used), rows_per_strip - used
    if strip:
        yield finish(bytes(strip))


def packbits(row: bytes) -> bytes:
    """PackBits of one row (TIFF 6.0, section 9): runs of 3 equal bytes or more are repeated, the rest is literal."""
    array = np.frombuffer(row, dtype=np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(array[1:] != array[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(array)))
    long = lengths >= 3
    out, position = bytearray(), 0
    for start, length in zip(starts[long].tolist(), lengths[long].tolist(), strict=True):
        _literal(out, row[position:start])
        value = row[start]
        position = start + length
        while length > 1:
            count = min(length, 128)
            out += bytes((257 - count, value))
            length -= count
        position -= length  # a single byte that is left over becomes literal
    _literal(out, row[position:])
    return bytes(out)


def _literal(out: bytearray, values: bytes) -> None:
    for first in range(0, len(values), 128):
        part = values[first : first + 128]
        out.append(len(part) - 1)
        out += part


def _directory(offset: int, tags: dict[int, tuple[str, list[int] | str | Fraction]]) -> bytes:
    """An image file directory at `offset`, followed by the values that do not fit into four bytes."""
    entries, extra = bytearray(struct.pack("<H", len(tags))), bytearray()
    extra_offset = offset + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in tags.items():
        if isinstance(value, str):
            content = value.encode("ascii") + b"\0"
            code, count = 2, len(content)
        elif isinstance(value, Fraction):
            content = struct.pack("<2I", value.numerator, value.denominator)
            code, count = 5, 1
        else:
            content = struct.pack(f"<{len(value)}{kind}", *value)
            code, count = {"H": 3, "I": 4}[kind], len(value)
        if len(content) > 4:
            place = extra_offset + len(extra)
            extra += content + b"\0" * (len(content) % 2)
            content = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, code, count) + content.ljust(4, b"\0")
    return bytes(entries + struct.pack("<I", 0) + extra)
