"""The calibrated operator: adjoint, sense of turn and shift, orientations, bounds."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.operator import Placement, SpcOperator, light_basis
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
Image = NDArray[np.float64]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_seen_and_gathered_are_adjoint(orientation: Orientation) -> None:
    rng = np.random.default_rng(0)
    placement = Placement(7.0, 0.7, -1.2, orientation)
    patterns, images = rng.normal(size=(3, 9, 9)), rng.normal(size=(2, 9, 9))
    there = np.einsum("kij,mij->km", placement.seen(patterns), images)
    back = np.einsum("kij,mij->km", patterns, placement.gathered(images))
    assert there == pytest.approx(back, abs=1e-12)
    assert placement.gathered(images[0]) == pytest.approx(placement.gathered(images)[0])


def test_quarter_turns_and_whole_shifts_are_exact(f_scene: Callable[[int], Image]) -> None:
    scene = f_scene(16)[None]
    assert Placement(90.0).seen(scene)[0] == pytest.approx(np.rot90(scene[0], -1), abs=1e-9)
    assert Placement(-90.0).seen(scene)[0] == pytest.approx(np.rot90(scene[0], 1), abs=1e-9)
    moved = np.zeros((16, 16))
    moved[1:, 2:] = scene[0][:-1, :-2]
    assert Placement(0.0, 1.0, 2.0).seen(scene)[0] == pytest.approx(moved)
    between = Placement(0.0, 0.0, 0.25).seen(scene)[0]
    assert between == pytest.approx(0.75 * scene[0] + 0.25 * Placement(0.0, 0.0, 1.0).seen(scene)[0])


def test_a_small_turn_is_clockwise_about_the_middle() -> None:
    pattern = np.zeros((1, 33, 33))
    pattern[0, 16, 28] = 1  # right of the middle
    seen = Placement(10.0).seen(pattern)[0]
    row, column = (float((seen * axis).sum() / seen.sum()) for axis in np.mgrid[:33, :33])
    assert row == pytest.approx(16 + 12 * np.sin(np.deg2rad(10)), abs=0.2)  # it goes down
    assert column == pytest.approx(16 + 12 * np.cos(np.deg2rad(10)), abs=0.2)


def test_as_designed_is_the_design(make_design: MakeDesign) -> None:
    for bits in (1, 8):
        design = make_design(8, 20, bits)
        operator = SpcOperator.as_designed(8)
        assert np.array_equal(operator.signed(design), design.signed())
        assert np.array_equal(operator.all_on, np.ones((8, 8)))
        assert operator.peak_over_mean == 1
        assert not operator.fitted


@pytest.mark.parametrize("orientation", ORIENTATIONS[::3])
def test_signed_patterns_stay_in_bounds(make_design: MakeDesign, orientation: Orientation) -> None:
    design = make_design(8, 20)
    light = 1 + 0.5 * light_basis(8)[1]
    operator = SpcOperator(Placement(12.0, 0.3, -0.8, orientation), -1, light / light.mean(), 0.1, 0.1, 0.01, True)
    signed = operator.signed(design)
    assert np.abs(signed).max() <= 1
    plain = operator.placement.seen(design.signed().astype(np.float64)) * operator.illumination
    assert signed * operator.all_on.max() == pytest.approx(-plain, abs=1e-5)
    assert operator.peak_over_mean == pytest.approx(operator.all_on.max() / operator.all_on.mean())


def test_the_light_basis() -> None:
    basis = light_basis(16)
    assert basis.shape == (15, 16, 16)
    assert np.array_equal(basis[0], np.ones((16, 16)))
    assert np.linalg.matrix_rank(basis.reshape(15, -1)) == 15
    assert np.isfinite(light_basis(1)).all()


def test_draws_scatter_as_the_errors_say() -> None:
    operator = SpcOperator(Placement(1.0, 0.5, -0.5), 1, np.ones((8, 8)), 0.2, 0.05, 0.02, True)
    draws = [operator.draw(np.random.default_rng(seed)) for seed in range(400)]
    turns = np.array([draw.placement.rotation_deg for draw in draws])
    assert turns.mean() == pytest.approx(1, abs=0.04)
    assert turns.std() == pytest.approx(0.2, rel=0.15)
    downs = np.array([draw.placement.down_px for draw in draws])
    assert downs.std() == pytest.approx(0.05, rel=0.15)
    lights = np.array([draw.illumination for draw in draws])
    assert (lights - 1).std() == pytest.approx(0.02 * (light_basis(8)[1:] ** 2).mean() ** 0.5, rel=0.15)
    assert lights.min() > 0
