"""Fixed points: exactly the budget, smallest distances that grow, lattices and densities by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.constraints.points import PointBudget, elliptical_radius
from cidesign.errors import LimitError
from cidesign.modalities.mri.points.fixed_designs import (
    CENTRE_RADIUS,
    caipi_points,
    centre_points,
    furthest_shift,
    gaussian_points,
    poisson_disc,
)

DESIGNS: dict[str, Callable[[PointBudget, int], NDArray[np.bool_]]] = {
    "centre": lambda rule, seed: centre_points(rule),
    "Poisson disc": poisson_disc,
    "CAIPI": lambda rule, seed: caipi_points(rule),
    "Gaussian": gaussian_points,
}


@st.composite
def budgets(draw: st.DrawFn) -> PointBudget:
    lines, partitions = draw(st.integers(4, 24)), draw(st.integers(4, 24))
    region = draw(st.integers(0, lines // 3)), draw(st.integers(0, partitions // 3))
    elliptical = draw(st.booleans())
    try:
        most = PointBudget(lines, partitions, max(region[0] * region[1], 1), region, elliptical).most
    except LimitError:
        return PointBudget(lines, partitions, 5, (1, 1), elliptical)
    return PointBudget(lines, partitions, draw(st.integers(max(region[0] * region[1], 1), most)), region, elliptical)


@pytest.mark.parametrize("name", DESIGNS)
@given(rule=budgets(), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_exactly_the_budget(name: str, rule: PointBudget, seed: int) -> None:
    chosen = DESIGNS[name](rule, seed)
    assert np.array_equal(chosen, DESIGNS[name](rule, seed))
    assert rule.check(rule.trajectory(chosen, 8, "test", "0" * 64)) == []


def _nearest(rule: PointBudget, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of pairs that are not both of the calibration region: their distance, and the smaller radius of both."""
    at = np.argwhere(chosen)
    region, radius = rule.always[chosen], rule.radius[chosen]
    apart = np.hypot(*(at[:, None] - at).transpose(2, 0, 1))
    pairs = ~(region[:, None] & region) & np.triu(np.ones((len(at), len(at)), dtype=bool), 1)
    return apart[pairs], np.minimum(radius[:, None], radius)[pairs]


@pytest.mark.parametrize(("shape", "acquired"), [((48, 40), 240), ((64, 64), 512)])
def test_no_two_points_of_a_poisson_disc_are_nearer_than_the_distance_that_grows(
    shape: tuple[int, int], acquired: int
) -> None:
    rule = PointBudget(*shape, acquired, (6, 5))
    apart, radius = _nearest(rule, poisson_disc(rule, 1))
    # The scale of the distances: what the closest pair, relative to its radius, leaves.
    scale = float((apart / (CENTRE_RADIUS + radius)).min())
    edge = radius > 0.8
    assert float(apart[edge].min()) >= scale * (CENTRE_RADIUS + 0.8)
    # A draw of the same densities has neighbours everywhere.
    drawn, where = _nearest(rule, gaussian_points(rule, 1))
    assert scale > 1.5 * float((drawn / (CENTRE_RADIUS + where)).min())
    # Between a random and a hexagonal packing of discs: as large a scale as there is.
    packed = np.minimum(2 / 3**0.5 / (scale * (CENTRE_RADIUS + rule.radius[~rule.never])) ** 2, 1).sum()
    assert 0.45 < acquired / packed < 1.05


def test_poisson_discs_are_denser_at_the_centre_and_differ_by_seed() -> None:
    rule = PointBudget(64, 64, 512, (4, 4))
    first, second = poisson_disc(rule, 1), poisson_disc(rule, 2)
    inner, outer = rule.radius < 0.3, (rule.radius > 0.7) & (rule.radius < 1)
    assert first[inner].mean() > 3 * first[outer].mean() > 0
    assert (first != second).sum() > 400


def test_lattices_lie_far_apart() -> None:
    """Two by two becomes a shifted lattice, and seven is the one of knights' moves."""
    assert [furthest_shift(period) for period in (1, 2, 4, 5)] == [0, 1, 2, 2]
    for period in (3, 7, 8, 12):
        at = (
            np.argwhere((np.arange(41)[:, None] - 20 + furthest_shift(period) * (np.arange(41) - 20)) % period == 0)
            - 20
        )
        found = min(int(square) for square in (at**2).sum(axis=1) if square)
        others = []
        for shift in range(period):
            other = np.argwhere((np.arange(41)[:, None] - 20 + shift * (np.arange(41) - 20)) % period == 0) - 20
            others.append(min(int(square) for square in (other**2).sum(axis=1) if square))
        assert found == max(others)


def test_caipi_by_hand() -> None:
    """A quarter of 8 x 8 without a calibration region: every second line and partition, shifted, less the outermost."""
    chosen = caipi_points(PointBudget(8, 8, 16, (0, 0), elliptical=False))
    down, across = np.argwhere(chosen).T - 4
    assert set(((down + 2 * across) % 4).tolist()) == {0}
    assert len(down) == 16
    # With corners left out there are fewer, and a shorter period is taken.
    round_ = caipi_points(PointBudget(16, 16, 64, (4, 4)))
    assert round_.sum() == 64
    assert not round_[elliptical_radius((16, 16)) > 1].any()
    left_out = PointBudget(16, 16, 64, (4, 4))
    outside = round_ & ~left_out.always
    period = min(
        period
        for period in range(1, 17)
        if all((row - 8 + furthest_shift(period) * (column - 8)) % period == 0 for row, column in np.argwhere(outside))
        and period > 1
    )
    assert 2 <= period <= 4


def test_density_follows_the_gaussian() -> None:
    """Means over many seeds, where few points are drawn."""
    rule = PointBudget(32, 24, 12, (0, 0), elliptical=False)
    found = sum(gaussian_points(rule, seed, 0.5).astype(float) for seed in range(600)) / 600
    weight = np.exp(-2 * rule.radius**2)
    for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 1), (1, 2)):
        ring = (rule.radius >= low) & (rule.radius < high)
        assert found[ring].sum() == pytest.approx(12 * weight[ring].sum() / weight.sum(), rel=0.12)


def test_centre_points_are_the_innermost() -> None:
    rule = PointBudget(20, 16, 60, (2, 2))
    chosen = centre_points(rule)
    assert rule.radius[chosen].max() <= rule.radius[~chosen].min()
