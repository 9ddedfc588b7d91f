"""Pictures of patterns as they are stored: BMP, PNG and TIFF with any palette, nothing scaled, rounded or flattened.

Sizes are taken from the header and checked before memory is.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, first_line
from cidesign.files import read_limited, sha256_bytes
from cidesign.io.pillow import quietly
from cidesign.records import shown

PICTURE_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")
_FORMATS = {".bmp": ["BMP"], ".png": ["PNG"], ".tif": ["TIFF"], ".tiff": ["TIFF"]}
MAX_FILE_BYTES = 1_000_000_000
# The largest device has 4.3 million mirrors.
MAX_PIXELS = 20_000_000
MAX_STACK_BYTES = 1_000_000_000
# What Pillow makes of BMPs of 8 and 4 bits whose palette has 2 or 16 levels of grey.
_MISREAD = {("1", 4), ("1", 8), ("L", 1), ("L", 4)}
_LOSSY = ("jpeg", "tiff_jpeg", "webp", "jpeg2000")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT, _WHITE_IS_ZERO, _SIGNED = 258, 262, 339, 0, 2
# What Pillow raises at damaged files, beside OSError.
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, struct.error,
           OverflowError, MemoryError, RuntimeError, AssertionError, ZeroDivisionError)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One picture, row 0 at the top: `values` (H, W), or (H, W, 3) red, green, blue where it is stored in colour.

    `bits` are those of a pixel in the file; `full` is the value of white, None where the format has none; `said` is
    what a palette was taken for.
    """

    name: str
    values: NDArray[np.generic]
    bits: int
    full: int | None
    said: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(columns, rows)."""
        return int(self.values.shape[1]), int(self.values.shape[0])


def read_pictures(path: Path) -> tuple[list[Picture], str]:
    """All pictures of a file, and its SHA-256; raises `FileError` for damage and for what would lose something."""
    content = read_limited(path, "picture", MAX_FILE_BYTES)
    if path.suffix.lower() == ".png" and len(content) > 25 and content[24] == 16 and content[25] in (2, 4, 6):
        raise FileError(f"{path}: holds 16 bits a channel; save it with 8 bits a channel, or grey")
    found: list[Picture] = []
    with quietly():
        try:
            with Image.open(BytesIO(content), formats=_FORMATS[path.suffix.lower()]) as image:
                for page, name in _pages(path, image):
                    found.append(_picture(path, page, name))
                    if sum(one.values.nbytes for one in found) > MAX_STACK_BYTES:
                        raise FileError(f"{path}: holds more than {MAX_STACK_BYTES} bytes of pictures")
        except _DAMAGE as error:
            raise FileError(f"{path}: this picture cannot be read ({first_line(error)})") from error
    return found, sha256_bytes(content)


def _pages(path: Path, image: "Image.Image") -> Iterator[tuple["Image.Image", str]]:
    pages = int(getattr(image, "n_frames", 1))
    if image.format != "TIFF" and pages > 1:
        raise FileError(f"{path}: is an animation of {pages} pictures; save them one by one, or as a TIFF of pages")
    for number in range(pages):
        if number:
            image.seek(number)
        yield image, path.name if pages == 1 else f"{path.name}, page {number}"


def _picture(path: Path, image: "Image.Image", name: str) -> Picture:
    columns, rows = image.size
    if min(columns, rows) < 1 or columns * rows > MAX_PIXELS:
        raise FileError(f"{path}: declares {columns} x {rows} pixels; 1 to {MAX_PIXELS} are read")
    compression = image.info.get("compression")
    if compression in _LOSSY:
        raise FileError(f"{path}: compression {compression} changes values; save the patterns without loss")
    tags: Any = getattr(image, "tag_v2", {})
    _check_tags(path, image.mode, tags)
    bits = _index_bits(path, image, tags)
    if image.format == "BMP" and (image.mode, bits) in _MISREAD:
        return _grey_bmp(path, name, (rows, columns), bits)
    image.load()
    mode = image.mode
    if mode in ("RGBA", "LA", "PA"):
        image = _opaque(path, image)
        mode = image.mode
    if mode == "1":
        return Picture(name, np.asarray(image).astype(np.uint8) * np.uint8(255), 1, 255)
    if mode == "L":
        return Picture(name, np.array(image), 8, 255)
    if mode == "RGB":
        return Picture(name, np.array(image), 24, 255)
    if mode == "P":
        return _looked_up(path, image, name, bits)
    if mode.startswith("I;16"):
        return Picture(name, np.array(image).astype(np.uint16), 16, 65_535)
    if mode in ("I", "F"):
        return Picture(name, np.array(image), 32, None)
    raise FileError(f"{path}: pictures of mode {shown([mode])} are not read; save it as black and white, grey or RGB")


def _check_tags(path: Path, mode: str, tags: Any) -> None:
    """Refuse what Pillow would read as other numbers than are stored."""
    bits = tags.get(_BITS_PER_SAMPLE, (8,))
    if len(bits) > 1 and max(bits) > 8:
        raise FileError(f"{path}: holds {max(bits)} bits a channel; save it with 8 bits a channel, or grey")
    if mode == "L" and _SIGNED in tags.get(_SAMPLE_FORMAT, (1,)):
        raise FileError(f"{path}: holds signed 8-bit values; save it unsigned, or as an array (.npy)")
    if max(bits) > 8 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise FileError(f"{path}: stores white as 0 in {max(bits)} bits; save it with 0 as black")


def _index_bits(path: Path, image: "Image.Image", tags: Any) -> int:
    """The bits of a pixel, as the header says."""
    if image.format == "TIFF":
        return int(tags.get(_BITS_PER_SAMPLE, (8,))[0])
    # Pillow does not tell the bits of an index; both headers do, at a fixed place.
    with path.open("rb") as stream:
        header = stream.read(30)
    if image.format == "PNG":
        return header[24]
    # The oldest BMP header has 12 bytes and the bits at its end.
    bits: int = struct.unpack_from("<H", header, 24 if header[14] == 12 else 28)[0]
    return bits


def _grey_bmp(path: Path, name: str, shape: tuple[int, int], bits: int) -> Picture:
    """A BMP with a short palette of grey, of whose indices Pillow takes each for another number of bits."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is told in one line, below
    content = np.frombuffer(read_limited(path, "picture", MAX_FILE_BYTES), dtype=np.uint8)
    try:
        stored = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise FileError(f"{path}: this picture cannot be read ({str(error).strip().splitlines()[-1]})") from error
    if stored is None or stored.shape != shape:
        raise FileError(f"{path}: this picture of {shape[1]} x {shape[0]} pixels cannot be read; is it damaged?")
    return Picture(name, stored.astype(np.uint8), bits, 255)


