"""Reads DLPC350 files back into mirror levels, from the files alone; shares no code with the writer."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.base import ReadBack
from cidesign.export.dmd.hdmi.read import read_png
from cidesign.files import read_limited

_MAX_BMP_BYTES = 200_000_000
_MAX_TABLE_BYTES = 1_000_000

# The first plane of every pattern number, by bit depth, in the words of the LUT_Entry_Helper sheet.
_FIRST_PLANE = {
    1: "G0 G1 G2 G3 G4 G5 G6 G7 R0 R1 R2 R3 R4 R5 R6 R7 B0 B1 B2 B3 B4 B5 B6 B7",
    2: "G0 G2 G4 G6 R0 R2 R4 R6 B0 B2 B4 B6",
    3: "G0 G3 G6 R1 R4 R7 B2 B5",
    4: "G0 G4 R0 R4 B0 B4",
    5: "G1 G7 R5 B3",
    6: "G0 G6 R4 B2",
    7: "G1 R1 B1",
    8: "G0 R0 B0",
}
_PLANE_NAMES = _FIRST_PLANE[1].split()
# Position of each colour's byte in a BMP pixel.
_BYTE_OF_COLOUR = {"B": 0, "G": 1, "R": 2}

# What a table word may carry here: pattern number, bit depth, LEDs, black after, image load.  External triggers,
# inversion and shared exposures show something else than pattern and time say.
_KNOWN_BITS = 0x3F << 2 | 0xF << 8 | 0x7 << 12 | 1 << 17 | 1 << 18


@dataclass(frozen=True)
class Word:
    """One decoded word of the sequence table."""

    number: int
    bit_depth: int
    loads_image: bool
    exposure_us: int
    period_us: int


def read_bmp(content: bytes, where: str) -> NDArray[np.uint8]:
    """The pixels of an uncompressed 24-bit BMP, (rows, columns, 3) in the file's byte order B,G,R, top row first."""
    if len(content) < 54 or content[:2] != b"BM":
        raise FileError(f"{where}: not a BMP file")
    offset, size = struct.unpack_from("<II", content, 10)
    width, height, planes, depth, compression = struct.unpack_from("<iiHHI", content, 18)
    if (offset, size, planes, depth, compression) != (54, 40, 1, 24, 0):
        raise FileError(
            f"{where}: this BMP has header size {size}, {depth} bits and compression {compression}; "
            "the DLPC350 takes 40, 24 bits and 0"
        )
    if width < 1 or height < 1 or len(content) != 54 + height * ((width * 3 + 3) & ~3):
        raise FileError(f"{where}: {len(content)} bytes do not fit {width} x {height} pixels stored bottom-up")
    lines = np.frombuffer(content, dtype=np.uint8, offset=54).reshape(height, -1)
    return lines[::-1, : 3 * width].reshape(height, width, 3)


def pattern_levels(pixels: NDArray[np.uint8], bit_depth: int, number: int) -> NDArray[np.uint8]:
    """The mirror levels (rows, columns) of pattern `number` in the pixels of a BMP (rows, columns, 3)."""
    first = _PLANE_NAMES.index(_FIRST_PLANE[bit_depth].split()[number])
    levels = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for significance, name in enumerate(_PLANE_NAMES[first : first + bit_depth]):
        colour = pixels[:, :, _BYTE_OF_COLOUR[name[0]]]
        levels |= (colour >> np.uint8(int(name[1])) & np.uint8(1)) << np.uint8(significance)
    return levels


def read_settings(text: str, where: str) -> dict[str, list[int]]:
    """The tokens of a TI settings file with their values; what follows `;` is a comment."""
    tokens: dict[str, list[int]] = {}
    for line in text.splitlines():
        words = line.split(";")[0].split()
        if words:
            try:
                tokens[words[0].upper()] = [int(word, 16) for word in words[1:]]
            except ValueError as error:
                raise FileError(f"{where}: {words[0]} has a value that is not hexadecimal") from error
    return tokens


def read_words(table: bytes, mode: str, exposure_us: int, period_us: int, where: str) -> list[Word]:
    """Decode a sequence table: 3-byte words that share one exposure and period, or 12-byte entries with their own."""
    if mode == "fixed_exposure":
        packed = [(int.from_bytes(table[i : i + 3], "little"), exposure_us, period_us) for i in range(0, len(table), 3)]
    else:
        packed = list(struct.iter_unpack("<III", table))
    words = []
    for index, (word, exposed_us, shown_us) in enumerate(packed):
        number, bit_depth = word >> 2 & 0x3F, word >> 8 & 0xF
        if word & ~_KNOWN_BITS:
            raise FileError(f"{where}: entry {index} is 0x{word:06X}, with trigger, inversion or other bits set")
        if bool(word >> 17 & 1) != (shown_us > exposed_us):
            raise FileError(
                f"{where}: entry {index} has exposure {exposed_us} us and period {shown_us} us, and black afterwards "
                f"is {'on' if word >> 17 & 1 else 'off'} (bit 17)"
            )
        if not 1 <= bit_depth <= 8 or number >= len(_FIRST_PLANE[bit_depth].split()):
            raise FileError(
                f"{where}: entry {index} asks for pattern {number} of {bit_depth} bit, which does not exist"
            )
        words.append(Word(number, bit_depth, bool(word >> 18 & 1), exposed_us, shown_us))
    return words


