"""Stored images with the numbers of their classes, where a task asks for these."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cidesign.data.source import TrainingImages

Which = slice | Tensor


@dataclass(frozen=True)
class Examples:
    """Images (M, C, H, W) as stored, and the numbers of their classes (M,); None: a task is about the images alone."""

    images: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def targets(self, x: Tensor, which: Which) -> Tensor:
        """What predictions for the images `which`, as floats x, are held against: their classes, or x itself."""
        return x if self.labels is None else self.labels[which]


# What is trained or measured on; images alone stand for examples without classes.
Stored = Tensor | Examples


def examples_of(stored: Stored) -> Examples:
    """Examples of images, with the classes that they have."""
    return stored if isinstance(stored, Examples) else Examples(stored)


def training_examples(images: TrainingImages, device: str) -> tuple[Examples, Examples]:
    """Those to train on and those for validation, on a device."""
    labels = images.labels or (None, None)
    train, validation = (
        Examples(torch.from_numpy(part).to(device), None if own is None else torch.from_numpy(own).to(device))
        for part, own in zip((images.train, images.validation), labels, strict=True)
    )
    return train, validation
