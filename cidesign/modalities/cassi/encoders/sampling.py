"""How the pixels of a detector read the bands of a code: interpolated anywhere, or displaced and nothing else."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from cidesign.calibration.cassi.operator import Copy, displaced_copies
from cidesign.physics.autograd import applied


class BandSampling(nn.Module, ABC):
    """y(q) = valid(q) sum_k response_k B[x_k](T_k q) for cubes x (B, L, H, W) and images y (B, h, w), with its adjoint.

    B is the bilinear interpolation between the centres of code pixels, with zeros beside the code.  With `squared`,
    every weight counts by its square: what a diagonal of A A^T is made of.
    """

    def __init__(self, code: tuple[int, int, int], detector: tuple[int, int]) -> None:
        super().__init__()
        self.code, self.detector = code, detector

    @abstractmethod
    def gather(self, cube: Tensor, squared: bool = False) -> Tensor:
        """Cubes (B, L, H, W) -> images (B, h, w), without a gradient of its own."""

    @abstractmethod
    def scatter(self, y: Tensor, squared: bool = False) -> Tensor:
        """The adjoint, images (B, h, w) -> cubes (B, L, H, W)."""

    def forward(self, cube: Tensor) -> Tensor:
        """`gather` with `scatter` as its derivative: autograd's own would add up pixel by pixel."""
        return applied(_Gather, cube, self)

    def adjoint(self, y: Tensor) -> Tensor:
        """`scatter` with `gather` as its derivative."""
        return applied(_Scatter, y, self)


def sampling_of(
    to_code: Tensor, response: Tensor, code: tuple[int, int, int], valid: Tensor, dtype: torch.dtype
) -> BandSampling:
    """The sampling of bands that lie on a code (L, H, W) by `to_code` (L, 2, 3), their light `response` (L,), and the
    pixels that are `valid` (h, w); of displaced bands, whole planes are moved."""
    detector = (int(valid.shape[0]), int(valid.shape[1]))
    copies = [displaced_copies(matrix, code[1:], detector) for matrix in to_code.double().cpu().numpy()]
    moved = [one for one in copies if one is not None]
    if len(moved) == len(copies):
        return Displaced(moved, response, code, valid)
    return Interpolated(to_code, response, code, valid, dtype)


class Displaced(BandSampling):
    """Each band is displaced as a whole; parts of pixels are up to four copies.  Takes no memory of its own."""

    valid: Tensor

    def __init__(
        self, copies: list[tuple[Copy, ...]], response: Tensor, code: tuple[int, int, int], valid: Tensor
    ) -> None:
        super().__init__(code, (int(valid.shape[0]), int(valid.shape[1])))
        self.copies, self.response = copies, [float(light) for light in response]
        self.register_buffer("valid", valid, persistent=False)

    def gather(self, cube: Tensor, squared: bool = False) -> Tensor:
        """Cubes (B, L, H, W) -> images (B, h, w)."""
        y = cube.new_zeros(len(cube), *self.detector)
        power = 2 if squared else 1
        for band, (light, copies) in enumerate(zip(self.response, self.copies, strict=True)):
            for on_code, on_detector, weight in copies:
                part = cube[(slice(None), band, *on_code)]
                y[(slice(None), *on_detector)].add_(part, alpha=(light * weight) ** power)
        return y.mul_(self.valid)

    def scatter(self, y: Tensor, squared: bool = False) -> Tensor:
        """The adjoint, images (B, h, w) -> cubes (B, L, H, W)."""
        y = y * self.valid
        cube = y.new_zeros(len(y), *self.code)
        power = 2 if squared else 1
        for band, (light, copies) in enumerate(zip(self.response, self.copies, strict=True)):
            for on_code, on_detector, weight in copies:
                part = y[(slice(None), *on_detector)]
                cube[(slice(None), band, *on_code)].add_(part, alpha=(light * weight) ** power)
        return cube


