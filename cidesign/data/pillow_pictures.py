"""Pictures that Pillow reads (PNG, JPEG, BMP, GIF, WebP ...) as grey ones, upright, in the file's numbers."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cidesign.data.picture_arrays import grey
from cidesign.errors import FileError
from cidesign.io.pillow import quietly
from cidesign.orientation import Orientation

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".pgm", ".ppm", ".pbm", ".pnm", ".tga"),
)
LARGEST_IMAGE_PIXELS = 250_000_000
# Lossless packing of a plain area reaches a few thousand to one: a picture that declares more is not in its file.
MAX_EXPANSION = 4096
# Colours of these modes become grey through RGB.
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LA", "La")
WITH_ALPHA = ("PA", "RGBA", "LA", "RGBa", "La")
PNG_HEADER_BYTES = 26
ORIENTATION = 274
# By the value of that tag: how a picture as stored is shown.
TAGGED = {
    1: Orientation(),
    2: Orientation(flip_horizontal=True),
    3: Orientation(flip_vertical=True, flip_horizontal=True),
    4: Orientation(flip_vertical=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_horizontal=True),
    7: Orientation(transpose=True, flip_vertical=True, flip_horizontal=True),
    8: Orientation(transpose=True, flip_vertical=True),
}
ALPHA_NOTE = "transparency is left out: what is transparent is read in the colour that is stored there"


def check_size(path: Path, width: int, height: int) -> None:
    """Raise `FileError` for a picture that is too large, or larger than its file can hold, before memory is taken."""
    if min(width, height) < 1:
        raise FileError(f"{path}: it declares {width} x {height} pixels")
    if width * height > LARGEST_IMAGE_PIXELS:
        raise FileError(f"{path}: {width} x {height} pixels are more than {LARGEST_IMAGE_PIXELS}; cut it into parts")
    if width * height > MAX_EXPANSION * path.stat().st_size:
        raise FileError(f"{path}: {width} x {height} pixels are not in {path.stat().st_size} bytes; is it cut off?")


def grey_of(picture: "Image.Image") -> NDArray[np.generic]:
    """A loaded picture as grey (H, W): Rec. 601 luma; colours of a palette are looked up, transparency is left out."""
    if picture.mode in COLOUR_MODES:
        if picture.mode in ("RGBa", "La"):
            picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
        return np.asarray(picture.convert("L"))
    if picture.mode == "1" or picture.mode in ("L", "I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        return grey(values.astype(values.dtype.newbyteorder("=")))
    raise FileError(f"pictures of mode {picture.mode} are not read; convert it to grey or RGB")


def read_with_pillow(path: Path, notes: list[str]) -> NDArray[np.generic]:
    """The first picture of a file as grey (H, W), turned as its EXIF orientation says."""
    with quietly(), Image.open(path) as opened:
        check_size(path, *opened.size)
        if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":
            notes.append("of animations the first frame is read")
        if opened.format == "JPEG" and opened.mode in ("RGB", "YCbCr"):
            opened.draft("L", opened.size)  # the luma is in the file: a quarter of the memory
        opened.load()
        if with_transparency(opened):
            notes.append(ALPHA_NOTE)
        deep = _deep_png(path) if opened.format == "PNG" else None
        if deep is None:
            return grey_of(ImageOps.exif_transpose(opened))
        return upright(deep, int(opened.getexif().get(ORIENTATION, 1)))


def with_transparency(picture: "Image.Image") -> bool:
    """Whether a part of a loaded picture is transparent."""
    if picture.mode in WITH_ALPHA:
        alpha = np.asarray(picture.getchannel("A" if picture.mode[-1] == "A" else "a"))
        return bool(alpha.min() < 255)
    return "transparency" in picture.info


def _deep_png(path: Path) -> NDArray[np.generic] | None:
    """A PNG with 16 bits and more than one channel, of which Pillow keeps 8 bits; None for others."""
    with path.open("rb") as stream:
        head = stream.read(PNG_HEADER_BYTES)
    if head[24:25] != b"\x10" or head[25:26] not in (b"\x02", b"\x04", b"\x06"):
        return None
    stored = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        return None
    return grey(stored[..., 2::-1]) if stored.shape[2] >= 3 else stored[..., 0]


def upright(values: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """A picture (H, W) as stored, turned and mirrored as tag 274 of TIFF and EXIF says; unknown values as 1."""
    return TAGGED.get(orientation, TAGGED[1]).apply(values)
