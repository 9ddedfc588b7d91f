"""Linear reconstruction: Tikhonov, and the best linear estimate under a stationary prior of images."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cidesign.physics.base import ImagePrior


class SpectralPrior(NamedTuple):
    """Second-order statistics of images: a mean level, and the variance of each coefficient of the 2-D DCT.

    C = D^T diag(variance) D with the orthonormal DCT D; `variance` (n, n) > 0, `mean_level` a scalar tensor.
    """

    mean_level: Tensor
    variance: Tensor


def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II as a (size, size) matrix: rows are frequencies."""
    frequency = torch.arange(size, dtype=torch.float64)[:, None]
    position = torch.arange(size, dtype=torch.float64)[None, :] + 0.5
    basis = torch.cos(math.pi / size * frequency * position) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.float()


def fit_prior(images: Tensor) -> ImagePrior:
    """Fit the prior of grey images or spectral cubes (B, C, H, W): mean and covariance of the channels, then the
    variance of each DCT coefficient of each of the channels' principal components."""
    height, width = images.shape[-2:]
    down, across = dct_matrix(height).to(images), dct_matrix(width).to(images)
    mean = images.mean(dim=(0, 2, 3))
    centred = images - mean[:, None, None]
    covariance = torch.einsum("bihw,bjhw->ij", centred, centred) / (centred.numel() / len(mean))
    basis = torch.linalg.eigh(covariance.double()).eigenvectors.T.to(images)
    components = torch.einsum("ij,bjhw->bihw", basis, centred)
    variance = (down @ components @ across.T).square().mean(dim=0)
    # A coefficient that never occurs would make its patterns blind for ever; keep it at 1e-6 of the mean.
    return ImagePrior(mean, basis, variance.clamp_min(max(1e-6 * float(variance.mean()), 1e-12)))


def resized_prior(prior: ImagePrior, size: tuple[int, int]) -> ImagePrior:
    """The prior that images of `size` (H, W) have whose pieces are like those that `prior` was fitted to.

    The variance of a coefficient of the orthonormal DCT of a stationary image is its spectral density at that
    frequency, whatever the size: it is read between the frequencies of the smaller images (logarithm, linear along each
    axis), and below the lowest of them kept as it is.
    """
    variance = prior.variance.log()
    for axis, wanted in ((1, size[0]), (2, size[1])):
        count = variance.shape[axis]
        if count == wanted:
            continue
        place = torch.arange(wanted, dtype=torch.float64) * (count / wanted)
        low = place.floor().long().clamp(max=count - 1)
        high = (low + 1).clamp(max=count - 1)
        part = (place - low).to(variance).reshape([-1 if number == axis else 1 for number in range(3)])
        variance = (1 - part) * variance.index_select(axis, low) + part * variance.index_select(axis, high)
    return ImagePrior(prior.mean, prior.basis, variance.exp())


class CosinePrior:
    """The covariance C = B^T D^T diag(variance) D B of an `ImagePrior` for real images, as an operator."""

    def __init__(self, prior: ImagePrior) -> None:
        height, width = prior.variance.shape[-2:]
        self.prior = prior
        self.down, self.across = dct_matrix(height).to(prior.mean), dct_matrix(width).to(prior.mean)

    def shrink(self, x: Tensor, penalty: float) -> Tensor:
        """C (C + penalty)^-1 x for images (B, C, H, W)."""
        components = torch.einsum("ij,bjhw->bihw", self.prior.basis, x)
        weight = self.prior.variance / (self.prior.variance + penalty)
        weighted = weight * (self.down @ components @ self.across.T)
        return torch.einsum("ji,bjhw->bihw", self.prior.basis, self.down.T @ weighted @ self.across)

    def mean_image(self, size: tuple[int, int]) -> Tensor:
        """The mean as an image (1, C, H, W)."""
        return self.prior.mean[None, :, None, None].expand(1, -1, *size)


class LinearEstimator:
    """The gain G = C A^T (A C A^T + s^2 I)^-1 of the best linear estimate for one operator.

    `matrix` A (K, n*n), the prior N(m, C), and the noise variance s^2 of one measurement.  C is applied in the DCT
    domain, so no n*n x n*n array is ever made.  Differentiable in A (the optics see through it).
    """

    def __init__(self, matrix: Tensor, prior: SpectralPrior, noise_variance: float) -> None:
        self.matrix, self.prior = matrix, prior
        side = prior.variance.shape[-1]
        self.dct = dct_matrix(side).to(matrix)
        spectra = (self.dct @ matrix.reshape(-1, side, side) @ self.dct.T).flatten(1)
        self.weighted = spectra * prior.variance.flatten()
        self.factor = _cholesky(self.weighted.double() @ spectra.double().T, noise_variance)

    def gain(self, innovation: Tensor) -> Tensor:
        """G r for measurements r (B, K); returns images (B, n*n)."""
        side = self.dct.shape[0]
        solved = torch.cholesky_solve(innovation.T.double(), self.factor).T.to(innovation)
        coefficients = (solved @ self.weighted).reshape(-1, side, side)
        return (self.dct.T @ coefficients @ self.dct).flatten(1)

    def estimate(self, y: Tensor) -> Tensor:
        """x = m + G (y - A m) for measurements y (B, K); returns (B, n*n)."""
        return self.prior.mean_level + self.gain(y - self.prior.mean_level * self.matrix.sum(dim=1))

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x: the part of images (B, n*n) on which the measurements have no say."""
        return x - self.gain(x @ self.matrix.T)


def lmmse(y: Tensor, matrix: Tensor, prior: SpectralPrior, noise_variance: float) -> Tensor:
    """The best linear estimate x = m + C A^T (A C A^T + s^2 I)^-1 (y - A m); y (B, K), A (K, n*n), x (B, n*n)."""
    return LinearEstimator(matrix, prior, noise_variance).estimate(y)


def tikhonov(y: Tensor, matrix: Tensor, weight: float) -> Tensor:
    """Least squares with an identity prior, x = A^T (A A^T + weight I)^-1 y; y (B, K), A (K, N), returns (B, N)."""
    factor = _cholesky(matrix.double() @ matrix.double().T, weight)
    return torch.cholesky_solve(y.T.double(), factor).T.to(y) @ matrix


def _cholesky(gram: Tensor, noise_variance: float) -> Tensor:
    """The factor of gram + noise_variance I, in double precision: priors span six decades, float32 seven digits."""
    # Two equal patterns and no noise make the matrix singular; this ridge is far below any prior's own accuracy.
    ridge = noise_variance + 1e-12 * float(gram.detach().diagonal().mean())
    factor: Tensor = torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    return factor
