"""Linear reconstruction against the textbook formula with full matrices."""

from collections.abc import Iterator

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from cidesign.modalities.single_pixel.encoder import single_band
from cidesign.physics.base import ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.linear_inverse import (
    CosinePrior,
    LinearEstimator,
    SpectralPrior,
    fit_prior,
    lmmse,
    resized_prior,
    tikhonov,
)


def test_lmmse_is_the_full_formula() -> None:
    rng = np.random.default_rng(1)
    side, count, noise = 6, 11, 0.03
    matrix = rng.normal(size=(count, side * side)) / side
    variance = 1 / (1 + np.add.outer(np.arange(side) ** 2, np.arange(side) ** 2))
    basis = scipy.fft.dct(np.eye(side), norm="ortho", axis=0)
    full = np.kron(basis, basis)
    covariance = full.T @ np.diag(variance.ravel()) @ full
    y = rng.normal(size=(3, count))
    mean = 0.4 * np.ones(side * side)
    gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + noise * np.eye(count))
    wanted = mean + (y - matrix @ mean) @ gain.T
    prior = SpectralPrior(torch.tensor(0.4, dtype=torch.float64), torch.tensor(variance))
    got = lmmse(torch.tensor(y), torch.tensor(matrix), prior, noise)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_tikhonov_is_least_squares() -> None:
    rng = np.random.default_rng(2)
    matrix, y = rng.normal(size=(7, 30)), rng.normal(size=(2, 7))
    wanted = np.linalg.solve(matrix.T @ matrix + 0.1 * np.eye(30), matrix.T @ y.T).T
    np.testing.assert_allclose(
        tikhonov(torch.tensor(y), torch.tensor(matrix), 0.1).numpy(), wanted, rtol=1e-4, atol=1e-5
    )


def test_complete_measurement_returns_the_image() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    prior = single_band(fit_prior(x))
    found = lmmse(x.flatten(1), torch.eye(64), prior, 1e-9)
    torch.testing.assert_close(found, x.flatten(1), atol=1e-3, rtol=0)


# More cosines than are added up in double precision; variances over six decades, as photographs have them.
SIDE, COUNT, NOISE = 24, 57, 1e-4


def _decades() -> SpectralPrior:
    frequency = torch.arange(SIDE, dtype=torch.float64).square()
    return SpectralPrior(torch.tensor(0.4), (30 / (1 + frequency[:, None] + frequency) ** 2).clamp_min(3e-5))


def _signs(dtype: torch.dtype) -> Tensor:
    draws = torch.randn(COUNT, SIDE**2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return draws.sign().to(dtype) / SIDE


def _readings() -> Tensor:
    return torch.randn(5, COUNT, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def _explicit(prior: SpectralPrior, matrix: Tensor, y: Tensor, mean: Tensor) -> Tensor:
    """m + C A^T (A C A^T + s^2 I)^-1 (y - A m) with every matrix written out, for autograd to go through."""
    basis = dct_matrix(SIDE).double()
    full = torch.kron(basis, basis)
    covariance = full.T @ (prior.variance.double().flatten()[:, None] * full)
    system = matrix @ covariance @ matrix.T + NOISE * torch.eye(COUNT, dtype=torch.float64)
    return mean + torch.linalg.solve(system, (y - mean @ matrix.T).T).T @ matrix @ covariance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 3e-4)])
