"""Complex images as two channels, and centred Fourier transforms of them, coil by coil."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.physics.autograd import applied

# What counts as smooth is below so many cycles of a matrix.
SMOOTH = 16
# So many samples of all coils go through a transform together on a processor: they stay in its cache.
CACHED_SAMPLES = 2**18


def to_complex(x: Tensor) -> Tensor:
    """Images (B, 2, H, W), real and imaginary part -> complex (B, H, W)."""
    return torch.complex(x[:, 0], x[:, 1])


def to_channels(x: Tensor) -> Tensor:
    """Complex images (B, H, W) -> (B, 2, H, W)."""
    return torch.stack([x.real, x.imag], dim=1)


def centred_fft(x: Tensor) -> Tensor:
    """Centred orthonormal 2-D FFT over the last two axes."""
    shifted = torch.fft.ifftshift(x, dim=(-2, -1))
    result: Tensor = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
    return result


def centred_ifft(k: Tensor) -> Tensor:
    """The inverse, and adjoint, of `centred_fft`."""
    shifted = torch.fft.ifftshift(k, dim=(-2, -1))
    result: Tensor = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
    return result


@torch.no_grad()
def smooth_phase(x: Tensor) -> Tensor:
    """(B, H, W) of magnitude 1: the phase of complex images (B, 2, H, W) that a Gaussian leaves of their k-space.

    Its standard deviation is a sixteenth of the matrix, about what is always measured around the centre; where nothing
    is left it is 1.
    """
    height, width = x.shape[-2:]
    down, right = (
        torch.exp(-0.5 * ((torch.arange(size, device=x.device) - size // 2) * SMOOTH / size).square())
        for size in (height, width)
    )
    low = centred_ifft(down[:, None] * right * centred_fft(to_complex(x.float())))
    length = low.abs()
    return torch.where(length > 0, low / length.clamp_min(torch.finfo(length.dtype).tiny), 1.0)


def to_coils(x: Tensor, maps: Tensor) -> Tensor:
    """F (s_c x): k-space (B, coils, H, W) of all lines, of complex images (B, H, W) and coil maps (coils, H, W)."""
    return applied(_ToCoils, x, maps)


def from_coils(y: Tensor, maps: Tensor) -> Tensor:
    """sum_c conj(s_c) F^H y_c, the adjoint of `to_coils`."""
    return applied(_FromCoils, y, maps)


def measured(x: Tensor, mask: Tensor, maps: Tensor, noise: float, draws: Tensor, on_all: bool) -> Tensor:
    """m (F (s_c x) + n) for a mask m, (H, 1) or (H, W), or m F (s_c x) + n with noise `on_all`: (B, coils, H, W).

    n = `noise` (a + i b) with `draws` a and b (2, B, coils, H, W).
    """
    return applied(_Measured, x, mask, maps, noise, draws, on_all)


def _parts(count: int, maps: Tensor) -> list[slice]:
    """Which of `count` images go through a transform together."""
    few = count if maps.device.type != "cpu" else max(1, CACHED_SAMPLES // maps.numel())
    return [slice(first, first + few) for first in range(0, count, max(few, 1))]


def _to_coils(x: Tensor, maps: Tensor) -> Tensor:
    k = maps.new_empty(len(x), *maps.shape)
    for part in _parts(len(x), maps):
        k[part] = centred_fft(maps * x[part, None])
    return k


def _from_coils(y: Tensor, maps: Tensor) -> Tensor:
    x = maps.new_empty(len(y), *maps.shape[1:])
    for part in _parts(len(y), maps):
        x[part] = (maps.conj() * centred_ifft(y[part])).sum(dim=1)
    return x


class _ToCoils(torch.autograd.Function):
    """`to_coils`: a few images at a time, and nothing kept but the maps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, maps: Tensor) -> Tensor:
        ctx.save_for_backward(maps)
        return _to_coils(x, maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return from_coils(gradients[0], ctx.saved_tensors[0]), None


class _FromCoils(torch.autograd.Function):
    """`from_coils`, in the same way."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, maps: Tensor) -> Tensor:
        ctx.save_for_backward(maps)
        return _from_coils(y, maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return to_coils(gradients[0], ctx.saved_tensors[0]), None


class _Measured(torch.autograd.Function):
    """`measured`: k-space of all coils is held once; its derivative makes it again, a few images at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, maps: Tensor, noise: float, draws: Tensor, on_all: bool) -> Tensor:
        ctx.noise, ctx.on_all = noise, on_all
        ctx.save_for_backward(x, mask, maps, *([draws] if ctx.needs_input_grad[1] and not on_all else []))
        y = maps.new_empty(len(x), *maps.shape)
        for part in _parts(len(x), maps):
            k, added = _to_coils(x[part], maps), noise * torch.complex(draws[0, part], draws[1, part])
            y[part] = mask * k + added if on_all else mask * (k + added)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mask, maps, *draws = ctx.saved_tensors
        (gradient,) = gradients
        on_x = _from_coils(mask * gradient, maps) if ctx.needs_input_grad[0] else None
        on_mask = None
        if ctx.needs_input_grad[1]:
            on_mask = torch.zeros_like(mask)
            for part in _parts(len(x), maps):
                k = _to_coils(x[part], maps)
                for one in draws:
                    k += ctx.noise * torch.complex(one[0, part], one[1, part])
                on_mask += (gradient[part].conj() * k).real.sum(dim=(0, 1)).sum_to_size(mask.shape)
        return on_x, on_mask, None, None, None, None
