"""Stacks of grey pictures of a camera: one TIFF file, one PNG, or a folder of pictures with numbers in their names.

Sizes are taken from the headers and checked before memory is; only what loses nothing is read: grey, 8 or 16 bits or
float; TIFF uncompressed, Deflate or LZW.  The pixels of a TIFF are unpacked here, so that no strip unpacks to more than
its part of the picture.
"""

import itertools
import logging
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cidesign.errors import FileError, first_line
from cidesign.files import read_limited
from cidesign.records import shown

STACK_SUFFIXES = (".tif", ".tiff", ".png")
MAX_PICTURE_FILE_BYTES = 1_000_000_000
# As float64, which is what the stack becomes.
MAX_STACK_BYTES = 2_000_000_000
MAX_FRAMES = 100_000
# Deflate packs zeros 1030 to 1, LZW 2700 to 1: a picture that declares more than this is not in its file.
MAX_EXPANSION = 4096

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOURS = {2: "colour", 3: "palette", 4: "grey with transparency", 6: "colour with transparency"}
MIN_IS_WHITE, MIN_IS_BLACK = 0, 1
NOT_COMPRESSED, LZW, DEFLATE = 1, 5, (8, 32946)
LZW_CLEAR, LZW_END, LZW_MAX_BITS = 256, 257, 12
TIFF_TYPES = {(1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (2, 16): "i2", (2, 32): "i4", (3, 32): "f4", (3, 64): "f8"}


@dataclass(frozen=True)
class _Frame:
    """A picture that is known by its header; `load` takes the memory."""

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    load: Callable[[], NDArray[np.generic]]


def read_image_stack(path: Path, what: str) -> NDArray[np.generic]:
    """Read a stack (frames, H, W), row 0 at the top, in the type it is stored in; a file of one picture gives (H, W).

    A folder holds pictures of one kind that differ by one number; they are ordered by it, as numbers.  `what` is the
    stack's role in errors.  Raises `FileError` for colour, mixed sizes or depths, a missing number, or damage.
    """
    if path.is_dir():
        frames = [frame for file in _numbered(path, what) for frame in _single(file, what)]
    else:
        frames = _frames(path, what)
    first = frames[0]
    for frame in frames:
        if (frame.shape, frame.dtype) != (first.shape, first.dtype):
            raise FileError(
                f"{path}: {frame.name} of {what} is {_size_text(frame)}, {first.name} is {_size_text(first)}; "
                "all pictures of a stack are of one size and depth"
            )
        if min(frame.shape) < 1 or len(frames) * frame.shape[0] * frame.shape[1] * 8 > MAX_STACK_BYTES:
            raise FileError(
                f"{path}: {what} declares {len(frames)} picture(s) of {_size_text(frame)}; at most "
                f"{MAX_STACK_BYTES // 8} pixels together are read"
            )
    stack = np.empty((len(frames), *first.shape), dtype=first.dtype.newbyteorder("="))
    for target, frame in zip(stack, frames, strict=True):
        target[...] = frame.load()
    return stack if path.is_dir() or len(frames) > 1 else stack[0]


def _size_text(frame: _Frame) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]} of {frame.dtype.name}"


def _frames(path: Path, what: str) -> list[_Frame]:
    return [_png(path, what)] if path.suffix.lower() == ".png" else _tiff(path, what)


def _single(path: Path, what: str) -> list[_Frame]:
    frames = _frames(path, what)
    if len(frames) > 1:
        raise FileError(f"{path}: holds {len(frames)} pictures; a file of a numbered {what} holds one")
    return frames


