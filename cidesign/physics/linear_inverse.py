"""Linear reconstruction: Tikhonov, and the best linear estimate under a stationary prior of images."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.physics.autograd import applied
from cidesign.physics.base import ImagePrior, Images, mean_over
from cidesign.physics.cosine_filter import CosineFilter, dct_matrix

# How many of an image's cosines are added up in double precision, and how many rows of a Gram at once.
STRONGEST = 256
ROWS = 256
# Of the Gram's own diagonal: more than rounding to 24 bits takes from it.
SINGLE_PRECISION = 1e-6
# Of larger images the weights of every step would take more memory than the estimate itself, and little time to make.
KEPT_WEIGHTS = 2**20


class SpectralPrior(NamedTuple):
    """Second-order statistics of images: a mean level, and the variance of each coefficient of the 2-D DCT.

    C = D^T diag(variance) D with the orthonormal DCT D; `variance` (n, n) > 0, `mean_level` a scalar tensor.
    """

    mean_level: Tensor
    variance: Tensor


def fit_prior(images: Images) -> ImagePrior:
    """Fit the prior of grey images or spectral cubes (B, C, H, W): mean and covariance of the channels, then the
    variance of each DCT coefficient of each of the channels' principal components.

    Batches are gone through three times, one at a time.
    """
    mean = mean_over(images, lambda batch: batch.mean(dim=(2, 3)).sum(dim=0)).float()

    def centred(batch: Tensor) -> Tensor:
        return batch - mean.to(batch)[:, None, None]

    def products(batch: Tensor) -> Tensor:
        # The weakest components are some 1e-5 of the strongest: the order of sums would turn them.
        rest = centred(batch).double()
        return torch.einsum("bihw,bjhw->ij", rest, rest) / rest[0, 0].numel()

    basis = torch.linalg.eigh(mean_over(images, products)).eigenvectors.T.float()

    def powers(batch: Tensor) -> Tensor:
        down, across = (dct_matrix(count).to(batch) for count in batch.shape[-2:])
        components = torch.einsum("ij,bjhw->bihw", basis.to(batch), centred(batch))
        return (down @ components @ across.T).square().sum(dim=0)

    variance = mean_over(images, powers)
    # A coefficient that never occurs would make its patterns blind for ever; keep it at 1e-6 of the mean.
    return ImagePrior(mean, basis, variance.clamp_min(max(1e-6 * float(variance.mean()), 1e-12)).float())


def resized_prior(prior: ImagePrior, size: tuple[int, int]) -> ImagePrior:
    """The prior that images of `size` (H, W) have whose pieces are like those that `prior` was fitted to.

    The variance of a coefficient of the orthonormal DCT of a stationary image is its spectral density at that
    frequency, whatever the size: it is read between the frequencies of the other images (logarithm, linear along each
    axis), and below the lowest of them kept as it is.  The variance of a pixel stays what it is too: what slower
    changes than the other images could show have of it is the image's own brightness, the first coefficient.
    """
    if tuple(prior.variance.shape[1:]) == tuple(size):
        return prior
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
    variance = variance.exp()
    missing = (prior.variance.mean(dim=(1, 2)) - variance.mean(dim=(1, 2))) * variance[0].numel()
    # In smaller images it is less than in those that it was seen in, and never less than the changes beside it.
    least = torch.minimum(variance[:, 0, 0], torch.maximum(variance[:, 0, 1], variance[:, 1, 0]))
    variance[:, 0, 0] = torch.maximum(variance[:, 0, 0] + missing, least)
    return ImagePrior(prior.mean, prior.basis, variance)


class CosinePrior:
    """The covariance C = B^T D^T diag(variance) D B of an `ImagePrior` for real images, as an operator."""

    def __init__(self, prior: ImagePrior) -> None:
        height, width = prior.variance.shape[-2:]
        self.prior = prior
        self.filter = CosineFilter((height, width), prior.mean)
        self._variance = self.filter.prepared(prior.variance)
        self._weights: dict[float, Tensor] = {}

    def shrink(self, x: Tensor, penalty: float) -> Tensor:
        """C (C + penalty)^-1 x for images (B, C, H, W)."""
        return applied(_Shrink, x, self, penalty)

    def _shrunk(self, x: Tensor, penalty: float) -> Tensor:
        """The same for contiguous images, without a graph."""
        weights = self._weights.get(penalty)
        if weights is None:
            weights = self._variance / (self._variance + penalty)
            if weights.numel() <= KEPT_WEIGHTS:
                self._weights[penalty] = weights
        basis = self.prior.basis
        components = (basis @ x.flatten(2)).reshape(x.shape)
        filtered = self.filter.apply(components, weights)
        return (basis.T @ filtered.flatten(2)).reshape(x.shape)

    def mean_image(self, size: tuple[int, int]) -> Tensor:
        """The mean as an image (1, C, H, W)."""
        return self.prior.mean[None, :, None, None].expand(1, -1, *size)


class _Shrink(torch.autograd.Function):
    """`CosinePrior.shrink`: symmetric, so it is its own derivative, and nothing is kept for that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, covariance: CosinePrior, penalty: float) -> Tensor:
        ctx.covariance, ctx.penalty = covariance, penalty
        return covariance._shrunk(x, penalty)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.covariance.shrink(gradients[0], ctx.penalty), None, None


