"""The images that a run trains on: procedural, or from files; the same ones for the same settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.data.folders import measure_folder, read_folder
from cidesign.data.image_sets import MeasuredSet
from cidesign.data.procedural import dead_leaves
from cidesign.files import sha256_bytes
from cidesign.hardware_profiles.aperture_schema import ApertureProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.cassi.dead_leaves import spectral_dead_leaves
from cidesign.modalities.mri.phantoms import phantom_slices
from cidesign.run_settings import CassiSettings, MriSettings, RunSettings

# What one scene of a user's data is called.
PICTURES = {"single-pixel": "picture", "cassi": "cube", "mri": "slice"}
# Validation canvases must not be training canvases, whatever the seed.
VALIDATION_SEED_OFFSET = 2**32


@dataclass(frozen=True)
class TrainingImages:
    """Images (M, C, n, n) for training and validation, with remarks for the user.

    uint8 holds 255 times the value; float16 the value itself (real and imaginary part of complex images).
    `trained` holds the digests of the pictures that are trained on; procedural images have none.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    description: str
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    trained: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels: a resumed run must see the same images."""
        return sha256_bytes(self.train.tobytes(), self.validation.tobytes())


def load_images(settings: RunSettings, profile: HardwareProfile) -> TrainingImages:
    """The images that `settings.data` names; cubes in the bands of an aperture's profile."""
    counts = settings.images, settings.validation_images
    if settings.data == "procedural":
        train = procedural_images(settings, profile, counts[0], settings.seed)
        validation = procedural_images(settings, profile, counts[1], settings.seed + VALIDATION_SEED_OFFSET)
        return TrainingImages(train, validation, f"{counts[0]} procedural {_KINDS[settings.modality]}", (), ())
    path = Path(settings.data)
    if isinstance(settings, CassiSettings) and isinstance(profile, ApertureProfile):
        from cidesign.modalities.cassi.images import read_cubes

        bands = profile.spectrograph.wavelengths_nm.value
        cubes = read_cubes(path, settings.side, bands, *counts, settings.seed)
        description = f"{counts[0]} crops of {cubes.pictures} cubes below {settings.data}"
        return TrainingImages(cubes.train, cubes.validation, description, cubes.skipped, cubes.notes, cubes.trained)
    if isinstance(settings, MriSettings):
        from cidesign.modalities.mri.images import read_slices

        slices = read_slices(path, settings.side, *counts, settings.seed)
        description = f"{counts[0]} of {slices.pictures} slices below {settings.data}"
        return TrainingImages(
            slices.train, slices.validation, description, slices.skipped, slices.notes, slices.trained
        )
    found = read_folder(path, settings.side, *counts, settings.seed)
    description = f"{counts[0]} crops of {found.pictures} pictures below {settings.data}"
    train, validation = found.train[:, None], found.validation[:, None]
    return TrainingImages(train, validation, description, found.skipped, found.notes, found.trained)


def load_measured(settings: RunSettings, profile: HardwareProfile, data: str, trained: frozenset[str]) -> MeasuredSet:
    """Images (M, C, n, n) of all pictures, cubes or slices at or below `data`, to measure systems of `settings` on.

    Pictures whose digests are in `trained` are left out, unless all are.
    """
    path, count, seed = Path(data), settings.validation_images, settings.seed
    if isinstance(settings, CassiSettings) and isinstance(profile, ApertureProfile):
        from cidesign.modalities.cassi.images import measure_cubes

        bands = profile.spectrograph.wavelengths_nm.value
        return measure_cubes(path, settings.side, bands, count, seed, trained)
    if isinstance(settings, MriSettings):
        from cidesign.modalities.mri.images import measure_slices

        return measure_slices(path, settings.side, seed, trained)
    found = measure_folder(path, settings.side, count, seed, trained)
    return replace(found, images=found.images[:, None])


_KINDS = {
    "single-pixel": "images (dead leaves)",
    "cassi": "spectral cubes (dead leaves)",
    "mri": "complex slices (phantoms)",
}


def procedural_images(settings: RunSettings, profile: HardwareProfile, count: int, seed: int) -> NDArray[Any]:
    """`count` images (count, C, n, n) of the settings' modality, stored as in `TrainingImages`."""
    if isinstance(settings, CassiSettings) and isinstance(profile, ApertureProfile):
        return spectral_dead_leaves(count, settings.side, profile.spectrograph.wavelengths_nm.value, seed)
    if isinstance(settings, MriSettings):
        return phantom_slices(count, settings.side, seed).astype(np.float16)
    return dead_leaves(count, settings.side, seed)[:, None]
