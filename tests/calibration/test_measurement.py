"""Counts to measurements: exact without noise, right in variance with it; and the lamp's drift."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.drift import fit_lamp_drift
from cidesign.calibration.measurement import measurements_from_counts
from cidesign.calibration.response import Response
from cidesign.calibration.twin import bench_settings, frame_means, lamp_drift, simulate_readings
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]
MakeResponse = Callable[..., Response]
SCALE, DARK = 40_000.0, 321.0


def _operator(design: PatternStack) -> NDArray[np.float64]:
    """phi / n from the levels, written out: nothing of the code under test."""
    phi = 2.0 * design.levels.astype(np.float64) / (2**design.bit_depth - 1) - 1.0
    return phi.reshape(design.count, -1) / design.side


@pytest.mark.parametrize("bit_depth", range(1, 9))
@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_exact_without_noise(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, encoding: str, bit_depth: int
) -> None:
    design, scene = make_design(count=30, bit_depth=bit_depth, encoding=encoding), f_scene(8)
    counts = DARK + SCALE * frame_means(design, scene)
    found = measurements_from_counts(np.stack([counts, counts]), design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-6)
    assert found.light_level.value == pytest.approx(scene.mean(), abs=1e-9)
    assert found.repeats == 2


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_whitened_errors_have_unit_variance(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, encoding: str
) -> None:
    design, scene = make_design(count=60, encoding=encoding), f_scene(8)
    bench = {"dark_counts": DARK, "gain": 0.5, "photoelectrons_per_frame": 2e4, "read_noise_counts": 40.0}
    response = ideal_response(1e4, DARK, 0.5, 40.0)
    errors = []
    for seed in range(40):
        settings = bench_settings(
            **bench, read_noise_photoelectrons=0, drift_percent=0, adc_bits=16, seed=seed, scene=""
        )
        readings = simulate_readings(design, scene, settings)["scene"].astype(np.float64)
        found = measurements_from_counts(readings[None], design, response)
        errors.append(found.whiten(found.y - _operator(design) @ scene.reshape(-1)))
    values = np.array(errors)
    assert np.mean(values**2) == pytest.approx(1, abs=4 * (2 / values.size) ** 0.5)
    # Unwhitened, the offset's shared error would show here: all patterns of a capture too high or too low together.
    assert np.mean(values.mean(axis=1) ** 2) * 60 == pytest.approx(1, abs=4 * (2 / 40) ** 0.5)
    assert found.whiten(np.eye(60)) @ found.covariance() @ found.whiten(np.eye(60)).T == pytest.approx(
        np.eye(60), abs=1e-9
    )


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_a_single_pattern(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, encoding: str
) -> None:
    design, scene = make_design(count=1, encoding=encoding), f_scene(8)
    counts = DARK + SCALE * frame_means(design, scene)
    found = measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-6)


def test_repeats_halve_the_variance(make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse) -> None:
    for encoding in ("complementary", "offset"):
        design = make_design(encoding=encoding)
        counts = DARK + SCALE * frame_means(design, f_scene(8))
        one = measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK))
        two = measurements_from_counts(np.stack([counts, counts]), design, ideal_response(SCALE, DARK))
        assert two.covariance() == pytest.approx(one.covariance() / 2)


@pytest.mark.parametrize("percent", [-8.0, 0.5, 8.0])
def test_linear_drift_is_removed_exactly(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, percent: float
) -> None:
    """Without noise a straight drift, a change inside each pair included, leaves less than 1e-6 of it."""
    design, scene = make_design(count=60), f_scene(8)
    lamp = 1 + 0.01 * percent * np.linspace(0, 1, 120)
    counts = DARK + SCALE * frame_means(design, scene) * lamp
    found = measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-8)
    assert found.drift is not None
    assert found.drift.factor[0] == pytest.approx(lamp, abs=1e-8)
    assert found.drift.peak_to_peak_percent == pytest.approx(abs(percent), rel=1e-6)


def test_correction_improves_on_none(make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse) -> None:
    design, scene = make_design(count=100), f_scene(8)
    truth = _operator(design) @ scene.reshape(-1)
    response = ideal_response(1e4, DARK, 0.01, 2.0)
    for seed in range(5):
        settings = bench_settings(
            dark_counts=DARK, gain=0.01, photoelectrons_per_frame=1e6, read_noise_counts=2.0,
            read_noise_photoelectrons=0, drift_percent=20, adc_bits=16, seed=seed, scene="",
        )  # fmt: skip
        readings = simulate_readings(design, scene, settings)["scene"].astype(np.float64)
        found = measurements_from_counts(readings[None], design, response)
        uncorrected = 8 * (readings[0::2] - readings[1::2]) / 1e4
        assert np.std(found.y - truth) < 0.5 * np.std(uncorrected - truth)
        corrected, left = (np.mean(found.whiten(y - truth) ** 2) for y in (found.y, uncorrected))
        assert corrected < min(2.0, 0.15 * left)  # what is left is the curve's uncertainty at its start
        assert "divided out" in found.notes[0]


def test_no_drift_is_said(make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse) -> None:
    design, scene = make_design(count=100), f_scene(8)
    rng = np.random.default_rng(3)
    counts = DARK + SCALE * frame_means(design, scene) + rng.normal(0, 20, 200)
    found = measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK, 1e-6, 20.0))
    assert found.drift is not None
    assert (found.drift.degree, found.drift.peak_to_peak_percent) == (0, 0)
    assert "nothing was corrected" in found.notes[0]
    assert found.scatter_ratio == pytest.approx(1, abs=0.3)
    offset = make_design(count=100, encoding="offset")
    counts = DARK + SCALE * frame_means(offset, scene)
    assert (
        "nothing was corrected" in measurements_from_counts(counts[None], offset, ideal_response(SCALE, DARK)).notes[0]
    )


def test_drift_over_repeats_is_one_curve() -> None:
    share = np.random.default_rng(0).uniform(0.3, 0.7, 40)
    frames = 1000 * np.stack([share, 1 - share], axis=1).reshape(-1)
    lamp = 1 + 0.04 * np.linspace(0, 1, 240)
    drift = fit_lamp_drift((np.tile(frames, 3) * lamp).reshape(3, 80))
    assert drift.factor == pytest.approx(lamp.reshape(3, 80), abs=1e-8)


def test_a_lost_trigger_is_remarked(make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse) -> None:
    design = make_design(side=8, count=100)
    counts = DARK + SCALE * frame_means(design, f_scene(8)) + np.random.default_rng(1).normal(0, 20, 200)
    counts[50:-1] = counts[51:]
    found = measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK, 1e-6, 20.0))
    assert found.scatter_ratio is not None
    assert found.scatter_ratio > 5
    assert any("lost or doubled trigger" in note for note in found.notes)


def test_no_light_and_a_switched_lamp(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse
) -> None:
    design = make_design(count=100)
    dark = np.random.default_rng(0).normal(DARK, 5, (1, 200))
    with pytest.raises(FileError, match="no light reached the detector"):
        measurements_from_counts(dark, design, ideal_response(SCALE, DARK, 1.0, 5.0))
    counts = DARK + SCALE * frame_means(design, f_scene(8))
    counts = DARK + (counts - DARK) * np.clip(1.2 - np.linspace(0, 1.15, 200), 0.06, 1)
    with pytest.raises(FileError, match="the lamp was switched"):
        measurements_from_counts(counts[None], design, ideal_response(SCALE, DARK))


def test_lamp_drift_of_the_twin_is_found(ideal_response: MakeResponse) -> None:
    """The drift found is the drift put in, to a tenth of it."""
    share = np.random.default_rng(0).uniform(0.4, 0.6, 200)
    frames = 1e5 * np.stack([share, 1 - share], axis=1).reshape(-1)
    lamp = lamp_drift(400, 5.0, 2)
    noise = np.random.default_rng(1).normal(0, 30, 400)
    assert fit_lamp_drift((frames * lamp + noise)[None]).factor[0] == pytest.approx(lamp, abs=0.005)