@pytest.mark.parametrize("part", ["estimate", "unseen"])
def test_values_and_gradients_are_those_of_the_formula(part: str, dtype: torch.dtype, tolerance: float) -> None:
    """Also in single precision, as near as the condition of the system (about 1e5) allows."""
    prior = _decades()
    inputs = _readings() if part == "estimate" else _readings() @ _signs(torch.float64)
    weight = torch.randn(5, SIDE**2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found, wanted = [], []
    for kept, kind in ((found, dtype), (wanted, torch.float64)):
        given, matrix = inputs.to(kind).requires_grad_(), _signs(kind).requires_grad_()
        if kept is found:
            x = getattr(LinearEstimator(matrix, prior, NOISE), part)(given)
        elif part == "estimate":
            x = _explicit(prior, matrix, given, torch.full((1, SIDE**2), float(prior.mean_level), dtype=torch.float64))
        else:
            x = _explicit(prior, matrix, torch.zeros(1, COUNT, dtype=torch.float64), given)
        kept += [x.detach(), *torch.autograd.grad((x * weight.to(kind)).sum(), (given, matrix))]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == dtype
        assert float((ours.double() - theirs).norm() / theirs.norm()) < tolerance


def test_derivatives_are_exact() -> None:
    prior = SpectralPrior(torch.tensor(0.4, dtype=torch.float64), torch.rand(4, 4, dtype=torch.float64) + 0.1)
    matrix = torch.randn(3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    y, x = (torch.randn(2, count, dtype=torch.float64, requires_grad=True) for count in (3, 16))
    assert torch.autograd.gradcheck(lambda y, a: LinearEstimator(a, prior, 0.1).estimate(y), (y, matrix))
    assert torch.autograd.gradcheck(lambda x, a: LinearEstimator(a, prior, 0.1).unseen(x), (x, matrix))


def test_the_graph_keeps_no_array_beside_the_operator() -> None:
    """Nothing of the size of A or of its Gram is kept for the backward pass, but A itself."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    matrix = _signs(torch.float32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        LinearEstimator(matrix, _decades(), NOISE).estimate(_readings().float())
    assert kept.pop(matrix.data_ptr()) == COUNT * SIDE**2
    assert max(kept.values()) <= 5 * SIDE**2


def test_gradient_reaches_the_operator() -> None:
    matrix = torch.randn(5, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    prior = SpectralPrior(torch.tensor(0.5), torch.ones(8, 8))
    lmmse(torch.ones(2, 5), matrix, prior, 0.01).square().sum().backward()
    assert matrix.grad is not None
    assert float(matrix.grad.norm()) > 0


def test_equal_patterns_are_survived() -> None:
    matrix = torch.ones(6, 64) / 8
    prior = SpectralPrior(torch.tensor(0.5), torch.ones(8, 8))
    assert torch.isfinite(lmmse(torch.full((1, 6), 4.0), matrix, prior, 0.0)).all()


@pytest.mark.parametrize("noise", [0.0, 1e-12])
def test_twice_the_same_fine_patterns_are_survived(noise: float) -> None:
    """Of high frequencies, which are added up in single precision: rounding must not make the Gram indefinite."""
    matrix = _signs(torch.float32)
    readings = _readings().float()
    double = LinearEstimator(torch.cat([matrix, matrix]), _decades(), noise).estimate(torch.cat([readings] * 2, dim=1))
    once = LinearEstimator(matrix, _decades(), noise).estimate(readings)
    assert float((double - once).norm() / once.norm()) < 0.05


def test_prior_never_blinds_a_coefficient() -> None:
    prior = fit_prior(torch.full((3, 2, 8, 8), 0.25))
    assert prior.mean.tolist() == pytest.approx([0.25, 0.25])
    assert (prior.variance > 0).all()


def test_grey_prior_is_the_power_of_the_cosines() -> None:
    x = np.random.default_rng(3).random((6, 1, 5, 7))
    prior = fit_prior(torch.from_numpy(x).float())
    spectra = scipy.fft.dctn(x[:, 0] - x.mean(), norm="ortho", axes=(1, 2))
    np.testing.assert_allclose(single_band(prior).variance, np.square(spectra).mean(axis=0), rtol=1e-3, atol=1e-6)
    assert float(single_band(prior).mean_level) == pytest.approx(x.mean(), rel=1e-6)
    assert abs(float(prior.basis[0, 0])) == pytest.approx(1)


def test_spectral_prior_makes_the_channels_independent() -> None:
    """Two correlated channels and a third: in the basis their covariance is diagonal, and nothing is lost."""
    rng = np.random.default_rng(4)
    mixing = np.array([[1.0, 0.0, 0.0], [0.9, 0.2, 0.0], [0.1, -0.5, 0.4]])
    x = np.einsum("ij,bjhw->bihw", mixing, rng.normal(size=(200, 3, 4, 6))) + np.array([0.1, 0.5, -0.2])[:, None, None]
    prior = fit_prior(torch.from_numpy(x).float())
    basis = prior.basis.double().numpy()
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-5)
    covariance = np.cov(x.transpose(1, 0, 2, 3).reshape(3, -1))
    turned = basis @ covariance @ basis.T
    assert np.abs(turned - np.diag(np.diag(turned))).max() < 1e-3
    np.testing.assert_allclose(prior.variance.mean(dim=(1, 2)), np.diag(turned), rtol=0.01)
    np.testing.assert_allclose(prior.mean, x.mean(axis=(0, 2, 3)), atol=1e-6)


def test_shrinking_is_the_full_formula() -> None:
    """C (C + rho)^-1 x with the covariance written out."""
    rng = np.random.default_rng(5)
    prior = fit_prior(torch.from_numpy(rng.random((9, 2, 3, 4)).astype(np.float32)))
    full = np.kron(
        prior.basis.double().numpy(), np.kron(dct_matrix(3).double().numpy(), dct_matrix(4).double().numpy())
    )
    covariance = full.T @ np.diag(prior.variance.double().numpy().ravel()) @ full
    x = rng.normal(size=(5, 2, 3, 4))
    wanted = x.reshape(5, -1) @ np.linalg.solve(covariance + 0.3 * np.eye(24), covariance)
    found = CosinePrior(prior).shrink(torch.from_numpy(x).float(), 0.3)
    np.testing.assert_allclose(found.flatten(1), wanted, rtol=1e-4, atol=1e-5)
    assert CosinePrior(prior).mean_image((3, 4)).shape == (1, 2, 3, 4)


def test_a_prior_of_smaller_images_is_read_at_the_frequencies_of_larger_ones() -> None:
    """A density that falls exponentially along each axis is met exactly, above the lowest frequency too."""

    def of(height: int, width: int) -> Tensor:
        down, across = torch.arange(height) / height, torch.arange(width) / width
        return torch.exp(-3 * down[:, None] - 5 * across[None]).expand(2, -1, -1)

    mean, basis = torch.tensor([0.3, 0.4]), torch.eye(2)
    small = ImagePrior(mean, basis, of(8, 8))
    found = resized_prior(small, (24, 40))
    assert found.variance.shape == (2, 24, 40)
    # Above the highest frequency of the smaller images nothing is known, and the last one stands for it.
    wanted = of(24, 40).clone()
    wanted[:, 0, 0] = found.variance[:, 0, 0]
    torch.testing.assert_close(found.variance[:, :22, :36], wanted[:, :22, :36], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.variance.mean(dim=(1, 2)), small.variance.mean(dim=(1, 2)))
    assert bool((found.variance[:, -1] <= found.variance[:, 0]).all())
    assert resized_prior(small, (8, 8)) is small


def test_tiles_tell_the_prior_of_a_stationary_image() -> None:
    """Smooth noise: the variances that 16 pixels predict for 48 are those of images of 48, but for the coarsest."""
    draws = torch.Generator().manual_seed(1)
    noise = torch.randn(600, 1, 56, 56, generator=draws)
    images = torch.nn.functional.avg_pool2d(noise, 3, stride=1)[..., :48, :48]
    tiles = images.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    predicted, fitted = resized_prior(fit_prior(tiles), (48, 48)).variance[0], fit_prior(images).variance[0]
    ratio = (predicted / fitted)[3:24, 3:24].log()
    assert float(ratio.abs().mean()) < 0.15


def test_the_size_of_the_images_that_are_fitted_does_not_matter() -> None:
    """The same scenes in pieces of 16, 32 and 64 pixels give one prior of images of 64.

    Channels and the variance of a pixel are equal; densities agree but for the coarsest structures, and so do the
    linear estimates with them.
    """
    draws = torch.Generator().manual_seed(2)
    rough = torch.randn(400, 2, 64, 64, generator=draws)
    steps = torch.nn.functional.interpolate(torch.randn(400, 2, 9, 9, generator=draws), size=(64, 64), mode="bilinear")
    images = 0.05 * rough + steps + 0.5 * torch.randn(400, 2, 1, 1, generator=draws)
    images[:, 1] += images[:, 0]
    found = {}
    for side in (16, 32, 64):
        pieces = images.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        found[side] = resized_prior(fit_prior(pieces), (64, 64))
    whole = found[64]
    y = images[:8] + 0.5 * torch.randn(8, 2, 64, 64, generator=draws)
    rest = y - whole.mean[:, None, None]
    errors = {
        side: float((CosinePrior(prior).shrink(rest, 0.25) + y - rest - images[:8]).square().mean())
        for side, prior in found.items()
    }
    for side in (16, 32):
        prior = found[side]
        torch.testing.assert_close(prior.mean, whole.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close((prior.basis @ whole.basis.T).abs(), torch.eye(2), atol=1e-3, rtol=0)
        torch.testing.assert_close(prior.variance.mean(dim=(1, 2)), whole.variance.mean(dim=(1, 2)), rtol=1e-3, atol=0)
        fine = (prior.variance / whole.variance)[:, 16:, 16:].log()
        assert float(fine.mean().abs()) < 0.02
        assert errors[side] < 1.15 * errors[64]


def test_batches_give_the_prior_of_all_images() -> None:
    """To rounding, in batches of unequal sizes that are made anew in every pass."""

    class Batches:
        passes = 0

        def __iter__(self) -> Iterator[Tensor]:
            self.passes += 1
            return iter(x.split(7))

    x = torch.rand(30, 3, 6, 5, generator=torch.Generator().manual_seed(6))
    x *= torch.tensor([1.0, 0.3, 5.0])[:, None, None]
    batches = Batches()
    found, wanted = fit_prior(batches), fit_prior(x)
    assert batches.passes == 3
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.variance, wanted.variance, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close((found.basis @ wanted.basis.T).abs(), torch.eye(3), rtol=0, atol=1e-5)


def test_no_images_have_no_prior() -> None:
    with pytest.raises(ValueError, match="no images"):
        fit_prior([])
