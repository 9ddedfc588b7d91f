"""The linear estimate of several coils on images alone: none of their k-space is kept, nor made twice.

A Cartesian scan measures each readout whole, so that A^H A = sum_c s_c^H F^H diag(q) F s_c takes transforms along the
phase encoding alone, one of lines and two of points, and no shift to a centre: what a weight q of each line does is a
convolution of every column.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.modalities.mri.encoders.fourier import to_channels, to_complex
from cidesign.physics.autograd import applied
from cidesign.physics.splitting import ITERATIONS, LAST_PENALTY, penalties

# So many values of images and coils are transformed together on a processor: they stay in its cache.
CACHED_VALUES = 2**17


class MaskNormal:
    """A^H A of coil maps (coils, H, W) and weights q of k-space, on turned complex images (B, W, H).

    Weights (H, 1) are of lines, (H, W) of points.
    """

    def __init__(self, maps: Tensor, weights: Tensor) -> None:
        # Lines are next to each other in memory.
        self.maps = maps.mT.contiguous()
        self.conjugate = self.maps.conj().resolve_conj()
        self.weights = torch.fft.ifftshift(weights.detach()).mT.contiguous()
        # Of points both axes are phase encodings.
        self.axes = (-1,) if len(self.weights) == 1 else (-2, -1)

    def _parts(self, count: int) -> Iterator[tuple[slice, slice]]:
        """Which of `count` images, and which coils, go through a transform together."""
        coils, values = len(self.maps), self.maps[0].numel()
        together = max(1, CACHED_VALUES // values) if self.maps.device.type == "cpu" else coils * count
        few = min(coils, together)
        images = max(1, together // few)
        for first in range(0, count, images):
            for coil in range(0, coils, few):
                yield slice(first, first + images), slice(coil, coil + few)

    def __call__(self, x: Tensor) -> Tensor:
        """A^H A x for turned images (B, W, H), without a graph."""
        found = torch.zeros_like(x)
        for images, coils in self._parts(len(x)):
            k = torch.fft.fftn(self.maps[coils] * x[images, None], dim=self.axes)
            k *= self.weights
            k = torch.fft.ifftn(k, dim=self.axes)
            k *= self.conjugate[coils]
            found[images] += k.sum(dim=1)
        return found

    def slope(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """The derivative of Re sum conj(l) A^H A r on the weights, summed over pairs of turned images l, r."""
        total = torch.zeros_like(self.weights)
        for one, other in zip(left, right, strict=True):
            for images, coils in self._parts(len(one)):
                a, b = (torch.fft.fftn(self.maps[coils] * x[images, None], dim=self.axes) for x in (one, other))
                products = torch.view_as_real(a).mul_(torch.view_as_real(b)).sum(dim=(0, 1, 4))
                total += products.sum_to_size(total.shape)
        # The transforms are not orthonormal.
        scale = math.prod(self.maps.shape[axis] for axis in self.axes)
        slopes: Tensor = torch.fft.fftshift(total.mT) / scale
        return slopes


class Normal(Protocol):
    """A^H A on turned complex images (B, W, H), of optics that it is differentiable in."""

    def __call__(self, x: Tensor) -> Tensor:
        """A^H A x, without a graph."""

    def slope(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """The derivative of Re sum conj(l) A^H A r on the optics, summed over pairs of turned images l, r."""


class CoilsEstimator:
    """`SplittingEstimator` of samples and coils on images alone: the same steps for b = A^H y, of images of mean 0,

        v <- w + (b - A^H A w) / (E + s^2 / rho),   w <- C (C + rho)^-1 v  with Nesterov's extrapolation.

    `power` (H, W) is that of the samples of centred k-space, C in its basis; `energy` E the largest eigenvalue of
    A^H A, or more; `variance` s^2 that of a complex sample; `gathered` makes b (B, 2, H, W) of y; `last` is the last
    penalty, over the mean of the power.  Differentiable in y and in the `optics` of `normal`, which is A^H A.
    """

    def __init__(
        self,
        normal: Normal,
        optics: Tensor,
        power: Tensor,
        energy: Tensor,
        variance: float | Tensor,
        gathered: Callable[[Tensor], Tensor],
        iterations: int = ITERATIONS,
        last: float = LAST_PENALTY,
    ) -> None:
        self.normal, self.optics = normal, optics
        self.energy, self.variance, self.gathered = energy, variance, gathered
        # Convolutions with the image do not mind where it is centred.
        self.power, self.level = torch.fft.ifftshift(power).mT.contiguous(), float(power.mean())
        self.schedule = penalties(self.level, iterations, last)

    def shrink(self, x: Tensor, penalty: float) -> Tensor:
        """C (C + penalty)^-1 x for turned complex images (B, W, H)."""
        found: Tensor = torch.fft.ifft2(torch.fft.fft2(x).mul_(self.power / (self.power + penalty)))
        return found

    def length(self, penalty: float) -> Tensor:
        """1 / (E + s^2 / rho)."""
        return 1 / (self.energy + self.variance / penalty)

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, 2, H, W) from readings."""
        return _as_images(applied(_Gain, _turned(self.gathered(y)), self.optics, self))

    def unseen(self, x: Tensor) -> Tensor:
        """(I - A^H (E + s^2 / C)^-1 A) x: what is left where the readings leave no say but their noise.

        With several coils a part of x that the readings know of stays in.
        """
        seen = _as_images(applied(_Seen, _turned(x), self.optics, self.normal))
        return x - self.length(self.level) * seen


