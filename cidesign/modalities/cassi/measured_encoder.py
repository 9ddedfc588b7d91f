"""SD-CASSI as a calibration finds it: every band has its own mask, and its own affine way to the detector."""

from typing import Any

import torch
from torch import Tensor, nn

from cidesign.modalities.cassi.encoder import PixelNoise
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import CosinePrior
from cidesign.physics.splitting import LongSplittingEstimator, SplittingEstimator

# Variance of y where no noise is given: that of `SdCassiEncoder`.
NOISELESS_VARIANCE = 1e-6


class MeasuredCassiEncoder(Encoder):
    """y(q) = response_k B[masks_k x_k](T_k q) summed over the bands k, for cubes x (B, L, H, W); y is (B, h, w).

    B is the bilinear interpolation between the centres of code pixels, with zeros beside the code; T_k = `to_code[k]`
    (2, 3) gives (row, column) on the code for (row, column, 1) on the detector; `response` (L,).  The operator that a
    calibration measured: it is not trained.  Detector pixels that are not `valid` (h, w) read nothing at all: their
    rows of A are 0.  Masks may hold slightly negative transmissions, as noise leaves them.  With `thorough`, the linear
    estimate takes more steps; `variance` (h, w) is that of each reading, where it is known.
    """

    to_response: Tensor
    corner: Tensor
    valid: Tensor
    variance: Tensor | None

    def __init__(
        self,
        masks: Tensor,
        to_code: Tensor,
        response: Tensor,
        size: tuple[int, int],
        valid: Tensor | None = None,
        noise: PixelNoise | None = None,
        *,
        thorough: bool = False,
        variance: Tensor | None = None,
    ) -> None:
        super().__init__()
        bands = len(masks) if masks.ndim == 3 else 0
        if not bands or to_code.shape != (bands, 2, 3) or response.shape != (bands,) or min(size) < 1:
            raise ValueError(
                f"masks {tuple(masks.shape)}, to_code {tuple(to_code.shape)}, response {tuple(response.shape)} and a "
                f"detector of {size} do not make an operator; (L, H, W), (L, 2, 3), (L,) and at least one pixel do"
            )
        for name, plane in (("valid pixels", valid), ("variances", variance)):
            if plane is not None and tuple(plane.shape) != tuple(size):
                raise ValueError(f"the map of {name} is {tuple(plane.shape)}, the detector {tuple(size)}")
        if variance is not None and not bool((variance > 0).all()):
            raise ValueError("the variance of every reading must be above 0")
        self.weight = nn.Parameter(masks.clone(), requires_grad=False)
        self.size, self.detector = (int(masks.shape[1]), int(masks.shape[2])), size
        self.noise, self.thorough = noise, thorough
        seeing = torch.ones(size, dtype=torch.bool) if valid is None else valid.bool()
        corner, weights = _bilinear(to_code.double(), size, self.size)
        weights = weights * (response.double()[:, None] * seeing.flatten())
        self.register_buffer("valid", seeing, persistent=False)
        self.register_buffer("variance", None if variance is None else variance.to(masks.dtype), persistent=False)
        self.register_buffer("corner", corner.flatten(), persistent=False)
        self.register_buffer("to_response", weights.flatten(1).to(masks.dtype), persistent=False)

    @property
    def bands(self) -> int:
        """L."""
        return len(self.weight)

    def A(self, x: Tensor) -> Tensor:
        """Cubes (B, L, H, W) -> detector images (B, h, w)."""
        seen: Tensor = _Gather.apply(self.weight * x, self.corner, self.to_response)  # type: ignore[no-untyped-call]
        return seen.reshape(len(x), *self.detector)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Detector images -> cubes (B, L, H, W)."""
        y, shape = y.flatten(1), self.weight.shape
        spread: Tensor = _Scatter.apply(y, self.corner, self.to_response, shape)  # type: ignore[no-untyped-call]
        return self.weight * spread

    def row_energy(self) -> Tensor:
        """The diagonal of A A^T (h, w): the squared light that reaches each detector pixel."""
        energy = _gather(self.weight.square()[None], self.corner, self.to_response.square())
        return energy.reshape(self.detector)

    def row_sums(self) -> Tensor:
        """The sums of the rows of |A| |A|^T, (h, w): where bands are interpolated, more than `row_energy`.

        With E = diag(row sums), no eigenvalue of E^-1 A A^T is above 1.
        """
        weights, masks = self.to_response.abs(), self.weight.abs()
        ones = torch.ones(1, self.detector[0] * self.detector[1], dtype=masks.dtype, device=masks.device)
        spread = masks.square() * _scatter(ones, self.corner, weights, self.weight.shape)
        return _gather(spread, self.corner, weights).reshape(self.detector)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy detector images of cubes (B, L, H, W); pixels that are not valid read 0."""
        y = self.A(x)
        return y if self.noise is None else self.noise.sample(y, generator) * self.valid

    def mean_variance(self, prior: ImagePrior) -> float:
        """The variance of y for an average scene, mean over the valid pixels."""
        if self.noise is None:
            return NOISELESS_VARIANCE
        y = self.A(CosinePrior(prior).mean_image(self.size)).detach()
        return float(self.noise.variance(y)[0][self.valid].mean())

    def estimator(self, prior: ImagePrior) -> SplittingEstimator:
        """The linear estimate by splitting, as `SdCassiEncoder` has it; the long one where this is `thorough`.

        Interpolation couples neighbouring pixels, so the steps are scaled by the row sums of A A^T in place of its
        diagonal, with which they would be up to 4 times too long.  With whole shifts, both are equal.
        """
        covariance = CosinePrior(prior)
        kind = LongSplittingEstimator if self.thorough else SplittingEstimator
        return kind(
            self.A,
            self.A_adjoint,
            self.row_sums(),
            covariance.shrink,
            covariance.mean_image(self.size),
            self.mean_variance(prior) if self.variance is None else self.variance,
            float(prior.variance.mean()),
        )

    def norm_squared(self) -> Tensor:
        """Largest row sum of |A| |A|^T, which bounds the eigenvalues of A A^T."""
        return self.row_sums().max()

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Not defined: a measured operator is a fact about a bench; raises `TypeError`."""
        raise TypeError("a measured operator is not trained, so it has no distance to a teacher")


def _bilinear(to_code: Tensor, size: tuple[int, int], code: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where each band is read for each detector pixel, on codes with a border of one zero pixel.

    Returns the flat index of the upper left of four pixels (L, h w), and the weights of the four (4, L, h w) from
    left to right, upper ones first; all weights are 0 where the point is a pixel or more beside the code.
    """
    rows, columns = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float64), torch.arange(size[1], dtype=torch.float64), indexing="ij"
    )
    places = torch.stack([rows.flatten(), columns.flatten(), torch.ones(rows.numel(), dtype=torch.float64)])
    row, column = (to_code @ places).unbind(1)
    height, width = code
    inside = (row > -1) & (row < height) & (column > -1) & (column < width)
    top, left = row.floor().clamp(-1, height - 1), column.floor().clamp(-1, width - 1)
    down, right = (row - top).clamp(0, 1), (column - left).clamp(0, 1)
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    planes = torch.arange(len(to_code))[:, None] * (height + 2)
    corner = (planes + top.long() + 1) * (width + 2) + left.long() + 1
    return corner, weights * inside


