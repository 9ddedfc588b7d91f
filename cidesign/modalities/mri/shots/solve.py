"""From calibrated samples of shots to images: the student's decoder, and baselines.

y = A(k) (L^-1 S / g) z + n at the places k that late gradients really sample, with coil maps S, whitening L^-1 and
g = |L^-1 S| over the coils; z / g is the image whose magnitude is the root of the sum of squares over the coils.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.shots.response import ShotsCalibration
from cidesign.modalities.mri.shots.encoder import ShotsEncoder, Timing
from cidesign.modalities.mri.solve import TV_WEIGHT_NOISES, Residual, cg_sense, prior_power, to_numpy, total_variation
from cidesign.models.system import ImagingSystem
from cidesign.pattern import NonCartesian


class PlacedShots(ShotsEncoder):
    """Shots whose samples lie where they are known to lie, (shots, samples, 2) in 1/FOV."""

    placed: Tensor

    def __init__(self, placed: NDArray[np.float64], maps: Samples, noise: float) -> None:
        shots, samples = placed.shape[:2]
        blank = torch.zeros(shots, 1, 2, dtype=torch.float64)
        super().__init__(torch.zeros(shots), blank, Timing(0.0, samples, 1.0), torch.from_numpy(maps), noise)
        self.register_buffer("placed", torch.from_numpy(placed), persistent=False)
        self.requires_grad_(False).eval()

    def points(self) -> Tensor:
        """None: the samples themselves are known."""
        return self.base

    def _places(self) -> Tensor:
        return self.placed


def calibrated_shots(design: NonCartesian, calibration: ShotsCalibration) -> PlacedShots:
    """The operator of the design's shots, with measured maps, delays and noise."""
    return PlacedShots(calibration.points(design), calibration.operator[0], calibration.noise_deviation)


@torch.no_grad()
def reconstructions(
    system: ImagingSystem, y: Samples, design: NonCartesian, calibration: ShotsCalibration
) -> dict[str, tuple[Samples, Residual]]:
    """Complex images x (H, W) of whitened samples (coils, shots, samples), and how they fit."""
    encoder, noise = calibrated_shots(design, calibration), calibration.noise_deviation
    readings = torch.from_numpy(y)[None]
    # The operator of lines is there for what those solvers ask of any operator.
    operator = cast(Any, encoder)
    density = math.sqrt(y[0].size / math.prod(design.size))
    images = {
        "gridding": encoder.gridded(readings),
        "cg_sense": cg_sense(readings, operator, 2 * noise**2 / prior_power(system)),
        # Noise adds up where samples lie close.
        "total_variation": total_variation(readings, operator, TV_WEIGHT_NOISES * noise * density),
        system.decoder.column: system.decoder(readings, encoder).prediction,
    }
    weight = _weight(calibration)
    return {name: (to_numpy(image) * weight, _residual(image, readings, encoder)) for name, image in images.items()}


@torch.no_grad()
def student_magnitudes(
    system: ImagingSystem, scans: Iterable[Samples], design: NonCartesian, calibration: ShotsCalibration
) -> Iterator[NDArray[np.float32]]:
    """The student's magnitude (H, W) for each of several whitened scans (coils, shots, samples), one by one."""
    encoder, weight = calibrated_shots(design, calibration), _weight(calibration)
    for y in scans:
        image = system.decoder(torch.from_numpy(y)[None], encoder).prediction
        yield (np.abs(to_numpy(image)) * weight).astype(np.float32)


def _weight(calibration: ShotsCalibration) -> NDArray[np.float32]:
    """What an image z is multiplied with to be in units of the root of the sum of squares: 1 / g, 0 off the maps."""
    norm = calibration.operator[1]
    return np.where(norm > 0, 1 / np.where(norm > 0, norm, 1), 0).astype(np.float32)


def _residual(image: Tensor, y: Tensor, encoder: PlacedShots) -> Residual:
    left = float((encoder.A(image) - y).abs().square().sum())
    return Residual(math.sqrt(left / float(y.abs().square().sum())), left / (2 * encoder.noise**2 * y.numel()))
