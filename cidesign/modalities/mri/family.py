"""The coil maps and echo places that an MRI calibration leaves open."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.calibration.mri.record import StoredKspaceCalibration
from cidesign.calibration.polynomials import over_pixels
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.solve import calibrated_encoder
from cidesign.pattern import CartesianLines
from cidesign.physics.operator_family import Drawn, gain_draw

# Of the norm over the coils: ESPIRiT maps of four simulated coils from 7 to 12 calibration lines of 64 and of 128, with
# 1 % of noise, were wrong by 1.3 to 9 %, 3 % in the median.
COIL_MAP_ERROR = 0.03
# A judgement: the object's own linear phase hides what is left of the echo's delay.
ECHO_ERROR_SAMPLES = 0.05
# Coil maps are smooth: so are their errors, polynomials of this degree along each axis.
COIL_MAP_DEGREE = 3
# Below this sum of squares a coil array receives nothing of a pixel.
EMPTY = 1e-6


@dataclass(frozen=True)
class KspaceFamily:
    """The design's lines with measured coil maps; draws change the maps smoothly and move the echo."""

    centre: CartesianEncoder

    @property
    def designed_scale(self) -> float:
        """k-space is in units of the training images already."""
        return 1.0

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Maps with smooth relative errors, and an echo off its calibrated place: a phase ramp along the readout."""
        maps = self.centre.coil_maps
        coils, lines, readout = maps.shape
        across = (np.arange(readout) - readout // 2) / readout
        ramp = np.exp(2j * np.pi * rng.normal(scale=ECHO_ERROR_SAMPLES) * across)
        errors = ramp * (1 + _smooth(rng, coils, (lines, readout)) * (COIL_MAP_ERROR if coils > 1 else 0.0))
        moved = maps * torch.from_numpy(errors.astype(np.complex64)).to(maps.device)
        rule, noise = self.centre.rule, self.centre.noise
        encoder = CartesianEncoder(self.centre.weight.detach(), rule, moved, noise).requires_grad_(False).eval()
        return Drawn(encoder, gain_draw(rng))

    def scene(self, x: Tensor) -> Tensor:
        """What lies where some coil receives: the maps are 0 where the calibrated object is not."""
        seen = self.centre.coil_maps.abs().square().sum(dim=0) > EMPTY
        return x * seen


def _smooth(rng: np.random.Generator, count: int, size: tuple[int, int]) -> NDArray[np.complex128]:
    """Complex polynomials (count, H, W) with independent coefficients, of root mean square about 1."""
    down, across = (over_pixels(count, COIL_MAP_DEGREE) for count in size)
    terms = (COIL_MAP_DEGREE + 1) ** 2
    # The mean square of P_i over [-1, 1] is 1 / (2 i + 1).
    level = np.sqrt(2 * np.arange(COIL_MAP_DEGREE + 1) + 1)
    draws = rng.normal(size=(2, count, COIL_MAP_DEGREE + 1, COIL_MAP_DEGREE + 1)) * (0.5 / terms) ** 0.5
    field: NDArray[np.complex128] = np.einsum(
        "hi,cij,wj->chw", down * level, draws[0] + 1j * draws[1], across * level, optimize=True
    )
    return field


def kspace_family(design: CartesianLines, stored: StoredKspaceCalibration, device: str) -> KspaceFamily:
    """From the noise and the coil maps of a calibration."""
    stored.require_fitting(design)
    found = stored.calibration
    return KspaceFamily(calibrated_encoder(design, found.operator()[0], found.noise_deviation).to(device))
