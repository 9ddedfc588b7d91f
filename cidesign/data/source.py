"""The images that a run trains on: procedural, or from a folder; the same ones for the same settings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.data.folders import read_folder
from cidesign.data.procedural import dead_leaves
from cidesign.files import sha256_bytes
from cidesign.runs import RunSettings

# Validation canvases must not be training canvases, whatever the seed.
VALIDATION_SEED_OFFSET = 2**32


@dataclass(frozen=True)
class TrainingImages:
    """Grey images (M, n, n) uint8 for training and validation, with remarks for the user."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    description: str
    skipped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all pixels: a resumed run must see the same images."""
        return sha256_bytes(self.train.tobytes(), self.validation.tobytes())


def load_images(settings: RunSettings) -> TrainingImages:
    """The images that `settings.data` names."""
    counts = settings.images, settings.validation_images
    if settings.data == "procedural":
        train = dead_leaves(counts[0], settings.side, settings.seed)
        validation = dead_leaves(counts[1], settings.side, settings.seed + VALIDATION_SEED_OFFSET)
        return TrainingImages(train, validation, f"{counts[0]} procedural images (dead leaves)", (), ())
    found = read_folder(Path(settings.data), settings.side, *counts, settings.seed)
    description = f"{counts[0]} crops of {found.pictures} pictures below {settings.data}"
    return TrainingImages(found.train, found.validation, description, found.skipped, found.notes)
