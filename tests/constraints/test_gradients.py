"""The rule of gradients as a check and as a projection: one and the same."""

from dataclasses import replace

import numpy as np
import pytest

from cidesign.constraints.gradients import (
    GradientRule,
    control_points,
    gradient_sizes,
    gradients_of,
    project,
    projected,
    refinement,
    slew_sizes,
)
from cidesign.pattern import NonCartesian
from cidesign.testing.trajectories import shots

RULE = GradientRule(30.0, 130.0, 10_000, 100.0, 8192, 4)
FOV_MM = 200.0


def _design(points: np.ndarray, rule: GradientRule = RULE) -> NonCartesian:
    gradients = gradients_of(points, rule.per_raster(FOV_MM))
    count = points.shape[1]
    return NonCartesian(
        (16, 16), FOV_MM, gradients, points[:, 0].copy(), rule.raster_ns, 4, 10_000, 0, "x", f"{count:064d}"
    )


def _wild(seed: int, size: float, shots: int = 3, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return size * np.cumsum(rng.standard_normal((shots, count, 2)), axis=1)


def test_control_points_and_gradients_say_the_same() -> None:
    points = _wild(1, 0.3)
    found = _design(points)
    np.testing.assert_allclose(control_points(found), points, atol=1e-12)
    # A corner of k-space lies half-way between two control points.
    np.testing.assert_allclose(found.corners[:, 1:-1], 0.5 * (points[:, 1:] + points[:, :-1]), atol=1e-12)
    np.testing.assert_allclose(found.corners[:, -1], points[:, -1], atol=1e-12)


def test_worst_gradient_and_slew_rate_are_named_with_shot_time_value_and_limit() -> None:
    gradients = np.zeros((2, 9, 2))
    gradients[1, 4] = 24.0, 32.0
    gradients[1, [3, 5]] = 12.0, 16.0
    found = NonCartesian((16, 16), FOV_MM, gradients, np.zeros((2, 2)), 10_000, 4, 10_000, 0, "x", "0" * 64)
    broken = {check.name: check for check in RULE.check(found)}
    assert set(broken) == {"gradient", "slew rate"}
    assert "shot 1, 0.040 ms after its start" in broken["gradient"].text
    assert (broken["gradient"].value, broken["gradient"].limit) == ("40 mT/m", "30 mT/m")
    # 20 mT/m in 10 us.
    assert "shot 1, 0.020 ms" in broken["slew rate"].text
    assert (broken["slew rate"].value, broken["slew rate"].limit) == ("2000 T/m/s", "130 T/m/s")


def test_vectors_are_limited_where_each_axis_alone_would_pass() -> None:
    gradients = np.zeros((1, 61, 2))
    gradients[0, :, 0] = gradients[0, :, 1] = 25 * np.minimum(1, np.minimum(np.arange(61), 60 - np.arange(61)) / 29)
    found = NonCartesian((16, 16), FOV_MM, gradients, np.zeros((1, 2)), 10_000, 4, 10_000, 0, "x", "0" * 64)
    assert [check.name for check in RULE.check(found)] == ["gradient"]
    assert gradient_sizes(found).max() == pytest.approx(25 * 2**0.5)
    assert slew_sizes(found).max() < 130


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"raster_ns": 6_400}, ["gradient raster"]),
        ({"adc_raster_ns": 4_000.0}, ["dwell time"]),
        ({"most_samples": 4}, ["samples of a shot"]),
        ({"samples_divisor": 4}, ["samples of a shot"]),
        ({}, []),
    ],
)
def test_grids_of_the_scanner(changed: dict, broken: list[str]) -> None:
    rule = replace(GradientRule(30.0, 500.0, 10_000, 100.0), **changed)
    assert [check.name for check in rule.check(shots())] == broken


@pytest.mark.parametrize("size", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("rasters", [1, 4])
def test_what_is_projected_passes_the_check(size: float, rasters: int) -> None:
    coarse = project(_wild(2, size), RULE.bounds(FOV_MM).coarser(rasters))
    fine = np.einsum("nm,smk->snk", refinement(coarse.shape[1], rasters), coarse)
    found = _design(fine)
    assert RULE.check(found) == []
    # The limits are used where they bind, not kept away from.
    used = max(gradient_sizes(found).max() / 30, slew_sizes(found).max() / 130)
    assert used > 0.99 or size < 3


def test_refined_gradients_are_straight_between_knots() -> None:
    coarse = _wild(3, 0.5, count=5)
    fine = np.einsum("nm,smk->snk", refinement(5, 3), coarse)
    steps = np.pad(np.diff(fine, axis=1), ((0, 0), (1, 1), (0, 0)))
    knots = np.pad(np.diff(coarse, axis=1), ((0, 0), (1, 1), (0, 0))) / 3
    np.testing.assert_allclose(steps[:, ::3], knots, atol=1e-12)
    between = np.diff(steps, n=2, axis=1)
    np.testing.assert_allclose(np.delete(between, np.arange(2, between.shape[1], 3), axis=1), 0, atol=1e-12)


def test_what_can_be_played_stays_bit_for_bit() -> None:
    points = project(_wild(4, 0.3), RULE.bounds(FOV_MM))
    assert project(points, RULE.bounds(FOV_MM)) is points


def test_nothing_that_can_be_played_is_nearer() -> None:
    bounds = RULE.bounds(FOV_MM)
    points = _wild(5, 0.3, shots=1)
    near = project(points, bounds)
    assert np.abs(near - points).max() > 0.1
    for seed in range(40):
        # From a convex set's nearest point, no other of its points lies towards the one that was projected.
        other = project(near + _wild(100 + seed, 0.1, shots=1), bounds)
        towards = ((points - near) * (other - near)).sum()
        assert towards <= 2e-3 * np.linalg.norm(points - near) * np.linalg.norm(other - near)


def test_shots_are_projected_each_by_itself() -> None:
    bounds, points = RULE.bounds(FOV_MM), _wild(6, 0.3)
    together, alone = project(points, bounds), project(points[1:2], bounds)
    np.testing.assert_allclose(together[1:2], alone, atol=2e-3)


def test_derivative_is_that_of_the_projection_and_symmetric() -> None:
    bounds = RULE.bounds(FOV_MM).coarser(4)
    points = _wild(7, 2.0)
    found = projected(points, bounds)
    one, other = (np.random.default_rng(seed).standard_normal(points.shape) for seed in (8, 9))
    step = 1e-3
    ahead, behind = (projected(points + sign * step * one, bounds).points for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    assert np.linalg.norm(found.derivative(one) - slope) < 0.05 * np.linalg.norm(slope)
    assert 0.05 < np.linalg.norm(slope) / np.linalg.norm(one) < 0.95
    left, right = (found.derivative(one) * other).sum(), (found.derivative(other) * one).sum()
    assert left == pytest.approx(right, abs=1e-3 * np.linalg.norm(one) * np.linalg.norm(other))


def test_a_teacher_has_a_higher_slew_rate_and_no_other_limit() -> None:
    assert RULE.with_slew(2) == replace(RULE, slew_t_per_m_per_s=260.0)
    assert RULE.with_slew(2).bounds(FOV_MM).step == RULE.bounds(FOV_MM).step
