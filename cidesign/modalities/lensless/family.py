"""The PSFs that a lensless calibration leaves open."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from cidesign.calibration.lensless.calibration import LenslessCalibration
from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.record import StoredLenslessCalibration
from cidesign.errors import FileError
from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
from cidesign.pattern import ApertureMask
from cidesign.physics.base import Encoder
from cidesign.physics.noise import PixelNoise
from cidesign.physics.operator_family import Drawn, gain_draw

# Relative error of the light in a sample of a PSF, where the drawing stands in for the measured one.
RIM_ERROR = 0.1
# Photon noise counts as nothing below this part of the total variance.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class LenslessFamily:
    """Measured PSFs; draws have their noise, and errors of the rim that was not measured."""

    calibration: LenslessCalibration
    device: str

    @cached_property
    def centre(self) -> Encoder:
        """The calibrated operator."""
        return self._encoder(self.calibration.operator)

    def _encoder(self, operator: LenslessOperator) -> Encoder:
        return encoder_of(operator, calibrated_noise(self.calibration)).to(self.device)

    @property
    def designed_scale(self) -> float:
        """Both are in units of an open mask."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """The noise of the measured PSF, relative errors beyond it, and another light."""
        found = self.calibration
        psf = found.operator.psf
        error = np.where(found.measured, found.psf_noise, RIM_ERROR * np.abs(psf))
        drawn = replace(found.operator, psf=psf + error * rng.normal(size=psf.shape))
        return Drawn(self._encoder(drawn), gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """All of it."""
        return x


def lensless_family(design: ApertureMask, stored: StoredLenslessCalibration, device: str) -> LenslessFamily:
    """From the measured PSFs and the sensor's noise."""
    stored.require_fitting(design)
    if stored.record.design_digest != design.design_digest:
        raise FileError(f"{stored.path}: was calibrated with the mask of another design; calibrate with this run's")
    return LenslessFamily(stored.calibration, device)


def unit_of(operator: LenslessOperator) -> float:
    """What encoders count as 1 over that of the operator: an open mask in front of a white scene."""
    rows, columns = operator.image
    return float(rows * columns)


def calibrated_noise(calibration: LenslessCalibration, repeats: int = 1) -> PixelNoise:
    """The calibrated sensor as the model that training draws noise from, for the mean of `repeats` frames.

    One scale stands for all channels.  Where the gain was not resolved, photon noise is below the read noise: any gain
    that keeps it negligible describes the same sensor.
    """
    scale = float(calibration.scale_counts.mean()) * unit_of(calibration.operator)
    read = calibration.read_noise_counts
    gain = max(calibration.gain_counts_per_photoelectron, NEGLIGIBLE * read**2 / scale)
    return PixelNoise(repeats * scale / gain, repeats**0.5 * read / gain, 1.0)


def encoder_of(operator: LenslessOperator, noise: PixelNoise | None) -> MeasuredEncoder:
    """The operator as an encoder."""
    psf, response = (torch.from_numpy(part.astype(np.float32)) for part in (operator.psf, operator.response))
    return MeasuredEncoder(psf, response, noise).eval()
