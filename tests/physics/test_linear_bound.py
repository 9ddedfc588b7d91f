"""The linear bound against cases by hand, against simulation, and by probes against the closed form."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.physics import linear_bound as module
from cidesign.physics.linear_bound import (
    Bound,
    LinearModel,
    exact_bound,
    linear_bound,
    matrix_bound,
    mean_bound,
    probed_bound,
)
from cidesign.physics.merit import Estimate, NotEvaluated


def _draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _model(readings: int = 20, shape: tuple[int, int, int] = (2, 4, 5)) -> tuple[LinearModel, Tensor, Tensor]:
    """A model of a dense matrix in a turned basis; the matrix (M, N), and the basis (N, N)."""
    unknowns = math.prod(shape)
    matrix, basis = _draws(readings, unknowns), torch.linalg.qr(_draws(unknowns, unknowns, seed=1)).Q
    variance = torch.logspace(-3, 1, unknowns, dtype=torch.float64).reshape(shape)
    noise = torch.linspace(0.1, 2.0, readings, dtype=torch.float64)
    model = LinearModel(
        lambda x: x.flatten(1) @ matrix.T,
        lambda y: (y @ matrix).reshape(-1, *shape),
        lambda x: (x.flatten(1) @ basis.T).reshape(-1, *shape),
        lambda c: (c.flatten(1) @ basis).reshape(-1, *shape),
        variance,
        noise,
        float((matrix.square() / noise[:, None]).sum()) / unknowns,
    )
    return model, matrix, basis


def test_one_unknown_by_hand() -> None:
    # v = 4, a = 3, s^2 = 12: 4 - 4 * 3 * 3 * 4 / (36 + 12) = 1.
    found = matrix_bound(torch.tensor([[3.0]]), torch.tensor([4.0]), torch.tensor([12.0]))
    assert found.mean_square == pytest.approx(1.0)
    assert found.standard_error is None
    assert found.merit == pytest.approx(0.0, abs=1e-9)


def test_a_sum_of_two_unknowns_by_hand() -> None:
    # A = (1, 1), C = diag(1, 3), s^2 = 4: 4 - (1 + 9) / 8 = 2.75 over two unknowns.
    found = matrix_bound(torch.tensor([[1.0, 1.0]]), torch.tensor([1.0, 3.0]), torch.tensor([4.0]))
    assert found.mean_square == pytest.approx(2.75 / 2)
    # Read twice, with noise that is all shared, the second reading tells nothing.
    shared = torch.full((2, 2), 4.0)
    twice = matrix_bound(torch.ones(2, 2), torch.tensor([1.0, 3.0]), shared)
    assert twice.mean_square == pytest.approx(2.75 / 2, rel=1e-6)
    # With independent noise it is as one of half the variance: 4 - 10 / 6.
    assert matrix_bound(torch.ones(2, 2), torch.tensor([1.0, 3.0]), torch.full((2,), 4.0)).mean_square == pytest.approx(
        (4 - 10 / 6) / 2
    )


def test_readings_that_see_nothing_without_noise_tell_nothing() -> None:
    found = matrix_bound(torch.tensor([[3.0], [0.0]]), torch.tensor([4.0]), torch.tensor([12.0, 0.0]))
    assert found.mean_square == pytest.approx(1.0)
    assert matrix_bound(torch.zeros(1, 2), torch.tensor([1.0, 3.0]), torch.ones(1)).mean_square == pytest.approx(2.0)


def test_the_bound_is_the_error_of_the_best_linear_estimate_and_of_no_other() -> None:
    """Simulated: images of the prior, measured with noise; the mean squared error within its standard error."""
    model, matrix, basis = _model()
    covariance = basis.T @ torch.diag(model.variance.flatten()) @ basis
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + torch.diag(model.noise))
    x = (_draws(20_000, 40, seed=2) * model.variance.flatten().sqrt()) @ basis
    y = x @ matrix.T + _draws(20_000, 20, seed=3) * model.noise.sqrt()
    bound = exact_bound(model).mean_square
    squares = (y @ gain.T - x).square().mean(dim=1)
    assert abs(float(squares.mean()) - bound) < 4 * float(squares.std()) / math.sqrt(len(squares))
    for other in (1.3 * gain, gain + 0.05 * _draws(40, 20, seed=4)):
        worse = (y @ other.T - x).square().mean(dim=1)
        assert float(worse.mean()) > bound + 4 * float(worse.std()) / math.sqrt(len(worse))


def test_by_rows_as_by_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    model, matrix, basis = _model()
    wanted = matrix_bound(matrix @ basis.T, model.variance.flatten(), model.noise).mean_square
    covariance = basis.T @ torch.diag(model.variance.flatten()) @ basis
    inverse = torch.linalg.inv(matrix @ covariance @ matrix.T + torch.diag(model.noise))
    direct = covariance - covariance @ matrix.T @ inverse @ matrix @ covariance
    assert wanted == pytest.approx(float(direct.trace()) / 40, rel=1e-9)
    for block in (2**22, 7 * 40):
        monkeypatch.setattr(module, "BLOCK_VALUES", block)
        assert exact_bound(model).mean_square == pytest.approx(wanted, rel=1e-9)


def test_probes_estimate_the_bound_within_their_standard_error() -> None:
    model, _, _ = _model()
    wanted = exact_bound(model)
    found = probed_bound(model, probes=400)
    assert isinstance(found, Bound)
    assert found.standard_error is not None
    assert 0 < found.standard_error < 0.05 * wanted.mean_square
    assert abs(found.mean_square - wanted.mean_square) < 4 * found.standard_error
    merit = found.merit
    assert isinstance(merit, Estimate)
    assert merit.value == pytest.approx(-10 * math.log10(found.mean_square))
    upper = -10 * math.log10(found.mean_square - found.standard_error)
    assert merit.value + merit.standard_error == pytest.approx(upper, abs=0.02)


def test_what_is_too_large_is_probed_and_what_is_larger_is_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = _model()
    assert linear_bound(model) == exact_bound(model)
    monkeypatch.setattr(module, "MAX_EXACT_VALUES", 799)
    assert linear_bound(model) == probed_bound(model, 32)
    monkeypatch.setattr(module, "PROBED_TOGETHER", 40 * 20)
    assert linear_bound(model) == probed_bound(model, 20)
    monkeypatch.setattr(module, "MAX_PROBED_VALUES", 39)
    assert linear_bound(model) == NotEvaluated("40 unknowns would take minutes; the limit is 39")


def test_probes_that_do_not_converge_are_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITERATIONS", 1)
    found = probed_bound(_model()[0], 8)
    assert isinstance(found, NotEvaluated)
    assert found.why.startswith("the probes did not converge in 1 steps")


def test_the_bound_of_several_places() -> None:
    assert mean_bound([Bound(1.0), Bound(3.0)], 2) == Bound(2.0, None)
    part = mean_bound([Bound(1.0), Bound(3.0)], 9)
    assert part == Bound(2.0, pytest.approx(math.sqrt(2) / math.sqrt(2)))
    assert mean_bound([Bound(1.0, 0.3), Bound(3.0, 0.4)], 2) == Bound(2.0, pytest.approx(0.25))
    assert mean_bound([Bound(1.0), NotEvaluated("why")], 2) == NotEvaluated("why")


def test_an_exact_image_has_a_finite_bound() -> None:
    assert Bound(0.0).db == pytest.approx(120.0)
    assert np.isfinite(Bound(0.0, 0.0).merit).all()
