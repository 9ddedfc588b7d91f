"""What differs between the modalities: encoders, where they start, and what leaves them."""

from abc import ABC, abstractmethod
from typing import cast

import numpy as np
import torch
from torch import Tensor

from cidesign.constraints.aperture import feature_rule
from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.rules import bit_depth_rule
from cidesign.errors import InputError
from cidesign.hardware_profiles.aperture_schema import ApertureProfile
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.hardware_profiles.mri_schema import MriProfile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.cassi.encoder import Dispersion, PixelNoise, SdCassiEncoder
from cidesign.modalities.cassi.relax import cells_shape
from cidesign.modalities.mri.encoder import MriEncoder, SharedTimeEncoder, fit_fourier_prior, line_scores
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.pattern import ApertureMask, Design, PatternStack, Trajectory
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.noise import DetectorNoise
from cidesign.run_settings import CassiSettings, MriSettings, RunSettings, SinglePixelSettings

# Training moves the latent weights of the design it starts from; half-way to the limit, a value can still change.
START_MAGNITUDE = 0.5


class Optics(ABC):
    """The optics of one run: how to make them for any relaxation.

    A relaxation is a word of the ladder; None is the student, which obeys every rule of the profile.
    `bands` and `size` are the channels and the height and width of an image.
    """

    bands: int
    size: tuple[int, int]

    @abstractmethod
    def encoder(self, relaxation: str | None) -> Encoder:
        """A new encoder with blank weights; raises `InputError` for a relaxation that it does not know."""

    @abstractmethod
    def start(self, relaxation: str | None, images: Tensor) -> Tensor:
        """The weights to start from, given training images (B, C, H, W): a good fixed design, softened."""

    @abstractmethod
    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """Start `encoder` from the optics of a less constrained teacher, as far as its own limits allow."""

    @abstractmethod
    def prior(self, images: Tensor) -> ImagePrior:
        """The statistics of images (B, C, H, W) that the linear estimate uses."""

    @abstractmethod
    def design(self, encoder: Encoder) -> Design:
        """The hard, feasible design of the student."""

    @abstractmethod
    def place(self, encoder: Encoder, design: Design) -> None:
        """Give the student's encoder the weights of a given design, far from any threshold."""


def optics_for(settings: RunSettings, profile: HardwareProfile) -> Optics:
    """The optics of the settings' modality."""
    if isinstance(settings, SinglePixelSettings):
        return SinglePixelOptics(settings, cast(DmdProfile, profile))
    if isinstance(settings, CassiSettings):
        return CassiOptics(settings, cast(ApertureProfile, profile))
    return MriOptics(settings, cast(MriProfile, profile))


