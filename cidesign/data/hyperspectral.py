"""Training cubes from hyperspectral files: resampled to the bands of a camera, scaled to [0, 1], cut into crops."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.data.arrays import find_data, reason
from cidesign.data.cube_files import SUFFIXES, SpectralCube, read_cube
from cidesign.data.envi import is_envi
from cidesign.data.folders import HELD_OUT, LARGEST_ZOOM, FolderImages
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.records import shown

# Glints and hot pixels are brighter than anything white: the brightest thousandth of the values does not set the scale.
WHITE_PERCENTILE = 99.9
FULL_SCALE = 65535
# The part of a single cube whose lines are kept for validation.
VALIDATION_LINES = 0.25

__all__ = ["SpectralCube", "find_cubes", "read_cube", "read_cubes", "resample_bands"]


@dataclass(frozen=True)
class _Scene:
    name: str
    values: NDArray[np.uint16]  # (L, H, W), white is FULL_SCALE
    notes: tuple[str, ...]


def resample_bands(cube: SpectralCube, wavelengths_nm: Sequence[float]) -> NDArray[np.float32]:
    """The cube at other band centres (L', H, W), in the order of `wavelengths_nm`.

    A new band averages the (linearly interpolated) spectrum over its own width, half the way to its neighbours,
    less the width that the cube's bands have already: the cube's own bands come back unchanged.  Raises `InputError`
    outside the cube's range; nothing is extrapolated.
    """
    centres = np.asarray(wavelengths_nm, dtype=np.float64)
    low, high = cube.wavelengths_nm[0], cube.wavelengths_nm[-1]
    if centres.ndim != 1 or not centres.size or not np.isfinite(centres).all():
        raise InputError(f"band centres {shown(wavelengths_nm)} nm: finite numbers are needed, one per band")
    if centres.min() < low or centres.max() > high:
        raise InputError(
            f"bands from {centres.min():g} to {centres.max():g} nm are wanted, but the cube has {low:g} to {high:g} "
            "nm; nothing is extrapolated. Choose other bands or another cube"
        )
    weights = _band_weights(cube.wavelengths_nm, centres)
    used = weights.any(axis=0)  # bands that are not asked for may hold anything
    with np.errstate(over="ignore", invalid="ignore"):  # holes stay holes
        resampled: NDArray[np.float32] = np.tensordot(weights[:, used].astype(np.float32), cube.values[used], axes=1)
    return resampled


def _band_weights(stored_nm: NDArray[np.float64], wanted_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each stored band is in each wanted one (L', L); rows add to 1."""
    order = np.argsort(wanted_nm)
    width = np.zeros(wanted_nm.size)
    if wanted_nm.size > 1:
        width[order] = abs(np.gradient(wanted_nm[order]))
    own = np.interp(wanted_nm, stored_nm, np.gradient(stored_nm)) if stored_nm.size > 1 else np.zeros(wanted_nm.size)
    # The window shrinks at the ends of the range and keeps its centre: nothing is extrapolated, no band is shifted.
    reach = np.minimum(wanted_nm - stored_nm[0], stored_nm[-1] - wanted_nm)
    half = np.minimum(np.maximum(width - own, 0) / 2, reach)
    steps = np.linspace(-1, 1, 64)
    at = wanted_nm[:, None] + half[:, None] * steps
    right = np.clip(np.searchsorted(stored_nm, at), 1, max(stored_nm.size - 1, 1))
    weights = np.zeros((wanted_nm.size, stored_nm.size))
    if stored_nm.size == 1:
        return np.ones_like(weights)
    share = (at - stored_nm[right - 1]) / (stored_nm[right] - stored_nm[right - 1])
    rows = np.broadcast_to(np.arange(wanted_nm.size)[:, None], at.shape)
    np.add.at(weights, (rows, right - 1), (1 - share) / steps.size)
    np.add.at(weights, (rows, right), share / steps.size)
    return weights


def find_cubes(path: Path) -> list[Path]:
    """The cube files at or below `path`; raises `FileError` when there is none."""
    found = find_data(path, SUFFIXES, "hyperspectral cubes")
    if path.is_file():
        return found
    cubes = [entry for entry in found if entry.suffix.lower() != ".hdr" or is_envi(entry)]
    if not cubes:
        raise FileError(f"{path}: no cube is below this folder; its .hdr files are not those of ENVI")
    return cubes


def read_cubes(
    path: Path, side: int, wavelengths_nm: Sequence[float], count: int, validation_count: int, seed: int
) -> FolderImages:
    """Random crops (M, L, side, side) of every readable cube at or below `path`, at the bands `wavelengths_nm`.

    255 is the white level of a cube, the 99.9th percentile of its values in these bands.  Crops of 1x to 4x the side
    are averaged down.  Every tenth cube is held out for validation; of a single cube, the last quarter of its lines.
    Raises `FileError` when nothing is readable and `InputError` when nothing is large enough, or when the only file
    cannot give the bands.
    """
    scenes: list[_Scene] = []
    skipped: list[str] = []
    for entry in find_cubes(path):
        try:
            scenes.append(_scene(entry, side, wavelengths_nm))
        except CidesignError as error:
            if entry == path:
                raise
            skipped.append(f"{entry.relative_to(path)}: {reason(entry, error)}")
    if not scenes:
        raise FileError(f"{path}: none of {len(skipped)} cubes can be used; the first: {skipped[0]}")
    notes = {
        f"{WHITE_PERCENTILE:g} % of the values of a cube are below its white level, which is read as reflectance 1"
    }
    notes |= {f"{scene.name}: {note}" for scene in scenes for note in scene.notes}
    if len(scenes) == 1:
        train, validation = _split_one(scenes[0], side)
        notes.add("a single cube: the last quarter of its lines is kept for validation")
    else:
        held_out = [index % HELD_OUT == HELD_OUT - 1 for index in range(len(scenes))]
        held_out[-1] = held_out[-1] or not any(held_out)
        train = [scene.values for scene, out in zip(scenes, held_out, strict=True) if not out]
        validation = [scene.values for scene, out in zip(scenes, held_out, strict=True) if out]
    return FolderImages(
        _crops(train, side, count, np.random.default_rng([seed, 0])),
        _crops(validation, side, validation_count, np.random.default_rng([seed, 1])),
        len(scenes),
        tuple(skipped),
        tuple(sorted(notes)),
    )


def _scene(path: Path, side: int, wavelengths_nm: Sequence[float]) -> _Scene:
    cube = read_cube(path)
    height, width = cube.values.shape[1:]
    if min(height, width) < side:
        raise InputError(f"{path}: {height} x {width} pixels are less than the {side} x {side} of an image")
    try:
        values = resample_bands(cube, wavelengths_nm)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not np.isfinite(values).all():
        share = 1 - np.isfinite(values).all(axis=0).mean()
        raise FileError(f"{path}: {share:.1%} of its pixels have holes or numbers that are not finite; cut them off")
    white = float(np.percentile(values, WHITE_PERCENTILE))
    if not white > 0:
        raise FileError(
            f"{path}: it is dark in the bands that are wanted ({WHITE_PERCENTILE:g} % are at most {white:g})"
        )
    notes = list(cube.notes)
    negative = float((values < 0).mean())
    if negative:
        notes.append(f"{negative:.2%} of the values are negative (noise) and read as 0")
    scaled = np.round(FULL_SCALE * (np.clip(values, 0, white) / white))
    return _Scene(path.name, scaled.astype(np.uint16), tuple(notes))


def _split_one(scene: _Scene, side: int) -> tuple[list[NDArray[np.uint16]], list[NDArray[np.uint16]]]:
    height = scene.values.shape[1]
    kept = max(side, round(VALIDATION_LINES * height))
    if height - kept < side:
        raise InputError(
            f"{scene.name}: one cube of {height} lines is not enough for images of {side} lines, as some are kept for "
            f"validation; give {2 * side} lines or a second cube"
        )
    return [scene.values[:, : height - kept]], [scene.values[:, height - kept :]]


def _crops(scenes: list[NDArray[np.uint16]], side: int, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    import cv2

    crops = np.empty((count, scenes[0].shape[0], side, side), dtype=np.uint8)
    order = rng.permutation(len(scenes))
    for position, number in enumerate(rng.permutation(count)):
        which = order[number % len(scenes)]
        height, width = scenes[which].shape[1:]
        extent = min(height, width, int(side * LARGEST_ZOOM ** rng.random()))
        top = rng.integers(0, height - extent + 1)
        left = rng.integers(0, width - extent + 1)
        for band, plane in enumerate(scenes[which]):
            crop = plane[top : top + extent, left : left + extent].astype(np.float32)
            small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
            crops[position, band] = np.round(small * np.float32(255 / FULL_SCALE))
    return crops
