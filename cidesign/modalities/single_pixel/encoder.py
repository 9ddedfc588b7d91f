"""The single-pixel camera: each measurement is the inner product of the image with one signed pattern."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cidesign.constraints.rules import BitDepth
from cidesign.modalities.single_pixel.relax import level_of, quantise
from cidesign.pattern import Encoding, PatternStack
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import LinearEstimator, SpectralPrior
from cidesign.physics.noise import DetectorNoise


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """|A^T A - B^T B|_F^2 for A (K, N) and B (L, N), without any N x N array.

    By |A^T A - B^T B|^2 = |A A^T|^2 + |B B^T|^2 - 2 |A B^T|^2; memory and time grow with K, not with N^2.
    """
    distance: Tensor = (a @ a.T).square().sum() + (b @ b.T).square().sum() - 2 * (a @ b.T).square().sum()
    return distance


def single_band(prior: ImagePrior) -> SpectralPrior:
    """The prior of grey images: mean level, and variances of the DCT coefficients."""
    return SpectralPrior(prior.mean[0], prior.variance[0])


class SquareImages:
    """A `LinearEstimator` of vectors x / n, as an estimator of images x (B, 1, n, n)."""

    def __init__(self, vectors: LinearEstimator, side: int) -> None:
        self.vectors, self.side = vectors, side

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, 1, n, n) from measurements (B, K)."""
        return self.side * self.vectors.estimate(y).reshape(-1, 1, self.side, self.side)

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x for images (B, 1, n, n)."""
        return self.vectors.unseen(x.flatten(1)).reshape(x.shape)


class SinglePixelEncoder(Encoder):
    """y_k = sum_ij phi_k,ij x_ij / n, for K patterns phi of n x n super-pixels with values in [-1, 1].

    `weight` (K, n, n) is what training moves.  With a rule the patterns are its quantised levels (student);
    without one they are the weights themselves, limited to [-1, 1] (teacher).  `as_shown`: nothing is subtracted from
    what the device shows, and phi = (1 + pattern) / 2 in [0, 1].
    """

    def __init__(
        self, weight: Tensor, rule: BitDepth | None, noise: DetectorNoise | None, as_shown: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.rule = rule
        self.noise = noise
        self.as_shown = as_shown

    @classmethod
    def fixed(cls, signed: NDArray[np.float32] | Tensor, noise: DetectorNoise | None = None) -> "SinglePixelEncoder":
        """An operator with given signed patterns (K, n, n) in [-1, 1] that is not trained."""
        encoder = cls(torch.as_tensor(signed, dtype=torch.float32), None, noise)
        return encoder.requires_grad_(False)

    @property
    def side(self) -> int:
        """n, the number of super-pixels along a side."""
        return int(self.weight.shape[-1])

    def signed(self) -> Tensor:
        """The patterns as built, (K, n, n) in [-1, 1]; the gradient reaches `weight`."""
        return self.once("signed", self._signed)

    def _signed(self) -> Tensor:
        built = self.weight.clamp(-1, 1) if self.rule is None else quantise(self.rule, self.weight)
        return 0.5 * (1 + built) if self.as_shown else built

    def matrix(self) -> Tensor:
        """A = phi / n as a (K, n*n) matrix."""
        return self.signed().flatten(1) / self.side

    def A(self, x: Tensor) -> Tensor:
        """Images (B, 1, n, n) -> measurements (B, K)."""
        return (x.flatten(1) / self.side) @ self.signed().flatten(1).T

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Measurements (B, K) -> images (B, 1, n, n)."""
        return (y / self.side @ self.signed().flatten(1)).reshape(-1, 1, self.side, self.side)

    def back_projection(self, y: Tensor) -> Tensor:
        """A^T y over the mean diagonal of A^T A: phi^T (phi x) / K for patterns of -1 and 1."""
        return self.A_adjoint(y) * (self.side**4 / self.signed().detach().square().sum())

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy measurements (B, K) of images (B, 1, n, n)."""
        y = self.A(x)
        if self.noise is None:
            return y
        return self.noise.sample(y, x.mean(dim=(1, 2, 3), keepdim=False)[:, None], self.side, generator)

    def estimator(self, prior: ImagePrior) -> "SquareImages":
        """The exact linear estimator for the patterns as built, with one noise variance for all of them."""
        return self.once(("estimator", prior.variance.data_ptr()), lambda: self._estimator(prior))

    def _estimator(self, prior: ImagePrior) -> "SquareImages":
        spectral = single_band(prior)
        level = float(spectral.mean_level)
        variance = self.noise.typical_variance(level, self.side) if self.noise is not None else 1e-6
        # Of x / n the patterns are the operator as they are: no other array of their size is made.
        scaled = SpectralPrior(spectral.mean_level / self.side, spectral.variance / self.side**2)
        return SquareImages(LinearEstimator(self.signed().flatten(1), scaled, variance), self.side)

    def norm_squared(self) -> Tensor:
        """The largest eigenvalue of A A^T."""
        matrix = self.matrix().detach()
        largest: Tensor = torch.linalg.eigvalsh(matrix @ matrix.T)[-1]
        return largest

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Effective: scale-free Gram distance of the operators as built, in [0, 2]; published: Gram of the weights.

        | S^T S / |S^T S| - T^T T / |T^T T| |_F^2 = 2 - 2 |S T^T|^2 / (|S S^T| |T T^T|); S (K, N), T (L, N): latent
        weights can agree while the built patterns do not.  The published form is the mean over N^2 entries.
        """
        if not isinstance(teacher, SinglePixelEncoder):
            raise TypeError("the teacher of a single-pixel encoder must be one")
        if published:
            own, other = self.weight.flatten(1), teacher.weight.detach().flatten(1)
            return gram_distance(own, other) / own.shape[1] ** 2
        student, wanted = self.matrix(), teacher.matrix().detach()
        norms = (student @ student.T).norm() * (wanted @ wanted.T).norm()
        agreement: Tensor = (student @ wanted.T).square().sum() / norms
        return 2 - 2 * agreement

    def pattern(self, encoding: Encoding, profile_id: str, profile_digest: str) -> PatternStack:
        """The hard, feasible patterns for the device; needs a rule (only the student's optics can be built)."""
        if self.rule is None:
            raise TypeError("a teacher's real-valued patterns cannot be shown by a device")
        levels = level_of(self.weight.detach(), 2**self.rule.bit_depth - 1)
        return PatternStack(
            levels.to(torch.uint8).cpu().numpy(), self.rule.bit_depth, encoding, profile_id, profile_digest
        )