def _gather(cube: Tensor, corner: Tensor, weights: Tensor) -> Tensor:
    """Cubes (B, L, H, W) -> (B, h w): weighted sums of four pixels of each band."""
    bands, width = cube.shape[1], cube.shape[-1] + 2
    flat = nn.functional.pad(cube, (1, 1, 1, 1)).flatten(1)
    total = sum(
        (flat.index_select(1, corner + step) * weight for step, weight in zip(_steps(width), weights, strict=True)),
        torch.zeros((), dtype=cube.dtype, device=cube.device),
    )
    return total.reshape(len(cube), bands, -1).sum(dim=1)


def _scatter(y: Tensor, corner: Tensor, weights: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_gather`, (B, h w) -> (B, L, H, W) with `shape` (L, H, W)."""
    bands, height, width = shape
    padded = torch.zeros(len(y), bands * (height + 2) * (width + 2), dtype=y.dtype, device=y.device)
    for step, weight in zip(_steps(width + 2), weights, strict=True):
        values = (y[:, None] * weight.reshape(bands, -1)).flatten(1)
        padded.scatter_add_(1, (corner + step).expand(len(y), -1), values)
    return padded.reshape(len(y), bands, height + 2, width + 2)[..., 1:-1, 1:-1]


def _steps(width: int) -> tuple[int, int, int, int]:
    return 0, 1, width, width + 1


class _Gather(torch.autograd.Function):
    """`_gather` with `_scatter` as its derivative: autograd's own would add up pixel by pixel."""

    @staticmethod
    def forward(ctx: Any, cube: Tensor, corner: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(corner, weights)
        ctx.shape = cube.shape[1:]
        return _gather(cube, corner, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        corner, weights = ctx.saved_tensors
        spread: Tensor = _Scatter.apply(gradients[0], corner, weights, ctx.shape)  # type: ignore[no-untyped-call]
        return spread, None, None


class _Scatter(torch.autograd.Function):
    """`_scatter` with `_gather` as its derivative."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, corner: Tensor, weights: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(corner, weights)
        return _scatter(y, corner, weights, shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        corner, weights = ctx.saved_tensors
        seen: Tensor = _Gather.apply(gradients[0], corner, weights)  # type: ignore[no-untyped-call]
        return seen, None, None, None
