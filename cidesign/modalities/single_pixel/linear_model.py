"""Linear estimates of a scene, what they leave open, and how well they predict measurements that they did not get."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idct, idctn

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class LinearModel:
    """y = A x + e with x ~ N(m, C), e ~ N(0, R): A `matrix` (K, n*n), m `level` everywhere, R `noise` (K, K).

    C = D^T diag(variance) D with the orthonormal 2-D DCT D and `variance` (n, n) > 0, so it is never made.  With
    S = A C A^T + R the estimate is m + C A^T S^-1 (y - A m), the best linear one.
    """

    matrix: Vector
    noise: Vector
    level: float
    variance: Vector

    @cached_property
    def _weighted(self) -> Vector:
        """A C, (K, n*n)."""
        side = len(self.variance)
        spectra = dctn(self.matrix.reshape(-1, side, side), axes=(1, 2), norm="ortho") * self.variance
        weighted: Vector = idctn(spectra, axes=(1, 2), norm="ortho", overwrite_x=True).reshape(self.matrix.shape)
        return weighted

    @cached_property
    def _inverse(self) -> Vector:
        """S^-1, (K, K)."""
        spread = self._weighted @ self.matrix.T + self.noise
        # Two equal patterns and no noise make it singular; this ridge is far below any prior's own accuracy.
        spread[np.diag_indices_from(spread)] += 1e-12 * float(np.mean(spread.diagonal()))
        inverse: Vector = np.linalg.inv(spread).astype(np.float64)
        return 0.5 * (inverse + inverse.T)

    def _innovation(self, y: Vector) -> Vector:
        rest: Vector = y - self.level * self.matrix.sum(axis=1)
        return rest

    def estimate(self, y: Vector) -> Vector:
        """Images (..., n*n) from measurements (..., K)."""
        images: Vector = self.level + self._innovation(y) @ self._inverse @ self._weighted
        return images

    def posterior_deviation(self) -> Vector:
        """How far a scene drawn from the prior lies from its estimate: the standard deviation (n*n,).

        Root of diag(C - C A^T S^-1 A C): noise and what the patterns cannot see, the operator taken as exact.
        """
        known = np.einsum("kp,kp->p", self._weighted, self._inverse @ self._weighted)
        deviation: Vector = np.sqrt(np.maximum(self._prior_variance() - known, 0.0))
        return deviation

    def _prior_variance(self) -> Vector:
        """diag(C), (n*n,)."""
        squared = idct(np.eye(len(self.variance)), axis=0, norm="ortho") ** 2
        variances: Vector = (squared @ self.variance @ squared.T).reshape(-1)
        return variances

    def held_out(self, y: Vector, fold: NDArray[np.int64]) -> tuple[Vector, Vector]:
        """Errors (M,), predicted less measured, of the measurements `fold` (M,) from the rest, and their deviations.

        With r = y - A m the errors are -((S^-1)_ff)^-1 (S^-1 r)_f; their covariance under the model is ((S^-1)_ff)^-1
        (Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, section 5.4.2).
        """
        spread = np.linalg.inv(self._inverse[np.ix_(fold, fold)])
        error: Vector = -spread @ (self._inverse[fold] @ self._innovation(y))
        return error, np.sqrt(spread.diagonal())
