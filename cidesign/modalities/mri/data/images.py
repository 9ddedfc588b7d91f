"""Training slices from MR files: complex, of one size, the largest magnitude 1.

Magnitudes have lost their phase, and a decoder that is trained without one fails on raw data, which have it: they get
that of the procedural slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.brightness import NO_CONTRAST, OUTSIDE
from cidesign.data.image_sets import (
    HELD_OUT,
    MeasuredSet,
    TrainingSet,
    content_digest,
    images_of_each,
    kept_for_validation,
    not_trained_on,
)
from cidesign.data.source import TrainingImages
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.io.npy import find_data, reason
from cidesign.modalities.mri.data.image_files import SUFFIXES, MriVolume, joined, read_volume
from cidesign.modalities.mri.data.matrix import largest_side, on_matrix, resolved
from cidesign.modalities.mri.data.phantoms import ROUNDING_MARGIN
from cidesign.modalities.mri.data.phase import SyntheticPhase
from cidesign.modalities.mri.settings import Echo, ScanSettings

MAX_SLICES_BYTES = 4_000_000_000
# A slice with less than this part of the strongest slice's root mean square shows no body.
EMPTY_PART = 0.1
# Slices drawn more than once are moved by up to this part of the field of view.
LARGEST_SHIFT = 1 / 16
# Neighbours show nearly the same: one on either side of the slices for validation is used for neither.
GAP_FROM_SLICES = 10
PHASE_NOTE = (
    "no phase in these files (magnitude images): a synthetic one was added to each, as procedural slices have it (a "
    "polynomial of second order, 0.8 to 1.2 rad a term at the border, and a random field; that of air too where the "
    "run's echo says so)"
)


@dataclass(frozen=True)
class _Slices:
    """Slices (M, n, n) of largest magnitude 1, and which of them (M,) are magnitudes; their digests know no phase."""

    values: NDArray[np.complex64]
    magnitude: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: slice | list[int]) -> "_Slices":
        return _Slices(self.values[which], self.magnitude[which])

    @property
    def digests(self) -> list[str]:
        return [content_digest(one) for one in self.values]


def _joined(parts: "list[_Slices]") -> "_Slices":
    return _Slices(np.concatenate([part.values for part in parts]), np.concatenate([part.magnitude for part in parts]))


def read_slices(
    path: Path, side: int, count: int, validation_count: int, seed: int, echo: Echo = "spin"
) -> TrainingSet:
    """Slices (M, 2, n, n) float16 of every readable file at or below `path`, brought to `side` x `side`, |x| at most 1.

    Real and imaginary part.  Slices are padded with zeros to a square; larger ones are averaged down, smaller ones
    padded further: a larger field of view, as enlarging would leave the outer k-space empty.  Magnitudes get a
    synthetic phase of `echo`, by `seed` and content, another one whenever one is drawn again.  Every tenth file or
    DICOM series is held out for validation; of a single one, a block of slices in its middle.  What is drawn more than
    once is mirrored and moved.  Raises `FileError` when nothing is readable, `InputError` when too few slices are.
    """
    volumes, skipped, notes = _survey(path, side)
    train, validation = _split(path, volumes, notes)
    kept, used = set(validation.digests), set(train.digests)
    copies = len(kept & used)
    if copies:
        notes.add(f"{copies} of {len(validation)} slices for validation are copies of others that are trained on")
    return TrainingSet(
        _drawn(train, count, seed, 0, echo),
        _drawn(validation, validation_count, seed, 1, echo),
        sum(len(volume) for volume in volumes),
        tuple(skipped),
        tuple(sorted(notes)),
        # Neighbours of those for validation count as trained on: they show nearly the same as what is.
        frozenset(set(_joined(volumes).digests) - kept | used),
    )


def measure_slices(
    path: Path, matrix: tuple[int, int], seed: int, trained: frozenset[str], echo: Echo = "spin"
) -> MeasuredSet:
    """Every slice that shows something of the files at or below `path`, once, as in training: (M, 2, *matrix).

    Slices whose digests are in `trained` are left out, unless all are.
    """
    side = largest_side(matrix)
    volumes, skipped, notes = _survey(path, side)
    slices = _joined(volumes)
    chosen, held_out = not_trained_on(slices.digests, trained)
    images_of_each(len(chosen), len(chosen), 4 * side * side)
    images = on_matrix(_drawn(slices[chosen], len(chosen), seed, 2, echo), matrix)
    left_out = len(slices) - len(chosen)
    return MeasuredSet(images, len(slices), left_out, held_out, tuple(skipped), tuple(sorted(notes)))


def _survey(path: Path, side: int) -> tuple[list[_Slices], list[str], set[str]]:
    """The usable slices by file or series, why other files are left out, and remarks."""
    volumes: list[_Slices] = []
    skipped: list[str] = []
    notes: set[str] = set()
    for entry, volume in _volumes(path, skipped):
        try:
            volumes.append(_usable_slices(entry, volume, side, notes))
        except CidesignError as error:
            if entry == path:
                raise
            skipped.append(f"{entry.relative_to(path)}: {reason(entry, error)}")
            continue
        if sum(kept.values.nbytes for kept in volumes) > MAX_SLICES_BYTES:
            raise InputError(f"{path}: more than {MAX_SLICES_BYTES} bytes of slices {side} x {side}; give fewer files")
    if not volumes:
        raise FileError(f"{path}: none of {len(skipped)} files could be read; the first: {skipped[0]}")
    return volumes, skipped, notes


def _volumes(path: Path, skipped: list[str]) -> Iterator[tuple[Path, MriVolume]]:
    """The volumes of the files at or below `path`; the files of one DICOM series are one, named by its first file."""
    series: dict[str, list[tuple[Path, MriVolume]]] = {}
    for entry in find_data(path, SUFFIXES, "MR images"):
        try:
            volume = read_volume(entry)
        except CidesignError as error:
            if entry == path:
                raise
            skipped.append(f"{entry.relative_to(path)}: {reason(entry, error)}")
            continue
        if volume.series:
            size = " x ".join(str(length) for length in volume.slices.shape[1:])
            series.setdefault(f"{volume.series} {size}", []).append((entry, volume))
        else:
            yield entry, volume
    for parts in series.values():
        yield parts[0][0], joined([volume for _, volume in parts])


def _usable_slices(path: Path, volume: MriVolume, side: int, notes: set[str]) -> _Slices:
    """The slices of one file that show something (M, side, side), each divided by its largest magnitude."""
    notes.update(volume.notes)
    magnitude = not np.iscomplexobj(volume.slices)
    if magnitude:
        notes.add(PHASE_NOTE)
    strength = np.sqrt((np.abs(volume.slices) ** 2).mean(axis=(1, 2), dtype=np.float64))
    if not strength.max() > 0:
        raise FileError(f"{path}: holds nothing but zeros")
    shows = strength > EMPTY_PART * strength.max()
    if not shows.all():
        notes.add(f"{path.name}: {int((~shows).sum())} of {shows.size} slices have hardly any signal and are left out")
    plain = shows & np.array([_without_contrast(one) for one in volume.slices])
    if plain.any():
        shows &= ~plain
        value = float(np.abs(volume.slices[int(np.argmax(plain))]).max())
        said = (
            f"{int(plain.sum())} of {plain.size} slices have no contrast (nearly all magnitudes of one are {value:g})"
        )
        if not shows.any():
            raise FileError(f"{path}: {said}")
        notes.add(f"{path.name}: {said} and are left out")
    height, width = volume.slices.shape[1:]
    if height != width:
        notes.add("slices that are not square are padded with zeros")
    if max(height, width) != side:
        larger = max(height, width) > side
        way = "averaged down from more pixels" if larger else "padded with zeros, a larger field of view"
        notes.add(f"{path.name}: slices {height} x {width} are {way}")
    fitted = np.stack([_fitted(one, side) for one in volume.slices[shows]])
    return _Slices(fitted, np.full(len(fitted), magnitude))


def _without_contrast(one: NDArray[np.complex64] | NDArray[np.float32]) -> bool:
    magnitude = np.abs(one)
    low, high = np.percentile(magnitude, [100 * OUTSIDE, 100 * (1 - OUTSIDE)])
    return bool(high - low < NO_CONTRAST * magnitude.max())


def _fitted(one: NDArray[np.complex64] | NDArray[np.float32], side: int) -> NDArray[np.complex64]:
    height, width = one.shape
    extent = max(height, width, side)
    square = np.zeros((extent, extent), dtype=np.complex64)
    top, left = (extent - height) // 2, (extent - width) // 2
    square[top : top + height, left : left + width] = one / np.abs(one).max()
    if extent > side:
        parts = [
            cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=cv2.INTER_AREA)
            for part in (square.real, square.imag)
        ]
        square = (parts[0] + np.complex64(1j) * parts[1]).astype(np.complex64)
    scaled: NDArray[np.complex64] = square / np.abs(square).max()
    return scaled


def _split(path: Path, volumes: list[_Slices], notes: set[str]) -> tuple[_Slices, _Slices]:
    if len(volumes) > 1:
        held_out = kept_for_validation(len(volumes))
        parts = [
            _joined([volume for volume, out in zip(volumes, held_out, strict=True) if out == wanted])
            for wanted in (False, True)
        ]
        return parts[0], parts[1]
    (slices,) = volumes
    if len(slices) < 2:
        raise InputError(
            f"{path}: {len(slices)} slice with signal is too little to train on and to validate with; give a file with "
            "more slices, or a folder of files"
        )
    kept = max(1, len(slices) // HELD_OUT)
    gap = 1 if len(slices) >= GAP_FROM_SLICES else 0
    start = (len(slices) - kept) // 2
    before, after = slices[: start - gap], slices[start + kept + gap :]
    notes.add(f"a single file: slices {start} to {start + kept - 1} of those with signal are kept for validation")
    return _joined([before, after]), slices[start : start + kept]


def _drawn(slices: _Slices, count: int, seed: int, part: int, echo: Echo) -> NDArray[np.float16]:
    """`count` slices (count, 2, n, n) in random order: each as it is the first time, then mirrored and moved."""
    rng = np.random.default_rng([seed, part])
    side = slices.values.shape[-1]
    largest = int(side * LARGEST_SHIFT)
    drawn = np.empty((count, 2, side, side), dtype=np.float16)
    digests, phase = slices.digests, SyntheticPhase(side, seed, echo)
    order = rng.permutation(len(slices))  # fewer than there are: from all parts of the body
    for position, number in enumerate(rng.permutation(count)):
        turn, which = divmod(int(number), len(slices))
        index = order[which]
        one = slices.values[index]
        if turn:
            one = one[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
            one = np.roll(one, rng.integers(-largest, largest + 1, 2), axis=(0, 1))
        if slices.magnitude[index]:
            one = one * phase.of(np.abs(one), digests[index], turn)
        drawn[position, 0] = one.real * np.float32(ROUNDING_MARGIN)
        drawn[position, 1] = one.imag * np.float32(ROUNDING_MARGIN)
    return drawn


def read_slice_scene(
    path: Path, matrix: tuple[int, int], seed: int, echo: Echo = "spin"
) -> tuple[NDArray[np.complex64], list[str]]:
    """The middle slice with signal of the first usable file at or below `path`, on `matrix` (N, n), with remarks.

    As in training: padded or averaged down, the largest magnitude 1, magnitudes with a synthetic phase.
    """
    side = largest_side(matrix)
    volumes, skipped, notes = _survey(path, side)
    middle = len(volumes[0]) // 2
    if len(volumes[0]) > 1:
        notes.add(f"slice {middle} of {len(volumes[0])} slices with signal is taken")
    if len(volumes) > 1:
        notes.add(f"the first of {len(volumes)} files or series is taken")
    one = volumes[0][middle : middle + 1]
    image = one.values[0]
    if one.magnitude[0]:
        image = image * SyntheticPhase(side, seed, echo).of(np.abs(image), one.digests[0])
    if matrix != (side, side):
        image = resolved(image, matrix)
        image /= np.abs(image).max()
    return image, [f"scene: {text}" for text in (*(f"left out: {why}" for why in skipped), *sorted(notes))]


def training_slices(settings: ScanSettings) -> TrainingImages:
    """Slices of the volumes and the k-space below `settings.data`."""
    side = largest_side(settings.matrix)
    counts = settings.images, settings.validation_images
    found = read_slices(Path(settings.data), side, *counts, settings.seed, settings.echo)
    description = f"{settings.images} of {found.pictures} slices below {settings.data}"
    train, validation = (on_matrix(one, settings.matrix) for one in (found.train, found.validation))
    return TrainingImages(train, validation, description, found.skipped, found.notes, found.trained)