class LinearEstimator:
    """The best linear estimate for one operator: x = m + G (y - A m), G = C A^T (A C A^T + s^2 I)^-1.

    `matrix` A (K, n*n), the prior N(m, C), and the noise variance s^2 of one measurement.  C is applied in the DCT
    domain, so no n*n x n*n array is ever made.  Differentiable in A (the optics see through it).
    """

    def __init__(self, matrix: Tensor, prior: SpectralPrior, noise_variance: float) -> None:
        self.matrix, self.prior = matrix, prior
        self.dct = dct_matrix(prior.variance.shape[-1]).to(matrix)
        with torch.no_grad():  # `_Update` knows the derivative, which needs no K x K array of its own
            self.factor = _cholesky(self._gram(), noise_variance)

    def _gram(self) -> Tensor:
        """The lower triangle of A C A^T (K, K), in double precision.

        The coefficients with the largest variances carry nearly all of it, and span the decades that a single
        precision cannot: they are added up in double precision, the many others in that of A.
        """
        side, matrix = self.dct.shape[0], self.matrix
        variance = self.prior.variance.flatten().to(matrix)
        strongest = variance.topk(min(STRONGEST, len(variance))).indices
        others = variance.sqrt()
        others[strongest] = 0
        head, rest = matrix.new_empty(len(matrix), len(strongest)), torch.empty_like(matrix)
        gram = matrix.new_empty(len(matrix), len(matrix), dtype=torch.float64)
        for first in range(0, len(matrix), ROWS):
            rows, last = slice(first, first + ROWS), min(first + ROWS, len(matrix))
            spectra = (self.dct @ matrix[rows].reshape(-1, side, side) @ self.dct.T).flatten(1)
            head[rows] = spectra[:, strongest]
            torch.mul(spectra, others, out=rest[rows])
            gram[rows, :last] = rest[rows] @ rest[:last].T
        exact = head.double()
        gram += (exact * variance[strongest].double()) @ exact.T
        return gram

    def covariance(self, images: Tensor) -> Tensor:
        """C x for images (B, n*n)."""
        side = self.dct.shape[0]
        coefficients = self.dct @ images.reshape(-1, side, side) @ self.dct.T * self.prior.variance.to(images)
        return (self.dct.T @ coefficients @ self.dct).flatten(1)

    def solve(self, right: Tensor) -> Tensor:
        """(A C A^T + s^2 I)^-1 r for r (B, K)."""
        return torch.cholesky_solve(right.T.double(), self.factor).T.to(right)

    def estimate(self, y: Tensor) -> Tensor:
        """x = m + G (y - A m) for measurements y (B, K); returns (B, n*n)."""
        mean = self.prior.mean_level.to(self.matrix).expand(1, self.matrix.shape[1])
        return self._update(y, mean)

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x: the part of images (B, n*n) on which the measurements have no say."""
        return self._update(torch.zeros(1, len(self.matrix)).to(self.matrix), x)

    def _update(self, y: Tensor, mean: Tensor) -> Tensor:
        return applied(_Update, y, mean, self.matrix, self)


class _Update(torch.autograd.Function):
    """x = m + G (y - A m) for y (B, K) and means m (B, N), or one of either for all.

    With z = (A C A^T + s^2 I)^-1 (y - A m), a gradient g on x is w = G^T g on y, p = g - A^T w on m, and
    z^T C p - w^T x on A: products of B images, where the graph of the inverse would multiply K x K by K x N.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, mean: Tensor, matrix: Tensor, estimator: LinearEstimator) -> Tensor:
        solved = estimator.solve(y - mean @ matrix.T)
        x = mean + estimator.covariance(solved @ matrix)
        ctx.estimator, ctx.shapes = estimator, (y.shape, mean.shape)
        ctx.save_for_backward(solved, x, matrix)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        solved, x, matrix = ctx.saved_tensors
        (gradient,) = gradients
        estimator: LinearEstimator = ctx.estimator
        weight = estimator.solve(estimator.covariance(gradient) @ matrix.T)
        left = gradient - weight @ matrix
        on_matrix = None
        if ctx.needs_input_grad[2]:
            on_matrix = torch.cat([solved, -weight]).T @ torch.cat([estimator.covariance(left), x])
        y_shape, mean_shape = ctx.shapes
        return weight.sum_to_size(y_shape), left.sum_to_size(mean_shape), on_matrix, None


def lmmse(y: Tensor, matrix: Tensor, prior: SpectralPrior, noise_variance: float) -> Tensor:
    """The best linear estimate x = m + C A^T (A C A^T + s^2 I)^-1 (y - A m); y (B, K), A (K, n*n), x (B, n*n)."""
    return LinearEstimator(matrix, prior, noise_variance).estimate(y)


def tikhonov(y: Tensor, matrix: Tensor, weight: float) -> Tensor:
    """Least squares with an identity prior, x = A^T (A A^T + weight I)^-1 y; y (B, K), A (K, N), returns (B, N)."""
    factor = _cholesky(matrix.double() @ matrix.double().T, weight)
    return torch.cholesky_solve(y.T.double(), factor).T.to(y) @ matrix


def _cholesky(gram: Tensor, noise_variance: float) -> Tensor:
    """The factor of gram + noise_variance I, whose lower triangle is read; `gram` is overwritten."""
    # Two equal patterns and no noise make the matrix singular; this ridge is far below any prior's own accuracy.
    diagonal = gram.diagonal()
    mean = diagonal.mean()
    diagonal += noise_variance + 1e-12 * mean
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:  # no noise to speak of: what single precision has added up is below this
        diagonal += SINGLE_PRECISION * mean
        factor = torch.linalg.cholesky(gram)
    return factor
