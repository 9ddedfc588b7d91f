"""Does an image explain the readings?  Residuals in units of the calibrated noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.measurement import Measurements


@dataclass(frozen=True)
class Residuals:
    """`normalised` (K,): A x_hat - y divided by its noise (whitened); unit variance when the image is right.

    `chi_square_reduced` is their mean square: about 1 when the image explains the readings to their noise, above 1
    where a prior overrules them or something is not modelled, below 1 where noise is fitted.  A low value proves
    nothing about what the patterns cannot see.
    """

    normalised: NDArray[np.float64]

    @property
    def chi_square_reduced(self) -> float:
        """Mean square of the normalised residuals."""
        return float(np.mean(self.normalised**2))

    @property
    def largest(self) -> tuple[int, float]:
        """The pattern with the largest normalised residual, and that residual."""
        index = int(np.argmax(np.abs(self.normalised)))
        return index, float(self.normalised[index])


def residuals(image: NDArray[np.float32], measurements: Measurements, signed: NDArray[np.float32]) -> Residuals:
    """Compare A x_hat, x_hat (n, n), with the measurements taken by the patterns `signed` (K, n, n)."""
    side = signed.shape[-1]
    predicted = signed.reshape(len(signed), -1) @ image.reshape(-1) / side
    return Residuals(measurements.whiten(predicted - measurements.y))
