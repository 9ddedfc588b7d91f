"""The optics of an MRI scan for training: which lines, or points, are measured."""

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from cidesign.constraints.kspace import Budget
from cidesign.errors import InputError
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.data.phantoms import virtual_maps
from cidesign.modalities.mri.encoders.cartesian import (
    CartesianEncoder,
    SharedTimeEncoder,
    fit_fourier_prior,
    start_scores,
)
from cidesign.modalities.mri.encoders.straight_through import StraightThroughEncoder
from cidesign.modalities.mri.settings import CartesianSettings, acceleration_word
from cidesign.models.optics import Optics, WorkingValues, start_draws
from cidesign.pattern import CartesianLines, CartesianPoints, Design
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.physics.splitting import ITERATIONS

# The standard deviation of scores that start at random.
RANDOM_SCORES = 0.01


class MriOptics(Optics):
    """Relaxations: `R2`, `R1.5` ... (more lines or points, to the nearest whole one), `soft` (shares of the same scan
    time)."""

    stored_bytes = 2

    def __init__(self, settings: CartesianSettings, profile: MriProfile) -> None:
        self.settings, self.profile, self.rule = settings, profile, settings.budget
        self.bands, self.size = 2, settings.matrix

    def _rule(self, relaxation: str | None) -> Budget:
        if relaxation is None or relaxation == "soft":
            return self.rule
        choices = self.rule.always.size
        try:
            acquired = round(choices / float(relaxation.removeprefix("R")))
        except (ValueError, ZeroDivisionError, OverflowError):
            acquired = 0
        if not relaxation.startswith("R") or not self.rule.acquired <= acquired <= self.rule.most:
            raise InputError(
                f"ladder {relaxation}: a teacher of an MRI run has a lower acceleration, written R2 or R1.5, "
                f"between {acceleration_word(choices, self.rule.most)} and R{self.rule.acceleration:g}; or soft line "
                "weights, written soft"
            )
        return cast(Budget, replace(cast(Any, self.rule), acquired=acquired))

    def encoder(self, relaxation: str | None) -> CartesianEncoder:
        """A new encoder with the coils and the noise of the settings."""
        coils = self.settings.coils
        count = self.settings.virtual_coils or coils
        maps = torch.ones(1, *self.size)
        if coils > 1:
            maps = torch.from_numpy(virtual_maps(coils, self.size, count)[0].copy())
        rule = self._rule(relaxation)
        chosen = CartesianEncoder if self.settings.exploring else StraightThroughEncoder
        kind = SharedTimeEncoder if relaxation == "soft" else chosen
        return kind(torch.zeros(rule.always.shape), rule, maps.to(torch.complex64), self.settings.noise)

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """The k-space of every coil several times; with several, an image for each step of the splitting too."""
        coils, image = self.settings.coils, 2 * math.prod(self.size)
        states = ITERATIONS if coils > 1 else 0
        return WorkingValues(coils * image, (states + 4) * image + 6 * coils * image, 2 * coils * image)

    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """What every line adds to a linear reconstruction of the training images, partial Fourier included; at random
        N(0, 0.01^2)."""
        if self.settings.optics_start == "random":
            draws = start_draws(self.settings, relaxation)
            return RANDOM_SCORES * torch.randn(self.rule.always.shape, generator=draws)
        # The student's budget also for a teacher: it starts from the same ranking, and hands it on.
        return start_scores(images, self.rule)

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The teacher's scores rank the lines, or points, of any budget.

        In another matrix the field of view is the same, so lines as far from the centre are of the same frequency:
        these are ranked by the teacher, with mean and spread of the scores that they start with, and those that its
        matrix does not have stay as they start.
        """
        own, taught = encoder.weight, teacher.weight.detach()
        with torch.no_grad():
            if own.shape == taught.shape:
                own.copy_(taught)
                return
            there: Tensor = own
            part = taught
            for axis, sizes in enumerate(zip(own.shape, taught.shape, strict=True)):
                shared = min(sizes)
                starts = [size // 2 - shared // 2 for size in sizes]
                there, part = (one.narrow(axis, at, shared) for one, at in zip((there, part), starts, strict=True))
            spread = there.std() / part.std().clamp_min(1e-6)
            there.copy_((part - part.mean()) * spread + there.mean())

    def limits(self) -> dict[str, float]:
        """Acceleration, coils and noise."""
        return {"acceleration": self.rule.acceleration, "coils": self.settings.coils, "noise": self.settings.noise}

    def prior(self, images: Images) -> ImagePrior:
        """The power of every sample of k-space."""
        return fit_fourier_prior(images)

    def design(self, encoder: Encoder) -> CartesianLines | CartesianPoints:
        """The lines or points."""
        return cast(CartesianEncoder, encoder).pattern(self.settings.samples, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """Scores of 1 on the lines or points of the trajectory, 0 elsewhere."""
        mask = cast(CartesianLines | CartesianPoints, design).mask
        with torch.no_grad():
            encoder.weight.copy_(torch.from_numpy(mask.astype(np.float32)))