def read(folder: Path) -> ReadBack:
    """Read an export folder through its mailbox tables, checking TI's settings file against them."""
    where = str(folder / "lut.bin")
    table = read_limited(folder / "lut.bin", "sequence table", _MAX_TABLE_BYTES)
    image_table = read_limited(folder / "images.bin", "image table", _MAX_TABLE_BYTES)
    tokens = _settings(folder)
    entries = _one(tokens, "DEFAULT.PATTERNCONFIG.NUM_LUT_ENTRIES", folder) + 1
    if len(table) not in (3 * entries, 12 * entries):
        raise FileError(f"{where}: {len(table)} bytes hold neither 3 nor 12 for each of the {entries} entries")
    mode: Literal["fixed_exposure", "variable_exposure"] = (
        "fixed_exposure" if len(table) == 3 * entries else "variable_exposure"
    )
    exposure_us = _one(tokens, "DEFAULT.PATTERNCONFIG.PAT_EXPOSURE", folder)
    period_us = _one(tokens, "DEFAULT.PATTERNCONFIG.PAT_PERIOD", folder)
    words = read_words(table, mode, exposure_us, period_us, where)
    # The controller takes two image indices in reverse order; otherwise the order is that of display.
    order = list(reversed(image_table)) if len(image_table) == 2 else list(image_table)
    _check_settings(folder, tokens, table, order, mode)
    if not words[0].loads_image:
        raise FileError(f"{where}: the first entry does not load an image (bit 18), so nothing defined would be shown")
    loads = sum(word.loads_image for word in words)
    if loads != len(order):
        raise FileError(f"{where}: the table loads {loads} images, {folder / 'images.bin'} names {len(order)}")
    if len({word.bit_depth for word in words}) != 1:
        raise FileError(f"{where}: the entries have different bit depths; a design has one")
    plan = _plan(words, order, mode)
    return ReadBack(plan, _frames(folder, words, order))


def _settings(folder: Path) -> dict[str, list[int]]:
    path = folder / "sequence.ini"
    content = read_limited(path, "settings file", _MAX_TABLE_BYTES)
    try:
        return read_settings(content.decode("ascii"), str(path))
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: this settings file holds something else than ASCII text") from error


def _one(tokens: dict[str, list[int]], name: str, folder: Path) -> int:
    values = tokens.get(name, [])
    if len(values) != 1 or not 0 <= values[0] < 2**32:
        raise FileError(f"{folder / 'sequence.ini'}: {name} should have one value of 32 bits, not {len(values)}")
    return values[0]


def _check_settings(folder: Path, tokens: dict[str, list[int]], table: bytes, order: list[int], mode: str) -> None:
    """Raise `FileError` unless the settings file says the same as the mailbox tables."""
    size = 3 if mode == "fixed_exposure" else 4
    expected = {
        "DEFAULT.PATTERNCONFIG.NUM_PATTERNS": tokens["DEFAULT.PATTERNCONFIG.NUM_LUT_ENTRIES"],
        "DEFAULT.PATTERNCONFIG.NUM_SPLASH": [len(order) - 1],
        # TI's GUI keeps display order in the file and swaps two entries itself.
        "DEFAULT.SPLASHLUT": order,
        "DEFAULT.SEQPATLUT": [int.from_bytes(table[i : i + size], "little") for i in range(0, len(table), size)],
        "DEFAULT.SHORT_FLIP": [0],
        "DEFAULT.LONG_FLIP": [0],
        "DEFAULT.INVERTDATA": [0],
        "DEFAULT.PATTERNCONFIG.PAT_MODE": [3],
        "DEFAULT.PATTERNCONFIG.TRIG_MODE": [1 if mode == "fixed_exposure" else 3],
    }
    wrong = [name for name, values in expected.items() if tokens.get(name) != values]
    if wrong:
        raise FileError(f"{folder / 'sequence.ini'}: {wrong[0]} does not fit lut.bin and images.bin")


def _plan(words: list[Word], order: list[int], mode: Literal["fixed_exposure", "variable_exposure"]) -> SequencePlan:
    entries = []
    image = -1
    for frame, word in enumerate(words):
        image += word.loads_image
        entries.append(
            SequenceEntry(frame, order[image], word.number, word.loads_image, word.exposure_us, word.period_us)
        )
    return SequencePlan(words[0].bit_depth, tuple(entries), len(order), mode, None, None, words[0].exposure_us, ())


def _frames(folder: Path, words: list[Word], order: list[int]) -> Iterator[NDArray[np.uint8]]:
    shown = iter(order)
    pixels = np.zeros((0, 0, 3), dtype=np.uint8)
    for word in words:
        if word.loads_image:
            path = _image_path(folder, next(shown))
            pixels = read_bmp(read_limited(path, "BMP image", _MAX_BMP_BYTES), str(path))
            frame = path.with_suffix(".png")
            if not np.array_equal(read_png(frame), pixels[:, :, ::-1]):
                raise FileError(f"{frame}: this HDMI frame is not the same image as {path.name}")
        yield pattern_levels(pixels, word.bit_depth, word.number)


def _image_path(folder: Path, index: int) -> Path:
    # Numbers have three digits where there are more than a hundred images.
    found = sorted({*folder.glob(f"*_{index:02d}.bmp"), *folder.glob(f"*_{index:03d}.bmp")})
    if len(found) != 1:
        raise FileError(f"{folder}: {len(found)} files are called *_{index:02d}.bmp; image {index} needs exactly one")
    return found[0]