def _opaque(path: Path, image: "Image.Image") -> "Image.Image":
    if np.asarray(image.getchannel("A")).min() < 255:
        raise FileError(f"{path}: has transparent pixels, which no mirror shows; save it without transparency")
    return image.convert({"RGBA": "RGB", "LA": "L", "PA": "RGB"}[image.mode])


def _looked_up(path: Path, image: "Image.Image", name: str, bits: int) -> Picture:
    """A picture with a palette: grey where all colours in use are grey, by luminance where there are two."""
    indices = np.asarray(image)
    flat = image.getpalette("RGB") or []
    palette = np.array(flat, dtype=np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(indices.reshape(-1), minlength=256))
    if used.max() >= len(palette):
        raise FileError(f"{path}: names colour {used.max()} of a palette of {len(palette)}")
    table = luminance(palette)
    levels = table[used]
    if np.ptp(palette[used], axis=1).any() and (len(used) > 2 or len(set(levels.tolist())) < len(used)):
        raise FileError(
            f"{path}: its palette has {len(used)} colours in use, which are not levels of grey; save it as black and "
            "white, or as grey"
        )
    order = sorted(zip(levels.tolist(), used.tolist(), strict=True))
    said = ""
    if len(order) == 2:
        said = (
            f"{name}: index {order[1][1]} of its palette is the brighter one (luminance {order[1][0]} to {order[0][0]})"
        )
    padded = np.zeros(256, dtype=np.uint8)
    padded[: len(table)] = table[:256]
    return Picture(name, padded[indices], bits, 255, said)


def luminance(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rec. 601 luma of colours (..., 3), 0 to 255; a grey colour keeps its value."""
    weights = np.array([299, 587, 114])
    values: NDArray[np.uint8] = ((colours.astype(np.int64) @ weights + 500) // 1000).astype(np.uint8)
    return values