class Interpolated(BandSampling):
    """Each band lies on the detector by an affine map of its own: four weights for each pixel and band are kept.

    Bands are read one after the other: what is made on the way stays in a processor's cache.
    """

    corner: Tensor
    weights: Tensor

    def __init__(
        self, to_code: Tensor, response: Tensor, code: tuple[int, int, int], valid: Tensor, dtype: torch.dtype
    ) -> None:
        super().__init__(code, (int(valid.shape[0]), int(valid.shape[1])))
        corner = torch.empty(code[0], valid.numel(), dtype=torch.int64)
        weights = torch.empty(code[0], 4, valid.numel(), dtype=dtype)
        for band, (matrix, light) in enumerate(zip(to_code.double(), response.double(), strict=True)):
            corner[band], four = _bilinear(matrix, self.detector, code[1:])
            weights[band] = four * (light * valid.flatten())
        self.register_buffer("corner", corner, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def gather(self, cube: Tensor, squared: bool = False) -> Tensor:
        """Cubes (B, L, H, W) -> images (B, h, w): weighted sums of four pixels of each band."""
        y = cube.new_zeros(len(cube), self.corner.shape[1])
        for band, (corner, weights) in enumerate(zip(self.corner, self.weights, strict=True)):
            flat = nn.functional.pad(cube[:, band], (1, 1, 1, 1)).flatten(1)
            for step, weight in zip(self._steps, weights, strict=True):
                y.addcmul_(flat[:, step:].index_select(1, corner), weight.square() if squared else weight)
        return y.reshape(len(cube), *self.detector)

    def scatter(self, y: Tensor, squared: bool = False) -> Tensor:
        """The adjoint, images (B, h, w) -> cubes (B, L, H, W)."""
        bands, height, width = self.code
        y = y.flatten(1)
        cube = y.new_empty(len(y), bands, height, width)
        for band, (corner, weights) in enumerate(zip(self.corner, self.weights, strict=True)):
            padded = y.new_zeros(len(y), (height + 2) * (width + 2))
            for step, weight in zip(self._steps, weights, strict=True):
                values = y * (weight.square() if squared else weight)
                padded[:, step:].scatter_add_(1, corner.expand(len(y), -1), values)
            cube[:, band] = padded.reshape(len(y), height + 2, width + 2)[:, 1:-1, 1:-1]
        return cube

    @property
    def _steps(self) -> tuple[int, int, int, int]:
        """From the upper left of four pixels to each of them, on codes with a border of one pixel."""
        width = self.code[2] + 2
        return 0, 1, width, width + 1


def _bilinear(to_code: Tensor, size: tuple[int, int], code: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where a band is read for each detector pixel, on a code with a border of one zero pixel.

    Returns the flat index of the upper left of four pixels (h w,), and the weights of the four (4, h w) from left to
    right, upper ones first; all weights are 0 where the point is a pixel or more beside the code.
    """
    rows, columns = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float64), torch.arange(size[1], dtype=torch.float64), indexing="ij"
    )
    places = torch.stack([rows.flatten(), columns.flatten(), torch.ones(rows.numel(), dtype=torch.float64)])
    row, column = to_code @ places
    height, width = code
    inside = (row > -1) & (row < height) & (column > -1) & (column < width)
    top, left = row.floor().clamp(-1, height - 1), column.floor().clamp(-1, width - 1)
    down, right = (row - top).clamp(0, 1), (column - left).clamp(0, 1)
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    corner = (top.long() + 1) * (width + 2) + left.long() + 1
    return corner, weights * inside


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cube: Tensor, sampling: BandSampling) -> Tensor:
        ctx.sampling = sampling
        return sampling.gather(cube)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        spread = applied(_Scatter, gradients[0], ctx.sampling)
        return spread, None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, sampling: BandSampling) -> Tensor:
        ctx.sampling = sampling
        return sampling.scatter(y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        seen = applied(_Gather, gradients[0], ctx.sampling)
        return seen, None
