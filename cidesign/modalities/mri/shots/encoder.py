"""Non-Cartesian 2-D MRI: where shots of gradients sample k-space, by one coil or several."""

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cidesign.constraints.gradients import Bounds, Projected, Values, control_points, projected
from cidesign.modalities.mri.encoders.fourier import smooth_phase
from cidesign.modalities.mri.shots.density import density_weights, point_spread
from cidesign.modalities.mri.shots.estimator import Operator, ShotsNormal, shots_estimator
from cidesign.pattern import NonCartesian
from cidesign.physics.autograd import applied
from cidesign.physics.base import Encoder, Estimator, ImagePrior

# What is added to |A|^2 of power iterations, which come from below.
POWER_MARGIN = 1.1
# Where the sum of squares of the maps is below this, there is no object.
EMPTY = 1e-6


class Timing(NamedTuple):
    """Raster times before the samples, samples of a shot, and how many raster times one takes."""

    before: float
    samples: int
    dwell: float

    def places(self, count: int) -> tuple[Tensor, Tensor]:
        """For `count` control points: the raster time that each sample is in, (samples,), and the share of it."""
        at = self.before + (torch.arange(self.samples, dtype=torch.float64) + 0.5) * self.dwell
        whole = at.long().clamp_max(count)
        return whole, at - whole


