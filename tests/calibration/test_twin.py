"""The digital twin: the detector model, frame by frame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.capture import SimulatedBench
from cidesign.calibration.twin import bench_settings, frame_means, lamp_drift, simulate_readings
from cidesign.errors import InputError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]


def _bench(**changes: Any) -> SimulatedBench:
    values: dict[str, Any] = {
        "dark_counts": 100.0,
        "gain": 0.5,
        "photoelectrons_per_frame": 1e4,
        "read_noise_counts": 3.0,
        "read_noise_photoelectrons": 0.0,
        "drift_percent": 0.0,
        "adc_bits": 16,
        "seed": 7,
        "scene": "F",
    }
    return bench_settings(**(values | changes))


def test_frame_means_by_hand() -> None:
    """2 x 2, 2 bit: level 3 of 3 on pixel (0, 1) and 1 of 3 on (1, 0)."""
    stack = PatternStack(np.array([[[0, 3], [1, 0]]], np.uint8), 2, "complementary", "p", "0" * 64)
    scene = np.array([[0.1, 0.4], [0.6, 1.0]])
    plus = (0.4 + 0.6 / 3) / 4
    assert frame_means(stack, scene) == pytest.approx([plus, scene.mean() - plus])


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_mean_and_variance_of_readings(make_design: MakeDesign, f_scene: MakeScene, encoding: str) -> None:
    design, scene = make_design(encoding=encoding), f_scene(8)
    stack = np.stack([simulate_readings(design, scene, _bench(seed=seed))["scene"] for seed in range(400)])
    light = 1e4 * frame_means(design, scene)
    expected_variance = 0.25 * light + 9 + 1 / 12
    deviation = (stack.mean(axis=0) - 100 - 0.5 * light) / (expected_variance / 400) ** 0.5
    assert np.abs(deviation).max() < 4
    assert np.mean(stack.var(axis=0, ddof=1) / expected_variance) == pytest.approx(1, abs=5 * (2 / 400 / 40) ** 0.5)


def test_white_and_dark_frames(make_design: MakeDesign, f_scene: MakeScene) -> None:
    readings = simulate_readings(make_design(), f_scene(8), _bench(drift_percent=20))
    assert readings["dark"].mean() == pytest.approx(100, abs=4 * 3 / 16)
    assert readings["white"].mean(axis=1) == pytest.approx(100 + 5000 * np.arange(1, 9) / 8, rel=0.003)


def test_same_seed_same_counts(make_design: MakeDesign, f_scene: MakeScene) -> None:
    first, second, other = (simulate_readings(make_design(), f_scene(8), _bench(seed=seed)) for seed in (1, 1, 2))
    for name, array in first.items():
        assert np.array_equal(array, second[name])
    assert not np.array_equal(first["scene"], other["scene"])


def test_the_converter_rounds_and_clips(make_design: MakeDesign, f_scene: MakeScene) -> None:
    scene = simulate_readings(make_design(), f_scene(8), _bench(gain=100.0))["scene"]
    assert scene.dtype == np.int32
    assert scene.max() == 65535
    dark = simulate_readings(make_design(), f_scene(8), _bench(dark_counts=0))["dark"]
    assert dark.min() == 0


def test_drift_starts_at_one_and_spans_what_was_asked() -> None:
    for seed in range(5):
        lamp = lamp_drift(204, 5.0, seed)
        assert lamp[0] == 1
        assert np.ptp(lamp) == pytest.approx(0.05)
        assert np.abs(np.diff(lamp)).max() < 0.05 * 12 / 204  # smooth: no step is a good part of the whole
    assert np.array_equal(lamp_drift(204, 0.0, 1), np.ones(204))


def test_default_gain_fills_60_percent(make_design: MakeDesign, f_scene: MakeScene) -> None:
    bench = _bench(gain=None, photoelectrons_per_frame=1e7, read_noise_counts=None, read_noise_photoelectrons=500.0)
    assert bench.dark_counts + bench.gain_counts_per_photoelectron * 1e7 == pytest.approx(0.6 * 65535)
    assert bench.read_noise_counts == pytest.approx(500 * bench.gain_counts_per_photoelectron)
    assert "60%" in bench.gain_chosen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gain": None, "dark_counts": 5e4}, "leaves no room for light"),
        ({"gain": -1.0}, "gain_counts_per_photoelectron -1.0: Input should be greater than 0"),
        ({"photoelectrons_per_frame": float("nan"), "gain": None}, "photoelectrons_per_frame nan"),
        ({"photoelectrons_per_frame": 1e16}, "photoelectrons_per_frame"),
        ({"drift_percent": 100.0}, "drift_percent 100.0"),
        ({"seed": -1}, "seed -1"),
        ({"read_noise_counts": float("inf")}, "read_noise_counts inf"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _bench(**changes)


def test_wrong_scenes(make_design: MakeDesign, f_scene: MakeScene) -> None:
    with pytest.raises(InputError, match=r"shape \(16, 16\) is not the patterns' 8 x 8"):
        simulate_readings(make_design(), f_scene(16), _bench())
    with pytest.raises(InputError, match=r"outside 0 \.\. 1"):
        simulate_readings(make_design(), 2 * f_scene(8), _bench())
