"""The image of least total variation that explains the readings to their noise.

    minimise sum_p |(D x)_p|   subject to   |A x - y|^2 <= r^2

with D the differences to the neighbours below and to the right (isotropic, Rudin, Osher and Fatemi, Physica D 60, 259
(1992)), and A, y in units of their noise, so that r^2 = K is what noise makes of K readings: the discrepancy principle,
and no weight to choose.  Solved by the alternating direction method of multipliers in its constrained form (Afonso,
Bioucas-Dias and Figueiredo, IEEE Trans. Image Process. 20, 681 (2011)).  D^T D is diagonal in the DCT, so each step
solves a system of K unknowns whose factor is made once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from scipy.linalg import cho_factor, cho_solve

from cidesign import progress

Array = NDArray[np.float32]

STEPS = 200
# Ends where a step changes the image by less than this part of its range, so many steps in a row.
SETTLED, IN_A_ROW = 5e-4, 3
# Readings per unit of an edge: how fast edges and readings are approached does not change where they end.
EDGE_PENALTY = 20.0
# The mean level costs no variation; each step may move it only so far, which changes nothing of where it ends.
LEVEL_CURVATURE = 1.0


def least_variation(matrix: Array, y: Array, start: Array, radius_squared: float) -> Array:
    """x (n, n) of the lowest total variation with |A x - y|^2 <= `radius_squared`.

    `matrix` A (K, n*n) and `y` (K,) in units of their noise; `start` (n, n).
    """
    side = start.shape[0]
    solver = _Quadratic(matrix, side)
    x, radius = start.astype(np.float32), np.float32(radius_squared**0.5)
    edges, fit = _gradient(x), matrix @ x.reshape(-1)
    edge_dual, fit_dual = np.zeros_like(edges), np.zeros_like(fit)
    settled = 0
    for _ in progress.steps("least variation", range(STEPS)):
        before = x
        edges = _shrunk(_gradient(x) + edge_dual, np.float32(1 / EDGE_PENALTY))
        fit = _near(matrix @ x.reshape(-1) + fit_dual, y, radius)
        x = solver.solve(_divergence(edges - edge_dual) + LEVEL_CURVATURE * x.mean(), fit - fit_dual)
        edge_dual += _gradient(x) - edges
        fit_dual += matrix @ x.reshape(-1) - fit
        change = float(np.abs(x - before).max())
        settled = settled + 1 if change < SETTLED * max(float(np.ptp(x)), 1e-12) else 0
        if settled >= IN_A_ROW:
            break
    return x


class _Quadratic:
    """(D^T D + c + w A^T A) x = D^T e + w A^T f, with w so that both sides weigh alike; by the identity of Woodbury.

    c is the curvature of the mean level.
    """

    def __init__(self, matrix: Array, side: int) -> None:
        curve = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
        curvature = np.add.outer(curve, curve)
        curvature[0, 0] = LEVEL_CURVATURE
        self.inverse = (1 / curvature).astype(np.float32)
        self.matrix, self.side = matrix, side
        count = len(matrix)
        spectra = dctn(matrix.reshape(count, side, side), axes=(1, 2), norm="ortho").reshape(count, -1)
        weighted = spectra * self.inverse.reshape(-1)
        gram = weighted @ spectra.T
        # Of the mean level nothing is said by variation, so it must not weigh either.
        varied = gram.diagonal() - weighted[:, 0] * spectra[:, 0]
        self.weight = np.float32(1 / max(float(np.median(varied)), 1e-30))
        system = self.weight * gram.astype(np.float64)
        system[np.diag_indices_from(system)] += 1.0
        self.factor = cho_factor(system.astype(np.float32) if count > 1024 else system, lower=True)

    def _smooth(self, image: Array) -> Array:
        """(D^T D)^-1 of an image (n, n)."""
        found: Array = idctn(self.inverse * dctn(image, norm="ortho"), norm="ortho")
        return found

    def solve(self, edges: Array, fit: Array) -> Array:
        """x (n, n) for D^T e (n, n) and f (K,)."""
        right = edges + self.weight * (fit @ self.matrix).reshape(self.side, self.side)
        smooth = self._smooth(right)
        inner = cho_solve(self.factor, self.matrix @ smooth.reshape(-1)).astype(np.float32)
        found: Array = smooth - self.weight * self._smooth((inner @ self.matrix).reshape(self.side, self.side))
        return found


def _gradient(x: Array) -> Array:
    """(2, n, n): differences to the neighbour below and to the right, 0 at the last row and column."""
    found = np.zeros((2, *x.shape), dtype=np.float32)
    found[0, :-1] = x[1:] - x[:-1]
    found[1, :, :-1] = x[:, 1:] - x[:, :-1]
    return found


def _divergence(edges: Array) -> Array:
    """The adjoint of `_gradient`."""
    found = np.zeros(edges.shape[1:], dtype=np.float32)
    found[1:] += edges[0, :-1]
    found[:-1] -= edges[0, :-1]
    found[:, 1:] += edges[1, :, :-1]
    found[:, :-1] -= edges[1, :, :-1]
    return found


def _shrunk(edges: Array, by: np.float32) -> Array:
    """Each pixel's pair of differences, shortened by `by`."""
    length = np.sqrt(np.sum(edges**2, axis=0))
    found: Array = edges * (np.maximum(length - by, 0) / np.maximum(length, np.float32(1e-20)))
    return found


def _near(values: Array, y: Array, radius: np.float32) -> Array:
    """The nearest point to `values` within `radius` of y."""
    off = values - y
    distance = float(np.linalg.norm(off))
    return values if distance <= radius else y + off * (radius / np.float32(distance))
