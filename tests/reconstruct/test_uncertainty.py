"""Scatter, disagreement and the linear model, against closed forms and against leaving out for real."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import idctn

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator
from cidesign.calibration.single_pixel.response import Response
from cidesign.modalities.single_pixel.diagnostics.maps import Bench, Prior, lmmse_model
from cidesign.modalities.single_pixel.linear_model import LinearModel
from cidesign.pattern import PatternStack
from cidesign.reconstruct.uncertainty import (
    deviation_of,
    disagreement,
    error_over,
    generators,
)

SIDE, COUNT = 8, 20


def _model(seed: int = 0, count: int = COUNT) -> LinearModel:
    rng = np.random.default_rng(seed)
    own, shared = rng.uniform(0.5, 2, count) * 1e-3, 5e-4
    noise = np.diag(own) + shared
    frequency = np.hypot(*np.mgrid[:SIDE, :SIDE])
    return LinearModel(rng.normal(size=(count, SIDE * SIDE)) / SIDE, noise, 0.4, 0.3 / (1 + frequency) ** 2)


def _covariance(model: LinearModel) -> NDArray[np.float64]:
    """C, written out."""
    basis = np.stack([idctn(one.reshape(SIDE, SIDE), norm="ortho").ravel() for one in np.eye(SIDE * SIDE)])
    return basis.T @ np.diag(model.variance.ravel()) @ basis


def test_the_linear_model_is_the_textbook_formula() -> None:
    model, prior = _model(), _covariance(_model())
    spread = model.matrix @ prior @ model.matrix.T + model.noise
    gain = prior @ model.matrix.T @ np.linalg.inv(spread)
    y = np.random.default_rng(1).normal(size=(3, COUNT))
    wanted = 0.4 + (y - 0.4 * model.matrix.sum(axis=1)) @ gain.T
    np.testing.assert_allclose(model.estimate(y), wanted, atol=1e-8)
    posterior = np.sqrt(np.diag(prior - gain @ model.matrix @ prior))
    np.testing.assert_allclose(model.posterior_deviation(), posterior, atol=1e-8)


def test_held_out_is_leaving_out() -> None:
    """The closed form against an estimate from the other measurements, their shared noise included."""
    model, prior = _model(), _covariance(_model())
    y = np.random.default_rng(2).normal(size=COUNT)
    fold, rest = np.array([3, 7, 11]), np.setdiff1d(np.arange(COUNT), [3, 7, 11])
    spread = model.matrix @ prior @ model.matrix.T + model.noise
    mean = 0.4 * model.matrix.sum(axis=1)
    across = spread[np.ix_(fold, rest)] @ np.linalg.inv(spread[np.ix_(rest, rest)])
    error, deviation = model.held_out(y, fold)
    np.testing.assert_allclose(error, mean[fold] + across @ (y - mean)[rest] - y[fold], atol=1e-8)
    left = spread[np.ix_(fold, fold)] - across @ spread[np.ix_(rest, fold)]
    np.testing.assert_allclose(deviation, np.sqrt(np.diag(left)), atol=1e-8)


def test_bootstrap_of_a_linear_estimate_is_the_analytic_scatter() -> None:
    """diag(G R G^T) within the error of 2000 draws: 1.6 %, and 64 pixels."""
    model, prior = _model(), _covariance(_model())
    gain = prior @ model.matrix.T @ np.linalg.inv(model.matrix @ prior @ model.matrix.T + model.noise)
    scene = np.random.default_rng(3).uniform(size=SIDE * SIDE)
    root = np.linalg.cholesky(model.noise)

    def redrawn(draws: int, seed: int) -> NDArray[np.float32]:
        readings = (model.matrix @ scene + root @ rng.normal(size=COUNT) for rng in generators(draws, seed))
        return deviation_of(model.estimate(y) for y in readings)

    found = redrawn(2000, 5)
    wanted = np.sqrt(np.diag(gain @ model.noise @ gain.T))
    np.testing.assert_allclose(found / wanted, 1, atol=5 * 0.016)
    assert np.mean(found / wanted) == pytest.approx(1, abs=0.01)
    assert np.array_equal(redrawn(20, 5), redrawn(20, 5))
    assert not np.array_equal(redrawn(20, 5), redrawn(20, 6))


def test_posterior_covers_scenes_of_the_prior() -> None:
    model, prior = _model(), _covariance(_model())
    rng = np.random.default_rng(4)
    scenes = 0.4 + rng.normal(size=(300, SIDE * SIDE)) @ np.linalg.cholesky(prior).T
    y = scenes @ model.matrix.T + rng.normal(size=(300, COUNT)) @ np.linalg.cholesky(model.noise).T
    error = (model.estimate(y) - scenes) / model.posterior_deviation()
    assert error_over(error, np.ones(SIDE * SIDE)) == pytest.approx(1, abs=0.03)


def test_deviation_of_a_stream_is_that_of_the_stack() -> None:
    images = np.random.default_rng(0).normal(3, 0.01, size=(9, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(deviation_of(iter(images)), images.std(axis=0, ddof=1), rtol=1e-3)
    with pytest.raises(ValueError, match="at least 2"):
        deviation_of(images[:1])


def test_disagreement_names_the_place() -> None:
    student, baseline = np.full((4, 6), 0.3, np.float32), np.full((4, 6), 0.3, np.float32)
    same = disagreement(student, baseline)
    assert not same.difference.any()
    assert same.rms == 0
    student[2, 5], student[1, 0] = 0.1, 0.4
    apart = disagreement(student, baseline)
    assert apart.place == (2, 5)
    assert apart.largest == pytest.approx(-0.2)
    assert apart.rms == pytest.approx(((0.04 + 0.01) / 24) ** 0.5)
    assert disagreement(np.zeros((3, 4, 4)), np.eye(4) * np.ones((3, 1, 1))).place == (0, 0, 0)
    with pytest.raises(ValueError, match="cannot be compared"):
        disagreement(student, baseline[:3])


def _bench(
    operator: SpcOperator, scale_error: float, own: float, shared: float = 0.0
) -> tuple[Bench, NDArray[np.float32]]:
    rng = np.random.default_rng(8)
    levels = rng.integers(0, 2, size=(COUNT, SIDE, SIDE)).astype(np.uint8)
    design = PatternStack(levels, 1, "complementary", "p", "d")
    scene = rng.uniform(0.2, 0.8, size=(SIDE, SIDE)).astype(np.float32)
    kept = np.delete(np.arange(COUNT), [4, 9])
    signed = operator.signed(design)[kept]
    y = signed.reshape(len(kept), -1) @ scene.ravel() / SIDE
    weights = operator.all_on / operator.all_on.max()
    level = Estimate(float(np.mean(weights * scene)), 1e-9)
    found = Measurements(
        y.astype(np.float64), np.full(len(kept), own), shared, signed, kept, level, weights, 1, None, None, ()
    )
    exact = Estimate(100.0, 0.0)
    response = Response(exact, exact, exact, Estimate(1000.0, 1000.0 * scale_error), exact, 0.0, 1.0, ())
    return Bench(design, response, operator, found), scene


def _drawn(
    bench: Bench, scene: NDArray[np.float32], draws: int = 400
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = [bench.drawn(scene, rng) for rng in generators(draws, 1)]
    return np.stack([y for y, _ in found]), np.array([level for _, level in found])


def _uneven(errors: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> SpcOperator:
    """A turned and shifted operator under uneven light."""
    light = 1 + 0.2 * np.linspace(-1, 1, SIDE)[:, None] * np.ones((1, SIDE))
    return SpcOperator(Placement(7.0, 0.37, -0.63), -1, light / light.mean(), *errors, True)


def test_without_errors_the_measurements_come_out_as_they_were() -> None:
    bench, scene = _bench(_uneven(), 0.0, 0.0)
    y, level = bench.drawn(scene, np.random.default_rng(0))
    np.testing.assert_allclose(y, bench.measurements.y, atol=1e-6)
    assert level == pytest.approx(bench.measurements.light_level.value, rel=1e-6)


def test_each_error_scatters_the_measurements_as_it_must() -> None:
    noisy, scene = _bench(_uneven(), 0.0, 4e-4, 5e-4)
    y, _ = _drawn(noisy, scene)
    np.testing.assert_allclose(y.std(axis=0), np.sqrt(9e-4), rtol=0.2)
    assert np.corrcoef(y[:, 0], y[:, 1])[0, 1] == pytest.approx(5 / 9, abs=0.1)
    scaled, _ = _bench(_uneven(), 0.01, 0.0)
    y, level = _drawn(scaled, scene)
    np.testing.assert_allclose(y.std(axis=0) / np.abs(y.mean(axis=0)), 0.01, rtol=0.2)
    assert level.std() / level.mean() == pytest.approx(0.01, rel=0.2)
    moved, _ = _bench(_uneven((0.0, 1e-3, 0.0)), 0.0, 0.0)
    y, _ = _drawn(moved, scene)
    slopes = []
    for down, right in ((1e-3, 0.0), (0.0, 1e-3)):
        operator = _uneven()
        other = SpcOperator(Placement(7.0, 0.37 + down, -0.63 + right), -1, operator.illumination, 0.0, 0.0, 0.0, True)
        scale = other.peak_over_mean / operator.peak_over_mean
        signed = other.signed(moved.design)[moved.measurements.kept].reshape(COUNT - 2, -1)
        slopes.append(scale * (signed @ scene.ravel()) / SIDE - moved.measurements.y)
    np.testing.assert_allclose(y.std(axis=0), np.hypot(*slopes), rtol=0.2, atol=1e-5)


def test_the_lmmse_model_has_the_light_level_last() -> None:
    bench, _ = _bench(_uneven(), 0.0, 1e-4)
    model = lmmse_model(bench.measurements, Prior(0.4, np.full((SIDE, SIDE), 0.1)))
    assert model.matrix.shape == (COUNT - 1, SIDE * SIDE)
    np.testing.assert_allclose(model.matrix[-1], bench.measurements.light_weights.ravel() / SIDE)
    np.testing.assert_allclose(np.diag(model.noise)[:-1], 1e-4)
