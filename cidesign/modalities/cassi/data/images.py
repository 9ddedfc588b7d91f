"""Training cubes from hyperspectral files: resampled to the bands of a camera, scaled to [0, 1], cut into crops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.brightness import NO_CONTRAST, OUTSIDE
from cidesign.data.crops import Averaged, Window, refuse_flat, remark_on_flat, windows
from cidesign.data.image_sets import (
    MeasuredSet,
    TrainingSet,
    content_digest,
    images_of_each,
    kept_for_validation,
    not_trained_on,
)
from cidesign.data.source import TrainingImages
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.io.envi import is_envi
from cidesign.io.npy import find_data, reason
from cidesign.modalities.cassi.data.cube_files import SUFFIXES, SpectralCube, read_cube
from cidesign.modalities.cassi.settings import CassiSettings
from cidesign.records import shown

# Glints and hot pixels are brighter than anything white: the brightest thousandth of the values does not set the scale.
WHITE_PERCENTILE = 99.9
FULL_SCALE = 65535
# The part of a single cube whose lines are kept for validation.
VALIDATION_LINES = 0.25

__all__ = ["SpectralCube", "find_cubes", "measure_cubes", "read_cube", "read_cubes", "resample_bands"]


@dataclass(frozen=True)
class _Scene:
    values: NDArray[np.uint16]  # (L, H, W), white is FULL_SCALE
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """Lines `first` up to `last` of a cube that was found usable."""

    path: Path
    digest: str
    first: int
    last: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.last - self.first, self.width


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
) -> TrainingSet:
    """Random crops (M, L, side, side) of every usable cube at or below `path`, at the bands `wavelengths_nm`.

    255 is the white level of a cube, the 99.9th percentile of its values in these bands.  The width of a crop is drawn
    from `side` to the whole cube, its logarithm evenly, and averaged down.  Every tenth cube is held out for
    validation; of a single cube, the last quarter of its lines.  Cubes are read twice and held one at a time.
    Raises `FileError` when nothing is usable and `InputError` when nothing is large enough, when the only file
    cannot give the bands, or when nearly all crops are flat.
    """
    found, skipped, notes = _survey(path, side, wavelengths_nm)
    if len(found) == 1:
        train, validation = _split_one(found[0], side)
        notes.add("a single cube: the last quarter of its lines is kept for validation")
        trained = frozenset([found[0].digest])
    else:
        kept = kept_for_validation(len(found))
        train = [part for part, out in zip(found, kept, strict=True) if not out]
        validation = [part for part, out in zip(found, kept, strict=True) if out]
        trained = frozenset(part.digest for part in train)
        copies = sum(part.digest in trained for part in validation)
        if copies:
            notes.add(f"{copies} of {len(validation)} cubes for validation are copies of others that are trained on")
    crops = _crops([(train, count, (seed, 0)), (validation, validation_count, (seed, 1))], side, wavelengths_nm)
    refuse_flat(path, crops[0])
    notes |= remark_on_flat("training", crops[0]) | remark_on_flat("validation", crops[1])
    return TrainingSet(crops[0], crops[1], len(found), tuple(skipped), tuple(sorted(notes)), trained)


def measure_cubes(
    path: Path, side: int, wavelengths_nm: Sequence[float], count: int, seed: int, trained: frozenset[str]
) -> MeasuredSet:
    """About `count` crops as in training of every usable cube at or below `path`, as many of each and at least one.

    Cubes whose digests are in `trained` are left out, unless all are.
    """
    found, skipped, notes = _survey(path, side, wavelengths_nm)
    numbers, held_out = not_trained_on([part.digest for part in found], trained)
    chosen = [found[number] for number in numbers]
    each = images_of_each(len(chosen), count, len(wavelengths_nm) * side * side)
    (crops,) = _crops([(chosen, each * len(chosen), (seed, 2))], side, wavelengths_nm)
    notes |= remark_on_flat("measured", crops)
    left_out = len(found) - len(chosen)
    return MeasuredSet(crops, len(found), left_out, held_out, tuple(skipped), tuple(sorted(notes)))


def _survey(path: Path, side: int, wavelengths_nm: Sequence[float]) -> tuple[list[_Part], list[str], set[str]]:
    """The usable cubes, why others are not, and remarks."""
    found: list[_Part] = []
    skipped: list[str] = []
    notes = {
        f"{WHITE_PERCENTILE:g} % of the values of a cube are below its white level, which is read as reflectance 1"
    }
    for entry in find_cubes(path):
        try:
            scene = _scene(entry, side, wavelengths_nm)
        except CidesignError as error:
            if entry == path:
                raise
            skipped.append(f"{entry.relative_to(path)}: {reason(entry, error)}")
            continue
        digest = content_digest(scene.values)
        found.append(_Part(entry, digest, 0, *scene.values.shape[1:]))
        notes |= {f"{entry.name}: {note}" for note in scene.notes}
    if not found:
        raise FileError(f"{path}: none of {len(skipped)} cubes can be used; the first: {skipped[0]}")
    return found, skipped, notes


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
    spans = np.percentile(values, [100 * OUTSIDE, 100 * (1 - OUTSIDE)], axis=(1, 2))
    if float((spans[1] - spans[0]).max()) < NO_CONTRAST * white:
        raise FileError(
            f"{path}: no contrast: within every band, nearly all values differ by less than {NO_CONTRAST:.0%} of the "
            f"cube's white level {white:g} (values {float(values.min()):g} to {float(values.max()):g})"
        )
    notes = list(cube.notes)
    negative = float((values < 0).mean())
    if negative:
        notes.append(f"{negative:.2%} of the values are negative (noise) and read as 0")
    scaled = np.round(FULL_SCALE * (np.clip(values, 0, white) / white))
    return _Scene(scaled.astype(np.uint16), tuple(notes))


def read_cube_scene(
    path: Path, size: tuple[int, int], wavelengths_nm: Sequence[float]
) -> tuple[NDArray[np.float64], list[str]]:
    """The first usable cube at or below `path` as reflectances (L, H, W) of `size` in [0, 1], with remarks.

    As in training: resampled to the bands, 1 is its 99.9th percentile; the largest centred part of the shape of `size`
    is averaged down.  Raises `FileError` or `InputError` when there is none, with the reason of the first.
    """
    files = find_cubes(path)
    left_out: list[CidesignError] = []
    for entry in files:
        try:
            scene = _scene(entry, 1, wavelengths_nm)
            height, width = scene.values.shape[1:]
            if height < size[0] or width < size[1]:
                raise InputError(
                    f"{entry}: {height} x {width} pixels are less than the {size[0]} x {size[1]} of the mask"
                )
        except CidesignError as error:
            left_out.append(error)
            continue
        step = min(height / size[0], width / size[1])
        used = round(step * size[0]), round(step * size[1])
        top, left = (height - used[0]) // 2, (width - used[1]) // 2
        parts = scene.values[:, top : top + used[0], left : left + used[1]]
        planes = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA) for plane in parts.astype(np.float32)]
        remarks = [f"scene: {note}" for note in (*map(str, left_out), *scene.notes)]
        remarks.append(f"scene: 1 is the white level of the cube, its {WHITE_PERCENTILE:g}th percentile in these bands")
        if used != (height, width):
            remarks.append(f"scene: the centred {used[0]} x {used[1]} of {height} x {width} pixels are used")
        if used != size:
            remarks.append(f"scene: averaged from {used[0]} x {used[1]} down to {size[0]} x {size[1]} pixels")
        if len(files) > 1:
            remarks.append(f"scene: {entry.name}, the first of {len(files)} files that fits, is taken")
        return np.clip(np.stack(planes).astype(np.float64) / FULL_SCALE, 0.0, 1.0), remarks
    raise left_out[0]


def _split_one(cube: _Part, side: int) -> tuple[list[_Part], list[_Part]]:
    height = cube.last
    kept = max(side, round(VALIDATION_LINES * height))
    if height - kept < side:
        raise InputError(
            f"{cube.path}: one cube of {height} lines is not enough for images of {side} lines, as some are kept for "
            f"validation; give {2 * side} lines or a second cube"
        )
    return [replace(cube, last=height - kept)], [replace(cube, first=height - kept)]


def _crops(
    groups: list[tuple[list[_Part], int, tuple[int, int]]], side: int, wavelengths_nm: Sequence[float]
) -> list[NDArray[np.uint8]]:
    """Crops (M, L, side, side) of several groups: parts of cubes, how many crops, and a seed."""
    crops = [np.empty((count, len(wavelengths_nm), side, side), dtype=np.uint8) for _, count, _ in groups]
    wanted: dict[Path, list[tuple[int, Window]]] = {}
    digests: dict[Path, str] = {}
    for number, (parts, count, seed) in enumerate(groups):
        for part, cuts in zip(parts, windows([part.shape for part in parts], side, count, seed), strict=True):
            digests[part.path] = part.digest
            moved = [replace(window, top=window.top + part.first) for window in cuts]
            wanted.setdefault(part.path, []).extend((number, window) for window in moved)
    for path, cuts_here in wanted.items():
        values = _scene(path, side, wavelengths_nm).values
        if content_digest(values) != digests[path]:
            raise FileError(f"{path}: it changed while it was read; repeat")
        for band, plane in enumerate(values):
            averaged = Averaged(plane, FULL_SCALE)
            for number, window in cuts_here:
                crops[number][window.image, band] = np.round(255 * averaged.square(window, side))
    return crops


def training_cubes(settings: CassiSettings, profile: ApertureProfile) -> TrainingImages:
    """Crops of the cubes below `settings.data`, in the bands of the profile."""
    counts = settings.images, settings.validation_images
    wavelengths_nm = profile.spectrograph.wavelengths_nm.value
    found = read_cubes(Path(settings.data), max(settings.image_size), wavelengths_nm, *counts, settings.seed)
    description = f"{settings.images} crops of {found.pictures} cubes below {settings.data}"
    train, validation = (
        cubes[:, :, : settings.image_size[0], : settings.image_size[1]] for cubes in (found.train, found.validation)
    )
    return TrainingImages(train, validation, description, found.skipped, found.notes, found.trained)
