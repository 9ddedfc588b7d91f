"""SD-CASSI: a coded aperture, then a prism or grating that shifts each band, then one detector."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cidesign.constraints.aperture import MinimumFeature
from cidesign.modalities.cassi.encoders.strips import strips_across
from cidesign.models.mask_relax import enlarge, feasible, project
from cidesign.pattern import ApertureMask
from cidesign.physics.autograd import applied
from cidesign.physics.base import Encoder, ImagePrior, Tile
from cidesign.physics.linear_inverse import CosinePrior, resized_prior
from cidesign.physics.noise import PixelNoise
from cidesign.physics.places import Place, places_of
from cidesign.physics.splitting import MatchedSplittingEstimator, SplittingEstimator
from cidesign.physics.straight_through import limited


@dataclass(frozen=True)
class Dispersion:
    """Where each band of the masked scene lands on the detector.

    Band k is shifted by sign * shift_px[k] code pixels along `axis`, with shift_px >= 0, float; a fraction f is a
    linear interpolation between two pixels.  The detector has ceil(max shift) pixels more than the mask along
    the axis; with sign -1, band 0 lies at its far end.  `reduction` adds the bands or takes their mean, and
    `gain` multiplies the result: y = gain * sum_k shear_k(mask * x_k) (/ L for the mean).
    """

    shift_px: tuple[float, ...]
    axis: Literal["columns", "rows"]
    sign: Literal[1, -1]
    reduction: Literal["sum", "mean"] = "sum"
    gain: float = 1.0

    @classmethod
    def from_shifts(cls, shift_px: list[float], axis: Literal["columns", "rows"]) -> "Dispersion":
        """From the rising or falling shifts of a profile; the least one is put at 0."""
        rising = shift_px[-1] >= shift_px[0]
        return cls(tuple(abs(shift - shift_px[0]) for shift in shift_px), axis, 1 if rising else -1)

    @property
    def span_px(self) -> int:
        """How many pixels the detector has more than the mask along the axis."""
        return math.ceil(max(self.shift_px))

    @property
    def scale(self) -> float:
        """What one band contributes: gain, divided by the number of bands for the mean."""
        return self.gain / (len(self.shift_px) if self.reduction == "mean" else 1)

    def taps(self, band: int) -> list[tuple[int, float]]:
        """(first detector pixel, weight) of the one or two shifted copies that make up a band."""
        return self._copies[band]

    @cached_property
    def _copies(self) -> list[list[tuple[int, float]]]:
        found = []
        for shift_px in self.shift_px:
            offset = shift_px if self.sign > 0 else self.span_px - shift_px
            whole = math.floor(offset)
            fraction = offset - whole
            found.append([(whole, 1.0)] if fraction == 0 else [(whole, 1 - fraction), (whole + 1, fraction)])
        return found


class SdCassiEncoder(Encoder):
    """y(i, j) = gain sum_k (M x_k)(i, j - d_k) for a mask M (H, W) and cubes x (B, L, H, W); y is (B, H, W + span).

    `weight` is what training moves: with a rule, one value for each cell of the mask, rounded to what can be made
    (student); without one, the mask itself, limited to [0, 1] (teacher).  A per-band mask cube (L, H, W), as a
    calibration gives it, makes an encoder by `fixed`; it is taken as it is.

    `full_size` is that of the mask, `crop` that of the part which training looks at (None: all of it).  While a place
    is looked at, H and W are its height and width: cubes are those of a scene that is dark beside it.  The rule is kept
    on the whole mask, so that parts of it join without breaking it.
    """

    def __init__(
        self,
        weight: Tensor,
        size: tuple[int, int],
        rule: MinimumFeature | None,
        optics: Dispersion,
        noise: PixelNoise | None,
        crop: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.full_size, self.rule, self.dispersion, self.noise = size, rule, optics, noise
        self.measured, self.crop = False, crop
        self.place: Place | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a cube: those of the mask, or of the place that is looked at."""
        return self.full_size if self.place is None else (self.place.height, self.place.width)

    def places(self, generator: torch.Generator | None) -> Sequence[Place | None]:
        """Squares of the crop's size that cover the mask, from a random offset on, in random order."""
        return [None] if self.crop is None else places_of(self.full_size, self.crop, generator)

    def look_at(self, place: Place | None) -> None:
        """Be the mask of one place; None: the whole."""
        self.place = place

    @classmethod
    def fixed(cls, cube: Tensor, optics: Dispersion, noise: PixelNoise | None = None) -> "SdCassiEncoder":
        """An operator with a given mask (H, W), or mask cube (L, H, W), that is not trained."""
        height, width = cube.shape[-2:]
        encoder = cls(cube, (height, width), None, optics, noise)
        encoder.measured = True
        return encoder.requires_grad_(False)

    def hold(self, mask: Tensor) -> None:
        """Take a mask (H, W) as it is, grey values and broken rules included, and train it no more."""
        if tuple(mask.shape) != tuple(self.full_size):
            raise ValueError(f"a mask of {tuple(mask.shape)} for an encoder of {tuple(self.full_size)}")
        self.weight = nn.Parameter(mask.to(self.weight).clone(), requires_grad=False)
        self.rule, self.measured = None, True

    def mask(self) -> Tensor:
        """The mask as built, (H, W), or the mask cube (L, H, W), in [0, 1]; the gradient reaches `weight`."""
        # It takes longer to make a mask that obeys the rules than to measure with it.
        return self._seen(self.once("mask", self._mask))

    def _mask(self) -> Tensor:
        if self.rule is not None:
            return project(self.rule, self.weight, *self.full_size)
        return self.weight if self.measured else limited(self.weight, 0.0, 1.0)

    def latent(self) -> Tensor:
        """The weights as they are, one for each code pixel, (H, W)."""
        return self._seen(self.weight if self.rule is None else enlarge(self.rule, self.weight, *self.full_size))

    def _seen(self, mask: Tensor) -> Tensor:
        return mask if self.place is None else mask[(..., *self.place.slices)]

    def A(self, x: Tensor) -> Tensor:
        """Cubes (B, L, H, W) -> detector images (B, H, W + span), or (B, H + span, W) for an axis along rows."""
        return applied(_Seen, x, self.mask(), self.dispersion)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Detector images -> cubes (B, L, H, W)."""
        return applied(_Spread, y, self.mask(), self.dispersion)

    def back_projection(self, y: Tensor) -> Tensor:
        """A^T y / L, for bands that are added up with gain 1: over |A|^2 of an open mask."""
        return self.A_adjoint(y) / (len(self.dispersion.shift_px) * self.dispersion.scale**2)

    def row_energy(self) -> Tensor:
        """The diagonal of A A^T: the squared light that reaches each detector pixel."""
        return self._products(self.mask().square())[0]

    def _products(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """Main diagonal and first off-diagonal (along the axis) of A B^T, from the product of their masks.

        Two bands never mix in A B^T, and linear interpolation reaches one neighbour, so there is nothing else.
        """
        optics = self.dispersion
        cube = products.expand(len(optics.shift_px), *products.shape[-2:])
        cube = cube.mT if optics.axis == "rows" else cube
        main: Tensor | float = 0.0
        beside: Tensor | float = 0.0
        for band in range(len(optics.shift_px)):
            taps = optics.taps(band)
            for first, weight in taps:
                factor = (weight * optics.scale) ** 2
                main = main + functional.pad(cube[band] * factor, (first, optics.span_px - first))
            if len(taps) == 2:
                factor = taps[0][1] * taps[1][1] * optics.scale**2
                beside = beside + functional.pad(cube[band] * factor, (taps[0][0], optics.span_px - taps[0][0]))
        if not isinstance(main, Tensor):
            raise ValueError("the dispersion has no band")
        beside = beside if isinstance(beside, Tensor) else torch.zeros_like(main)
        return (main.mT, beside.mT) if optics.axis == "rows" else (main, beside)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy detector images of cubes (B, L, H, W)."""
        y = self.A(x)
        return y if self.noise is None else self.noise.sample(y, generator)

    def estimator(self, prior: ImagePrior) -> SplittingEstimator:
        """The linear estimate by splitting, with the noise of an average scene."""
        covariance = CosinePrior(resized_prior(prior, self.size))
        mean = covariance.mean_image(self.size)
        mask = self.mask()

        def forward_model(x: Tensor, mask: Tensor) -> Tensor:
            return applied(_Seen, x, mask, self.dispersion)

        def adjoint(y: Tensor, mask: Tensor) -> Tensor:
            return applied(_Spread, y, mask, self.dispersion)

        variance = self.mean_variance(mean)
        energy = self._products(mask.square())[0]
        level = float(prior.variance.mean())
        return MatchedSplittingEstimator(
            forward_model, adjoint, energy, covariance.shrink, mean, variance, level, (mask,)
        )

    def tiles(self) -> Iterator[Tile]:
        """Strips across the dispersion, of a large mask."""
        axis = 0 if self.dispersion.axis == "columns" else 1
        for image, weight in strips_across(self.size, len(self.dispersion.shift_px), axis, 0):
            part = SdCassiEncoder.fixed(self.mask().detach()[(..., *image)], self.dispersion, self.noise)
            seen = (image[0], slice(None)) if axis == 0 else (slice(None), image[1])
            yield Tile(part, seen, image, self.size, weight.to(part.weight))

    def norm_squared(self) -> Tensor:
        """Largest row sum of A A^T, which bounds its eigenvalues."""
        main, beside = self._products(self.mask().detach().square())
        return (main + 2 * beside).max()

    def row_sums(self) -> Tensor:
        """The sums of the rows of A A^T, (h, w): with E = diag(row sums) no eigenvalue of E^-1 A A^T is above 1."""
        main, beside = self._products(self.mask().detach().square())
        return main + beside + beside.roll(1, dims=0 if self.dispersion.axis == "rows" else 1)

    def mean_variance(self, mean: Tensor) -> float:
        """The mean variance of the readings of the mean image (1, L, H, W)."""
        return 1e-6 if self.noise is None else float(self.noise.variance(self.A(mean).detach()).mean())

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Effective: scale-free distance of the true Grams, in [0, 2]; published: rank-one Gram of the latent masks.

        |A^T A - B^T B|^2 = |A A^T|^2 + |B B^T|^2 - 2 |A B^T|^2, and A B^T is tridiagonal, so the cost is O(H W L).
        """
        if not isinstance(teacher, SdCassiEncoder):
            raise TypeError("the teacher of an SD-CASSI encoder must be one")
        if published:
            a, b = self.latent().flatten(), teacher.latent().detach().flatten()
            return ((a @ a) ** 2 + (b @ b) ** 2 - 2 * (a @ b) ** 2) / a.numel() ** 2
        own, other = self.mask(), teacher.mask().detach()
        norms = (self._square(own.square()) * self._square(other.square())).sqrt()
        return 2 - 2 * self._square(own * other) / norms

    def _square(self, products: Tensor) -> Tensor:
        main, beside = self._products(products)
        return main.square().sum() + 2 * beside.square().sum()

    def pattern(self, pitch_um: float, profile_id: str, profile_digest: str) -> ApertureMask:
        """The hard mask for the plate; needs a rule (only the student's optics can be made)."""
        if self.rule is None:
            raise TypeError("a teacher's real-valued mask cannot be made")
        cells = feasible(self.rule, self.weight.detach())
        levels = enlarge(self.rule, cells, *self.full_size).to(torch.uint8).cpu().numpy()
        return ApertureMask(levels, pitch_um, profile_id, profile_digest)


class _Seen(torch.autograd.Function):
    """Cubes (B, L, H, W) behind a mask -> the sum (B, H, W + span) of their displaced bands."""

    @staticmethod
    def forward(ctx: Any, cube: Tensor, mask: Tensor, optics: Dispersion) -> Tensor:
        ctx.optics = optics
        ctx.save_for_backward(cube if ctx.needs_input_grad[1] else None, mask)
        return _sheared(cube, mask, optics)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        cube, mask = ctx.saved_tensors
        on_cube = _unsheared(gradients[0], mask, ctx.optics) if ctx.needs_input_grad[0] else None
        on_mask = _overlap(cube, gradients[0], mask, ctx.optics) if ctx.needs_input_grad[1] else None
        return on_cube, on_mask, None


class _Spread(torch.autograd.Function):
    """The adjoint of `_Seen` for one mask."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, mask: Tensor, optics: Dispersion) -> Tensor:
        ctx.optics = optics
        ctx.save_for_backward(y if ctx.needs_input_grad[1] else None, mask)
        return _unsheared(y, mask, optics)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        y, mask = ctx.saved_tensors
        on_y = _sheared(gradients[0], mask, ctx.optics) if ctx.needs_input_grad[0] else None
        on_mask = _overlap(gradients[0], y, mask, ctx.optics) if ctx.needs_input_grad[1] else None
        return on_y, on_mask, None


def _layer(mask: Tensor, band: int) -> Tensor:
    return mask[band] if mask.ndim == 3 else mask


def _sheared(cube: Tensor, mask: Tensor, optics: Dispersion) -> Tensor:
    """sum_k shear_k(mask x_k), (B, H, W + span), added up in place: no array of the cube's size is made."""
    if optics.axis == "rows":
        cube, mask = cube.mT, mask.mT
    batch, _, height, width = cube.shape
    y = cube.new_zeros(batch, height, width + optics.span_px)
    for band in range(len(optics.shift_px)):
        for first, weight in optics.taps(band):
            part = y[..., first : first + width]
            part.addcmul_(cube[:, band], _layer(mask, band), value=weight * optics.scale)
    return y.mT if optics.axis == "rows" else y


def _unsheared(y: Tensor, mask: Tensor, optics: Dispersion) -> Tensor:
    """Its adjoint: mask * y, taken back from where each band lies; (B, L, H, W)."""
    if optics.axis == "rows":
        y, mask = y.mT, mask.mT
    batch, height, width = len(y), y.shape[-2], y.shape[-1] - optics.span_px
    cube = y.new_empty(batch, len(optics.shift_px), height, width)
    for band in range(len(optics.shift_px)):
        (first, weight), *others = optics.taps(band)
        layer = _layer(mask, band)
        torch.mul(y[..., first : first + width], layer * (weight * optics.scale), out=cube[:, band])
        for first, weight in others:
            cube[:, band].addcmul_(y[..., first : first + width], layer, value=weight * optics.scale)
    return cube.mT if optics.axis == "rows" else cube


def _overlap(cube: Tensor, y: Tensor, mask: Tensor, optics: Dispersion) -> Tensor:
    """The derivative of <y, shear(mask cube)> with respect to the mask."""
    if optics.axis == "rows":
        cube, y, mask = cube.mT, y.mT, mask.mT
    width = cube.shape[-1]
    found = torch.zeros_like(mask)
    for band in range(len(optics.shift_px)):
        for first, weight in optics.taps(band):
            shared = (cube[:, band] * y[..., first : first + width]).sum(dim=0)
            _layer(found, band).add_(shared, alpha=weight * optics.scale)
    return found.mT if optics.axis == "rows" else found
