"""The linear estimate of shots: conjugate gradients, with an exact derivative on readings and trajectory."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.modalities.mri.encoders.fourier import to_channels, to_complex
from cidesign.modalities.mri.encoders.nufft import gathered, samples_of, slope
from cidesign.modalities.mri.shots.density import point_spread, sampled_power, transfer
from cidesign.physics.autograd import applied
from cidesign.physics.conjugate_gradients import conjugate_gradients

# Of the right-hand side; what is left is far below the noise.
ITERATIONS, TOLERANCE = 40, 1e-3


class Operator:
    """A of coil maps (C, H, W) at k (M, 2): complex images (B, H, W) to samples (B, C, M)."""

    def __init__(self, maps: Tensor, k: Tensor) -> None:
        self.maps, self.k = maps, k
        self.size = (int(maps.shape[1]), int(maps.shape[2]))

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        return samples_of((self.maps * x[:, None]).flatten(0, 1), self.k).unflatten(0, (len(x), len(self.maps)))

    def adjoint(self, y: Tensor) -> Tensor:
        """A^H y."""
        x = gathered(y.flatten(0, 1), self.k, self.size).unflatten(0, y.shape[:2])
        return (self.maps.conj() * x).sum(dim=1)

    def slope(self, y: Tensor, x: Tensor) -> Tensor:
        """The gradient of Re <y, A x> on k."""
        return slope(y.flatten(0, 1), (self.maps * x[:, None]).flatten(0, 1), self.k)


class ShotsEstimator:
    """x_0 = C A^H (A C A^H + s^2)^-1 y of images of mean 0, C = F^H diag(`power`) F; s^2 the variance of a sample.

    The same is C^1/2 (1 + C^1/2 A^H A C^1/2 / s^2)^-1 C^1/2 A^H y / s^2, with A^H A a convolution on twice the size, by
    conjugate gradients with the nearest circulant as preconditioner.  `power` (H, W) is that of centred k-space.
    Differentiable in the readings and in `k`; `spread` is the point spread of k.
    """

    def __init__(self, maps: Tensor, k: Tensor, spread: Tensor, power: Tensor, variance: float) -> None:
        self.operator, self.variance = Operator(maps, k), variance
        # Convolutions do not mind where the image is centred.
        self.power = torch.fft.ifftshift(power)
        self.root = self.power.sqrt()
        energy = maps.abs().square().sum(dim=0).mean()
        self.seen = energy * sampled_power(spread)
        self.transfer = transfer(spread.detach())

    def normal(self, x: Tensor) -> Tensor:
        """A^H A x for complex images (B, H, W), without a graph."""
        maps = self.operator.maps
        height, width = self.operator.size
        found = torch.zeros_like(x)
        for one in maps:
            far = torch.fft.fft2(one * x, s=self.transfer.shape)
            found += one.conj() * torch.fft.ifft2(far.mul_(self.transfer))[..., :height, :width]
        return found

    @torch.no_grad()
    def inverse(self, b: Tensor) -> Tensor:
        """(A^H A + s^2 C^-1)^-1 b for complex images (B, H, W)."""
        root, weight = self.root, 1 / (1 + self.power * self.seen.detach() / self.variance)

        def image(z: Tensor) -> Tensor:
            return torch.fft.ifft2(root * torch.view_as_complex(z), norm="ortho")

        def coefficients(x: Tensor) -> Tensor:
            return torch.view_as_real(root * torch.fft.fft2(x, norm="ortho") / self.variance)

        z = conjugate_gradients(
            lambda z: z + coefficients(self.normal(image(z))),
            lambda right: right * weight[..., None],
            coefficients(b),
            ITERATIONS,
            TOLERANCE,
        )
        return image(z)

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, 2, H, W) from samples (B, C, M)."""
        return to_channels(applied(_Gain, y, self.operator.k, self))

    def unseen(self, x: Tensor) -> Tensor:
        """What is left of images where the readings leave no say but their noise, by the nearest circulant of A^H A.

        Between neighbouring samples of k-space a part of x that the readings know of stays in.
        """
        left = self.variance / (self.power * self.seen + self.variance)
        kept: Tensor = torch.fft.ifft2(left * torch.fft.fft2(to_complex(x)))
        return to_channels(kept)


class _Gain(torch.autograd.Function):
    """x = M^-1 A^H y with M = A^H A + s^2 C^-1.

    With a gradient g and p = M^-1 g it is A p on y, and on k that of <A p, y - A x> - <A p, A x> where the first counts
    the A of p alone and the second that of x.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, k: Tensor, estimator: ShotsEstimator) -> Tensor:
        with torch.no_grad():
            x = estimator.inverse(estimator.operator.adjoint(y))
        ctx.estimator = estimator
        ctx.save_for_backward(y, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        y, x = ctx.saved_tensors
        estimator: ShotsEstimator = ctx.estimator
        operator = estimator.operator
        p = estimator.inverse(gradient)
        on_y = operator.forward(p)
        on_k = None
        if ctx.needs_input_grad[1]:
            left = y - operator.forward(x)
            on_k = operator.slope(left, p) - operator.slope(on_y, x)
        return on_y if ctx.needs_input_grad[0] else None, on_k, None
