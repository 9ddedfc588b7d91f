"""A user's pictures in colour, as crops: red, green and blue of files that hold them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cidesign.data.brightness import range_of, without_contrast
from cidesign.data.crops import Averaged, Window, refuse_flat, remark_on_flat, windows
from cidesign.data.image_sets import (
    MeasuredSet,
    TrainingSet,
    content_digest,
    images_of_each,
    kept_for_validation,
    not_trained_on,
)
from cidesign.data.picture_files import find_images
from cidesign.data.pillow_pictures import SUFFIXES, check_size
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.io.pillow import quietly

Picture = NDArray[np.uint8]
WHITE = 255.0


class _Seen(NamedTuple):
    path: Path
    shape: tuple[int, int]
    digest: str


def read_colours(path: Path) -> Picture:
    """A picture (H, W, 3) of 8 bits, upright; grey ones have three equal channels.  Raises `FileError`."""
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(f"{path}: colours are read from {', '.join(SUFFIXES[:6])} and the like; convert it to PNG")
    try:
        with quietly(), Image.open(path) as opened:
            check_size(path, *opened.size)
            if opened.mode.startswith(("I", "F")):
                raise FileError(
                    f"{path}: more than 8 bits a colour (mode {opened.mode}) are not read; convert it to RGB"
                )
            opened.load()
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise FileError(f"{path}: this picture cannot be read ({error})") from error


def training_colours(folder: Path, side: int, train: int, validation: int, seed: int) -> TrainingSet:
    """Crops (M, 3, side, side) of the pictures below a folder; those for validation are of other pictures.

    Raises `InputError` where there are not two pictures.
    """
    seen, skipped, notes = _survey(folder)
    kept = kept_for_validation(len(seen))
    parts = [[one for one, held in zip(seen, kept, strict=True) if held is wanted] for wanted in (False, True)]
    if not parts[0] or not parts[1]:
        raise InputError(f"{folder}: {len(seen)} picture can be used; give two or more, one of them for validation")
    crops = [
        _crops(part, side, count, (seed, number))
        for number, (part, count) in enumerate(zip(parts, (train, validation), strict=True))
    ]
    refuse_flat(folder, crops[0])
    notes |= remark_on_flat("for training", crops[0])
    trained = frozenset(one.digest for one in parts[0])
    return TrainingSet(crops[0], crops[1], len(seen), tuple(skipped), tuple(sorted(notes)), trained)


def measured_colours(path: Path, side: int, count: int, seed: int, trained: frozenset[str]) -> MeasuredSet:
    """About `count` crops of every picture at or below `path`, as many of each; without those in `trained`."""
    seen, skipped, notes = _survey(path)
    chosen, held_out = not_trained_on([one.digest for one in seen], trained)
    each = images_of_each(len(chosen), count, 3 * side * side)
    crops = _crops([seen[index] for index in chosen], side, each * len(chosen), (seed, 2))
    notes |= remark_on_flat("measured", crops)
    return MeasuredSet(
        images=crops,
        pictures=len(seen),
        left_out=len(seen) - len(chosen),
        held_out=held_out,
        skipped=tuple(skipped),
        notes=tuple(sorted(notes)),
    )


def _survey(path: Path) -> tuple[list[_Seen], list[str], set[str]]:
    """Usable pictures, what is left out and why, and remarks; raises `FileError` where none is usable."""
    files, others = find_images(path)
    seen, skipped = [], []
    for file in files:
        try:
            values = read_colours(file)
            flat = [without_contrast(range_of(values[..., channel]), WHITE, True) for channel in range(3)]
            if all(flat):
                raise FileError(f"{file}: {flat[0]}")
        except CidesignError as error:
            skipped.append(str(error))
            continue
        seen.append(_Seen(file, values.shape[:2], content_digest(values)))
    if not seen:
        raise FileError(f"{path}: none of {len(files)} files can be used; the first: {skipped[0]}")
    return seen, skipped, {f"not read below {path}: {others}"} if others else set()


def _crops(pictures: list[_Seen], side: int, count: int, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    images = np.empty((count, 3, side, side), dtype=np.uint8)
    for one, cuts in zip(pictures, windows([one.shape for one in pictures], side, count, seed), strict=True):
        if not cuts:
            continue
        values = read_colours(one.path)
        if content_digest(values) != one.digest:
            raise FileError(f"{one.path}: it changed while it was read; repeat")
        for channel in range(3):
            averaged = Averaged(np.ascontiguousarray(values[..., channel]), WHITE)
            for window in cuts:
                _fill(images[window.image, channel], averaged, window, side)
    return images


def _fill(image: NDArray[np.uint8], averaged: Averaged, window: Window, side: int) -> None:
    image[:] = np.round(np.float32(WHITE) * averaged.square(window, side)).clip(0, WHITE).astype(np.uint8)
