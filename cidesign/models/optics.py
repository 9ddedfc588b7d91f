"""The optics of a run: what a modality makes for the training."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.pattern import Design
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.run_settings import TrainingSettings

# Training moves the latent weights of the design it starts from; half-way to the limit, a value can still change.
START_MAGNITUDE = 0.5


class WorkingValues(NamedTuple):
    """What optics, noise and linear estimate of a training step hold beside weights and network, in numbers of 32 bits.

    `reading` is one image's measurement; `each` are held for every image of a batch while the network works; `kept` are
    held meanwhile whatever the batch, and `alone` is the most that there is of these before or after it.
    """

    reading: int
    each: int
    kept: int = 0
    alone: int = 0


class Optics(ABC):
    """The optics of one run: how to make them for any relaxation.

    A relaxation is a word of the ladder; None is the student, which obeys every rule of the profile.
    `bands` and `size` are the channels and the height and width of an image.
    """

    bands: int
    size: tuple[int, int]
    # Of one value of an image as it is stored.
    stored_bytes = 1

    @abstractmethod
    def encoder(self, relaxation: str | None) -> Encoder:
        """A new encoder with blank weights; raises `InputError` for a relaxation that it does not know."""

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """What a training step with these optics holds, whether or not they are `learnt`, from shapes alone.

        Here: that of an estimate in ten steps.
        """
        image = self.bands * math.prod(self.size)
        return WorkingValues(reading=image, each=20 * image)

    @abstractmethod
    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """The weights to start from, given training images (B, C, H, W): a good fixed design, softened.

        With `optics_start` searched: a design that is chosen for these images; auto: this or the usual one.  Random:
        draws of the published method (arXiv 2501.17898 and its authors' codes).
        """

    def settled(self, settings: TrainingSettings, images: Images) -> tuple[TrainingSettings, str | None]:
        """The settings of these optics with what `optics_start` auto stands for, given training images (B, C, H, W),
        and a line for the user where it is not what is usual.

        Here: nothing is left open.
        """
        return settings, None

    @abstractmethod
    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """Start `encoder`, which holds its own start, from a teacher's optics, as far as its own limits allow.

        The teacher is of the same kind and may be of any shape: stored ones were trained for other sizes and limits.
        Where a teacher of the same shape says it all, what is taken of it does not depend on the own start.
        """

    def limits(self) -> Mapping[str, float]:
        """What constrains the student, each > 0 by its name and relative to its size: stored teachers of the nearest
        limits fit best, and whether a teacher pays at all was measured by them.

        Here: nothing.
        """
        return {}

    def apart(self, other: Self) -> str | None:
        """Why a teacher with the `other` optics cannot be held against these on the same images, for one line; None:
        it can be."""
        if self.size == other.size:
            return None
        own, others = (f"{rows} x {columns}" for rows, columns in (self.size, other.size))
        return f"its images are {others}, and this run's {own}"

    @abstractmethod
    def prior(self, images: Images) -> ImagePrior:
        """The statistics of images (B, C, H, W) that the linear estimate uses."""

    @abstractmethod
    def design(self, encoder: Encoder) -> Design:
        """The hard, feasible design of the student."""

    @abstractmethod
    def place(self, encoder: Encoder, design: Design) -> None:
        """Give the student's encoder the weights of a given design, far from any threshold."""


def start_draws(settings: TrainingSettings, relaxation: str | None) -> torch.Generator:
    """The draws of optics that start at random: a student has those of its seed, with or without a teacher."""
    # torch's generator takes 32 bits of a seed and forgets the others.
    teachers = int(np.random.SeedSequence([settings.seed, 1]).generate_state(1)[0])
    return torch.Generator().manual_seed(settings.seed if relaxation is None else teachers)


def optics_for(settings: TrainingSettings, profile: HardwareProfile) -> Optics:
    """The optics of the settings' modality."""
    return modality(settings.modality).optics(settings, profile)
