"""Figures of merit of the optics, on cases whose values are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.errors import InputError, LimitError
from cidesign.modalities.mri.fixed_designs import centre_lines, equispaced_lines, random_lines
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns, random_patterns
from cidesign.physics import encoder_metrics
from cidesign.physics.encoder_metrics import (
    band_correlation,
    column_coherence,
    condition_number,
    gradient_norms,
    line_density,
    line_spread,
    operator_coherence,
    operator_matrix,
    row_coherence,
)

CPU = torch.device("cpu")


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _mask(lines: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=np.uint8)
    mask[lines] = 1
    return mask


def test_condition_number_of_known_singular_values() -> None:
    u, v = torch.linalg.qr(_random(5, 5)).Q, torch.linalg.qr(_random(9, 9, seed=1)).Q
    for singular, wanted in (
        ([4.0, 3.0, 2.0, 1.0, 0.5], 8),
        ([4.0, 3.0, 2.0, 0.0, 0.0], 2),
        ([1.0, 1e-5, 0, 0, 0], 1e5),
    ):
        matrix = u @ torch.diag(torch.tensor(singular)) @ v[:5]
        assert condition_number(matrix) == pytest.approx(wanted, rel=0.02)
    assert condition_number(torch.from_numpy(hadamard_patterns(8, 20, "natural")).flatten(1)) == pytest.approx(1)
    assert math.isnan(condition_number(torch.zeros(3, 4)))
    # Random signs, 102 of 1024: (1 + sqrt(K / N)) / (1 - sqrt(K / N)), by Marchenko and Pastur; as 0/1 the mean rules.
    signed = torch.from_numpy(random_patterns(32, 102, 5)).flatten(1)
    edge = math.sqrt(102 / 1024)
    assert condition_number(signed) == pytest.approx((1 + edge) / (1 - edge), rel=0.05)
    assert condition_number((signed + 1) / 2) > 10


def test_coherence_of_known_matrices() -> None:
    assert column_coherence(torch.eye(7)) == 0
    assert column_coherence(torch.linalg.qr(_random(30, 30)).Q) == pytest.approx(0, abs=1e-6)
    pair = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert column_coherence(pair) == row_coherence(pair) == pytest.approx(math.sqrt(0.5))
    twice = torch.tensor([[1.0, 0.0, -3.0, 0.0], [2.0, 1.0, -6.0, 0.0]])  # third = -3 times first; last unseen
    assert column_coherence(twice) == pytest.approx(1)
    assert column_coherence(torch.tensor([[1.0, 0.0], [2.0, 0.0]])) == 0
    rows = torch.from_numpy(hadamard_patterns(8, 20, "sequency")).flatten(1)
    assert row_coherence(rows) == 0
    assert row_coherence(torch.from_numpy(random_patterns(8, 20, 1)).flatten(1)) > 0.2


def test_coherence_in_blocks_is_coherence(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = _random(12, 100, seed=3)
    unit = (matrix / matrix.norm(dim=0)).double()
    wanted = float(((unit.T @ unit).abs() - torch.eye(100)).max())
    for block in (512, 33, 1):
        monkeypatch.setattr(encoder_metrics, "BLOCK", block)
        assert column_coherence(matrix) == pytest.approx(wanted, abs=1e-6)


def test_operators_without_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers through A and its adjoint as from the matrix that made them."""
    shape, matrix = (3, 4, 5), _random(14, 60, seed=4)
    matrix[:, 17] = 0.0

    def A(x: Tensor) -> Tensor:
        return (x.flatten(1) @ matrix.T).reshape(-1, 2, 7)

    def A_adjoint(y: Tensor) -> Tensor:
        return (y.flatten(1) @ matrix).reshape(-1, *shape)

    for block in (512, 7):
        monkeypatch.setattr(encoder_metrics, "BLOCK", block)
        torch.testing.assert_close(operator_matrix(A, shape, CPU), matrix)
        assert operator_coherence(A, A_adjoint, shape, CPU) == pytest.approx(column_coherence(matrix), abs=1e-6)
    monkeypatch.setattr(encoder_metrics, "MAX_MATRIX_BYTES", 14 * 60 * 4 - 1)
    with pytest.raises(LimitError, match="operator of 14 values on 60 unknowns"):
        operator_matrix(A, shape, CPU)


