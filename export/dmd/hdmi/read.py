"""Reads HDMI frames back into mirror levels, with Pillow; shares no code with the writer."""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.constraints.sequence import SequenceEntry, SequenceModeName, SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.base import ReadBack
from cidesign.export.dmd.sidecar import read_sidecar, whole_number
from cidesign.files import read_limited

_MAX_PIXELS = 20_000_000
_MAX_PNG_BYTES = 100_000_000
_FIELDS = {"bit_depth", "mode", "columns", "entries"}


def read_png(path: Path) -> NDArray[np.uint8]:
    """The pixels of an 8-bit RGB PNG, (rows, columns, 3); raises `FileError` for anything else."""
    content = read_limited(path, "HDMI frame", _MAX_PNG_BYTES)
    if content[12:16] != b"IHDR" or len(content) < 33:
        raise FileError(f"{path}: not a PNG file; export again")
    columns, rows, depth, colours = struct.unpack_from(">IIBB", content, 16)
    if columns * rows > _MAX_PIXELS or (depth, colours) != (8, 2):
        raise FileError(f"{path}: {columns} x {rows} pixels of {depth} bit, colour type {colours}; 8 bit, 2 is needed")
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            pixels: NDArray[np.uint8] = np.array(image)
            return pixels
    except (OSError, ValueError, SyntaxError) as error:
        raise FileError(f"{path}: this PNG cannot be read ({error}); export again") from error


def frame_levels(pixels: NDArray[np.uint8], bit_depth: int, number: int) -> NDArray[np.uint8]:
    """Mirror levels (rows, columns) of pattern `number` in a frame (rows, columns, 3), red, green, blue."""
    return word_levels(pixel_words(pixels), bit_depth, number)


def pixel_words(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The 24 planes (rows, columns) of a frame (rows, columns, 3), red, green, blue: bit p is plane p."""
    red, green, blue = (pixels[:, :, colour].astype(np.uint32) for colour in range(3))
    words: NDArray[np.uint32] = green + 256 * red + 65536 * blue
    return words


def word_levels(words: NDArray[np.uint32], bit_depth: int, number: int) -> NDArray[np.uint8]:
    """Mirror levels (rows, columns) of pattern `number` in the planes of a frame."""
    # Five bits lie one above a grid of six, seven bits one above a grid of eight.
    padded = {5: 6, 7: 8}.get(bit_depth, bit_depth)
    lowest = number * padded + (padded - bit_depth)
    levels: NDArray[np.uint8] = (words >> np.uint32(lowest) & np.uint32(2**bit_depth - 1)).astype(np.uint8)
    return levels


def read(folder: Path) -> ReadBack:
    """Read an export folder: the frames and `sequence.json`."""
    path = folder / "sequence.json"
    content = read_sidecar(path, _FIELDS)
    bit_depth = whole_number(content["bit_depth"], "bit_depth", path)
    lines, mode = content["entries"], content["mode"]
    if not 1 <= bit_depth <= 8 or mode not in ("fixed_exposure", "variable_exposure"):
        raise FileError(f"{path}: bit_depth is {bit_depth} and mode {str(mode)[:40]!r}, which no device has")
    if not isinstance(lines, list) or not lines or any(not isinstance(line, list) or len(line) != 4 for line in lines):
        raise FileError(f"{path}: entries should be a list of four numbers each")
    entries: list[SequenceEntry] = []
    for frame, line in enumerate(lines):
        image, slot, exposure_us, period_us = (whole_number(value, f"entry {frame}", path) for value in line)
        if (slot + 1) * {5: 6, 7: 8}.get(bit_depth, bit_depth) > 24:
            raise FileError(f"{path}: entry {frame} asks for pattern {slot} of {bit_depth} bit, which does not exist")
        loads = frame == 0 or image != entries[-1].image
        entries.append(SequenceEntry(frame, image, slot, loads, exposure_us, period_us))
    images = len({entry.image for entry in entries})
    plan = SequencePlan(
        bit_depth, tuple(entries), images, cast(SequenceModeName, mode), None, None, entries[0].exposure_us, ()
    )
    return ReadBack(plan, _frames(folder, plan))


def frame_path(folder: Path, index: int) -> Path:
    """The PNG of image `index`; raises `FileError` unless there is exactly one."""
    # Numbers have three digits where there are more than a hundred images.
    found = sorted({*folder.glob(f"*_{index:02d}.png"), *folder.glob(f"*_{index:03d}.png")})
    if len(found) != 1:
        raise FileError(f"{folder}: {len(found)} files are called *_{index:02d}.png; image {index} needs exactly one")
    return found[0]


def _frames(folder: Path, plan: SequencePlan) -> Iterator[NDArray[np.uint8]]:
    words = np.zeros((0, 0), dtype=np.uint32)
    for entry in plan.entries:
        if entry.loads_image:
            words = pixel_words(read_png(frame_path(folder, entry.image)))
        yield word_levels(words, plan.bit_depth, entry.slot)