def _numbered(folder: Path, what: str) -> list[Path]:
    """The pictures of a folder in the order of the one number in which their names differ."""
    try:
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in STACK_SUFFIXES and f.name[0] != ".")
    except OSError as error:
        raise FileError(f"{folder}: this {what} cannot be read ({error.strerror or error})") from error
    if not 1 <= len(files) <= MAX_FRAMES:
        raise FileError(
            f"{folder}: holds {len(files)} pictures ({', '.join(STACK_SUFFIXES)}); 1 to {MAX_FRAMES} make a stack"
        )
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) > 1:
        raise FileError(f"{folder}: {what} mixes {shown(sorted(kinds))} pictures; keep one kind")
    parts = [re.split(r"([0-9]+)", file.stem) for file in files]
    for file, found in zip(files, parts, strict=True):
        if found[::2] != parts[0][::2] or len(found) < 3:
            raise FileError(
                f"{folder}: {shown([files[0].name, file.name])}: the names of a stack are equal but for their number"
            )
    digits = [[int(number) for number in found[1::2]] for found in parts]
    changing = [i for i in range(len(digits[0])) if len({row[i] for row in digits}) > 1] or [len(digits[0]) - 1]
    if len(changing) > 1:
        raise FileError(
            f"{folder}: {shown([files[0].name, files[-1].name])}: the names differ in {len(changing)} numbers; rename "
            "the pictures so that only the frame's number changes"
        )
    ordered = sorted(zip((row[changing[0]] for row in digits), files, strict=True))
    for (number, file), (following, other) in itertools.pairwise(ordered):
        if following == number:
            raise FileError(f"{folder}: {shown([file.name, other.name])} have the same number")
        if following != number + 1:
            raise FileError(f"{folder}: picture {number + 1} of {what} is missing, after {shown([file.name])}")
    return [file for _, file in ordered]


def _png(path: Path, what: str) -> _Frame:
    try:
        with path.open("rb") as stream:
            header = stream.read(33)
    except OSError as error:
        raise FileError(f"{path}: this {what} cannot be read ({error.strerror or error})") from error
    if len(header) < 33 or header[:8] != PNG_SIGNATURE or header[8:16] != b"\x00\x00\x00\rIHDR":
        raise FileError(f"{path}: {what} is no PNG, whatever its name says")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[16:29])
    if colour != 0:
        kind = PNG_COLOURS.get(colour, "of unknown colour")
        raise FileError(f"{path}: {what} is {kind}; save the camera's raw grey levels (8 or 16 bits)")
    if bits not in (8, 16) or interlaced:
        order = " in interlaced rows" if interlaced else ""
        raise FileError(f"{path}: {what} has {bits} bits{order}; 8 or 16 bits row by row are read")
    dtype = np.dtype(f"u{bits // 8}")
    _check_stored(path, what, (height, width), dtype, path.stat().st_size * MAX_EXPANSION)
    return _Frame(path.name, (height, width), dtype, lambda: _decoded_png(path, what, (height, width), dtype))


def _check_stored(path: Path, what: str, shape: tuple[int, int], dtype: np.dtype[Any], most_bytes: int) -> None:
    """Raise `FileError` when a picture cannot be in the bytes that are there, before memory is taken for it."""
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > most_bytes:
        raise FileError(
            f"{path}: {what} declares {shape[1]} x {shape[0]} pixels ({wanted} bytes), which are not in the file; "
            "is it cut off?"
        )


