"""The pages of a TIFF as grey pictures: tifffile reads the structure and what is stored plainly, Pillow the rest.

Pillow alone would read 16-bit colour in planes as noise, invert no 16-bit WhiteIsZero and take signed bytes for
unsigned ones; tifffile alone reads neither LZW nor JPEG without a further package.
"""

import logging
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cidesign.data.picture_arrays import LUMA, Picture, grey
from cidesign.data.pillow_pictures import ALPHA_NOTE, check_size, grey_of, upright, with_transparency
from cidesign.errors import FileError, first_line
from cidesign.io.pillow import quietly

SUFFIXES = (".tif", ".tiff")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
REFUSED = {8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a camera's raw mosaic", 32844: "LogL",
           32845: "LogLuv", 34892: "a camera's raw data"}  # fmt: skip
# Not compressed, Deflate (two numbers) and PackBits: what tifffile unpacks by itself.
PLAIN = (1, 8, 32946, 32773)
UNSIGNED, SIGNED = 1, 2
# Bits of the subfile type: a smaller copy of another page, and a mask of transparency.
REDUCED_COPY, TRANSPARENCY = 1, 4
ALPHA = (1, 2)
ORIENTATION, SUBSAMPLING = 274, 530
MAX_PAGES = 100_000


def tiff_pages(path: Path, notes: list[str]) -> Iterator[Picture]:
    """The pages of a TIFF as grey pictures in the numbers of the file, turned as the orientation tag says.

    Previews and masks of transparency are left out with a remark.  Raises `FileError` for what cannot be read, by name.
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is told in one line
    with tifffile.TiffFile(path, is_ome=False) as file:
        pages: list[Any] = []
        for page in file.pages:
            if len(pages) == MAX_PAGES:
                raise FileError(f"{path}: it has more than {MAX_PAGES} pages")
            pages.append(page)
        if not pages:
            raise FileError(f"{path}: this TIFF holds no picture")
        described = _described(pages[0])
        if described > len(pages) == 1:
            if _frames_follow(path, pages[0], described):
                yield from _frames_behind(path, pages[0], described)
                return
            notes.append(f"it says that it has {described} pictures, but only the one that it lists is in it")
        shown = [page for page in pages if not int(page.subfiletype) & (REDUCED_COPY | TRANSPARENCY)]
        if not shown:
            raise FileError(f"{path}: all of its {len(pages)} pages are previews or masks of transparency")
        if len(shown) < len(pages):
            left_out = len(pages) - len(shown)
            notes.append(f"{left_out} of {len(pages)} pages are previews or masks of transparency, and left out")
        for page in shown:
            label = f"page {page.index + 1}" if len(shown) > 1 else ""
            try:
                values = _page(path, page, notes)
            except Exception as error:  # tags of any type and value stand in a damaged file
                where = f"{label} of {len(pages)}: " if label else ""
                raise FileError(f"{path}: {where}{_reason(path, error)}") from error
            yield Picture(values, label)


def _described(page: Any) -> int:
    """How many pictures ImageJ or tifffile say there are: many can lie behind the tags of one."""
    description = str(page.description)
    images = re.search(r"^images=([0-9]{1,9})$", description, re.MULTILINE)
    if images:
        return int(images[1])
    shape = re.match(r'{"shape": \[([0-9, ]{1,200})\]', description)
    if shape:
        samples = prod(int(length) for length in shape[1].replace(" ", "").split(",") if length)
        return int(samples // max(prod(page.shape), 1))
    return 1


def _frames_follow(path: Path, page: Any, count: int) -> bool:
    """Whether `count` pictures of the page's size lie behind one another in the file."""
    if page.dtype is None or int(page.compression) != 1 or page.is_tiled or not page.is_contiguous:
        return False
    size_bytes = prod(page.shape) * page.dtype.itemsize
    return bool(int(page.dataoffsets[0]) + count * size_bytes <= path.stat().st_size)


def _frames_behind(path: Path, page: Any, count: int) -> Iterator[Picture]:
    shape, dtype = tuple(page.shape), page.dtype.newbyteorder(page.parent.byteorder)
    check_size(path, int(page.imagewidth), int(page.imagelength))
    for number in range(count):
        start = int(page.dataoffsets[0]) + number * prod(shape) * dtype.itemsize
        frame = np.fromfile(path, dtype, prod(shape), offset=start).reshape(shape)
        yield Picture(_from_samples(path, page, frame.astype(page.dtype)), f"page {number + 1}")


