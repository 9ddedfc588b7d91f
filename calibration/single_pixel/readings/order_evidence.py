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
from scipy.fft import dctn, idctn

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
        variance = _variance(side)
        spectra = dctn(self.rows, axes=(1, 2), norm="ortho").reshape(count, -1)
        spectra *= np.sqrt(variance).reshape(-1)
        spread = spectra @ spectra.T
        if self.free_level:
            spread += FREE_SPREAD * np.mean(spread.diagonal())
        values, vectors = np.linalg.eigh(spread / np.mean(spread.diagonal()))
        return np.maximum(values, 0.0), vectors

    @cached_property
    def _weights(self) -> list[tuple[Vector, float]]:
        """For each ratio of noise: 1 / (eigenvalue + ratio), (K,), and half of log det (S + lambda I)."""
        eigenvalues, _ = self._spread
        return [(1 / (eigenvalues + ratio), 0.5 * float(np.log(eigenvalues + ratio).sum())) for ratio in NOISE_RATIOS]

    @cached_property
    def overlap(self) -> float:
        """Mean over the patterns of the sum of the squared correlations of each with all others."""
        flat = self.rows.reshape(len(self.rows), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        return float(np.mean(np.sum(np.square(flat @ flat.T), axis=1))) - 1

    def image(self, values: Vector, missing: Indices) -> Vector:
        """The scene (n, n) that readings (K,), less those at `missing`, make most likely: C A^T (S + lambda I)^-1 y."""
        eigenvalues, vectors = self._spread
        there = np.delete(np.arange(len(eigenvalues)), missing)
        if missing.size:
            part = vectors[there]
            eigenvalues, vectors = np.linalg.eigh((part * eigenvalues) @ part.T)
            eigenvalues = np.maximum(eigenvalues, 0.0)
        turned = values[there] @ vectors
        ratio = max(NOISE_RATIOS, key=lambda one: _log_density(turned, eigenvalues + one))
        weights = vectors @ (turned / (eigenvalues + ratio))
        spectrum = dctn(np.tensordot(weights, self.rows[there], axes=1), norm="ortho")
        return np.asarray(idctn(_variance(self.rows.shape[1]) * spectrum, norm="ortho"), dtype=np.float64)

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


def roughness(image: Vector) -> float:
    """Mean difference of neighbouring pixels over that of any two, of an image (n, n); 1 for one without contrast.

    Pictures and letters have about 0.1 to 0.3, images of readings in a wrong order nearly 1.
    """
    levels = np.sort(image, axis=None)
    ranks = 2 * np.arange(levels.size) - levels.size + 1
    any_two = 2 * float(ranks @ levels) / levels.size**2
    near = (np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()) / 2
    return float(near) / any_two if any_two > 0 else 1.0


def _variance(side: int) -> Vector:
    """Of the DCT coefficients (n, n) of a scene."""
    frequency = np.add.outer(np.arange(side) ** 2, np.arange(side) ** 2).astype(np.float64)
    frequency[0, 0] = np.inf
    variance = 1 / frequency
    variance[0, 0] = (LEVEL_SPREAD * side) ** 2 * variance.sum() / side**2
    return variance


def _log_density(turned: Vector, variances: Vector) -> float:
    """log p of readings in the frame of the eigenvectors, their contrast free, up to a constant."""
    square = float(np.sum(turned**2 / variances))
    return float(-0.5 * turned.size * np.log(max(square, 1e-30)) - 0.5 * np.log(variances).sum())
