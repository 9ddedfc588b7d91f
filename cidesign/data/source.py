"""The images that a run trains on: procedural, or from files; the same ones for the same settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.data.folders import measure_folder, read_folder
from cidesign.data.image_sets import MeasuredSet
from cidesign.files import sha256_bytes
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.run_settings import TrainingSettings

# Validation canvases must not be training canvases, whatever the seed.
VALIDATION_SEED_OFFSET = 2**32


@dataclass(frozen=True)
class TrainingImages:
    """Images (M, C, n, n) for training and validation, with remarks for the user.

    uint8 holds 255 times the value; float16 the value itself (real and imaginary part of complex images).
    `trained` holds the digests of the pictures that are trained on; procedural images have none.
    `labels`: the classes (M,) of the images for training and of those for validation, where the source has them.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    description: str
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    trained: frozenset[str] = frozenset()
    labels: tuple[NDArray[np.int64], ...] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels: a resumed run must see the same images."""
        return sha256_bytes(*(_bytes_of(images) for images in (self.train, self.validation)))


def _bytes_of(images: NDArray[Any]) -> memoryview:
    """All bytes in order, without a copy of what may be most of the memory."""
    values: memoryview = np.ascontiguousarray(images).reshape(-1).view(np.uint8).data
    return values


def load_images(settings: TrainingSettings, profile: HardwareProfile) -> TrainingImages:
    """The images that `settings.data` names, of the settings' modality."""
    kind = modality(settings.modality)
    if settings.data != "procedural":
        return kind.images(settings, profile)
    train = kind.procedural_images(settings, profile, settings.images, settings.seed)
    seed = settings.seed + VALIDATION_SEED_OFFSET
    validation = kind.procedural_images(settings, profile, settings.validation_images, seed)
    return TrainingImages(train, validation, f"{settings.images} procedural {kind.procedural_kind}", (), ())


def load_measured(
    settings: TrainingSettings, profile: HardwareProfile, data: str, trained: frozenset[str]
) -> MeasuredSet:
    """Images (M, C, n, n) of all pictures, cubes or slices at or below `data`, to measure systems of `settings` on.

    Pictures whose digests are in `trained` are left out, unless all are.
    """
    return modality(settings.modality).measured_images(settings, profile, Path(data), trained)


def training_pictures(settings: TrainingSettings) -> TrainingImages:
    """Crops of the pictures below `settings.data`."""
    found = read_folder(Path(settings.data), settings.side, settings.images, settings.validation_images, settings.seed)
    description = f"{settings.images} crops of {found.pictures} pictures below {settings.data}"
    train, validation = found.train[:, None], found.validation[:, None]
    return TrainingImages(train, validation, description, found.skipped, found.notes, found.trained, found.labels)


def measured_pictures(settings: TrainingSettings, path: Path, trained: frozenset[str]) -> MeasuredSet:
    """Crops of all pictures at or below `path`."""
    found = measure_folder(path, settings.side, settings.validation_images, settings.seed, trained)
    return replace(found, images=found.images[:, None])
