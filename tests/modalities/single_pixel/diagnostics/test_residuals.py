"""Residuals in time, and held-out readings: what they find, and what they cannot find."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.operator import Placement
from cidesign.modalities.single_pixel.diagnostics.maps import FOLDS, Prior, held_out, lmmse_model, order_ratio
from cidesign.modalities.single_pixel.diagnostics.residuals import HeldOut, Residuals, correlation, folds, residuals
from cidesign.modalities.single_pixel.linear_model import LinearModel

SIDE, COUNT, NOISE = 8, 160, 1e-3
PRIOR = Prior(0.45, np.full((SIDE, SIDE), 0.1))


def _scene() -> NDArray[np.float32]:
    scene = np.linspace(0.05, 0.3, SIDE * SIDE).reshape(SIDE, SIDE)
    scene[1:7, 2], scene[1, 2:6], scene[3, 2:5] = 0.9, 0.8, 0.7
    return scene.astype(np.float32)


def _measured(seed: int = 0) -> Measurements:
    """More patterns than pixels, so that noise alone limits what the others say of a reading."""
    rng = np.random.default_rng(seed)
    signed = rng.choice([-1.0, 1.0], size=(COUNT, SIDE, SIDE)).astype(np.float32)
    y = signed.reshape(COUNT, -1).astype(np.float64) @ _scene().ravel() / SIDE + NOISE * rng.normal(size=COUNT)
    level = Estimate(float(_scene().mean()), 1e-3)
    own, kept, weights = np.full(COUNT, NOISE**2), np.arange(COUNT), np.ones((SIDE, SIDE))
    return Measurements(y, own, 0.0, signed, kept, level, weights, 1, None, None, ())


def _decode(y: NDArray[np.float64], signed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A student that is the best linear estimate, without the light level."""
    matrix = signed.reshape(len(signed), -1).astype(np.float64) / SIDE
    model = LinearModel(matrix, np.eye(len(signed)) * NOISE**2, PRIOR.level, PRIOR.variance)
    return model.estimate(y).reshape(-1, SIDE, SIDE).astype(np.float32)


def _held(found: Measurements) -> dict[str, HeldOut]:
    return held_out(found, PRIOR, lmmse_model(found, PRIOR), _decode, FOLDS)


def test_the_right_operator_predicts_to_the_noise() -> None:
    held = _held(_measured())
    for name in ("student", "lmmse", "tikhonov"):
        # The other 144 readings of 64 pixels leave a noise of their own: 1 + 64 / (144 - 64).
        assert held[name].chi_square_noise == pytest.approx(1.8, abs=0.5), name
        assert held[name].chi_square_expected == pytest.approx(1, abs=0.3), name
        assert held[name].relative < 0.01, name
    np.testing.assert_allclose(held["student"].error, held["lmmse"].error, atol=1e-4)


@pytest.mark.parametrize("wrong", ["order", "swapped pair", "half inverted", "other patterns", "shifted"])
def test_wrong_operators_do_not(wrong: str) -> None:
    found = _measured()
    signed, y = found.signed.copy(), found.y.copy()
    if wrong == "order":
        y = np.roll(y, 1)
    elif wrong == "swapped pair":
        y[[30, 31]] = y[[31, 30]]
    elif wrong == "half inverted":
        signed[::2] *= -1
    elif wrong == "other patterns":
        signed = _measured(1).signed
    else:
        # What leaves the field on one side is missing on the other.
        signed = Placement(right_px=1.0).seen(signed.astype(np.float64)).astype(np.float32)
    held = _held(replace(found, signed=signed, y=y))
    assert held["student"].chi_square_noise > 100
    assert held["lmmse"].chi_square_expected > 9
    assert held["student"].relative > 0.04


def test_a_mirrored_operator_predicts_as_well() -> None:
    """All patterns mirrored alike explain the readings with a mirrored scene: only a known card finds that."""
    found = _measured()
    mirrored = replace(found, signed=np.ascontiguousarray(found.signed[:, :, ::-1]))
    right, wrong = _held(found)["student"], _held(mirrored)["student"]
    np.testing.assert_allclose(wrong.error, right.error, atol=1e-5)


def test_the_order_is_judged_whatever_the_contrast() -> None:
    for contrast in (1.0, 8.0):
        found = replace(_measured(), y=contrast * _measured().y)
        assert order_ratio(found, lmmse_model(found, PRIOR)) < 0.05
        moved = replace(found, y=np.roll(found.y, 1))
        assert order_ratio(moved, lmmse_model(moved, PRIOR)) > 0.7


def test_folds_leave_every_reading_out_once() -> None:
    assert sorted(np.concatenate(folds(23, 10)).tolist()) == list(range(23))
    assert [part.tolist() for part in folds(3, 10)] == [[0], [1], [2]]
    partly = held_out(_measured(), PRIOR, lmmse_model(_measured(), PRIOR), _decode, 2)["student"]
    whole = _held(_measured())["student"]
    first = np.arange(COUNT)[np.arange(COUNT) % FOLDS < 2]
    np.testing.assert_allclose(partly.error, whole.error[first])


def test_residuals_that_follow_time_are_seen() -> None:
    numbers = np.delete(np.arange(60), [20, 21])
    means = np.random.default_rng(0).normal(size=58)
    slow = Residuals(np.sin(numbers / 6.0), numbers, means)
    assert slow.neighbour_correlation > 0.9
    assert abs(slow.mean_correlation) < 0.4
    assert Residuals(numbers / 10.0, numbers, means).number_correlation == pytest.approx(1)
    assert Residuals(2 - means, numbers, means).mean_correlation == pytest.approx(-1)
    noise = Residuals(np.random.default_rng(1).normal(size=58), numbers, means)
    assert abs(noise.neighbour_correlation) < 0.4
    # Only neighbours in time count: across the gap the pairs are left out.
    apart = Residuals(np.array([1.0, 2.0, 3.0, 9.0, 1.0, 2.0]), np.array([0, 1, 2, 9, 10, 11]), np.zeros(6))
    assert apart.neighbour_correlation == pytest.approx(correlation(np.array([1.0, 2, 9, 1]), np.array([2.0, 3, 1, 2])))


def test_correlation_of_nothing_is_none() -> None:
    assert correlation(np.ones(5), np.arange(5.0)) == 0
    assert correlation(np.arange(2.0), np.arange(2.0)) == 0


def test_residuals_of_the_truth_are_the_noise() -> None:
    found = _measured()
    right = residuals(_scene(), found)
    assert right.chi_square_reduced == pytest.approx(1, abs=4 * (2 / COUNT) ** 0.5)
    assert residuals(_scene()[:, ::-1].copy(), found).chi_square_reduced > 100
    index, largest = right.largest
    assert abs(largest) == np.abs(right.normalised).max()
    assert right.normalised[index] == largest
