"""The places and transmissions of a mask that an SD-CASSI calibration leaves open."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from cidesign.calibration.cassi.operator import CassiOperator, reach_of
from cidesign.calibration.cassi.record import StoredCassiCalibration
from cidesign.errors import FileError
from cidesign.modalities.cassi.solve import calibrated_noise, encoder_of
from cidesign.pattern import ApertureMask
from cidesign.physics.base import Encoder
from cidesign.physics.noise import PixelNoise
from cidesign.physics.operator_family import Drawn, gain_draw
from cidesign.physics.places import Place

# Relative error of the light through each pixel of a measured code.
MASK_ERROR = 0.02


@dataclass(frozen=True)
class CassiFamily:
    """Measured masks in their calibrated place; draws shift them all and change each code pixel's light."""

    operator: CassiOperator
    error_px: float
    noise: PixelNoise
    device: str

    @classmethod
    def around(cls, operator: CassiOperator, error_px: float, noise: PixelNoise, device: str = "cpu") -> "CassiFamily":
        """The family of an operator whose place on the detector is known to `error_px` code pixels."""
        return cls(operator, error_px, noise, device)

    @cached_property
    def centre(self) -> Encoder:
        """The calibrated operator."""
        return encoder_of(self.operator, noise=self.noise).to(self.device)

    def at(self, place: Place) -> "CassiFamily":
        """A part of the masks, on the part of the detector that it lights."""
        operator = self.operator
        return replace(
            self, operator=operator.part(place.slices, reach_of(operator.to_code, place.slices, operator.size))
        )

    @property
    def designed_scale(self) -> float:
        """Both are in units of the mean band through an open code."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """A shift along both axes, and independent relative errors of the code's pixels."""
        to_code = self.operator.to_code.copy()
        to_code[:, :, 2] += rng.normal(scale=self.error_px, size=2)
        errors = 1 + MASK_ERROR * rng.normal(size=self.operator.masks.shape[1:])
        moved = replace(self.operator, to_code=to_code, masks=self.operator.masks * errors.astype(np.float32))
        return Drawn(encoder_of(moved, noise=self.noise).to(self.device), gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def cassi_family(design: ApertureMask, stored: StoredCassiCalibration, device: str) -> CassiFamily:
    """From the measured masks, their place, and the detector's noise."""
    stored.require_fitting(design)
    if stored.record.design_digest != design.design_digest:
        raise FileError(f"{stored.path}: was calibrated with the mask of another design; calibrate with this run's")
    found = stored.calibration
    return CassiFamily.around(found.operator, found.pixel_uncertainty_px, calibrated_noise(found), device)
