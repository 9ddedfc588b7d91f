"""The optics of a lensless camera for training: one mask."""

import math
import re
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cidesign.constraints.aperture import feature_rule
from cidesign.errors import InputError
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.modalities.lensless.encoders.designed import MaskEncoder
from cidesign.modalities.lensless.encoders.propagation import Propagation
from cidesign.modalities.lensless.fixed_designs import planes
from cidesign.modalities.lensless.settings import LenslessSettings, geometry_of, lines_of
from cidesign.models.mask_relax import cells_shape, enlarge
from cidesign.models.optics import START_MAGNITUDE, Optics, WorkingValues, start_draws
from cidesign.pattern import ApertureMask, Design
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.noise import PixelNoise

SHOTS = re.compile(r"shots@([2-9])")
# Arrays of an image's size that one step of the linear estimate holds.
STEP_ARRAYS = 8
# A student's cells are unequally far from the threshold, by this part of the furthest at least: those that a step would
# change alike then change one after the other, and each sees what the others did.
LEAST_SURE = 0.4
# Of a teacher's closed cells, so that training can open them: light goes with the square, whose slope is 0 at 0.
START_LEAK = 0.02
# Images on which they are compared.
START_DRAWS = 16


class LenslessOptics(Optics):
    """Relaxations: `real` (any transmission in [0, 1]), `sensor` (the same with a sensor that sees all of the shadow),
    `shots@K` (K masks of any transmission, one after the other)."""

    def __init__(self, settings: LenslessSettings, profile: LenslessProfile) -> None:
        self.settings, self.profile = settings, profile
        self.bands, self.size = len(profile.sensor.channels), (settings.side, settings.side)
        self.rule = feature_rule(profile)
        self.geometry = geometry_of(settings, profile)
        self.lines = lines_of(profile)

    def encoder(self, relaxation: str | None) -> MaskEncoder:
        """A new encoder with the sensor noise of the settings."""
        if relaxation not in (None, "real", "sensor") and not SHOTS.fullmatch(relaxation):
            raise InputError(
                f"ladder {relaxation}: a lensless camera knows the relaxations real, sensor, and shots@2 to shots@9"
            )
        settings = self.settings
        noise = PixelNoise(settings.photoelectrons_full_scale, settings.read_noise_photoelectrons, 1.0)
        geometry = self.geometry
        if relaxation == "sensor":
            geometry = geometry_of(settings, self.profile, self.whole_shadow)
        light = Propagation(geometry, self.lines, settings.propagation)
        rule = self.rule if relaxation is None else None
        blank = torch.full(self._weights(relaxation), 0.5)
        return MaskEncoder(blank, rule, light, self.profile.sensor.angular_exponent.value, noise)

    @property
    def whole_shadow(self) -> int:
        """Samples a side of a sensor on which the shadow of every direction falls."""
        return max(math.ceil(max(self.geometry.shadow)) + self.settings.side - 1, self.settings.sensor_side)

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """Readings, the planes of the convolution, and the plane of the mask with a field for each wavelength."""
        encoder = self.encoder(relaxation)
        shots = len(encoder.weight)
        plane = math.prod(encoder.plane)
        reading = shots * self.bands * math.prod(encoder.sensor)
        image = self.bands * math.prod(self.size)
        # Complex numbers count as two.
        fields = 2 * sum(len(lines.weights) for lines in self.lines) * math.prod(encoder.light.plane)
        kept = shots * fields * (3 if learnt else 1)
        each = 3 * shots * self.bands * plane + STEP_ARRAYS * image + 2 * reading
        return WorkingValues(reading=reading, each=each, kept=kept)

    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """The fixed design of the least error in this light, of a student half-way to the threshold; at random U[0, 1).

        The error is that of the best linear estimate, of images that are drawn from the prior.  Where several masks
        take turns, they are the best ones in their order.
        """
        if self.settings.optics_start == "random":
            return torch.rand(self._weights(relaxation), generator=start_draws(self.settings, relaxation))
        ranked = self._ranked(self.prior(images))
        if relaxation is None:
            draws = torch.Generator().manual_seed(self.settings.seed)
            sureness = LEAST_SURE + (1 - LEAST_SURE) * torch.rand(ranked[:1].shape, generator=draws)
            return 0.5 + START_MAGNITUDE * sureness * (ranked[:1] - 0.5)
        shots, rows, columns = self._weights(relaxation)
        chosen = ranked[torch.arange(shots) % len(ranked)].clamp_min(START_LEAK)
        return torch.stack([enlarge(self.rule, plane, rows, columns) for plane in chosen])

    @torch.no_grad()
    def _ranked(self, prior: ImagePrior) -> Tensor:
        """The cells of the fixed designs, (n, rows, columns), from the least error to the greatest."""
        encoder, errors = self.encoder(None), []
        found = torch.stack([torch.from_numpy(one).float() for one in planes(self, self.settings.seed).values()])
        for plane in found:
            encoder.weight.copy_(plane[None])
            estimator = encoder.estimator(prior)
            draws = torch.Generator().manual_seed(self.settings.seed)
            x = estimator.mean + estimator.to_images(torch.randn(START_DRAWS, *prior.variance.shape, generator=draws))
            y = encoder(x, draws)
            errors.append(float((estimator.estimate(y) - x).square().mean()))
        return found[torch.tensor(errors).argsort()]

    def _weights(self, relaxation: str | None) -> tuple[int, int, int]:
        rows, columns = self.geometry.code
        found = None if relaxation is None else SHOTS.fullmatch(relaxation)
        if relaxation is None:
            rows, columns = cells_shape(self.rule, rows, columns)
        return (1 if found is None else int(found[1]), rows, columns)

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The teacher's transmission, of its first mask, averaged over each cell; one of another size is resized.

        A mask and its image scale together, so that of a mask in another size the same shape is taken.
        """
        own, other = cast(MaskEncoder, encoder), cast(MaskEncoder, teacher)
        with torch.no_grad():
            theirs = other.latent()[:1].clamp(0, 1)
            seen = functional.interpolate(theirs[None], size=own.weight.shape[1:], mode="area")[0]
            own.weight.copy_(seen.expand_as(own.weight))

    def limits(self) -> dict[str, float]:
        """The smallest cell over an image pixel, and light."""
        cell_um = self.rule.cell_px * self.profile.pixel_pitch_um.value
        return {"cell": cell_um / self.geometry.sample_um, "light": self.settings.photoelectrons_full_scale}

    def apart(self, other: Self) -> str | None:
        """Images of one size, and as many channels."""
        if self.bands != other.bands:
            return f"its sensor has {other.bands} channels, and this run's {self.bands}"
        return super().apart(other)

    def prior(self, images: Images) -> ImagePrior:
        """Mean colour, principal colours and their DCT variances."""
        return fit_prior(images)

    def design(self, encoder: Encoder) -> ApertureMask:
        """The mask for the plate."""
        pitch_um = self.profile.pixel_pitch_um.value
        return cast(MaskEncoder, encoder).pattern(pitch_um, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """The cells of the mask; one that is grey, or that cells of the rule cannot draw, is held as it is.

        Raises `InputError` for a mask of another size than that of the settings.
        """
        levels = torch.from_numpy(cast(ApertureMask, design).levels.astype(np.float32))
        rows, columns = self.geometry.code
        if tuple(levels.shape) != (rows, columns):
            raise InputError(
                f"mask: {levels.shape[0]} x {levels.shape[1]} code pixels, and the settings are for one of "
                f"{rows} x {columns}"
            )
        cell, own = self.rule.cell_px, cast(MaskEncoder, encoder)
        with torch.no_grad():
            own.weight.copy_(levels[None, ::cell, ::cell][:, : own.weight.shape[1], : own.weight.shape[2]])
            if not torch.equal(own.mask()[0].cpu(), levels):
                own.hold(levels)