class ShotsEncoder(Encoder):
    """y = A(k) (s_c x) + n at the samples k of all shots, with coil maps s (coils, H, W).

    Images are (B, 2, H, W), real and imaginary part; readings are complex (B, coils, shots, samples).  `base`
    (shots, n, 2) are control points in 1/FOV (see `constraints.gradients`).  `noise` is the standard deviation of real
    and imaginary part of each sample.
    """

    coil_maps: Tensor
    base: Tensor
    # Of shots that are given, the design that they are.
    given: NonCartesian | None = None

    def __init__(self, weight: Tensor, base: Tensor, timing: Timing, coil_maps: Tensor, noise: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.timing, self.noise = timing, noise
        self.register_buffer("coil_maps", coil_maps, persistent=True)
        self.register_buffer("base", base, persistent=True)

    @abstractmethod
    def points(self) -> Tensor:
        """Control points (shots, n, 2) in 1/FOV that the scanner can play; the gradient reaches `weight`."""

    def hold(self, design: NonCartesian) -> None:
        """Be shots that are given, exactly."""
        points = torch.from_numpy(control_points(design)).to(self.base.device)
        per_raster = 1 / design.raster_ns
        timing = Timing(design.delay_ns * per_raster, design.samples_per_shot, design.dwell_ns * per_raster)
        self.base, self.timing, self.given = points, timing, design
        with torch.no_grad():
            self.weight.zero_()

    def k(self) -> Tensor:
        """(shots, samples, 2) in 1/FOV: the quadratic spline of the control points."""
        return self.once("k", self._places)

    def _places(self) -> Tensor:
        points = self.points()
        padded = torch.cat([points[:, :1], points, points[:, -1:]], dim=1)
        whole, part = (one.to(points.device) for one in self.timing.places(points.shape[1]))
        part = part.to(points.dtype)[:, None]
        first, second, third = (padded[:, (whole + ahead).clamp_max(padded.shape[1] - 1)] for ahead in range(3))
        return 0.5 * (first + second) + part * (second - first) + 0.5 * part.square() * (third - 2 * second + first)

    @property
    def size(self) -> tuple[int, int]:
        """Of an image."""
        return int(self.coil_maps.shape[1]), int(self.coil_maps.shape[2])

    def _flat(self) -> Tensor:
        return self.k().flatten(0, 1).to(self.coil_maps.real.dtype)

    def _spread(self) -> Tensor:
        return self.once("spread", lambda: point_spread(self._flat(), self.size))

    def _density(self) -> Tensor:
        return self.once("density", lambda: density_weights(self._flat().detach(), self.size))

    def A(self, x: Tensor) -> Tensor:
        """Images (B, 2, H, W) -> readings (B, coils, shots, samples)."""
        y = Operator(self.coil_maps).forward(x, self._flat())
        return y.reshape(*y.shape[:2], *self.k().shape[:2])

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Readings (B, coils, shots, samples) -> images (B, 2, H, W)."""
        return Operator(self.coil_maps).adjoint(y.flatten(2), self._flat())

    def gridded(self, y: Tensor) -> Tensor:
        """The image (B, 2, H, W) of samples weighted by how thinly k-space is sampled around them, and by the maps."""
        energy = self.coil_maps.abs().square().sum(dim=0)
        even = Operator(self.coil_maps).adjoint(y.flatten(2) * self._density(), self._flat())
        return even / energy.clamp_min(EMPTY)

    def back_projection(self, y: Tensor) -> Tensor:
        """The gridded image: the density of the samples is made even, without a gradient of its own."""
        return self.gridded(y)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy readings (B, coils, shots, samples) of images (B, 2, H, W)."""
        y = self.A(x)
        draws = torch.randn(2, *y.shape, generator=generator, device=y.device, dtype=y.real.dtype)
        return y + self.noise * torch.complex(draws[0], draws[1])

    def smooth_phase(self, x: Tensor) -> Tensor:
        """The smooth phase of images (B, 2, H, W)."""
        return smooth_phase(x)

    def estimator(self, prior: ImagePrior) -> Estimator:
        """By splitting, on samples whose density is made even."""
        return shots_estimator(self.coil_maps, self._flat(), self._density(), prior.variance[0], 2 * self.noise**2)

    def norm_squared(self) -> Tensor:
        """|A|^2 by power iterations from a constant image, and a tenth."""

        def found() -> Tensor:
            k = self._flat()
            return POWER_MARGIN * ShotsNormal(self.coil_maps, k, torch.ones_like(k[:, 0]).detach()).largest()

        return self.once("norm", found)

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Effective: |A^H A / tr - B^H B / tr|_F^2 over |B^H B / tr|_F^2, of one coil; published: of the places.

        The published form compares the k-space of each shot with that of the teacher's nearest one, in 1/FOV.
        """
        if not isinstance(teacher, ShotsEncoder):
            raise TypeError("the teacher of an encoder of shots must be one")
        if published:
            theirs = teacher.k().detach()[nearest(self.k().detach(), teacher.k().detach())]
            return (self.k() - theirs).square().mean()
        own, wanted = (_evenly(one._spread()) for one in (self, teacher))
        wanted = wanted.detach()
        return (own - wanted).abs().square().sum() / wanted.abs().square().sum()


def _evenly(spread: Tensor) -> Tensor:
    """A point spread with p(0) = 1, weighted so that its squares sum to those of all entries of its Toeplitz matrix."""
    height, width = spread.shape[0] // 2, spread.shape[1] // 2
    count = [n - (torch.arange(2 * n, device=spread.device) - n).abs() for n in (height, width)]
    return spread / spread[height, width].real * (count[0][:, None] * count[1]).to(spread.real.dtype).sqrt()


def nearest(k: Tensor, others: Tensor) -> Tensor:
    """For each shot (shots, samples, 2) the number of the nearest of `others`, of as many samples."""
    apart = torch.cdist(k.flatten(1), others.flatten(1))
    return apart.argmin(dim=1)


class TurnedShots(ShotsEncoder):
    """Shots of a shape, each turned by its own angle, which is all that is learnt: `weight` (shots,), in radians.

    A turned shot breaks no limit, since limits are those of vectors.
    """

    def points(self) -> Tensor:
        """The turned control points."""
        angle = self.weight.to(self.base.dtype)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        down, right = self.base[..., 0], self.base[..., 1]
        return torch.stack([cos * down - sin * right, sin * down + cos * right], dim=-1)


class FreeShots(ShotsEncoder):
    """Shots of any form: `weight` (shots, m, 2) are control points in 1/FOV with knots `rasters` raster times apart.

    What is played is their projection onto the `bounds`, refined to the raster.  Given shots (`base`, if it holds any)
    stay as they are.
    """

    refined: Tensor

    def __init__(
        self,
        weight: Tensor,
        refined: Tensor,
        bounds: Bounds,
        timing: Timing,
        coil_maps: Tensor,
        noise: float,
    ) -> None:
        super().__init__(weight, torch.zeros(0, 1, 2, dtype=torch.float64), timing, coil_maps, noise)
        self.bounds = bounds
        self.register_buffer("refined", refined, persistent=False)

    def points(self) -> Tensor:
        """The projected control points on the raster."""
        if len(self.base):
            return self.base
        return self.refined @ applied(_Project, self.weight.to(self.refined.dtype), self.bounds)

    @torch.no_grad()
    def explore(self, progress: float, generator: torch.Generator | None) -> None:
        """Every step begins on shots that can be played: what was projected becomes what is learnt."""
        if generator is not None and self.weight.requires_grad:
            self.weight.copy_(applied(_Project, self.weight.to(self.refined.dtype), self.bounds))


class _Project(torch.autograd.Function):
    """`constraints.gradients.project`, with its derivative, which is symmetric."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, bounds: Bounds) -> Tensor:
        found = projected(_values(points), bounds)
        ctx.found = found
        return torch.from_numpy(found.points).to(points)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        found: Projected = ctx.found
        return torch.from_numpy(found.derivative(_values(gradients[0]))).to(gradients[0]), None


def _values(tensor: Tensor) -> Values:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float64)