def _turned(x: Tensor) -> Tensor:
    """Images (B, 2, H, W) -> complex (B, W, H)."""
    return to_complex(x).mT.contiguous()


def _as_images(x: Tensor) -> Tensor:
    """Complex (B, W, H) -> images (B, 2, H, W)."""
    return to_channels(x.mT)


class _Seen(torch.autograd.Function):
    """A^H A x, which keeps x only where the optics are learnt."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, optics: Tensor, normal: Normal) -> Tensor:
        ctx.normal = normal
        ctx.save_for_backward(*([x] if ctx.needs_input_grad[1] else []))
        return normal(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        on_x = ctx.normal(gradient) if ctx.needs_input_grad[0] else None
        on_optics = ctx.normal.slope([gradient], ctx.saved_tensors) if ctx.needs_input_grad[1] else None
        return on_x, on_optics, None


class _Gain(torch.autograd.Function):
    """`CoilsEstimator.estimate` of b: linear in it, so its derivative keeps images only where optics are learnt."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, optics: Tensor, estimator: CoilsEstimator) -> Tensor:
        normal, kept = estimator.normal, ctx.needs_input_grad[1]
        before, w, states = torch.zeros_like(b), torch.zeros_like(b), []
        for penalty, extrapolation in estimator.schedule:
            if kept:
                states.append(w)
            z = estimator.shrink(w + estimator.length(penalty) * (b - normal(w)), penalty)
            w = z + extrapolation * (z - before)
            before = z
        ctx.estimator = estimator
        ctx.save_for_backward(*([*states, before] if kept else []))
        return before + estimator.length(estimator.schedule[-1][0]) * (b - normal(before))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        estimator: CoilsEstimator = ctx.estimator
        schedule, normal = estimator.schedule, estimator.normal
        (gradient,) = gradients
        *states, last = ctx.saved_tensors or [None]
        part = estimator.length(schedule[-1][0]) * gradient
        on_b, on_optics = part, None if last is None else normal.slope([part], [last])
        on_z = gradient - normal(part)
        on_w = torch.zeros_like(on_z)
        for number in reversed(range(len(schedule))):
            penalty, extrapolation = schedule[number]
            on_z = on_z + (1 + extrapolation) * on_w
            earlier = -extrapolation * on_w
            on_v = estimator.shrink(on_z, penalty)
            part = estimator.length(penalty) * on_v
            on_b = on_b + part
            if on_optics is not None:
                on_optics += normal.slope([part], [states[number]])
            on_w, on_z = on_v - normal(part), earlier
        return on_b, None if on_optics is None else -on_optics, None
