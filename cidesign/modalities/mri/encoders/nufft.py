"""The Fourier sum of an image at any place of k-space, with derivatives on the image and on the places.

y(k) = (H W)^-1/2 sum_r x(r) exp(-2 pi i k . r),  r = (pixel - N // 2) / N along each axis of N pixels, k in 1/FOV: on
whole k it is the centred orthonormal FFT.  The sums are those of FINUFFT (Barnett, Magland, af Klinteberg, SIAM J. Sci.
Comput. 41, C479, 2019; Apache-2.0), on processors.
"""

import importlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.errors import InputError
from cidesign.physics.autograd import applied

# Relative; single precision holds no more of 2^16 samples.
ACCURACY = {torch.complex64: 2e-6, torch.complex128: 1e-13}


def finufft() -> Any:
    """The library; raises `InputError` naming the extra where it is not installed."""
    try:
        return importlib.import_module("finufft")
    except ImportError as error:
        raise InputError(
            "finufft is not installed, and shots of k-space need its transforms; install it with `pip install "
            "'cidesign[mri]'`"
        ) from error


def samples_of(x: Tensor, k: Tensor) -> Tensor:
    """A x: samples (T, M) of complex images (T, H, W) at k (M, 2)."""
    return applied(_Samples, x, k)


def gathered(y: Tensor, k: Tensor, size: tuple[int, int]) -> Tensor:
    """A^H y: complex images (T, H, W) of samples (T, M) at k (M, 2)."""
    return applied(_Gathered, y, k, size)


def exact_samples(x: Tensor, k: Tensor) -> Tensor:
    """`samples_of` by the sum itself, term by term."""
    waves = [torch.exp(-2j * math.pi * k[:, axis, None] * _places(n, k)) for axis, n in enumerate(x.shape[-2:])]
    return torch.einsum("thw,mh,mw->tm", x, *waves) / math.sqrt(x.shape[-1] * x.shape[-2])


def _places(count: int, like: Tensor) -> Tensor:
    """r along one axis, (count,)."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) - count // 2) / count


def _arguments(values: Tensor, k: Tensor, size: tuple[int, int]) -> tuple[Any, ...]:
    real = np.float32 if values.dtype == torch.complex64 else np.float64
    turns = 2 * math.pi * k.detach().cpu().double().numpy() / np.array(size)
    return *np.ascontiguousarray(turns.T.astype(real)), values.detach().resolve_conj().cpu().contiguous().numpy()


def _settings(values: Tensor) -> dict[str, Any]:
    return {"eps": ACCURACY[values.dtype], "nthreads": torch.get_num_threads()}


def _sampled(x: Tensor, k: Tensor) -> Tensor:
    size = (int(x.shape[-2]), int(x.shape[-1]))
    found = finufft().nufft2d2(*_arguments(x, k, size), isign=-1, **_settings(x))
    return torch.from_numpy(np.atleast_2d(found)).to(x.device) / math.sqrt(math.prod(size))


def _adjoint(y: Tensor, k: Tensor, size: tuple[int, int]) -> Tensor:
    found = finufft().nufft2d1(*_arguments(y, k, size), size, isign=1, **_settings(y))
    return torch.from_numpy(found).reshape(len(y), *size).to(y.device) / math.sqrt(math.prod(size))


def slope(y: Tensor, x: Tensor, k: Tensor) -> Tensor:
    """The gradient of Re <y, A x> on k (M, 2): A moves by the sums of -2 pi i r x."""
    slopes = []
    for axis, n in enumerate(x.shape[-2:]):
        r = _places(n, x.real)
        moved = _sampled(-2j * math.pi * (r[:, None] if axis == 0 else r) * x, k)
        slopes.append((y.conj() * moved).real.sum(dim=0))
    return torch.stack(slopes, dim=1).to(k.dtype)


class _Samples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: Tensor) -> Tensor:
        ctx.save_for_backward(x, k)
        return _sampled(x, k)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, k = ctx.saved_tensors
        (gradient,) = gradients
        on_x = _adjoint(gradient, k, (x.shape[-2], x.shape[-1])) if ctx.needs_input_grad[0] else None
        return on_x, slope(gradient, x, k) if ctx.needs_input_grad[1] else None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, k: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(y, k)
        return _adjoint(y, k, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, k = ctx.saved_tensors
        (gradient,) = gradients
        on_y = _sampled(gradient, k) if ctx.needs_input_grad[0] else None
        return on_y, slope(y, gradient, k) if ctx.needs_input_grad[1] else None, None
