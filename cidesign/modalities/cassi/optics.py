"""The optics of an SD-CASSI camera for training: one mask."""

from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from cidesign.constraints.aperture import feature_rule
from cidesign.errors import InputError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.settings import CassiSettings
from cidesign.models.mask_relax import cells_shape
from cidesign.models.optics import START_MAGNITUDE, Optics, WorkingValues, start_draws
from cidesign.pattern import ApertureMask, Design
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.physics.linear_inverse import fit_prior, resized_prior
from cidesign.physics.noise import PixelNoise
from cidesign.physics.splitting import ITERATIONS

# With fewer large images than this, each variance of the prior would be that of a handful of numbers.
FEW_IMAGES, TILE_PX = 64, 64


class CassiOptics(Optics):
    """Relaxations: `real` (any transmission in [0, 1], in every code pixel)."""

    def __init__(self, settings: CassiSettings, profile: ApertureProfile) -> None:
        self.settings, self.profile = settings, profile
        instrument = profile.spectrograph
        self.bands, self.size = len(instrument.wavelengths_nm.value), settings.image_size
        self.mask_size = settings.mask_size
        self.rule = feature_rule(profile)
        self.dispersion = Dispersion.from_shifts(instrument.shift_px.value, instrument.axis.value)

    def encoder(self, relaxation: str | None) -> SdCassiEncoder:
        """A new encoder with the detector noise of the settings."""
        if relaxation not in (None, "real"):
            raise InputError(f"ladder {relaxation}: a coded aperture knows the relaxation real")
        settings = self.settings
        noise = PixelNoise(
            settings.photoelectrons_full_scale, settings.read_noise_photoelectrons, self.dispersion.scale * self.bands
        )
        rule = self.rule if relaxation is None else None
        blank = torch.full(self._weights(relaxation), 0.5)
        crop = None if self.size == self.mask_size else self.size
        return SdCassiEncoder(blank, self.mask_size, rule, self.dispersion, noise, crop)

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """An array for each step of the splitting, and as many again around them."""
        rows, columns = self.size
        span = self.dispersion.span_px
        detector = (rows + span) * columns if self.dispersion.axis == "rows" else rows * (columns + span)
        cube = self.bands * rows * columns
        return WorkingValues(detector, (ITERATIONS + 4) * cube + 4 * detector)

    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """A random mask, half-way between its 0 and 1 and the threshold; at random U[0, 1)."""
        if self.settings.optics_start == "random":
            return torch.rand(self._weights(relaxation), generator=start_draws(self.settings, relaxation))
        generator = torch.Generator().manual_seed(self.settings.seed)
        return 0.5 + START_MAGNITUDE * (torch.rand(self._weights(relaxation), generator=generator) - 0.5)

    def _weights(self, relaxation: str | None) -> tuple[int, int]:
        return cells_shape(self.rule, *self.mask_size) if relaxation is None else self.mask_size

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The mean of the teacher's transmission in each cell.

        What counts of a code is how fine it is against the shifts of the bands, both in code pixels: of a larger mask a
        part is taken, a smaller one is laid out again and again, like bricks along the dispersion, so that bands
        which are one mask apart do not see the same code.  One for the other axis of dispersion is turned.
        """
        own, other = cast(SdCassiEncoder, encoder), cast(SdCassiEncoder, teacher)
        across = self.dispersion.axis == "rows"
        with torch.no_grad():
            whole = other.latent().mT if other.dispersion.axis == "rows" else other.latent()
            laid = _laid_out(whole.clamp(0, 1), self.mask_size[::-1] if across else self.mask_size)
            cell = 1 if own.rule is None else own.rule.cell_px
            rows, columns = (cell * count for count in own.weight.shape)
            seen = (laid.mT if across else laid)[None, None, :rows, :columns]
            own.weight.copy_(torch.nn.functional.avg_pool2d(seen, cell)[0, 0])

    def limits(self) -> dict[str, float]:
        """The smallest cell, in code pixels, and light."""
        return {"cell": self.rule.cell_px, "light": self.settings.photoelectrons_full_scale}

    def apart(self, other: Self) -> str | None:
        """Masks that see the same places of a scene, and bands that are displaced alike."""
        if self.mask_size != other.mask_size:
            own, others = (f"{rows} x {columns}" for rows, columns in (self.mask_size, other.mask_size))
            return f"its mask has {others} code pixels, and this run's {own}"
        if self.dispersion != other.dispersion:
            return f"its bands are displaced otherwise than those of {self.profile.id}"
        return super().apart(other)

    def prior(self, images: Images) -> ImagePrior:
        """Mean spectrum, principal spectra and their DCT variances; of few images, what their tiles predict."""
        batches = [images] if isinstance(images, Tensor) else images
        if min(self.size) <= TILE_PX or sum(len(batch) for batch in batches) >= FEW_IMAGES:
            return fit_prior(images)
        return resized_prior(fit_prior([_tiles(batch) for batch in batches]), self.size)

    def design(self, encoder: Encoder) -> ApertureMask:
        """The mask for the plate."""
        pitch_um = self.profile.pixel_pitch_um.value
        return cast(SdCassiEncoder, encoder).pattern(pitch_um, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """The cells of the mask; one that is grey, or that cells of the rule cannot draw, is held as it is.

        Raises `InputError` for a mask of another size than the training images.
        """
        levels = torch.from_numpy(cast(ApertureMask, design).levels.astype(np.float32))
        if tuple(levels.shape) != self.mask_size:
            raise InputError(
                f"mask: {levels.shape[0]} x {levels.shape[1]} code pixels, and the settings are for one of "
                f"{self.mask_size[0]} x {self.mask_size[1]}"
            )
        cell = self.rule.cell_px
        rows, columns = encoder.weight.shape
        with torch.no_grad():
            encoder.weight.copy_(levels[::cell, ::cell][:rows, :columns])
            if not torch.equal(cast(SdCassiEncoder, encoder).mask().cpu(), levels):
                cast(SdCassiEncoder, encoder).hold(levels)


def _laid_out(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (h, w) in another size (H, W): its first part, or bricks of it along the columns, each next one displaced
    by half of its height."""
    height, width = mask.shape
    row, column = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    displaced = column // width * (height // 2)
    return mask[(row + displaced) % height, column % width]


def _tiles(images: Tensor) -> Tensor:
    """Images (B, L, H, W) cut into squares of `TILE_PX` (B', L, n, n); what is left at the far edges is not used."""
    cut = images.unfold(2, TILE_PX, TILE_PX).unfold(3, TILE_PX, TILE_PX).permute(0, 2, 3, 1, 4, 5)
    return cut.flatten(0, 2)
