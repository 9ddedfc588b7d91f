"""How close a cube is to a known one, and whether it explains the readings."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.physics.metrics import psnr_db, sam_degrees, ssim

SSIM_MIN_SIDE = 11


class CubeScore(NamedTuple):
    """PSNR in dB over the whole cube, data range 1 (None for equal cubes); mean SSIM of the bands (None below 11 x 11);
    mean spectral angle in degrees (None where the truth is dark everywhere)."""

    psnr_db: float | None
    ssim: float | None
    spectral_angle_degrees: float | None


def score_cube(cube: NDArray[np.floating], truth: NDArray[np.floating]) -> CubeScore:
    """Compare cubes (L, H, W) by the metrics of `cidesign.physics.metrics`; nothing is rescaled, shifted or clipped."""
    x_hat, x = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))[None] for array in (cube, truth))
    angle = float(sam_degrees(x_hat, x))
    return CubeScore(
        psnr_db=None if torch.equal(x_hat, x) else float(psnr_db(x_hat, x)),
        ssim=_ssim(x_hat, x) if min(cube.shape[1:]) >= SSIM_MIN_SIDE else None,
        spectral_angle_degrees=None if math.isnan(angle) else angle,
    )


def _ssim(x_hat: Tensor, x: Tensor) -> float:
    """Band by band: the windows of a large cube take many times its memory."""
    bands = [float(ssim(x_hat[:, k : k + 1], x[:, k : k + 1])) for k in range(x.shape[1])]
    return sum(bands) / len(bands)


class CubeResidual(NamedTuple):
    """`normalised` (h, w): (A x - y) / its deviation, 0 where no reading is used; `used` (h, w): the readings used.

    `chi_square_reduced` is about 1 where the cube explains the readings to their noise.  `neighbour_correlation` of
    adjacent residuals along rows and columns is near 0 for noise, and far from it where the operator or the cube
    leaves structure behind.
    """

    normalised: NDArray[np.float64]
    used: NDArray[np.bool_]

    @property
    def chi_square_reduced(self) -> float:
        """Mean square of the normalised residuals."""
        return float(np.mean(self.normalised[self.used] ** 2))

    @property
    def neighbour_correlation(self) -> float:
        """Mean product of neighbours over the mean square."""
        power = self.chi_square_reduced
        products = []
        for axis in (0, 1):
            count = self.used.shape[axis]
            first, second = (np.arange(count - 1), np.arange(1, count))
            both = self.used.take(first, axis) & self.used.take(second, axis)
            products.append((self.normalised.take(first, axis) * self.normalised.take(second, axis))[both])
        pairs = np.concatenate(products)
        return float(pairs.mean()) / power if power > 0 and pairs.size else 0.0


def residual_of(
    predicted: NDArray[np.float64],
    y: NDArray[np.float64],
    variance: NDArray[np.float64],
    used: NDArray[np.bool_],
) -> CubeResidual:
    """Residuals of a prediction against readings y of the given variances, all (h, w), where `used`."""
    deviation = np.sqrt(np.where(used, variance, 1.0))
    return CubeResidual(np.where(used, (predicted - y) / deviation, 0.0), used)
