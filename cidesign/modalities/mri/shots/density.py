"""How densely shots sample k-space: the kernel of A^H A, its diagonal in k-space, and weights that make it even."""

import math

import torch
from torch import Tensor

from cidesign.modalities.mri.encoders.nufft import gathered, samples_of

# Of the fixed-point iteration for density weights (Pipe and Menon, Magn. Reson. Med. 41, 179, 1999).
DENSITY_STEPS = 12


def point_spread(k: Tensor, size: tuple[int, int], weights: Tensor | None = None) -> Tensor:
    """p (2 H, 2 W), complex, p(0) at (H, W), with A^H W A (r, r') = p(r - r') for weights (M,) of samples k (M, 2)."""
    height, width = size
    ones = torch.ones(1, len(k), dtype=torch.promote_types(k.dtype, torch.complex64), device=k.device)
    ones = ones if weights is None else ones * weights
    # On a grid of twice the size, steps of a pixel are those of half the k-space.
    return gathered(ones, 2 * k, (2 * height, 2 * width))[0] * (2 / math.sqrt(height * width))


def transfer(spread: Tensor) -> Tensor:
    """The eigenvalues (2 H, 2 W), real, of the circulant that A^H A is a corner of; not centred."""
    # No two pixels are H or W apart; without these rows the kernel is Hermitian.
    inside = spread.clone()
    inside[0], inside[:, 0] = 0, 0
    result: Tensor = torch.fft.fft2(torch.fft.ifftshift(inside)).real
    return result


def _tapered(spread: Tensor) -> Tensor:
    """What is left of a kernel when its pairs of pixels are averaged: the share of pairs so far apart."""
    kind, device = spread.real.dtype, spread.device
    near = [1 - (torch.arange(n, dtype=kind, device=device) - n // 2).abs() / (n // 2) for n in spread.shape]
    return spread * (near[0][:, None] * near[1])


def sampled_power(spread: Tensor) -> Tensor:
    """(H, W), real: the diagonal of A^H A in the basis of k-space, that is its nearest circulant (T. Chan, SIAM J. Sci.
    Stat. Comput. 9, 766, 1988); not centred."""
    height, width = spread.shape[0] // 2, spread.shape[1] // 2
    folded = _tapered(spread).reshape(2, height, 2, width).sum(dim=(0, 2))
    result: Tensor = torch.fft.fft2(folded).real
    return result.clamp_min(0)


@torch.no_grad()
def density_weights(k: Tensor, size: tuple[int, int]) -> Tensor:
    """w (M,) > 0 with a^H A^H W A a near 1 for the wave a of every sample: w <- w / (a^H A^H W A a).

    A^H W A is then near the identity within the k-space that is covered.
    """
    weights = torch.ones(len(k), dtype=k.dtype, device=k.device)
    for _ in range(DENSITY_STEPS):
        spread = _tapered(point_spread(k, size, weights))
        met = samples_of(spread[None], 2 * k)[0].real * (2 * math.sqrt(math.prod(size)))
        weights = weights / met.clamp_min(1e-6)
    return weights
