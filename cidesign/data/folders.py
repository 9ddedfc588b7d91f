"""Training images from a user's folder: searched recursively, any bit depth, unreadable files named and skipped."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import load_npz

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".npz")
LARGEST_IMAGE_PIXELS = 250_000_000
HELD_OUT = 10
LARGEST_ZOOM = 4.0
CONTAINER_BITS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class FolderImages:
    """Crops (M, n, n) uint8 for training and validation (from different pictures), and what was left out and why."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    pictures: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def find_images(folder: Path) -> list[Path]:
    """Every file below `folder` with a known suffix, in a fixed order; raises `FileError` when there is none."""
    if not folder.is_dir():
        raise FileError(
            f"{folder}: no such folder of images; give --data a folder, or leave it out for procedural data"
        )
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise FileError(f"{folder}: no image is below this folder; looked for {', '.join(SUFFIXES)}")
    return found


def read_folder(folder: Path, side: int, train: int, validation: int, seed: int) -> FolderImages:
    """Random square crops of every readable picture below `folder`, averaged down to `side`.

    Every tenth picture is held out for validation.  Raises `FileError` when nothing is readable and `InputError`
    when there are fewer than two pictures.
    """
    pictures: list[NDArray[np.float32]] = []
    skipped: list[str] = []
    notes: set[str] = set()
    for path in find_images(folder):
        try:
            for values in _pictures_in(path):
                picture, note = _to_unit_range(values)
                pictures.append(picture)
                if note:
                    notes.add(note)
        except (CidesignError, OSError, ValueError, SyntaxError, KeyError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            skipped.append(f"{path.relative_to(folder)}: {reason.removeprefix(f'{path}: ')}")
    if not pictures:
        raise FileError(f"{folder}: none of {len(skipped)} files could be read; the first: {skipped[0]}")
    if len(pictures) < 2:
        raise InputError(f"{folder}: one picture is not enough (one is held out for validation); add more")
    if min(min(picture.shape) for picture in pictures) < side:
        notes.add(f"pictures smaller than {side} x {side} are enlarged")
    held_out = [index % HELD_OUT == HELD_OUT - 1 for index in range(len(pictures))]
    held_out[-1] = held_out[-1] or not any(held_out)
    parts = []
    for count, wanted in ((train, False), (validation, True)):
        chosen = [picture for picture, out in zip(pictures, held_out, strict=True) if out == wanted]
        parts.append(_crops(chosen, side, count, np.random.default_rng([seed, int(wanted)])))
    return FolderImages(parts[0], parts[1], len(pictures), tuple(skipped), tuple(sorted(notes)))


def _pictures_in(path: Path) -> list[NDArray[np.generic]]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = list(load_npz(path, "image file").values())
    elif suffix == ".npy":
        arrays = [np.load(path, allow_pickle=False)]
    elif suffix in (".tif", ".tiff"):
        arrays = [_read_tiff(path)]
    else:
        arrays = [_read_picture(path)]
    return [picture for array in arrays for picture in _split(array)]


def _read_tiff(path: Path) -> NDArray[np.generic]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as stored:
            pixels = math.prod(stored.series[0].shape)
            if pixels > LARGEST_IMAGE_PIXELS:
                raise FileError(f"{path}: {pixels} samples are more than {LARGEST_IMAGE_PIXELS}")
            return np.asarray(stored.series[0].asarray())
    except (tifffile.TiffFileError, IndexError, TypeError) as error:
        raise FileError(f"{path}: not a readable TIFF ({error})") from error


def _read_picture(path: Path) -> NDArray[np.generic]:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.width * picture.height > LARGEST_IMAGE_PIXELS:
            raise FileError(f"{path}: {picture.width} x {picture.height} pixels are more than {LARGEST_IMAGE_PIXELS}")
        if picture.mode in ("P", "PA", "RGBA", "LA", "CMYK", "YCbCr"):
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)


def _split(array: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """An array as single grey pictures: (H, W), (H, W, 3 or 4) or a stack (M, H, W) or (M, H, W, 3)."""
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise ValueError(f"values of type {array.dtype} are not an image")
    if array.ndim in (3, 4) and array.shape[-1] in (3, 4):
        # Rec. 601 luma, what 'grey' means in image tools; a fourth channel is transparency.
        grey = array[..., :3] @ np.array([0.299, 0.587, 0.114])
        array = grey if array.dtype.kind == "f" else np.round(grey).astype(array.dtype)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or min(array.shape) < 1:
        raise ValueError(f"an array of shape {array.shape} is not an image or a stack of images")
    return list(array)


def _to_unit_range(values: NDArray[np.generic]) -> tuple[NDArray[np.float32], str]:
    """Grey values in [0, 1], and a remark where the scale had to be guessed."""
    picture = values.astype(np.float32)
    if not np.isfinite(picture).all():
        raise ValueError("it holds values that are not finite")
    low, high = float(picture.min()), float(picture.max())
    if low < 0:
        raise ValueError(f"it holds negative values (down to {low:g}); images are light, 0 or more")
    if values.dtype.kind == "f":
        if high <= 1:
            return picture, ""
        return picture / high, "float pictures with values above 1 are divided by their largest value"
    bits = next((bits for bits in CONTAINER_BITS if high < 2**bits), None)
    if bits is None:
        return picture / high, "integer pictures above 16 bit are divided by their largest value"
    note = "" if bits in (8, 16) else f"16-bit files that use only {bits} bits are read as {bits}-bit pictures"
    if values.dtype.itemsize > 1 and bits == 8:
        note = "16-bit files that use only 8 bits are read as 8-bit pictures"
    return picture / (2**bits - 1), note


def _crops(pictures: list[NDArray[np.float32]], side: int, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    import cv2

    crops = np.empty((count, side, side), dtype=np.uint8)
    # In random order, so that fewer crops than pictures are not those of the first pictures alone.
    order = rng.permutation(len(pictures))
    for position, which in enumerate(rng.permutation(order[np.arange(count) % len(pictures)])):
        picture = pictures[which]
        shortest = min(picture.shape)
        width = min(shortest, int(side * LARGEST_ZOOM ** rng.random()))
        top = rng.integers(0, picture.shape[0] - width + 1)
        left = rng.integers(0, picture.shape[1] - width + 1)
        crop = picture[top : top + width, left : left + width]
        way = cv2.INTER_AREA if width >= side else cv2.INTER_LINEAR
        crops[position] = np.round(255 * cv2.resize(crop, (side, side), interpolation=way)).clip(0, 255)
    return crops
