"""Decodes pictures for `pair`, in the bounded child process."""

from typing import TypedDict

import cv2
import numpy as np
import tifffile
from PIL import Image

from cidesign.io.child import Arrays, Refused

TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


class Request(TypedDict):
    """The picture of `path`, of at most `max_pixels`."""

    path: str
    max_pixels: int


def answer(request: Request) -> tuple[dict[str, object], Arrays]:
    """`picture` (h, w) or (h, w, 3), red first, in the type in which it is stored."""
    path = request["path"]
    width, height = _declared(path)
    if not 0 < width * height <= request["max_pixels"]:
        raise Refused(
            f"declares {height} x {width} pixels; 1 to {request['max_pixels']} are read: bin it, or cut a part out"
        )
    picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise Refused("is no picture that can be decoded; save it as 8 or 16 bit TIFF or PNG, or as .npy")
    if picture.shape[:2] != (height, width):
        raise Refused(f"declares {height} x {width} pixels, and holds {picture.shape[0]} x {picture.shape[1]}")
    if picture.ndim == 3 and picture.shape[2] != 3:
        raise Refused(f"has {picture.shape[2]} channels; grey, or red, green and blue are read: leave transparency out")
    return {}, {"picture": np.ascontiguousarray(picture if picture.ndim == 2 else picture[..., ::-1])}


def _declared(path: str) -> tuple[int, int]:
    """Width and height by the header, before memory is taken for them."""
    with open(path, "rb") as stream:
        magic = stream.read(4)
    if magic not in TIFF_MAGIC:
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(path) as picture:
            return picture.size
    with tifffile.TiffFile(path, is_ome=False) as file:
        if len(file.pages) != 1:
            raise Refused(f"holds {len(file.pages)} pictures; save the one that is meant by itself")
        page = file.pages.first
        return int(page.imagewidth), int(page.imagelength)
