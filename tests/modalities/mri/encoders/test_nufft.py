"""The library's sums and their derivatives against the sum itself."""

import sys

import pytest
import torch

from cidesign.errors import InputError
from cidesign.modalities.mri.encoders.fourier import centred_fft
from cidesign.modalities.mri.encoders.nufft import exact_samples, gathered, samples_of

pytest.importorskip("finufft")
SIZES = [(6, 9), (7, 8), (10, 10)]


def _drawn(*shape: int, seed: int, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _places(size: tuple[int, int], count: int = 40) -> torch.Tensor:
    turns = torch.rand(count, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64) - 0.5
    return turns * torch.tensor(size)


@pytest.mark.parametrize("size", SIZES)
def test_samples_are_the_sum(size: tuple[int, int]) -> None:
    x, k = _drawn(3, *size, seed=1), _places(size)
    torch.testing.assert_close(samples_of(x, k), exact_samples(x, k), rtol=0, atol=1e-11)
    single = samples_of(x.to(torch.complex64), k.float())
    assert single.dtype == torch.complex64
    torch.testing.assert_close(single.to(torch.complex128), exact_samples(x, k), rtol=0, atol=3e-5)


@pytest.mark.parametrize("size", SIZES)
def test_whole_places_are_the_centred_transform(size: tuple[int, int]) -> None:
    x = _drawn(2, *size, seed=2)
    down, right = (torch.arange(n, dtype=torch.float64) - n // 2 for n in size)
    k = torch.stack(torch.meshgrid(down, right, indexing="ij"), dim=-1).reshape(-1, 2)
    torch.testing.assert_close(samples_of(x, k), centred_fft(x).flatten(1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", SIZES)
def test_gathering_is_the_adjoint(size: tuple[int, int]) -> None:
    x, k = _drawn(2, *size, seed=3), _places(size)
    y = _drawn(2, len(k), seed=4)
    left = (samples_of(x, k).conj() * y).sum()
    right = (x.conj() * gathered(y, k, size)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_derivatives_are_those_of_the_sum(size: tuple[int, int]) -> None:
    x, k = _drawn(2, *size, seed=5).requires_grad_(), _places(size).requires_grad_()
    y = _drawn(2, len(k), seed=6).requires_grad_()
    weight = _drawn(2, *size, seed=7)

    def loss(forward: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        return (y.detach().conj() * forward).real.sum() + (weight.conj() * back).real.sum()

    found = torch.autograd.grad(loss(samples_of(x, k), gathered(y, k, size)), (x, k, y))
    # The exact adjoint is the derivative of the exact sum.
    unit = torch.zeros(2, *size, dtype=torch.complex128, requires_grad=True)
    (back,) = torch.autograd.grad(exact_samples(unit, k), unit, y, create_graph=True)
    exact = torch.autograd.grad(loss(exact_samples(x, k), back), (x, k, y))
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "finufft", None)
    with pytest.raises(InputError, match=r"finufft is not installed.*cidesign\[mri\]"):
        samples_of(_drawn(1, 4, 4, seed=1), _places((4, 4)))
