"""A picture as the scene of a simulated bench."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import read_limited
from cidesign.io.arrays import read_array

MAX_PICTURE_BYTES = 256_000_000
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_scene(path: Path, side: int) -> tuple[NDArray[np.float64], list[str]]:
    """Read a picture as a scene (side, side) in [0, 1], row 0 at the top, with remarks on what was done to it.

    Colours become grey (Rec. 601); 8- and 16-bit pictures are divided by their full scale, float pictures and
    .npy arrays must lie in [0, 1]; the largest centred square is averaged down to `side`.
    Raises `FileError` for what cannot be read, is out of range, or is smaller than `side`.
    """
    picture = _grey(path)
    height, width = picture.shape
    shortest = min(height, width)
    if shortest < side:
        raise FileError(f"{path}: {width} x {height} pixels; a scene needs at least {side} x {side}")
    if picture.min() < 0 or picture.max() > 1:
        raise FileError(
            f"{path}: values from {picture.min():g} to {picture.max():g}; float scenes are reflectances from 0 to 1"
        )
    remarks = []
    top, left = (height - shortest) // 2, (width - shortest) // 2
    if height != width:
        remarks.append(f"scene: the centred square of {shortest} x {shortest} of {width} x {height} pixels is used")
    if shortest != side:
        remarks.append(f"scene: averaged from {shortest} x {shortest} down to {side} x {side} super-pixels")
    square = picture[top : top + shortest, left : left + shortest]
    scene = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    # Averages of values in [0, 1] can leave it by a rounding error of the last bit.
    return np.clip(scene.astype(np.float64), 0.0, 1.0), remarks


def _grey(path: Path) -> NDArray[np.float64]:
    if path.suffix.lower() == ".npy":
        array = read_array(path, "scene")
        if array.ndim != 2 or array.size == 0:
            raise FileError(f"{path}: a scene is an array of two dimensions, not of shape {array.shape}")
        return array
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise FileError(f"{path}: scenes are read from {', '.join((*PICTURE_SUFFIXES, '.npy'))}")
    content = read_limited(path, "scene", MAX_PICTURE_BYTES)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a damaged file is told in one line, below
    try:
        encoded = np.frombuffer(content, dtype=np.uint8)
        # ANYDEPTH keeps 16 bits and floats; the default would bring all to 8.
        picture = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if content else None
    except cv2.error as error:
        raise FileError(f"{path}: this picture cannot be read ({str(error).strip().splitlines()[-1]})") from error
    if picture is None:
        raise FileError(f"{path}: this picture cannot be read; is it damaged?")
    values: NDArray[np.float64] = picture.astype(np.float64)
    full_scale = {"uint8": 255.0, "uint16": 65535.0}.get(picture.dtype.name)
    if full_scale is not None:
        return values / full_scale
    if not np.isfinite(values).all():
        raise FileError(f"{path}: this picture holds values that are not finite")
    return values
