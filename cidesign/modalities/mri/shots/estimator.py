"""The linear estimate of shots: splitting with samples whose density is made even, on images alone."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cidesign.modalities.mri.encoders.coils import CACHED_VALUES, CoilsEstimator
from cidesign.modalities.mri.encoders.fourier import to_channels, to_complex
from cidesign.modalities.mri.encoders.nufft import gathered, samples_of, slope
from cidesign.modalities.mri.shots.density import point_spread, transfer
from cidesign.physics.splitting import ITERATIONS

# Of 0.03, 0.01 and 0.003 times the mean variance of the prior as last penalty, with 6 to 40 steps, ten steps to the
# last one come within 0.1 to 1 dB of the exact estimate (one and four coils, spirals and spokes); conjugate gradients
# of the same cost stay 1 to 4 dB below it.
LAST_PENALTY = 0.003
# Power iterations: the largest eigenvalue belongs to smooth images and is found at once.
POWER_STEPS = 12


class Operator:
    """A of coil maps (C, H, W): images (B, 2, H, W) to samples (B, C, M) at k (M, 2)."""

    def __init__(self, maps: Tensor) -> None:
        self.maps = maps
        self.size = (int(maps.shape[1]), int(maps.shape[2]))

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """A x."""
        coils = (self.maps * to_complex(x)[:, None]).flatten(0, 1)
        return samples_of(coils, k).reshape(len(x), len(self.maps), len(k))

    def adjoint(self, y: Tensor, k: Tensor) -> Tensor:
        """A^H y."""
        coils = gathered(y.flatten(0, 1), k, self.size).reshape(len(y), *self.maps.shape)
        return to_channels((self.maps.conj() * coils).sum(dim=1))


class ShotsNormal:
    """A^H W A of coil maps (C, H, W) and samples at k (M, 2) with weights W (M,), on turned complex images (B, W, H).

    Each coil is a convolution with the point spread, on twice the grid; its derivative is one on k, the weights as they
    are.
    """

    def __init__(self, maps: Tensor, k: Tensor, weights: Tensor) -> None:
        self.maps, self.k, self.weights = maps.mT.contiguous(), k.detach(), weights
        self.size = (int(maps.shape[1]), int(maps.shape[2]))
        with torch.no_grad():
            self.transfer = transfer(point_spread(self.k, self.size, weights)).mT.contiguous()

    def _parts(self, count: int) -> Iterator[slice]:
        few = max(1, CACHED_VALUES // self.transfer.numel()) if self.maps.device.type == "cpu" else count
        return (slice(first, first + few) for first in range(0, count, few))

    def _spectrum(self, x: Tensor) -> Tensor:
        found: Tensor = torch.fft.fft2(x, s=self.transfer.shape)
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """A^H W A x, without a graph."""
        found = torch.zeros_like(x)
        width, height = x.shape[1:]
        for images in self._parts(len(x)):
            for one in self.maps:
                seen = torch.fft.ifft2(self._spectrum(one * x[images]).mul_(self.transfer))
                found[images] += one.conj() * seen[:, :width, :height]
        return found

    def slope(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """The derivative of Re sum conj(l) A^H W A r on k (M, 2), summed over pairs of turned images l, r.

        With d the correlation of l and r it is Re sum_s W_s / (H W) sum_D d(D) exp(-2 pi i k_s D).
        """
        total = torch.zeros_like(self.transfer, dtype=self.maps.dtype)
        for one, other in zip(left, right, strict=True):
            for images in self._parts(len(one)):
                for coil in self.maps:
                    spectra = (self._spectrum(coil * x[images]) for x in (one, other))
                    total += (next(spectra).conj() * next(spectra)).sum(dim=0)
        apart = torch.fft.fftshift(torch.fft.ifft2(total)).mT
        # On a grid of twice the size, steps of a pixel are those of half the k-space.
        weights = (2 / math.sqrt(math.prod(self.size)) * self.weights).to(apart.dtype)
        return 2 * slope(weights[None], apart[None].contiguous(), 2 * self.k)

    def largest(self) -> Tensor:
        """The largest eigenvalue, by power iterations from a constant image."""
        x = torch.ones_like(self.maps[:1])
        found: Tensor = x.norm()
        for _ in range(POWER_STEPS):
            x = self(x / found)
            found = x.norm()
        return found


def shots_estimator(
    maps: Tensor, k: Tensor, weights: Tensor, power: Tensor, variance: float, iterations: int = ITERATIONS,
    last: float = LAST_PENALTY,
) -> CoilsEstimator:  # fmt: skip
    """The estimate of readings (B, C, shots, samples) whose density is made even with weights W (M,).

    A^H W A is near the identity on the k-space that is covered, which is what lets a few steps be enough; the noise of
    a weighted sample is taken for the mean of all.  `power` (H, W) is that of images of mean 0 in centred k-space, and
    `variance` that of a complex sample.  Differentiable in the readings and in k (M, 2); the weights count as they are.
    """
    normal, operator = ShotsNormal(maps, k, weights), Operator(maps)
    return CoilsEstimator(
        normal, k, power, normal.largest(), variance * weights.mean(),
        lambda y: operator.adjoint(y.flatten(2) * weights, k), iterations, last,
    )  # fmt: skip
