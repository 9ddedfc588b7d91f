"""The images that a run trains on: procedural, or from files; the same ones for the same settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.data.classes import named
from cidesign.data.folders import Taking, measure_folder, read_folder
from cidesign.data.image_sets import MeasuredSet
from cidesign.files import sha256_bytes
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.run_settings import TrainingSettings

# Validation canvases must not be training canvases, whatever the seed.
VALIDATION_SEED_OFFSET = 2**32
# Whether it does harm depends on what the classes are.
AUGMENTED = {
    "flips-and-turns": "pictures are mirrored and turned at random while they are trained on: right for textures, "
    "wrong for digits and letters",
    "shifts": "pictures are shifted by up to 1/16 of their sides while they are trained on, never mirrored or turned",
    "none": "pictures are trained on as they are: not shifted, mirrored or turned",
}


@dataclass(frozen=True)
class TrainingImages:
    """Images (M, C, n, n) for training and validation, with remarks for the user.

    uint8 holds 255 times the value; float16 the value itself (real and imaginary part of complex images).
    `trained` holds the digests of the pictures that are trained on; procedural images have none.
    `labels`: the numbers of the `classes` (M,) of the images for training and of those for validation, where a run is
    about them and the source has them.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    description: str
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    trained: frozenset[str] = frozenset()
    labels: tuple[NDArray[np.int64], ...] | None = None
    classes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels, and of the classes: a resumed run must see the same images."""
        named = () if self.labels is None else (*self.labels, np.array(self.classes))
        return sha256_bytes(*(_bytes_of(values) for values in (self.train, self.validation, *named)))


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


def training_pictures(settings: TrainingSettings, whole: bool = False) -> TrainingImages:
    """Crops of the pictures below `settings.data`, or the `whole` of each."""
    taking = Taking(whole, settings.classes is not None)
    found = read_folder(
        Path(settings.data), settings.side, settings.images, settings.validation_images, settings.seed, taking
    )
    what = f"{found.pictures} pictures below {settings.data}"
    description = f"{settings.images} {f'images, of {what}' if whole else f'crops of {what}'}"
    notes = found.notes
    if found.classes:
        description += f", {named(found.classes)}"
        notes = (*notes, AUGMENTED[settings.augmentation])
    return TrainingImages(
        train=found.train[:, None],
        validation=found.validation[:, None],
        description=description,
        skipped=found.skipped,
        notes=notes,
        trained=found.trained,
        labels=found.labels,
        classes=found.classes,
    )


def measured_pictures(
    settings: TrainingSettings, path: Path, trained: frozenset[str], whole: bool = False
) -> MeasuredSet:
    """Crops of all pictures at or below `path`, or the `whole` of each."""
    taking = Taking(whole, settings.classes is not None)
    found = measure_folder(path, settings.side, settings.validation_images, settings.seed, trained, taking)
    return replace(found, images=found.images[:, None])
