"""Linear reconstruction against the textbook formula with full matrices."""

import numpy as np
import pytest
import scipy.fft
import torch

from cidesign.physics.linear_inverse import SpectralPrior, dct_matrix, fit_prior, lmmse, tikhonov


def test_dct_is_scipys() -> None:
    x = np.random.default_rng(0).random((9, 9))
    basis = dct_matrix(9).double().numpy()
    np.testing.assert_allclose(basis @ x @ basis.T, scipy.fft.dctn(x, norm="ortho"), atol=1e-6)


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
    prior = fit_prior(x)
    found = lmmse(x.flatten(1), torch.eye(64), prior, 1e-9)
    torch.testing.assert_close(found, x.flatten(1), atol=1e-3, rtol=0)


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


def test_prior_never_blinds_a_coefficient() -> None:
    prior = fit_prior(torch.full((3, 1, 8, 8), 0.25))
    assert float(prior.mean_level) == pytest.approx(0.25)
    assert (prior.variance > 0).all()
