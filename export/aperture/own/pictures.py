"""Pictures of a mask: PNG, TIFF and BMP of 1, 8 and 16 bits or float, grey, or a palette or colours of greys.

Sizes are taken from the header and checked before memory is.
"""

import logging
import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import CidesignError, FileError, first_line
from cidesign.export.aperture.drawing import MAX_CELLS

SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
# Lossless packing of a plain area reaches a few thousand to one: what declares more is not in its file.
MAX_EXPANSION = 4096
PNG_DEPTH, PNG_COLOUR, DEEP = 24, 25, 16
PHOTOMETRIC, ORIENTATION, RESOLUTION, UNIT = 262, 274, 282, 296
WHITE_IS_ZERO, UPRIGHT = 0, 1
NM_PER_UNIT = {2: 25_400_000, 3: 10_000_000}
LOSSY = ("jpeg", "tiff_jpeg", "webp", "jpeg2000")
DEPTHS = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")


class MaskPicture(NamedTuple):
    """`values` (H, W) as stored, row 0 on top; `bits`: 1 for a bilevel picture, whose white is 1; `pixel_um`: the side
    of a pixel where a bilevel TIFF says it in whole nm."""

    values: NDArray[np.generic]
    bits: int
    pixel_um: float | None
    said: tuple[str, ...] = ()


def read_picture(path: Path) -> MaskPicture:
    """Read the one picture of a file; raises `FileError` for damage, colour, and what programs show differently."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong is told in one line
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            with Image.open(path, formats=("PNG", "TIFF", "BMP")) as picture:
                return _of(path, picture)
        except CidesignError:
            raise
        except Exception as error:  # every decoder fails in its own way on a damaged file
            raise FileError(f"{path}: this picture of a mask cannot be read ({first_line(error)})") from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _of(path: Path, picture: "Image.Image") -> MaskPicture:
    columns, rows = picture.size
    if min(columns, rows) < 1 or columns * rows > MAX_CELLS:
        raise FileError(f"{path}: {columns} x {rows} pixels; a mask has 1 to {MAX_CELLS}")
    if columns * rows > 8 * MAX_EXPANSION * path.stat().st_size:
        raise FileError(f"{path}: {columns} x {rows} pixels are not in {path.stat().st_size} bytes; is it cut off?")
    pages = int(getattr(picture, "n_frames", 1))
    if pages > 1:
        raise FileError(f"{path}: holds {pages} pictures; a mask is one. Save the one that is meant")
    if picture.info.get("compression") in LOSSY:
        raise FileError(f"{path}: {picture.info['compression']} compression changes values; save the mask without loss")
    tags: Any = getattr(picture, "tag_v2", {})
    _refuse_ambiguous(path, tags)
    _refuse_deep_colour(path, picture)
    picture.load()
    said: tuple[str, ...] = ()
    values: NDArray[np.generic]
    if picture.mode in DEPTHS or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        values = values.astype(np.uint16) if picture.mode.startswith("I;16") else values
    else:
        values, said = _grey_of_colours(path, picture)
    if picture.mode == "1":
        return MaskPicture(values.astype(np.uint8), 1, _pixel_um(tags))
    return MaskPicture(values, values.dtype.itemsize * 8, None, said)


def _refuse_ambiguous(path: Path, tags: Any) -> None:
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise FileError(
            f"{path}: PhotometricInterpretation is 0 (WhiteIsZero). Some programs show the numbers of such a file, "
            "others their inverse, so open and opaque could be swapped; save it as BlackIsZero (1)"
        )
    if tags.get(ORIENTATION, UPRIGHT) != UPRIGHT:
        raise FileError(
            f"{path}: Orientation is {tags[ORIENTATION]}; some programs turn such a file, others do not. Save it with "
            "1 (first row on top)"
        )


def _refuse_deep_colour(path: Path, picture: "Image.Image") -> None:
    """Pillow keeps 8 of 16 bits of a colour."""
    if picture.format != "PNG":
        return
    with path.open("rb") as stream:
        head = stream.read(PNG_COLOUR + 1)
    if head[PNG_DEPTH] == DEEP and head[PNG_COLOUR] != 0:
        raise FileError(f"{path}: 16 bits a channel and several channels; save it as grey")


def _grey_of_colours(path: Path, picture: "Image.Image") -> tuple[NDArray[np.generic], tuple[str, ...]]:
    colours = np.asarray(picture.convert("RGBA"))
    if int(colours[..., 3].min()) < 255:
        raise FileError(f"{path}: is transparent in parts; what is behind is not known. Save it as grey")
    if (colours[..., :3] != colours[..., :1]).any():
        row, column = np.argwhere((colours[..., :3] != colours[..., :1]).any(axis=2))[0].tolist()
        found = tuple(colours[row, column, :3].tolist())
        raise FileError(f"{path}: is in colour, first {found} at row {row}, column {column}; save the mask as grey")
    kind = "a palette" if picture.mode in ("P", "PA") else "colour channels that are equal"
    return np.ascontiguousarray(colours[..., 0]), (f"stored with {kind}: read as grey of 8 bits",)


def _pixel_um(tags: Any) -> float | None:
    """The pixel of a TIFF whose resolution is that of a plate: a whole number of nm."""
    try:
        nm = NM_PER_UNIT[int(tags.get(UNIT, 2))] / float(tags[RESOLUTION])
    except (KeyError, ValueError, TypeError, ZeroDivisionError, struct.error):
        return None
    return round(nm) / 1000 if nm >= 1 and abs(nm - round(nm)) <= 1e-4 * nm and round(nm) % 5 == 0 else None
