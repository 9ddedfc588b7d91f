"""A picture as the scene of a simulated bench: whatever is read as training pictures is read as a scene."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.brightness import range_of, white_level
from cidesign.data.picture_arrays import Picture
from cidesign.data.picture_files import find_images, read_pictures
from cidesign.errors import CidesignError, FileError
from cidesign.io.arrays import float64_of
from cidesign.io.npy import read_npy


def read_scene(path: Path, side: int) -> tuple[NDArray[np.float64], list[str]]:
    """Read a picture as a scene (side, side) in [0, 1], row 0 at the top, with remarks on what was done to it.

    Of several pictures the first is taken, of a folder the first file that can be read.  Colours become grey (Rec.
    601); integers are divided by the full scale that they use, float values must lie in [0, 1]; the largest centred
    square is averaged down to `side`.
    Raises `FileError` for what cannot be read, is out of range, or is smaller than `side`.
    """
    remarks: list[str] = []
    picture = _grey(path, remarks)
    height, width = picture.shape
    shortest = min(height, width)
    if shortest < side:
        raise FileError(
            f"{path}: {width} x {height} pixels; a scene needs at least {side} x {side}: enlarge the picture, or "
            "name a larger one"
        )
    top, left = (height - shortest) // 2, (width - shortest) // 2
    if height != width:
        remarks.append(f"scene: the centred square of {shortest} x {shortest} of {width} x {height} pixels is used")
    if shortest != side:
        remarks.append(f"scene: averaged from {shortest} x {shortest} down to {side} x {side} super-pixels")
    square = picture[top : top + shortest, left : left + shortest]
    scene = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    # Averages of values in [0, 1] can leave it by a rounding error of the last bit.
    return np.clip(scene.astype(np.float64), 0.0, 1.0), remarks


def _grey(path: Path, remarks: list[str]) -> NDArray[np.float64]:
    """A picture (H, W) of reflectances."""
    file, picture = _first(path, remarks)
    values = picture.values
    try:
        found = range_of(values)
    except ValueError as error:
        raise FileError(f"{file}: {error}") from error
    if values.dtype.kind == "f":
        if found.high > 1:
            raise FileError(
                f"{file}: values from {found.low:g} to {found.high:g}; float scenes are reflectances from 0 to 1"
            )
        return float64_of(values)
    white, note, remark = white_level(values.dtype, found.high)
    remarks += [f"scene: {text}" for text in (note, remark) if text]
    return float64_of(values) / white


def _first(path: Path, remarks: list[str]) -> tuple[Path, Picture]:
    """The first picture of the first file at or below `path` that can be read, and which file it is."""
    files, _ = find_images(path)
    for file in files:
        try:
            picture, more = _first_of(file, remarks)
        except CidesignError as error:
            if len(files) == 1:
                raise
            remarks.append(f"scene: left out: {error}")
            continue
        if more:
            remarks.append(f"scene: the first picture of {file.name} is taken")
        if len(files) > 1:
            remarks.append(f"scene: {file.name}, the first of {len(files)} files, is taken")
        return file, picture
    raise FileError(f"{path}: none of {len(files)} files can be read as a scene; {remarks[0]}")


def _first_of(file: Path, remarks: list[str]) -> tuple[Picture, bool]:
    """The first picture of a file, and whether there are more."""
    if file.suffix.lower() == ".npy":
        array = read_npy(file, "scene")
        # A matrix that is given as a scene is one picture, however small or wide, and not pictures one a row.
        if array.ndim == 2 and array.size and array.dtype.kind in "uif":
            return Picture(array), False
    notes: list[str] = []
    pictures = read_pictures(file, notes)
    first = next(pictures, None)
    if first is None:
        raise FileError(f"{file}: holds no picture")
    more = next(pictures, None) is not None
    remarks += [f"scene: {note}" for note in notes]
    return first, more
