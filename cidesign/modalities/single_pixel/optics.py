"""The optics of a single-pixel camera for training: patterns of any bit depth."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from cidesign.constraints.rules import bit_depth_rule
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.modalities.single_pixel.merit import pattern_bound
from cidesign.modalities.single_pixel.search import choices_of, searched_patterns
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.models.optics import START_MAGNITUDE, Optics, WorkingValues, start_draws
from cidesign.pattern import Design, PatternStack
from cidesign.physics.base import Encoder, ImagePrior, Images
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.merit import NotEvaluated
from cidesign.physics.noise import DetectorNoise
from cidesign.run_settings import TrainingSettings

# Of a resampled pattern's r.m.s. value; below, what is left is mostly aliasing.
LEAST_LEFT = 0.5
# Where less was expected of searched patterns, photographs were level or hardly below (docs/results.md).
LEAST_GAIN_DB = 0.35
# Patterns x choices x pixels that are searched unasked: some 15 seconds of one processor.
MAX_UNASKED = 1e10


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
                f"ladder {relaxation}: a teacher of {patterns} patterns; use {self.settings.patterns} "
                f"(the student's) to {self.settings.side**2}"
            )
        return _bits(relaxation, word), patterns

    def encoder(self, relaxation: str | None) -> SinglePixelEncoder:
        """A new encoder with the detector noise of the settings."""
        bits, patterns = self._parse(relaxation)
        settings = self.settings
        noise = DetectorNoise(settings.photoelectrons_per_frame, settings.read_noise_photoelectrons, settings.encoding)
        rule = None if bits is None else bit_depth_rule(self.profile, bits)
        blank = torch.zeros(patterns, *self.size)
        return SinglePixelEncoder(blank, rule, noise, settings.encoding == "as-shown")

    def working_values(self, relaxation: str | None, learnt: bool) -> WorkingValues:
        """Patterns as built, for the estimate and, where they are learnt, for the measurement too, and the factor of
        their Gram matrix in double precision; alone the matrix itself, or the gradients of the patterns."""
        _, patterns = self._parse(relaxation)
        pixels = self.settings.side**2
        built, square = patterns * pixels, 2 * patterns**2
        kept, alone = built + square, 2 * built + 2 * square
        if learnt:
            kept, alone = kept + built, max(alone + built, 5 * built + square)
        return WorkingValues(patterns, 12 * pixels + 10 * patterns, kept, alone)

    def start(self, relaxation: str | None, images: Images) -> Tensor:
        """Signs of the lowest cosines: low-pass designs are hard to beat on photographs; at random N(0, 1) / n.

        Searched: signs of cosines that tell most of images like these, with the noise of the settings.
        """
        _, patterns = self._parse(relaxation)
        if self.settings.optics_start == "random":
            draws = start_draws(self.settings, relaxation)
            return torch.randn(patterns, *self.size, generator=draws) / self.settings.side
        if self.settings.optics_start == "searched" or (
            self.settings.optics_start == "auto" and self._gain_by_search(images) >= LEAST_GAIN_DB
        ):
            return self._searched(patterns, self.prior(images)) * START_MAGNITUDE
        return torch.from_numpy(low_frequency_cosines(self.settings.side, patterns)) * START_MAGNITUDE

    def settled(self, settings: TrainingSettings, images: Images) -> tuple[TrainingSettings, str | None]:
        """Patterns are searched for by `auto` where that is expected to gain `LEAST_GAIN_DB`: in little light."""
        if settings.optics_start != "auto":
            return settings, None
        gain_db = self._gain_by_search(images)
        if gain_db < LEAST_GAIN_DB:
            return settings.changed(optics_start="designed"), None
        said = (
            f"patterns start as those that tell most of these images in this light, {gain_db:.1f} dB better than "
            "low-pass cosines by the closed form (optics_start auto; `--set optics_start=designed` takes the cosines)"
        )
        return settings.changed(optics_start="searched"), said

    def _gain_by_search(self, images: Images) -> float:
        """How much lower the least error of a linear estimate is with the student's patterns as a search has them, in
        dB; 0 where the search takes long, for classes, which are not what it searches for, and for a given design."""
        side, count = self.settings.side, self.settings.patterns
        takes_long = count * choices_of(side, count) * side**2 > MAX_UNASKED
        if takes_long or self.settings.task != "reconstruct" or self.settings.design is not None:
            return 0.0
        prior, least = self.prior(images), []
        for patterns in (torch.from_numpy(low_frequency_cosines(side, count)), self._searched(count, prior)):
            encoder = self.encoder(None)
            with torch.no_grad():
                encoder.weight.copy_(patterns)
            bound = pattern_bound(encoder, prior)
            if isinstance(bound, NotEvaluated):
                return 0.0
            least.append(bound.db)
        return least[1] - least[0]

    def _searched(self, count: int, prior: ImagePrior) -> Tensor:
        settings = self.settings
        noise = DetectorNoise(settings.photoelectrons_per_frame, settings.read_noise_photoelectrons, settings.encoding)
        variance = noise.typical_variance(float(prior.mean[0]), settings.side)
        return searched_patterns(settings.side, count, prior.variance[0], variance)

    def inherit(self, encoder: Encoder, teacher: Encoder) -> None:
        """The teacher's first K patterns, within what the levels span; where it has fewer, the own start goes on.

        Patterns of another size show the same field of view: they are resampled, each with its r.m.s. value.  One that
        is finer than the super-pixels there are stays as it starts.
        """
        taught = teacher.weight.detach()[: len(encoder.weight)]
        with torch.no_grad():
            own = encoder.weight[: len(taught)]
            if taught.shape[1:] != own.shape[1:]:
                taught = _resampled(taught, own)
            own.copy_(taught.clamp(-1, 1))

    def limits(self) -> dict[str, float]:
        """Patterns over pixels, grey levels and light."""
        settings = self.settings
        return {
            "pattern share": settings.patterns / settings.side**2,
            "levels": 2**settings.bit_depth,
            "light": settings.photoelectrons_per_frame,
        }

    def prior(self, images: Images) -> ImagePrior:
        """Mean level and DCT variances."""
        return fit_prior(images)

    def design(self, encoder: Encoder) -> PatternStack:
        """The levels of every pattern."""
        stack = cast(SinglePixelEncoder, encoder)
        return stack.pattern(self.settings.encoding, self.profile.id, self.profile.digest)

    def place(self, encoder: Encoder, design: Design) -> None:
        """The levels of the patterns, from -1 (off) to 1 (on)."""
        stack = cast(PatternStack, design)
        with torch.no_grad():
            # In place: patterns that exist can be gigabytes.
            encoder.weight.copy_(torch.from_numpy(stack.levels)).mul_(2.0 / stack.max_level).sub_(1.0)


def _resampled(patterns: Tensor, start: Tensor) -> Tensor:
    """Patterns (K, m, m) in the size of `start` (K, n, n), which stands where nothing is left of one."""
    resized = functional.interpolate(
        patterns[:, None], start.shape[1:], mode="bilinear", align_corners=False, antialias=True
    )[:, 0]
    before, after = (part.square().mean(dim=(1, 2), keepdim=True).sqrt() for part in (patterns, resized))
    return torch.where(after > LEAST_LEFT * before, resized * (before / after.clamp_min(1e-12)), start)


def _bits(relaxation: str, word: str) -> int | None:
    if word == "real":
        return None
    bits = word.removesuffix("-bit")
    if bits == word or bits not in {str(depth) for depth in range(1, 9)}:
        raise InputError(f"ladder {relaxation}: use real or 1-bit to 8-bit, with @L for another number of patterns")
    return int(bits)


def _whole(relaxation: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"ladder {relaxation}: {text!r} after @ is not a number of patterns")
    return int(text)