def _page(path: Path, page: Any, notes: list[str]) -> NDArray[np.generic]:
    photometric, bits = int(page.photometric), int(page.bitspersample)
    if photometric in REFUSED:
        raise FileError(f"{path}: {REFUSED[photometric]} is not read; convert it to grey or RGB")
    if int(page.imagedepth) != 1:
        raise FileError(f"{path}: a volume of {page.imagedepth} planes in one page; save one page per plane")
    check_size(path, int(page.imagewidth), int(page.imagelength))
    plain = int(page.compression) in PLAIN and bits in (8, 16, 32, 64) and int(page.fillorder) == 1
    if plain and not (photometric == YCBCR and tuple(page.tags.valueof(SUBSAMPLING, (2, 2))) != (1, 1)):
        if any(int(kind) in ALPHA for kind in page.extrasamples):
            notes.append(ALPHA_NOTE)
        return _from_samples(path, page, page.asarray())
    return _by_pillow(path, page, notes)


def _from_samples(path: Path, page: Any, stored: NDArray[np.generic]) -> NDArray[np.generic]:
    """Samples as they are stored, (H, W), (H, W, S) or in planes (S, H, W), as an upright grey picture, 0 = black."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise FileError(f"{path}: axes {page.axes} are no picture")
    samples = np.moveaxis(stored, 0, -1) if page.axes == "SYX" else stored.reshape(*stored.shape[:2], -1)
    photometric, count = int(page.photometric), samples.shape[2]
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and count <= 1 + min(len(page.extrasamples), 1):
        values = samples[..., 0]
        if photometric == WHITE_IS_ZERO:
            values = _inverted(path, values, int(page.bitspersample))
    elif photometric == YCBCR and count >= 3:
        values = samples[..., 0]
    elif photometric == RGB and count >= 3:
        values = grey(samples[..., :3])
    elif photometric == PALETTE and count == 1 and samples.dtype.kind == "u":
        values = _looked_up(path, page, samples[..., 0])
    elif photometric == CMYK and count >= 4 and samples.dtype == np.uint8:
        from PIL import Image

        values = np.asarray(Image.fromarray(np.ascontiguousarray(samples[..., :4]), "CMYK").convert("L"))
    else:
        raise FileError(
            f"{path}: {count} samples per pixel of {samples.dtype} with photometric interpretation {photometric} are "
            "not read; save it as grey or RGB"
        )
    return upright(values, int(page.tags.valueof(ORIENTATION, 1)))


def _looked_up(path: Path, page: Any, indices: NDArray[np.generic]) -> NDArray[np.generic]:
    colours = np.asarray(page.colormap, dtype=np.float64)
    # Some programs write 8-bit colours where 16-bit ones belong.
    luma = LUMA @ colours / (257 if colours.max(initial=0) > 255 else 1)
    if indices.max(initial=0) >= luma.size:
        raise FileError(f"{path}: it names colour {indices.max()} of a palette of {luma.size}")
    values: NDArray[np.generic] = np.round(luma).astype(np.uint8)[indices]
    return values


def _inverted(path: Path, values: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    if values.dtype.kind != "u":
        raise FileError(f"{path}: WhiteIsZero with values of {values.dtype} names no black; save it with 0 as black")
    inverted: NDArray[np.generic] = np.subtract(np.array(2**bits - 1, dtype=values.dtype), values)
    return inverted


def _by_pillow(path: Path, page: Any, notes: list[str]) -> NDArray[np.generic]:
    """A page in a compression that Pillow unpacks, where it reads the samples rightly; it turns them upright, too."""
    bits, form, samples = int(page.bitspersample), int(page.sampleformat), int(page.samplesperpixel)
    deep_colour = (bits, form, int(page.planarconfig), int(page.photometric)) == (16, UNSIGNED, 1, RGB)
    if samples > 1 and bits > 8 and not deep_colour:
        raise FileError(
            f"{path}: {samples} samples of {bits} bits with compression {int(page.compression)} are not read; save it "
            "uncompressed"
        )
    with quietly(), Image.open(path) as opened:
        opened.seek(page.index)
        opened.load()
        if with_transparency(opened):
            notes.append(ALPHA_NOTE)
        values = grey_of(opened)
    if samples > 1 and bits > 8:
        notes.append("of compressed 16-bit colour the upper 8 bits are read")
    if samples == 1 and form == SIGNED and values.dtype == np.uint8:
        values = values.view(np.int8)
    if samples == 1 and form == UNSIGNED and values.dtype == np.int32:
        values = values.view(np.uint32)
    if int(page.photometric) == WHITE_IS_ZERO and bits > 8:  # of up to 8 bits, Pillow has done it
        values = _inverted(path, values, bits)
    return values


def _reason(path: Path, error: Exception) -> str:
    return first_line(error).removeprefix(f"{path}: ")
