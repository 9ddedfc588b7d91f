"""The places and transmissions of a mask that an SD-CASSI calibration leaves open."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.record import read_cassi_calibration
from cidesign.errors import FileError
from cidesign.modalities.cassi.encoder import PixelNoise
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.solve import calibrated_noise, encoder_of
from cidesign.physics.base import Encoder
from cidesign.physics.operator_family import Drawn, gain_draw
from cidesign.reconstruct.operator_families import require_fitting

# Relative error of the light through each pixel of a measured code.
MASK_ERROR = 0.02


@dataclass(frozen=True)
class CassiFamily:
    """Measured masks in their calibrated place; draws displace them all and change each code pixel's light."""

    operator: CassiOperator
    error_px: float
    noise: PixelNoise
    device: str
    centre: Encoder

    @classmethod
    def around(cls, operator: CassiOperator, error_px: float, noise: PixelNoise, device: str = "cpu") -> "CassiFamily":
        """The family of an operator whose place on the detector is known to `error_px` code pixels."""
        return cls(operator, error_px, noise, device, encoder_of(operator, noise=noise).to(device))

    @property
    def designed_scale(self) -> float:
        """Both are in units of the mean band through an open code."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """A displacement along both axes, and independent relative errors of the code's pixels."""
        to_code = self.operator.to_code.copy()
        to_code[:, :, 2] += rng.normal(scale=self.error_px, size=2)
        errors = 1 + MASK_ERROR * rng.normal(size=self.operator.masks.shape[1:])
        moved = replace(self.operator, to_code=to_code, masks=self.operator.masks * errors.astype(np.float32))
        return Drawn(encoder_of(moved, noise=self.noise).to(self.device), gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def cassi_family(run: CassiRun, folder: Path, device: str) -> CassiFamily:
    """From the measured masks, their place, and the detector's noise."""
    stored = read_cassi_calibration(folder)
    calibration, side = stored.calibration, run.settings.side
    bands = len(run.profile.spectrograph.wavelengths_nm.value)
    require_fitting(folder, stored.record, run, calibration.operator.masks.shape, (bands, side, side))
    if stored.record.design_digest != run.design.design_digest:
        raise FileError(f"{folder}: was calibrated with the mask of another design; calibrate with this run's")
    noise = calibrated_noise(calibration)
    return CassiFamily.around(calibration.operator, calibration.pixel_uncertainty_px, noise, device)