def test_band_correlation_of_known_cubes() -> None:
    band = _random(6, 7)
    across = _random(6, 7, seed=1)
    across = across - across.mean()
    across = across - (across * (band - band.mean())).sum() / (band - band.mean()).square().sum() * (band - band.mean())
    # Pearson is blind to offset, gain and, by its absolute value, sign.
    assert band_correlation(torch.stack([band, 3 * band + 1, -band])[None]) == pytest.approx(1)
    assert band_correlation(torch.stack([band, across])[None]) == pytest.approx(0, abs=1e-6)
    cubes = torch.stack([torch.stack([band, band]), torch.stack([band, across + 0.2])])
    assert band_correlation(cubes) == pytest.approx(0.5, abs=1e-6)
    cube = _random(1, 4, 8, 8, seed=2)
    wanted = np.abs(np.corrcoef(cube[0].flatten(1).numpy()))[np.triu_indices(4, 1)].mean()
    assert band_correlation(cube) == pytest.approx(wanted, rel=1e-5)


def test_band_correlation_without_structure() -> None:
    cube = torch.stack([_random(6, 7), torch.full((6, 7), 0.3), _random(6, 7, seed=1)])
    assert band_correlation(cube[None]) == pytest.approx(band_correlation(cube[[0, 2]][None]))
    assert math.isnan(band_correlation(cube[:2][None]))
    assert math.isnan(band_correlation(cube[:1][None]))


def test_line_density_by_hand() -> None:
    # Distances from line 4: 4 3 2 1 0 1 2 3.
    lines = np.array([0, 1, 0, 1, 1, 1, 0, 0], dtype=np.uint8)
    assert line_density(lines, 5).tolist() == [1, 1, 0, 0.5, 0]
    assert line_density(lines, 1).tolist() == [0.5]
    fine = line_density(lines, 10)
    assert fine[::2].tolist() == [1, 1, 0, 0.5, 0]
    assert np.isnan(fine[1::2]).all()


def test_side_lobes_of_a_comb_are_as_high_as_the_main_lobe() -> None:
    comb = line_spread(_mask(equispaced_lines(LineBudget(64, 32, 0), 0.0), 64))
    assert comb == pytest.approx((1, 1))
    four = line_spread(_mask(equispaced_lines(LineBudget(64, 16, 0), 0.3), 64))
    assert four == pytest.approx((1, 1))
    assert line_spread(_mask(np.array([32]), 64)) == pytest.approx((1, 1))


def test_side_lobes_of_a_low_pass_are_those_of_the_dirichlet_kernel() -> None:
    count, acquired = 128, 32
    spread = line_spread(_mask(centre_lines(LineBudget(count, acquired, 0)), count))
    j = np.arange(1, count // 2 + 1)
    kernel = np.abs(np.sin(np.pi * j * acquired / count) / np.sin(np.pi * j / count)) / acquired
    assert spread.coherence == pytest.approx(kernel[0])
    assert spread.side_lobe == pytest.approx(kernel[count // acquired - 1 :].max())
    assert spread.side_lobe < 0.23 < 0.85 < spread.coherence


def test_side_lobes_of_all_lines_and_of_random_ones() -> None:
    for count in (1, 2, 7, 64):
        assert line_spread(np.ones(count, dtype=np.uint8)) == (0, 0)
    random = [line_spread(_mask(random_lines(LineBudget(256, 64, 0), seed), 256)) for seed in range(5)]
    assert all(0.1 < spread.side_lobe <= spread.coherence < 0.5 for spread in random)
    with pytest.raises(InputError, match="no line is acquired"):
        line_spread(np.zeros(8, dtype=np.uint8))


def test_gradient_norm_of_each_term() -> None:
    optics = torch.tensor([1.0, 2.0], requires_grad=True)
    gain = torch.tensor(3.0, requires_grad=True)
    other = torch.tensor(5.0, requires_grad=True)
    terms = {
        "task": (optics.square().sum() * gain),  # d optics = 6, 12; d gain = 5
        "decoder": other * 2,
        "constant": torch.tensor(4.0),
    }
    norms = gradient_norms(terms, iter([optics, gain]))
    assert norms == pytest.approx({"task": math.sqrt(36 + 144 + 25), "decoder": 0, "constant": 0})
    assert optics.grad is None
    terms["task"].backward()  # the graph is still there
    assert optics.grad is not None