class SinglePixelOptics(Optics):
    """Relaxations: `real` (any value), `k-bit` (grey levels); `real@L` and `k-bit@L` with L patterns instead of K."""

    def __init__(self, settings: SinglePixelSettings, profile: DmdProfile) -> None:
        self.settings, self.profile = settings, profile
        self.bands, self.size = 1, (settings.side, settings.side)

    def _parse(self, relaxation: str | None) -> tuple[int | None, int]:
        """(bit depth or None, number of patterns)."""
        if relaxation is None:
            return self.settings.bit_depth, self.settings.patterns
        word, at, count = relaxation.partition("@")
        patterns = _whole(relaxation, count) if at else self.settings.patterns
        if patterns > self.settings.side**2 or patterns < self.settings.patterns:
            raise InputError(
                f"--ladder {relaxation}: a teacher of {patterns} patterns; use {self.settings.patterns} "
                f"(the student's) to {self.settings.side**2}"
            )
        return _bits(relaxation, word), patterns

    def encoder(self, relaxation: str | None) -> SinglePixelEncoder:
        """A new encoder with the detector noise of the settings."""
        bits, patterns = self._parse(relaxation)
        settings = self.settings
        noise = DetectorNoise(settings.photoelectrons_per_frame, settings.read_noise_photoelectrons, settings.encoding)
        rule = None if bits is None else bit_depth_rule(self.profile, bits)
        return SinglePixelEncoder(torch.zeros(patterns, *self.size), rule, noise)

    def start(self, relaxation: str | None, images: Tensor) -> Tensor:
        """Signs of the lowest cosines: low-pass designs are hard to beat on photographs."""
        _, patterns = self._parse(relaxation)
        return torch.from_numpy(low_frequency_cosines(self.settings.side, patterns)) * START_MAGNITUDE

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The teacher's first K patterns, within what the levels span."""
        with torch.no_grad():
            encoder.weight.copy_(teacher.weight[: len(encoder.weight)].clamp(-1, 1))

    def prior(self, images: Tensor) -> ImagePrior:
        """Mean level and DCT variances."""
        return fit_prior(images)

    def design(self, encoder: Encoder) -> PatternStack:
        """The levels of every pattern."""
        stack = cast(SinglePixelEncoder, encoder)
        return stack.pattern(self.settings.encoding, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """The signed weights of the patterns."""
        with torch.no_grad():
            encoder.weight.copy_(torch.from_numpy(cast(PatternStack, design).signed()))


class CassiOptics(Optics):
    """Relaxations: `real` (any transmission in [0, 1], in every code pixel)."""

    def __init__(self, settings: CassiSettings, profile: ApertureProfile) -> None:
        self.settings, self.profile = settings, profile
        instrument = profile.spectrograph
        self.bands, self.size = len(instrument.wavelengths_nm.value), (settings.side, settings.side)
        self.rule = feature_rule(profile)
        self.dispersion = Dispersion.from_shifts(instrument.shift_px.value, instrument.axis.value)

    def encoder(self, relaxation: str | None) -> SdCassiEncoder:
        """A new encoder with the detector noise of the settings."""
        if relaxation not in (None, "real"):
            raise InputError(f"--ladder {relaxation}: a coded aperture knows the relaxation real")
        settings = self.settings
        noise = PixelNoise(
            settings.photoelectrons_full_scale, settings.read_noise_photoelectrons, self.dispersion.scale * self.bands
        )
        rule = self.rule if relaxation is None else None
        shape = cells_shape(self.rule, *self.size) if relaxation is None else self.size
        return SdCassiEncoder(torch.full(shape, 0.5), self.size, rule, self.dispersion, noise)

    def start(self, relaxation: str | None, images: Tensor) -> Tensor:
        """A random mask, half-way between its 0 and 1 and the threshold."""
        shape = cells_shape(self.rule, *self.size) if relaxation is None else self.size
        generator = torch.Generator().manual_seed(self.settings.seed)
        return 0.5 + START_MAGNITUDE * (torch.rand(shape, generator=generator) - 0.5)

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The mean of the teacher's transmission in each cell."""
        cell = self.rule.cell_px if encoder.weight.shape != teacher.weight.shape else 1
        rows, columns = (cell * count for count in encoder.weight.shape)
        whole = teacher.weight[None, None, :rows, :columns].clamp(0, 1)
        with torch.no_grad():
            encoder.weight.copy_(torch.nn.functional.avg_pool2d(whole, cell)[0, 0])

    def prior(self, images: Tensor) -> ImagePrior:
        """Mean spectrum, principal spectra and their DCT variances."""
        return fit_prior(images)

    def design(self, encoder: Encoder) -> ApertureMask:
        """The mask for the plate."""
        pitch_um = self.profile.pixel_pitch_um.value
        return cast(SdCassiEncoder, encoder).pattern(pitch_um, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """The cells of the mask; a mask that breaks the rule is made feasible by the encoder."""
        cell = self.rule.cell_px
        levels = torch.from_numpy(cast(ApertureMask, design).levels[::cell, ::cell].astype(np.float32))
        rows, columns = encoder.weight.shape
        with torch.no_grad():
            encoder.weight.copy_(levels[:rows, :columns])


class MriOptics(Optics):
    """Relaxations: `R2`, `R1.5` ... (more lines, to the nearest whole one), `soft` (shares of the same scan time)."""

    def __init__(self, settings: MriSettings, profile: MriProfile) -> None:
        self.settings, self.profile = settings, profile
        self.bands, self.size = 2, (settings.side, settings.side)
        self.rule = LineBudget(settings.side, settings.acquired, settings.calibration)

    def _rule(self, relaxation: str | None) -> LineBudget:
        if relaxation is None or relaxation == "soft":
            return self.rule
        try:
            acquired = round(self.settings.side / float(relaxation.removeprefix("R")))
        except (ValueError, ZeroDivisionError, OverflowError):
            acquired = 0
        if not relaxation.startswith("R") or not self.rule.acquired <= acquired <= self.rule.lines:
            raise InputError(
                f"--ladder {relaxation}: a teacher of an MRI run has a lower acceleration, written R2 or R1.5, "
                f"between R1 and R{self.rule.acceleration:g}; or soft line weights, written soft"
            )
        return LineBudget(self.rule.lines, acquired, self.rule.calibration)

    def encoder(self, relaxation: str | None) -> MriEncoder:
        """A new encoder with the coils and the noise of the settings."""
        from cidesign.modalities.mri.phantoms import coil_maps

        coils, side = self.settings.coils, self.settings.side
        maps = torch.ones(1, side, side) if coils == 1 else torch.from_numpy(coil_maps(coils, side, 0))
        rule = self._rule(relaxation)
        kind = SharedTimeEncoder if relaxation == "soft" else MriEncoder
        return kind(torch.zeros(side), rule, maps.to(torch.complex64), self.settings.noise)

    def start(self, relaxation: str | None, images: Tensor) -> Tensor:
        """What every line adds to a linear reconstruction of the training images, partial Fourier included."""
        # The student's budget also for a teacher: it starts from the same ranking, and hands it on.
        return line_scores(images, self.rule)

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The teacher's scores rank the lines of any budget."""
        with torch.no_grad():
            encoder.weight.copy_(teacher.weight)

    def prior(self, images: Tensor) -> ImagePrior:
        """The power of every sample of k-space."""
        return fit_fourier_prior(images)

    def design(self, encoder: Encoder) -> Trajectory:
        """The lines."""
        return cast(MriEncoder, encoder).pattern(self.size[1], self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """Scores of 1 on the lines of the trajectory, 0 elsewhere."""
        with torch.no_grad():
            encoder.weight.copy_(torch.from_numpy(cast(Trajectory, design).mask.astype(np.float32)))


def _bits(relaxation: str, word: str) -> int | None:
    if word == "real":
        return None
    bits = word.removesuffix("-bit")
    if bits == word or bits not in {str(depth) for depth in range(1, 9)}:
        raise InputError(f"--ladder {relaxation}: use real or 1-bit to 8-bit, with @L for another number of patterns")
    return int(bits)


def _whole(relaxation: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"--ladder {relaxation}: {text!r} after @ is not a number of patterns")
    return int(text)
