"""Filters in the domain of the 2-D DCT: by matrices for small images, by fast Fourier transforms for large ones."""

import math
from functools import lru_cache

import torch
from torch import Tensor

# From so many pixels a side on, Fourier transforms take less time than products with matrices.
FAST_SIDE = 112


@lru_cache(maxsize=16)
def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II as a (size, size) matrix: rows are frequencies.  It is shared: it must not be changed."""
    frequency = torch.arange(size, dtype=torch.float64)[:, None]
    position = torch.arange(size, dtype=torch.float64)[None, :] + 0.5
    basis = torch.cos(math.pi / size * frequency * position) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.float()


class CosineFilter:
    """D^T diag(weights) D x for planes x (..., C, H, W), D the 2-D DCT, with weights (C, H, W).

    Both are of the type and on the device of `like`, single or double precision.
    """

    def __init__(self, size: tuple[int, int], like: Tensor) -> None:
        self.size, self.fast = size, min(size) >= FAST_SIDE
        if not self.fast:
            self.down, self.across = (dct_matrix(count).to(like) for count in size)
            return
        # With even samples first and odd ones after them in reverse, v, the DCT is the real part of t F v with
        # t_k = exp(-i pi k / 2n), and its imaginary part is that of n - k (Makhoul, IEEE Trans. ASSP 28, 27, 1980).
        turns = [_turns(count, like) for count in size]
        across = turns[1][: size[1] // 2 + 1]
        # D x is the mean of this transform and its mirror image.
        self.turn = 0.5 * turns[0][:, None] * across
        self.mirrored_turn = 0.5 * turns[0].conj()[:, None] * across
        self.back = 2 * self.turn.conj().resolve_conj()
        self.mirrored_back = -1j * self.back
        self.mirrored_back[0] = 0
        self.mirror = (-torch.arange(size[0], device=like.device)) % size[0]

    def prepared(self, weights: Tensor) -> Tensor:
        """Weights (C, H, W) in the order that `apply` takes."""
        if not self.fast:
            return weights
        frequency = torch.arange(self.size[1] // 2 + 1, device=weights.device)
        return torch.stack([weights[..., frequency], weights[..., -frequency % self.size[1]]], dim=-1)

    def apply(self, x: Tensor, prepared: Tensor) -> Tensor:
        """The filtered planes, of the shape of x, which is contiguous."""
        if not self.fast:
            rows, columns = self.size
            spectra = self.down @ (x.reshape(-1, columns) @ self.across.T).reshape(-1, rows, columns)
            weighted = spectra.reshape(x.shape).mul_(prepared).reshape(-1, rows, columns)
            return ((self.down.T @ weighted).reshape(-1, columns) @ self.across).reshape(x.shape)
        spectra = torch.fft.rfft2(_shuffled(x))
        mirrored = spectra.index_select(-2, self.mirror)
        spectra *= self.turn
        spectra += mirrored.mul_(self.mirrored_turn)
        torch.view_as_real(spectra).mul_(prepared)
        mirrored = spectra.index_select(-2, self.mirror)
        spectra *= self.back
        spectra += mirrored.mul_(self.mirrored_back)
        return _unshuffled(torch.fft.irfft2(spectra, s=self.size))


def _turns(count: int, like: Tensor) -> Tensor:
    angle = -math.pi / (2 * count) * torch.arange(count, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(like.device, torch.promote_types(like.dtype, torch.complex32))


def _shuffled(x: Tensor) -> Tensor:
    """Even rows first, then odd ones in reverse; columns likewise."""
    rows, columns = ((count + 1) // 2 for count in x.shape[-2:])
    found = torch.empty_like(x)
    for upper, part in ((found[..., :rows, :], x[..., ::2, :]), (found[..., rows:, :], x[..., 1::2, :].flip(-2))):
        upper[..., :columns] = part[..., ::2]
        upper[..., columns:] = part[..., 1::2].flip(-1)
    return found


def _unshuffled(x: Tensor) -> Tensor:
    """The inverse of `_shuffled`."""
    rows, columns = ((count + 1) // 2 for count in x.shape[-2:])
    found = torch.empty_like(x)
    for part, upper in ((found[..., ::2, :], x[..., :rows, :]), (found[..., 1::2, :], x[..., rows:, :].flip(-2))):
        part[..., ::2] = upper[..., :columns]
        part[..., 1::2] = upper[..., columns:].flip(-1)
    return found
