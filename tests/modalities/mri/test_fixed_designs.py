"""Fixed line sets: always exactly the budget, for even and odd matrices and calibration blocks."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.constraints.kspace import LineBudget
from cidesign.errors import InputError
from cidesign.modalities.mri.fixed_designs import (
    centre_lines,
    equispaced_lines,
    partial_fourier_lines,
    random_lines,
    variable_density_lines,
)
from cidesign.pattern import CartesianLines, centre_block

DESIGNS: dict[str, Callable[[LineBudget, int], NDArray[np.int64]]] = {
    "centre": lambda rule, seed: centre_lines(rule),
    "variable density": lambda rule, seed: variable_density_lines(rule, seed, 2.5),
    "very central": lambda rule, seed: variable_density_lines(rule, seed, 1e4),
    "random": random_lines,
    "partial Fourier": lambda rule, seed: partial_fourier_lines(rule),
    "equispaced": lambda rule, seed: equispaced_lines(rule, (seed % 64) / 64),
    "equispaced, nearly a step on": lambda rule, seed: equispaced_lines(rule, 1 - 2**-53),
}


@st.composite
def budgets(draw: st.DrawFn) -> LineBudget:
    lines = draw(st.integers(1, 200))
    acquired = draw(st.integers(1, lines))
    return LineBudget(lines, acquired, draw(st.integers(0, acquired)))


@pytest.mark.parametrize("name", DESIGNS)
@given(rule=budgets(), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_exactly_the_budget(name: str, rule: LineBudget, seed: int) -> None:
    lines = DESIGNS[name](rule, seed)
    assert lines.dtype == np.int64
    assert np.array_equal(lines, DESIGNS[name](rule, seed))
    # CartesianLines refuses repeated, falling and outlying lines; check wants the count and the calibration lines.
    assert rule.check(CartesianLines(rule.lines, 8, lines, rule.calibration, "test", "0" * 64)) == []


def test_centre_block_by_hand() -> None:
    assert centre_lines(LineBudget(8, 3, 2)).tolist() == [3, 4, 5]
    assert centre_lines(LineBudget(7, 4, 0)).tolist() == [1, 2, 3, 4]


def test_partial_fourier_by_hand() -> None:
    assert partial_fourier_lines(LineBudget(64, 16, 4)).tolist() == list(range(28, 44))
    # The calibration block of 10 asks for 5 below the centre; a matrix of 16 ends after 8 above it.
    assert partial_fourier_lines(LineBudget(64, 12, 10)).tolist() == list(range(27, 39))
    assert partial_fourier_lines(LineBudget(16, 14, 0)).tolist() == list(range(2, 16))


def test_equispaced_by_hand() -> None:
    assert equispaced_lines(LineBudget(8, 4, 0), 0.0).tolist() == [0, 2, 4, 6]
    assert equispaced_lines(LineBudget(8, 4, 0), 0.5).tolist() == [1, 3, 5, 7]
    # Calibration 3, 4; others 0, 1, 2, 5, 6, 7, of which every third.
    assert equispaced_lines(LineBudget(8, 4, 2), 0.0).tolist() == [0, 3, 4, 5]
    assert equispaced_lines(LineBudget(8, 4, 2), 0.4).tolist() == [1, 3, 4, 6]


def test_equispaced_steps_differ_by_one_at_most() -> None:
    lines = equispaced_lines(LineBudget(256, 64, 24), 0.3)
    block = centre_block(256, 24)
    for side in (lines[lines < block.start], lines[lines >= block.stop]):
        assert set(np.diff(side)) <= {5, 6}  # 232 / 40 = 5.8


def test_density_follows_the_polynomial() -> None:
    """Means over many seeds: power 0 is flat, power 3 falls as (1 - r)^3 where few lines are drawn."""
    rule = LineBudget(128, 4, 0)
    flat = np.concatenate([random_lines(rule, seed) for seed in range(1500)])
    steep = np.concatenate([variable_density_lines(rule, seed, 3.0) for seed in range(1500)])
    radius = np.abs(np.arange(128) - 64) / 65
    for drawn, power in ((flat, 0), (steep, 3)):
        inner = np.isin(drawn, np.flatnonzero(radius < 0.25)).mean()
        weight = (1 - radius) ** power
        assert inner == pytest.approx(weight[radius < 0.25].sum() / weight.sum(), abs=0.04)


def test_seeds_differ() -> None:
    rule = LineBudget(128, 32, 8)
    assert not np.array_equal(random_lines(rule, 1), random_lines(rule, 2))
    assert not np.array_equal(variable_density_lines(rule, 1, 2.0), variable_density_lines(rule, 2, 2.0))


@pytest.mark.parametrize("power", [-1.0, float("nan"), float("inf")])
def test_powers_that_are_no_density(power: float) -> None:
    with pytest.raises(InputError, match="is no density"):
        variable_density_lines(LineBudget(16, 4, 2), 0, power)


@pytest.mark.parametrize("offset", [-0.1, 1.0, float("nan")])
def test_offsets_outside_a_step(offset: float) -> None:
    with pytest.raises(InputError, match="share of a step"):
        equispaced_lines(LineBudget(16, 4, 2), offset)
