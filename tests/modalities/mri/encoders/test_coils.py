"""The estimate of several coils against their k-space, and what of it is kept."""

import pytest
import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.encoders import coils as of_coils
from cidesign.modalities.mri.encoders import fourier
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, SharedTimeEncoder, fit_fourier_prior
from cidesign.modalities.mri.encoders.coils import MaskNormal
from cidesign.modalities.mri.encoders.fourier import centred_fft, centred_ifft, from_coils, to_coils

SIZES = [(10, 12, 3), (9, 7, 4), (6, 1, 5)]


def _drawn(*shape: int, seed: int = 1) -> Tensor:
    parts = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.complex(parts[0], parts[1])


def _normal(x: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    """S^H F^H diag(q) F S x by the coils' k-space."""
    k = weights * centred_fft(maps * x[:, None])
    return (maps.conj() * centred_ifft(k)).sum(dim=1)


@pytest.mark.parametrize("together", [1, 250, 10**6])
@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize(("height", "width", "coils"), SIZES)
def test_operator_and_its_slope_on_the_mask(
    height: int, width: int, coils: int, points: bool, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many images and coils go through a transform together."""
    monkeypatch.setattr(of_coils, "CACHED_VALUES", together)
    maps = _drawn(coils, height, width)
    draws = torch.Generator().manual_seed(3)
    weights = torch.rand(height, width if points else 1, generator=draws, dtype=torch.float64).requires_grad_()
    normal = MaskNormal(maps, weights)
    pairs = [(_drawn(2, height, width, seed=2 + n), _drawn(2, height, width, seed=12 + n)) for n in range(3)]
    seen = [_normal(right, maps, weights) for _, right in pairs]
    for (_, right), wanted in zip(pairs, seen, strict=True):
        torch.testing.assert_close(normal(right.mT.contiguous()).mT, wanted.detach(), atol=1e-12, rtol=1e-10)
    form = torch.stack([(left.conj() * one).real.sum() for (left, _), one in zip(pairs, seen, strict=True)]).sum()
    (wanted,) = torch.autograd.grad(form, weights)
    lefts, rights = ([pair[which].mT.contiguous() for pair in pairs] for which in (0, 1))
    torch.testing.assert_close(normal.slope(lefts, rights), wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("together", [1, 10**6])
@pytest.mark.parametrize("columns", [1, 3])
def test_transforms_of_coils_are_adjoint_and_know_their_derivatives(
    columns: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fourier, "CACHED_SAMPLES", together)
    maps, x, y = _drawn(2, 4, 3), _drawn(3, 4, 3, seed=2), _drawn(3, 2, 4, 3, seed=3)
    assert torch.equal(to_coils(x, maps), centred_fft(maps * x[:, None]))
    left, right = (to_coils(x, maps).conj() * y).sum(), (x.conj() * from_coils(y, maps)).sum()
    torch.testing.assert_close(left, right)
    mask, draws = torch.rand(4, columns, dtype=torch.float64), torch.randn(2, 3, 2, 4, 3, dtype=torch.float64)
    noise = 0.3 * torch.complex(draws[0], draws[1])
    for on_all in (False, True):
        found = []
        for plainly in (False, True):
            given = [one.clone().requires_grad_() for one in (x, mask)]
            k, m = centred_fft(maps * given[0][:, None]), given[1]
            plain = m * k + noise if on_all else m * (k + noise)
            made = plain if plainly else fourier.measured(*given, maps, 0.3, draws, on_all)
            found.append([made.detach(), *torch.autograd.grad((made * y.conj()).real.sum(), given)])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
    for function, one in ((to_coils, x), (from_coils, y)):
        given = one.clone().requires_grad_()
        other = y if function is to_coils else x
        (slope,) = torch.autograd.grad((function(given, maps) * other.conj()).real.sum(), given)
        torch.testing.assert_close(slope, (from_coils if function is to_coils else to_coils)(other, maps))


def _encoders(coils: int) -> list[CartesianEncoder]:
    maps = torch.from_numpy(coil_maps(coils, 16, 0))
    scores = torch.randn(16, generator=torch.Generator().manual_seed(3))
    return [kind(scores, LineBudget(16, 6, 4), maps, 0.01) for kind in (CartesianEncoder, SharedTimeEncoder)]


def _exploring(encoder: CartesianEncoder) -> CartesianEncoder:
    """In a training step in which the lines can be learnt."""
    for seed in range(100):
        encoder.explore(0.1, torch.Generator().manual_seed(seed))
        if encoder.choice().requires_grad:
            return encoder
    raise AssertionError("this encoder never explores")


@pytest.mark.parametrize("which", [0, 1])
def test_unseen_and_its_derivatives_are_those_of_the_operator(which: int) -> None:
    encoder = _exploring(_encoders(3)[which])
    images = torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    prior = fit_fourier_prior(images)
    weight = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    found = []
    for plainly in (False, True):
        x = images.clone().requires_grad_()
        if plainly:
            weights = encoder.mask()
            level = float(prior.variance[0].mean())
            seen = _normal(
                torch.complex(x[:, 0], x[:, 1]),
                encoder.coil_maps,
                weights.square() if isinstance(encoder, SharedTimeEncoder) else weights,
            )
            length = 1 / (encoder.norm_squared() + 2 * encoder.noise**2 / level)
            left = x - length * torch.stack([seen.real, seen.imag], dim=1)
        else:
            left = encoder.estimator(prior).unseen(x)
        found.append([left.detach(), *torch.autograd.grad((left * weight).sum(), [x, encoder.weight])])
    for ours, theirs in zip(*found, strict=True):
        assert float((ours - theirs).norm()) <= 2e-5 * float(theirs.norm())


def test_no_coil_is_kept_in_the_graph() -> None:
    """As built, maps and lines are kept of the estimate; while lines are learnt, images, however many coils."""
    images = torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    prior = fit_fourier_prior(images)
    for coils in (2, 12):
        encoder = _encoders(coils)[0]
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        y = encoder.A(images).detach()
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder.estimator(prior).estimate(y.requires_grad_())
        assert sum(kept.values()) <= encoder.coil_maps.numel() + images.numel()
        _exploring(encoder)
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder.estimator(prior).estimate(y.detach())
        assert sum(kept.values()) <= encoder.coil_maps.numel() + 8 * images.numel()
