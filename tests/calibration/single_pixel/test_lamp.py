"""The lamp's brightness: flicker with its frequency, drift, and nothing where there is nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.readings.lamp import LampFit, Observations, fit_lamp
from cidesign.calibration.single_pixel.twin_faults import lamp_drift

Vector = NDArray[np.float64]
FRAME_US, NOISE = 235.0, 3e-4


def _fit(lamp: Vector, times: Vector, timed: bool = True, noise: float = NOISE, seed: int = 0) -> LampFit:
    """The fit to pairs of readings with shares between 0.3 and 0.7 of 1e4 counts."""
    rng = np.random.default_rng([seed, 3])
    share = rng.uniform(0.3, 0.7, lamp.size // 2)
    row = 1e4 * np.stack([share, 1 - share], axis=1).reshape(-1) * lamp * (1 + noise * rng.normal(size=lamp.size))
    pairs = np.arange(lamp.size).reshape(-1, 2)
    return fit_lamp(Observations(row[0::2], row[1::2], pairs, times, timed))


def _wave(times: Vector, hertz: float, amplitude: float, phase: float = 0.7) -> Vector:
    return 1 + amplitude * np.sin(2e-6 * np.pi * hertz * times + phase)


@pytest.mark.parametrize(
    ("hertz", "frames", "period_us"),
    [(100.0, 160, FRAME_US), (120.0, 400, FRAME_US), (50.0, 400, FRAME_US), (37.0, 600, FRAME_US), (823.0, 200, 235.0)],
)
@pytest.mark.parametrize("drift", [0.0, 5.0])
def test_amplitude_and_frequency(hertz: float, frames: int, period_us: float, drift: float) -> None:
    times = period_us * np.arange(frames)
    lamp = _wave(times, hertz, 0.05) * lamp_drift(frames, drift, 2)
    found = _fit(lamp, times)
    assert found.flicker is not None
    assert found.flicker.frequency_hz == pytest.approx(hertz, rel=0.01)
    assert found.flicker.amplitude_percent == pytest.approx(5, rel=0.06)
    assert found.drift_percent == pytest.approx(drift, abs=0.6)
    assert np.ptp(found.factor / lamp) < 0.004


def test_mains_that_the_frame_rate_folds_down() -> None:
    """Frames of 8334 us sample 100 Hz at 120 a second: it looks like 20 Hz, and pairs see it all the same."""
    times = 8334.0 * np.arange(300)
    lamp = _wave(times, 100, 0.05)
    found = _fit(lamp, times)
    assert found.flicker is not None
    assert found.flicker.amplitude_percent == pytest.approx(5, rel=0.05)
    assert np.ptp(found.factor / lamp) < 0.002


def test_frames_of_whole_mains_periods_do_not_see_them() -> None:
    times = 10_000.0 * np.arange(200)
    found = _fit(_wave(times, 100, 0.05), times)
    assert found.flicker is None
    assert found.drift_percent == 0


def test_no_wave_on_noise() -> None:
    """200 records of a steady lamp: no flicker, and hardly ever a drift."""
    drifts = []
    for seed in range(200):
        frames = 60 if seed % 8 else 160
        found = _fit(np.ones(frames), FRAME_US * np.arange(frames), seed % 3 > 0, seed=seed)
        assert found.flicker is None
        drifts.append(found.drift_percent)
    assert np.mean(np.array(drifts) > 0) < 0.1
    assert max(drifts) < 0.3


@pytest.mark.parametrize("frames", [160, 400])
def test_a_drift_is_no_flicker(frames: int) -> None:
    """Smooth random walks of 5 %: curves of several bends, whose level at the first frame must be right too."""
    for seed in range(8):
        lamp = lamp_drift(frames, 5.0, seed)
        found = _fit(lamp, FRAME_US * np.arange(frames), seed=seed)
        # A trace of a wave may help to describe its bends; far from what is called flicker.
        assert found.flicker is None or found.flicker.amplitude_percent < 0.2, seed
        assert found.drift_percent == pytest.approx(5, abs=0.2)
        assert found.factor == pytest.approx(lamp, rel=0.003)
        assert found.level_counts.value == pytest.approx(1e4, abs=6 * found.level_counts.standard_error + 10)


@pytest.mark.parametrize("degree", range(4))
def test_the_degree_of_a_drift(degree: int) -> None:
    at = np.linspace(-1, 1, 240)
    lamp = 1 + (0.05 * np.polynomial.legendre.legval(at, np.eye(4)[degree]) if degree else np.zeros(240))
    found = _fit(lamp, FRAME_US * np.arange(240), noise=1e-4)
    assert found.degree == degree
    assert found.factor == pytest.approx(lamp / lamp[0], abs=3e-4)
    assert found.scatter_percent == pytest.approx(1e-2 / 2**0.5, rel=0.25)


def test_frames_in_bursts() -> None:
    """24 frames at a time with gaps between: the wave is one in time, not in frame numbers."""
    times = (FRAME_US * np.arange(24)[None, :] + 23_700.0 * np.arange(12)[:, None]).reshape(-1)
    lamp = _wave(times, 100, 0.05)
    found = _fit(lamp, times)
    assert found.flicker is not None
    assert found.flicker.frequency_hz == pytest.approx(100, rel=0.005)
    assert np.ptp(found.factor / lamp) < 0.002
    untimed = _fit(lamp, np.arange(lamp.size, dtype=np.float64), timed=False)
    assert np.ptp(untimed.factor / lamp) > 0.02  # the numbers of the frames do not say it


def test_a_wave_without_times_has_no_frequency() -> None:
    times = FRAME_US * np.arange(400)
    found = _fit(_wave(times, 100, 0.05), times / FRAME_US, timed=False)
    assert found.flicker is not None
    assert found.flicker.frequency_hz is None
    assert found.flicker.amplitude_percent == pytest.approx(5, rel=0.05)
    assert "unknown frequency" in found.flicker.words


def test_frames_with_all_mirrors_on_count_as_observations() -> None:
    times = FRAME_US * np.arange(300)
    lamp = lamp_drift(300, 5.0, 1)
    at = np.arange(0, 300, 5)
    row = 1e4 * lamp[at] * (1 + NOISE * np.random.default_rng(0).normal(size=at.size))
    found = fit_lamp(Observations(row, np.zeros(at.size), np.stack([at, at], axis=1), times, True))
    assert found.factor == pytest.approx(lamp, rel=0.005)


def test_a_very_short_record_is_a_steady_lamp() -> None:
    for frames in (2, 4, 6):
        found = _fit(np.ones(frames), np.arange(frames, dtype=np.float64), timed=False)
        assert (found.degree, found.flicker) == (0, None)
        assert np.array_equal(found.factor, np.ones(frames))
