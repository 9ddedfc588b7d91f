"""Reads DLPC900 files back into mirror levels, from the files alone; shares no code with the writer.

It is as strict as a careful device: no operation may cross a line end, none may follow the last pixel, nothing may
be copied into the first line, and the end-of-image mark must be there.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.base import ReadBack
from cidesign.export.dmd.dlpc900.read_batch import check_batch
from cidesign.files import read_limited

_MAX_IMAGE_BYTES = 100_000_000
_MAX_TABLE_BYTES = 1_000_000
_MAX_SIDE = 20_000

# First planes that frames of each bit depth have (TI LUT_Entry_Helper sheet).
_FIRST_PLANES = {
    1: list(range(24)),
    2: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22],
    3: [0, 3, 6, 9, 12, 15, 18, 21],
    4: [0, 4, 8, 12, 16, 20],
    5: [1, 7, 13, 19],
    6: [0, 6, 12, 18],
    7: [1, 9, 17],
    8: [0, 8, 16],
}


@dataclass(frozen=True)
class Line:
    """One decoded entry of the sequence table."""

    bit_depth: int
    exposure_us: int
    dark_us: int
    image: int
    first_plane: int


class _Raster:
    """The pixels decoded so far, three bytes each."""

    def __init__(self, content: bytes, columns: int, rows: int, where: str) -> None:
        self.content = content
        self.where = where
        self.at = 0
        self.columns = columns
        self.size = columns * rows * 3
        self.pixels = bytearray()

    def take(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        if len(part) != count:
            raise FileError(f"{self.where}: the coded image is cut short at byte {self.at}")
        self.at += count
        return part

    def room(self, count: int) -> None:
        column = len(self.pixels) // 3 % self.columns
        if column + count > self.columns or len(self.pixels) + 3 * count > self.size:
            raise FileError(f"{self.where}: an operation of {count} pixels at byte {self.at} crosses the end of a line")

    def repeat(self, count: int) -> None:
        self.room(count)
        self.pixels += self.take(3) * count

    def literal(self, count: int) -> None:
        self.room(count)
        self.pixels += self.take(3 * count)

    def copy(self, count: int) -> None:
        self.room(count)
        above = len(self.pixels) - 3 * self.columns
        if above < 0:
            raise FileError(f"{self.where}: byte {self.at} copies into the first line, which has none above it")
        self.pixels += self.pixels[above : above + 3 * count]

    def end_of_line(self) -> None:
        if len(self.pixels) % (3 * self.columns):
            raise FileError(f"{self.where}: byte {self.at} ends a line before its last pixel")

    def finish(self, alignment: int) -> bytes:
        rest = self.content[self.at :]
        if len(self.pixels) != self.size:
            raise FileError(f"{self.where}: the image ends after {len(self.pixels) // 3} of {self.size // 3} pixels")
        if len(self.content) % alignment or len(rest) >= alignment or any(rest):
            raise FileError(
                f"{self.where}: {len(rest)} bytes follow the end of the image, which is padded to {alignment}"
            )
        return bytes(self.pixels)


def read_block(content: bytes, where: str) -> NDArray[np.uint8]:
    """The pixels of an image file, (rows, columns, 3) in wire order: planes 16-23, 8-15, 0-7."""
    if len(content) < 48 or content[:4] != b"Spld":
        raise FileError(f"{where}: not a DLPC900 image (it does not begin with 'Spld')")
    columns, rows, size = struct.unpack_from("<HHI", content, 4)
    compression = content[25]
    known = content[12:20] == b"\xff" * 8 and not any(content[20:25]) and content[26] == 1 and not any(content[27:48])
    if not known or compression not in _DECODERS:
        raise FileError(f"{where}: the header of this image has fields or a compression ({compression}) not known here")
    if not (0 < columns <= _MAX_SIDE and 0 < rows <= _MAX_SIDE) or size != len(content) - 48:
        raise FileError(f"{where}: the header says {columns} x {rows} and {size} bytes, there are {len(content) - 48}")
    pixels = _DECODERS[compression](_Raster(content[48:], columns, rows, where))
    return np.frombuffer(pixels, dtype=np.uint8).reshape(rows, columns, 3)


def _decode_plain(raster: _Raster) -> bytes:
    padding = -3 * raster.columns % 16
    while len(raster.pixels) < raster.size:
        raster.literal(raster.columns)
        if any(raster.take(padding)):
            raise FileError(f"{raster.where}: the padding at byte {raster.at} is not zero")
    return raster.finish(16)


def _decode_rle(raster: _Raster) -> bytes:
    while True:
        count = raster.take(1)[0]
        if count:
            raster.repeat(count)
            continue
        code = raster.take(1)[0]
        if code == 1:
            return raster.finish(16)
        if code == 0:
            raster.end_of_line()
            if any(raster.take(-raster.at % 4)):
                raise FileError(f"{raster.where}: the padding at byte {raster.at} is not zero")
        else:
            raster.literal(code)


def _length(raster: _Raster) -> int:
    low = raster.take(1)[0]
    return low if low < 128 else low - 128 + 128 * raster.take(1)[0]


def _decode_erle(raster: _Raster) -> bytes:
    while True:
        count = _length(raster)
        if count:
            raster.repeat(count)
            continue
        code = _length(raster)
        if code == 0:
            raster.end_of_line()
        elif code == 1:
            copied = _length(raster)
            if copied == 0:
                return raster.finish(4)
            raster.copy(copied)
        else:
            raster.literal(code)


_DECODERS: dict[int, Callable[[_Raster], bytes]] = {0: _decode_plain, 1: _decode_rle, 2: _decode_erle}


def read_table(table: bytes, where: str) -> list[Line]:
    """Decode a sequence table of 12-byte entries."""
    if not table or len(table) % 12:
        raise FileError(f"{where}: {len(table)} bytes are no table of 12-byte entries")
    lines = []
    for index in range(len(table) // 12):
        entry = table[12 * index : 12 * index + 12]
        number, place = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[10:], "little")
        bit_depth = (entry[5] >> 1 & 7) + 1
        first_plane = place >> 11
        if number != index:
            raise FileError(f"{where}: entry {index} has index {number}")
        if entry[5] & 0x81 or entry[9]:
            raise FileError(f"{where}: entry {index} waits for a trigger, clears early or has no trigger output")
        if first_plane not in _FIRST_PLANES[bit_depth]:
            raise FileError(f"{where}: entry {index} shows {bit_depth} bits from plane {first_plane}, where none begin")
        exposure_us, dark_us = int.from_bytes(entry[2:5], "little"), int.from_bytes(entry[6:9], "little")
        lines.append(Line(bit_depth, exposure_us, dark_us, place & 0x7FF, first_plane))
    return lines


def read(folder: Path) -> ReadBack:
    """Read an export folder: the sequence table and, for each image, one block or the blocks of two halves."""
    where = str(folder / "lut.bin")
    table = read_limited(folder / "lut.bin", "sequence table", _MAX_TABLE_BYTES)
    lines = read_table(table, where)
    if len({line.bit_depth for line in lines}) != 1:
        raise FileError(f"{where}: the entries have different bit depths; a design has one")
    entries: list[SequenceEntry] = []
    for frame, line in enumerate(lines):
        loads = frame == 0 or line.image != lines[frame - 1].image
        slot = _FIRST_PLANES[line.bit_depth].index(line.first_plane)
        period_us = line.exposure_us + line.dark_us
        entries.append(SequenceEntry(frame, line.image, slot, loads, line.exposure_us, period_us))
    images = sorted({line.image for line in lines})
    batch = folder / "sequence.batch.txt"
    if batch.exists():
        check_batch(batch, table, images)
    exposure_us = lines[0].exposure_us
    plan = SequencePlan(
        lines[0].bit_depth, tuple(entries), len(images), "variable_exposure", None, None, exposure_us, ()
    )
    return ReadBack(plan, _frames(folder, lines))


def _frames(folder: Path, lines: list[Line]) -> Iterator[NDArray[np.uint8]]:
    shown, pixels = -1, np.zeros((0, 0, 3), dtype=np.uint8)
    for line in lines:
        if line.image != shown:
            shown, pixels = line.image, _image(folder, line.image)
        levels = np.zeros(pixels.shape[:2], dtype=np.uint8)
        for significance in range(line.bit_depth):
            plane = line.first_plane + significance
            levels |= (pixels[:, :, 2 - plane // 8] >> np.uint8(plane % 8) & np.uint8(1)) << np.uint8(significance)
        yield levels


def _image(folder: Path, index: int) -> NDArray[np.uint8]:
    """The whole image: one file, or the halves of the primary (left) and the secondary controller."""
    parts = []
    for ending in ("", "_primary", "_secondary"):
        found = sorted(folder.glob(f"*_{index:02d}{ending}.spld"))
        if len(found) > 1:
            raise FileError(f"{folder}: {len(found)} files are called *_{index:02d}{ending}.spld")
        parts += [(ending, path) for path in found]
    if [ending for ending, _ in parts] not in ([""], ["_primary", "_secondary"]):
        raise FileError(
            f"{folder}: image {index} needs one file *_{index:02d}.spld, or its _primary and _secondary half"
        )
    blocks = [read_block(read_limited(path, "image", _MAX_IMAGE_BYTES), str(path)) for _, path in parts]
    if len({block.shape for block in blocks}) != 1:
        raise FileError(f"{folder}: the halves of image {index} have different sizes")
    return np.concatenate(blocks, axis=1)
