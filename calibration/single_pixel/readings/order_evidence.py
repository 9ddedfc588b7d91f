"""How well readings predict one another in an assumed order: the evidence of a linear model of scenes.

A scene is drawn with independent coefficients of the 2-D DCT whose variances fall as those of pictures do, as the
inverse square of the spatial frequency (Field, J. Opt. Soc. Am. A 4, 2379 (1987)), and readings are y = A x + e:

    log p(y) = -K/2 log(y^T (S + lambda I)^-1 y) - 1/2 log det(S + lambda I) + constant,      S = A C A^T

with the contrast of the scene and the ratio lambda of noise to signal set to what explains y best.  It is the sum of
the log probabilities of each reading given those before it (Dawid, J. R. Stat. Soc. A 147, 278 (1984)): readings that
are held out and predicted, each in its turn, whatever their unit.  Patterns that are mirrored, turned or shifted
alike show a mirrored, turned or shifted scene, whose evidence is the same.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Vector = NDArray[np.float64]
Indices = NDArray[np.int64]
# Standard deviation of a scene's mean level, in units of that of its pixels around it: any level is likely.
LEVEL_SPREAD = 3.0
# Variance of what all readings may have in common, over their mean variance under the model.
FREE_SPREAD = 10.0
# Noise, and what else the model leaves open, over the readings' mean variance under the model.
NOISE_RATIOS = tuple(10.0**power for power in (-4, -3, -2, -1, 0, 1))
NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class OrderModel:
    """The weights A of each frame on the scene, `rows` (K, n, n), in the order of display.

    `free_level`: all readings may have something in common that no scene gives, as a dark level that is not known.
    """

    rows: Vector
    free_level: bool = False

    @cached_property
    def _spread(self) -> tuple[Vector, Vector]:
        """Eigenvalues (K,) and eigenvectors (K, K) of S, scaled to a mean variance of 1."""
        count, side, _ = self.rows.shape
        frequency = np.add.outer(np.arange(side) ** 2, np.arange(side) ** 2).astype(np.float64)
        frequency[0, 0] = np.inf
        variance = 1 / frequency
        variance[0, 0] = (LEVEL_SPREAD * side) ** 2 * variance.sum() / side**2
        spectra = dctn(self.rows, axes=(1, 2), norm="ortho").reshape(count, -1)
        spread = (spectra * variance.reshape(-1)) @ spectra.T
        if self.free_level:
            spread += FREE_SPREAD * np.mean(spread.diagonal())
        values, vectors = np.linalg.eigh(spread / np.mean(spread.diagonal()))
        return np.maximum(values, 0.0), vectors

    @cached_property
    def _weights(self) -> list[tuple[Vector, float]]:
        """For each ratio of noise: 1 / (eigenvalue + ratio), (K,), and half of log det (S + lambda I)."""
        eigenvalues, _ = self._spread
        return [(1 / (eigenvalues + ratio), 0.5 * float(np.log(eigenvalues + ratio).sum())) for ratio in NOISE_RATIOS]

    def evidence(self, values: Vector, missing: Indices = NOTHING) -> Vector:
        """log p of readings (..., K), one for each row, of which those at `missing` (M,) are not there: (...).

        With P = (S + lambda I)^-1 and y zero where it is missing, the others' quadratic form is
        y^T P y - (P y)_m^T (P_mm)^-1 (P y)_m, and the logarithm of their determinant grows by log det P_mm.
        A constant that depends on the number of readings alone is left out.
        """
        _, vectors = self._spread
        there = values.copy()
        there[..., missing] = 0.0
        turned, own, used = there @ vectors, vectors[missing], vectors.shape[0] - missing.size
        squared, best = turned**2, np.full(values.shape[:-1], -np.inf)
        for weight, half_log in self._weights:
            square = squared @ weight
            if missing.size:
                lost, block = (turned * weight) @ own.T, (own * weight) @ own.T
                square = square - np.sum(lost * np.linalg.solve(block, lost.T).T, axis=-1)
                half_log += 0.5 * float(np.linalg.slogdet(block)[1])
            # The floor keeps readings without noise, all explained, from an infinite density.
            best = np.maximum(best, -0.5 * used * np.log(np.maximum(square, 1e-30)) - half_log)
        return best