def _decoded_png(path: Path, what: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    content = read_limited(path, what, MAX_PICTURE_FILE_BYTES)
    pixels = _inflated(b"".join(_png_data(path, what, content)), shape[0] * (1 + shape[1] * dtype.itemsize))
    if pixels is None:
        raise FileError(f"{path}: {what} does not hold the {shape[1]} x {shape[0]} pixels it declares; is it damaged?")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is told in one line, below
    try:
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise FileError(f"{path}: {what} cannot be read ({str(error).strip().splitlines()[-1]})") from error
    if picture is None or picture.shape != shape or picture.dtype != dtype:
        raise FileError(f"{path}: {what} cannot be read as a grey picture; is it damaged?")
    grey: NDArray[np.generic] = picture
    return grey


def _png_data(path: Path, what: str, content: bytes) -> Iterator[bytes]:
    """The compressed pixels; every chunk is checked, because a decoder fills what is missing with black."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        end = position + 12 + length
        kind, data = content[position + 4 : position + 8], content[position + 8 : end - 4]
        if end > len(content) or zlib.crc32(kind + data) != struct.unpack(">I", content[end - 4 : end])[0]:
            break
        if kind in (b"acTL", b"tRNS"):
            raise FileError(f"{path}: {what} is an animation or has transparency; save one grey picture per file")
        if kind == b"IDAT":
            yield data
        if kind == b"IEND":
            return
        position = end
    raise FileError(f"{path}: {what} is cut off or damaged at byte {position}; copy it again")


def _inflated(content: bytes, size_bytes: int) -> bytes | None:
    """Deflated data that are exactly `size_bytes` long, else None; no more memory than that is taken."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, size_bytes + 1)
    except zlib.error:
        return None
    return data if len(data) == size_bytes and (stream.eof or not stream.decompress(b"", 1)) else None


def _as_it_is(content: bytes, size_bytes: int) -> bytes | None:
    return content[:size_bytes] if len(content) >= size_bytes else None


def _without_lzw(content: bytes, size_bytes: int) -> bytes | None:
    """LZW data of a TIFF (codes of 9 to 12 bits, widened one code early) of `size_bytes`, else None."""
    roots = [bytes([value]) for value in range(256)] + [b"", b""]
    table, bits, buffer, filled = list(roots), 9, 0, 0
    parts: list[bytes] = []
    length, previous = 0, b""
    for byte in content:
        buffer, filled = buffer << 8 | byte, filled + 8
        if filled < bits:
            continue
        filled -= bits
        code, buffer = buffer >> filled, buffer & (1 << filled) - 1
        if code == LZW_END:
            break
        if code == LZW_CLEAR:
            table, bits, previous = list(roots), 9, b""
            continue
        if code > len(table) or (code >= LZW_CLEAR and not previous):
            return None
        entry = table[code] if code < len(table) else previous + previous[:1]
        if previous:
            table.append(previous + entry[:1])
        parts.append(entry)
        length, previous = length + len(entry), entry
        if length > size_bytes or len(table) > 1 << LZW_MAX_BITS:
            return None
        if len(table) + 1 >= 1 << bits and bits < LZW_MAX_BITS:
            bits += 1
    return b"".join(parts) if length == size_bytes else None


@dataclass(frozen=True)
class _Strips:
    """Where the pixels of one page of a TIFF lie: byte ranges of `rows` rows each, the last may have fewer."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    rows: int
    ranges: tuple[tuple[int, int], ...]
    unpack: Callable[[bytes, int], bytes | None]
    differences: bool


def _tiff(path: Path, what: str) -> list[_Frame]:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is told in one line, below
    try:
        with tifffile.TiffFile(path, is_ome=False) as file:
            pages: list[_Strips] = []
            for page in file.pages:
                if len(pages) == MAX_FRAMES:
                    raise FileError(f"{path}: {what} has more than {MAX_FRAMES} pictures")
                pages.append(_page(path, what, page, file.byteorder))
            described = str(file.pages.first.description)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: this {what} cannot be read ({error.strerror or error})") from error
    # Tags of any type and value stand in a damaged file, and each fails in its own way.
    except Exception as error:
        raise FileError(f"{path}: {what} is not a sound TIFF file ({first_line(error)})") from error
    _check_described(path, what, described, pages)
    return [
        _Frame(f"page {index}", page.shape, page.dtype, lambda page=page: _loaded(path, what, page))  # type: ignore[misc]
        for index, page in enumerate(pages)
    ]


def _check_described(path: Path, what: str, described: str, pages: list[_Strips]) -> None:
    """ImageJ and tifffile can write many frames behind the tags of one; their descriptions say how many there are."""
    images = re.search(r"^images=([0-9]{1,12})$", described, re.MULTILINE)
    shape = re.match(r'{"shape": \[([0-9, ]{1,200})\]', described)
    declared = int(images[1]) if images else len(pages)
    if shape:
        pixels = math.prod(int(length) for length in shape[1].replace(" ", "").split(",") if length)
        declared = pixels // max(math.prod(pages[0].shape), 1)
    if declared > len(pages):
        raise FileError(
            f"{path}: {what} says it has {declared} pictures, but lists {len(pages)}; save it with one page per picture"
        )


def _page(path: Path, what: str, page: Any, byte_order: str) -> _Strips:
    """What is read of a page's tags; raises `FileError` for a picture that is not grey, or is stored in another way."""
    where = f"{path}: page {page.index} of {what}"
    if int(page.samplesperpixel) != 1 or int(page.photometric) not in (MIN_IS_WHITE, MIN_IS_BLACK):
        raise FileError(f"{where} is in colour; save the camera's raw grey levels (8 or 16 bits, or float)")
    if int(page.photometric) == MIN_IS_WHITE:
        raise FileError(f"{where} is stored with 0 as white (WhiteIsZero); save it with 0 as black")
    stored = TIFF_TYPES.get((int(page.sampleformat), int(page.bitspersample)))
    if stored is None:
        raise FileError(
            f"{where} has {page.bitspersample} bits of sample format {page.sampleformat}; use 8 or 16 bits, or float"
        )
    compression, predictor = int(page.compression), int(page.predictor)
    unpack = {NOT_COMPRESSED: _as_it_is, LZW: _without_lzw, **dict.fromkeys(DEFLATE, _inflated)}.get(compression)
    if unpack is None:
        raise FileError(f"{where} is compressed in a way that is not read ({compression}); save it uncompressed")
    if page.is_tiled or int(page.imagedepth) != 1 or int(page.fillorder) != 1 or predictor not in (1, 2):
        raise FileError(f"{where} is in tiles, slices or an unusual order; save it as plain uncompressed strips")
    if predictor == 2 and stored[0] == "f":
        raise FileError(f"{where} stores differences of float values, which is not read; save it uncompressed")
    height, width = int(page.imagelength), int(page.imagewidth)
    ranges = tuple((int(o), int(c)) for o, c in zip(page.dataoffsets, page.databytecounts, strict=True))
    dtype = np.dtype(byte_order + stored)
    stored_bytes = sum(count for _, count in ranges)
    _check_stored(path, what, (height, width), dtype, stored_bytes * (1 if unpack is _as_it_is else MAX_EXPANSION))
    return _Strips(
        shape=(height, width),
        dtype=dtype,
        rows=min(int(page.rowsperstrip), height) or height,
        ranges=ranges,
        unpack=unpack,
        differences=predictor == 2,
    )


def _loaded(path: Path, what: str, page: _Strips) -> NDArray[np.generic]:
    height, width = page.shape
    row_bytes = width * page.dtype.itemsize
    size_bytes = path.stat().st_size
    if sum(count for _, count in page.ranges) > size_bytes:
        raise FileError(f"{path}: the strips of {what} are longer than the file; is it cut off?")
    parts = []
    with path.open("rb") as stream:
        for index, (offset, count) in enumerate(page.ranges):
            wanted = min(page.rows, height - index * page.rows) * row_bytes
            if min(offset, count) < 0 or offset + count > size_bytes or wanted <= 0:
                raise FileError(
                    f"{path}: strip {index} of {what} is not inside the file, or beyond the {height} rows of its "
                    "picture; is it cut off?"
                )
            stream.seek(offset)
            part = page.unpack(stream.read(count), wanted)
            if part is None:
                raise FileError(f"{path}: strip {index} of {what} does not hold its {wanted} bytes; is it cut off?")
            parts.append(part)
    content = b"".join(parts)
    if len(content) != height * row_bytes:
        raise FileError(f"{path}: {what} holds {len(content)} bytes of its {height * row_bytes}; is it cut off?")
    pixels: NDArray[np.generic] = np.frombuffer(content, dtype=page.dtype).reshape(height, width)
    if page.differences:
        native = pixels.astype(page.dtype.newbyteorder("="))
        return np.add.accumulate(native, axis=1, dtype=native.dtype)  # wraps around, as it was stored
    return pixels
