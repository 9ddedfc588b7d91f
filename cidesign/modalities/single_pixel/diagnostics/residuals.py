"""Does an image explain the readings, those that it was made of and held-out ones?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.measurement import Measurements

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Residuals:
    """`normalised` (K,): A x_hat - y divided by its noise (whitened); unit variance when the image is right.

    `numbers` (K,) are the patterns' numbers in the order of display, `means` (K,) the mean of each pattern.
    `chi_square_reduced` is the mean square: about 1 when the image explains the readings to their noise, above 1
    where a prior overrules them or something is not modelled, below 1 where noise is fitted.  A low value proves
    nothing about what the patterns cannot see.
    """

    normalised: Vector
    numbers: NDArray[np.int64]
    means: Vector

    @property
    def chi_square_reduced(self) -> float:
        """Mean square of the normalised residuals."""
        return float(np.mean(self.normalised**2))

    @property
    def largest(self) -> tuple[int, float]:
        """The measurement with the largest normalised residual, and that residual."""
        index = int(np.argmax(np.abs(self.normalised)))
        return index, float(self.normalised[index])

    @property
    def neighbour_correlation(self) -> float:
        """Correlation of residuals that follow one another in time (lag 1), near 0 where nothing depends on time.

        Patterns that follow each other without a lost one between them are compared.
        """
        follows = np.diff(self.numbers) == 1
        return correlation(self.normalised[:-1][follows], self.normalised[1:][follows])

    @property
    def number_correlation(self) -> float:
        """Correlation with the patterns' numbers: of a slow change during the sequence."""
        return correlation(self.normalised, self.numbers.astype(np.float64))

    @property
    def mean_correlation(self) -> float:
        """Correlation with the patterns' means: of a wrong dark level, scale or light level."""
        return correlation(self.normalised, self.means)


@dataclass(frozen=True)
class HeldOut:
    """How well readings are predicted by an image that was made without them: `error` (K,), predicted less measured.

    `noise` (K,): their noise; `expected` (K,): how far the best linear estimate is off, noise included, for scenes
    with the statistics of the student's training images; `variation`: standard deviation of the readings.
    Unlike residuals, these errors cannot be fitted away.  They find readings in a wrong order, lost triggers and
    patterns other than those shown; they do not find patterns that are all mirrored, turned or shifted alike, which
    show a mirrored, turned or shifted scene just as well: a known card does.
    """

    error: Vector
    noise: Vector
    expected: Vector
    variation: float

    @property
    def chi_square_noise(self) -> float:
        """Mean square of error / noise: 1 where the other readings leave nothing open."""
        return float(np.mean((self.error / self.noise) ** 2))

    @property
    def chi_square_expected(self) -> float:
        """Mean square of error / expected: about 1 for scenes like the training images and the right operator."""
        return float(np.mean((self.error / self.expected) ** 2))

    @property
    def relative(self) -> float:
        """Error over the variation of the readings: 0 for a perfect prediction, 1 where nothing is known of them."""
        return float(np.sqrt(np.mean(self.error**2))) / max(self.variation, 1e-30)


def residuals(image: NDArray[np.float32], measurements: Measurements) -> Residuals:
    """Compare A x_hat, x_hat (n, n), with the measurements."""
    signed = measurements.signed
    means = signed.mean(axis=(1, 2)).astype(np.float64)
    rest = predicted(image, signed) - measurements.y
    return Residuals(measurements.whiten(rest), measurements.kept, means)


def predicted(image: NDArray[np.float32], signed: NDArray[np.float32]) -> Vector:
    """A x_hat (K,) of an image (n, n) for patterns (K, n, n)."""
    read: Vector = (signed.reshape(len(signed), -1) @ image.reshape(-1)).astype(np.float64) / signed.shape[-1]
    return read


def correlation(first: Vector, second: Vector) -> float:
    """Pearson's correlation, 0 where one of them does not vary or fewer than 3 pairs are there."""
    if first.size < 3:
        return 0.0
    one, other = first - first.mean(), second - second.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0 else 0.0


def folds(count: int, number: int) -> list[NDArray[np.int64]]:
    """Every `number`-th of `count` measurements, from each of the first on; fewer where there are fewer of them."""
    return [np.arange(first, count, number) for first in range(min(number, count))]
