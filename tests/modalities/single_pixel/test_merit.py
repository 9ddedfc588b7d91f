"""Figures of merit of patterns, on sets whose values are known."""

import math

import pytest
import torch
from torch import Tensor

from cidesign.modalities.single_pixel import merit
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns, random_patterns
from cidesign.modalities.single_pixel.merit import pattern_bound, pattern_merits
from cidesign.pattern import Encoding
from cidesign.physics.base import ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.linear_bound import Bound
from cidesign.physics.merit import NotEvaluated
from cidesign.physics.noise import DetectorNoise

SIDE = 8


def _prior(level: float = 0.5) -> ImagePrior:
    frequency = torch.arange(SIDE)[:, None] + torch.arange(SIDE)
    variance = 0.02 / (1.0 + frequency) ** 2
    return ImagePrior(torch.tensor([level]), torch.eye(1), variance[None])


def test_merits_of_the_whole_hadamard_basis() -> None:
    encoder = SinglePixelEncoder.fixed(hadamard_patterns(SIDE, SIDE**2, "natural"))
    found = pattern_merits(encoder)
    assert list(found) == ["condition_number", "row_coherence", "column_coherence"]
    assert found["condition_number"] == pytest.approx(1.0)
    assert found["row_coherence"] == 0
    assert found["column_coherence"] == pytest.approx(0, abs=1e-6)


def test_pixels_that_no_pattern_tells_apart() -> None:
    patterns = torch.ones(3, 4, 4)
    patterns[1, :, 2:] = -1
    patterns[2, 2:] = -1
    found = pattern_merits(SinglePixelEncoder.fixed(patterns))
    # Four blocks of four pixels with the columns (1, +-1, +-1): equal within a block, 1/3 or less across.
    assert found["column_coherence"] == pytest.approx(1.0)
    assert found["row_coherence"] == pytest.approx(0.0)
    assert found["condition_number"] == pytest.approx(1.0)


def test_what_takes_minutes_is_said_to_be_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SinglePixelEncoder.fixed(random_patterns(SIDE, 10, 1))
    monkeypatch.setattr(merit, "MAX_PRODUCTS", 10**2 * 64)
    monkeypatch.setattr(merit, "MAX_SVD_OPERATIONS", 10**2 * 64 - 1)
    monkeypatch.setattr(merit, "MAX_MATRIX_VALUES", 639)
    found = pattern_merits(encoder)
    why = NotEvaluated("10 patterns of 64 pixels would take minutes")
    assert (found["condition_number"], found["column_coherence"]) == (why, why)
    assert isinstance(found["row_coherence"], float)
    assert isinstance(pattern_bound(encoder, _prior()), NotEvaluated)


def test_the_bound_of_an_orthonormal_basis_is_that_of_a_wiener_filter() -> None:
    """y = U x + n with U^T U = 1: every coefficient of the prior's own basis is left with v s^2 / (v + s^2)."""
    photoelectrons, read, level = 1e4, 20.0, 0.5
    noise = DetectorNoise(photoelectrons, read, "complementary")
    encoder = SinglePixelEncoder.fixed(hadamard_patterns(SIDE, SIDE**2, "sequency"), noise)
    variance = _prior().variance.double().flatten()
    s_squared = (SIDE / photoelectrons) ** 2 * (photoelectrons * level + 2 * read**2)
    wanted = float((variance * s_squared / (variance + s_squared)).mean())
    found = pattern_bound(encoder, _prior(level))
    assert isinstance(found, Bound)
    assert found.mean_square == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_the_bound_is_what_the_encoder_simulates(encoding: Encoding) -> None:
    """Images of the prior, through the encoder's own noise and the best linear estimate for it."""
    noise = DetectorNoise(2e3, 15.0, encoding)
    encoder = SinglePixelEncoder(
        torch.from_numpy(random_patterns(SIDE, 20, 3)), None, noise, encoding == "as-shown"
    ).requires_grad_(False)
    prior = _prior()
    draws = torch.Generator().manual_seed(5)
    dct = dct_matrix(SIDE)
    coefficients = prior.variance[0].sqrt() * torch.randn(20_000, SIDE, SIDE, generator=draws)
    x = 0.5 + (dct.T @ coefficients @ dct)[:, None]
    y = encoder(x, draws)
    matrix, basis = encoder.matrix().double(), torch.kron(dct, dct).double()
    covariance = basis.T @ torch.diag(prior.variance.flatten().double()) @ basis
    mean = torch.full((SIDE**2,), 0.5, dtype=torch.float64)
    # The covariance of the noise, from what was drawn.
    drawn = (y - encoder.A(x)).double()
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + drawn.T @ drawn / len(drawn))
    estimate = mean + (y.double() - mean @ matrix.T) @ gain.T
    squares = (estimate - x.flatten(1)).square().mean(dim=1)
    found = pattern_bound(encoder, prior)
    assert isinstance(found, Bound)
    assert abs(float(squares.mean()) - found.mean_square) < 4 * _standard_error(squares)


def _standard_error(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values))
