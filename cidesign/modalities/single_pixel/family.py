"""The patterns that a single-pixel calibration leaves open."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cidesign.calibration.single_pixel.record import SinglePixelCalibration
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.solve import calibrated_noise
from cidesign.pattern import PatternStack
from cidesign.physics.base import Encoder
from cidesign.physics.noise import DetectorNoise
from cidesign.physics.operator_family import Drawn, gain_draw


class KnownPatterns(Protocol):
    """A single-pixel operator with its errors, as `cidesign.calibration.single_pixel.operator.SpcOperator`."""

    @property
    def peak_over_mean(self) -> float:
        """The brightest pixel of an all-on white frame over their mean."""

    def signed(self, design: PatternStack) -> NDArray[np.float32]:
        """The patterns (K, n, n) as the scene meets them, within [-1, 1]."""

    def draw(self, rng: np.random.Generator) -> "KnownPatterns":
        """One that the calibration does not exclude."""


@dataclass(frozen=True)
class SinglePixelFamily:
    """Patterns in their calibrated place and light; draws move them and change the light within their errors."""

    operator: KnownPatterns
    design: PatternStack
    noise: DetectorNoise
    device: str
    centre: Encoder

    @classmethod
    def around(
        cls, operator: KnownPatterns, design: PatternStack, noise: DetectorNoise, device: str = "cpu"
    ) -> "SinglePixelFamily":
        """The family of an operator, for the patterns of a design."""
        centre = SinglePixelEncoder.fixed(operator.signed(design), noise).to(device).eval()
        return cls(operator, design, noise, device, centre)

    @property
    def designed_scale(self) -> float:
        """Patterns are scaled to their brightest pixel, the design's to the mean of a white frame."""
        return self.operator.peak_over_mean

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Patterns within the errors; one that reads the same on an all-on white frame."""
        other = self.operator.draw(rng)
        encoder = SinglePixelEncoder.fixed(other.signed(self.design), self.noise).to(self.device)
        return Drawn(encoder, gain_draw(rng) * other.peak_over_mean / self.operator.peak_over_mean)

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def single_pixel_family(design: PatternStack, calibration: SinglePixelCalibration, device: str) -> SinglePixelFamily:
    """From dark and white frames (noise) and the calibration targets (place and light of the patterns)."""
    calibration.require_fitting(design)
    optics = calibration.optics
    noise = calibrated_noise(calibration.response.with_peak(optics.peak_over_mean), design.encoding)
    return SinglePixelFamily.around(optics, design, noise, device)
