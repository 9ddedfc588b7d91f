"""The digital twin: the detector model, frame by frame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.capture import SimulatedBench
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.calibration.single_pixel.twin import bench_settings, mirror_means, sequence_light, simulate_readings
from cidesign.calibration.single_pixel.twin_faults import (
    illumination,
    lamp_drift,
    lose_triggers,
    placement,
    scene_weights,
)
from cidesign.errors import InputError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]


def _bench(**changes: Any) -> SimulatedBench:
    values: dict[str, Any] = {
        "dark_counts": 100.0, "gain": 0.5, "photoelectrons_per_frame": 1e4, "read_noise_counts": 3.0,
        "read_noise_photoelectrons": 0.0, "adc_bits": 16, "seed": 7, "scene": "F", "faults": {},
    }  # fmt: skip
    return bench_settings(**(values | changes))


def _readings(
    design: PatternStack, scene: NDArray[np.float64], bench: SimulatedBench
) -> dict[str, NDArray[np.generic]]:
    return simulate_readings(design, scene, bench, 235.0 * np.arange(len(design.frames())))


def _means(design: PatternStack, scene: NDArray[np.float64], **faults: float) -> NDArray[np.float64]:
    named: Any = {name.replace("_", "-"): strength for name, strength in faults.items()}
    return mirror_means(design, design.displayed() / design.max_level, scene, named)


def test_frame_means_by_hand() -> None:
    """2 x 2, 2 bit: level 3 of 3 on pixel (0, 1) and 1 of 3 on (1, 0)."""
    stack = PatternStack(np.array([[[0, 3], [1, 0]]], np.uint8), 2, "complementary", "p", "0" * 64)
    scene = np.array([[0.1, 0.4], [0.6, 1.0]])
    plus = (0.4 + 0.6 / 3) / 4
    assert _means(stack, scene) == pytest.approx([plus, scene.mean() - plus])


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_mean_and_variance_of_readings(make_design: MakeDesign, f_scene: MakeScene, encoding: str) -> None:
    design, scene = make_design(encoding=encoding), f_scene(8)
    stack = np.stack([_readings(design, scene, _bench(seed=seed))["scene"] for seed in range(400)])
    light = 1e4 * _means(design, scene)
    expected_variance = 0.25 * light + 9 + 1 / 12
    deviation = (stack.mean(axis=0) - 100 - 0.5 * light) / (expected_variance / 400) ** 0.5
    assert np.abs(deviation).max() < 4
    assert np.mean(stack.var(axis=0, ddof=1) / expected_variance) == pytest.approx(1, abs=5 * (2 / 400 / 40) ** 0.5)


def test_white_and_dark_frames(make_design: MakeDesign, f_scene: MakeScene) -> None:
    readings = _readings(make_design(), f_scene(8), _bench(faults={"drift": 20}))
    assert readings["dark"].mean() == pytest.approx(100, abs=4 * 3 / 16)
    assert readings["white"].mean(axis=1) == pytest.approx(100 + 5000 * np.arange(1, 9) / 8, rel=0.003)


def test_same_seed_same_counts(make_design: MakeDesign, f_scene: MakeScene) -> None:
    first, second, other = (_readings(make_design(), f_scene(8), _bench(seed=seed)) for seed in (1, 1, 2))
    for name, array in first.items():
        assert np.array_equal(array, second[name])
    assert not np.array_equal(first["scene"], other["scene"])


def test_the_converter_rounds_and_clips(make_design: MakeDesign, f_scene: MakeScene) -> None:
    scene = _readings(make_design(), f_scene(8), _bench(gain=100.0))["scene"]
    assert scene.dtype == np.int32
    assert scene.max() == 65535
    dark = _readings(make_design(), f_scene(8), _bench(dark_counts=0))["dark"]
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
        ({"faults": {"drift": 100.0}}, "drift_percent 100.0"),
        ({"seed": -1}, "seed -1"),
        ({"read_noise_counts": float("inf")}, "read_noise_counts inf"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _bench(**changes)


def test_wrong_scenes(make_design: MakeDesign, f_scene: MakeScene) -> None:
    with pytest.raises(InputError, match=r"shape \(16, 16\) is not the patterns' 8 x 8"):
        _readings(make_design(), f_scene(16), _bench())
    with pytest.raises(InputError, match=r"outside 0 \.\. 1"):
        _readings(make_design(), 2 * f_scene(8), _bench())


def test_mirrored_and_inverted_benches(make_design: MakeDesign, f_scene: MakeScene) -> None:
    """A mirrored bench reads of a scene what a right one reads of the mirrored scene."""
    design, scene = make_design(), f_scene(8)
    assert _means(design, scene, mirror=1) == pytest.approx(_means(design, scene[:, ::-1]))
    assert _means(design, scene, mirror=2) == pytest.approx(_means(design, scene[::-1]))
    bench = _bench(faults={"inversion": 1})
    light = sequence_light(design, scene, bench, 235.0 * np.arange(40), 1)
    assert light == pytest.approx(_means(design, scene).reshape(-1, 2)[:, ::-1].reshape(-1))


def test_a_whole_shift_moves_the_patterns_to_the_right(make_design: MakeDesign, f_scene: MakeScene) -> None:
    design, scene = make_design(), f_scene(8)
    moved = np.zeros_like(scene)
    moved[:, :-2] = scene[:, 2:]  # patterns moved right by 2 see of the scene what lies 2 further to the right
    assert _means(design, scene, shift=2) == pytest.approx(_means(design, moved))
    half = 0.5 * (_means(design, scene) + _means(design, scene, shift=1))
    assert _means(design, scene, shift=0.5) == pytest.approx(half)


def test_a_turned_pattern_is_turned_clockwise() -> None:
    """A spot right of the middle of a pattern lies below the middle of the scene after a quarter turn."""
    weights = scene_weights(9, placement({"rotation": 90.0}))
    pattern = np.zeros((9, 9))
    pattern[4, 7] = 1
    assert np.argwhere((weights @ pattern.reshape(-1)).reshape(9, 9) > 0.5).tolist() == [[7, 4]]


def test_light_is_missing_in_the_corners() -> None:
    light = illumination(9, {"gain-map": 40})
    assert light[4, 4] == 1
    assert light[0, 0] == light[8, 8] == light[0, 8] == pytest.approx(0.6)
    assert np.array_equal(illumination(9, {}), np.ones((9, 9)))


def test_flicker_and_drift_of_a_sequence(make_design: MakeDesign, f_scene: MakeScene) -> None:
    design, times = make_design(count=100), 235.0 * np.arange(200)
    steady = sequence_light(design, f_scene(8), _bench(), times, 1)
    lamp = sequence_light(design, f_scene(8), _bench(faults={"flicker": 5}), times, 1) / steady
    turn = np.exp(2e-6j * np.pi * 100 * times)
    basis = np.column_stack([np.ones(200), turn.real, turn.imag])
    found = np.linalg.lstsq(basis, lamp, rcond=None)
    assert basis @ found[0] == pytest.approx(lamp, abs=1e-9)
    assert np.hypot(*found[0][1:]) == pytest.approx(0.05)
    other = sequence_light(design, f_scene(8), _bench(faults={"flicker": 5}), times, 2) / steady
    assert not np.allclose(other, lamp)  # each sequence has its own phase


@pytest.mark.parametrize("count", [1, 3, -2])
def test_lost_and_doubled_readings(count: int) -> None:
    readings = np.arange(1000, 1100, dtype=np.int32)
    left = lose_triggers(readings, {"lost-trigger": count}, 5)
    assert left.size == 100 - count
    values, times = np.unique(left, return_counts=True)
    assert values.size == 100 - max(count, 0)
    assert int((times == 2).sum()) == max(-count, 0)
    assert np.all(np.diff(left) >= 0)
    assert np.array_equal(left[:10], readings[:10])


def test_a_converter_with_fewer_bits(make_design: MakeDesign, f_scene: MakeScene) -> None:
    plain = _readings(make_design(), f_scene(8), _bench())
    coarse = _readings(make_design(), f_scene(8), _bench(faults={"bit-justification": 3}))
    for name in ("scene", "dark", "white", "flat", "card"):
        assert np.array_equal(coarse[name], np.asarray(plain[name]) // 8 * 8)


def test_stray_light_is_missing_in_dark_frames_only(make_design: MakeDesign, f_scene: MakeScene) -> None:
    plain = _readings(make_design(), f_scene(8), _bench())
    stray = _readings(make_design(), f_scene(8), _bench(faults={"dark": 10}))
    assert np.array_equal(stray["dark"], plain["dark"])
    for name in ("scene", "white", "flat", "card"):
        assert np.mean(np.asarray(stray[name], float) - np.asarray(plain[name], float)) == pytest.approx(500, abs=0.5)


def test_the_calibration_targets_of_a_capture(make_design: MakeDesign, f_scene: MakeScene) -> None:
    design, bench = make_design(16, 20), _bench(photoelectrons_per_frame=1e9, gain=5e-5, read_noise_counts=0.0)
    readings = _readings(design, f_scene(16), bench)
    for name, target in (("flat", np.ones((16, 16))), ("card", f_card(16)), ("scene", f_scene(16))):
        assert np.asarray(readings[name], float) == pytest.approx(100 + 5e4 * _means(design, target), abs=8)
    assert np.array_equal(readings["card_picture"], f_card(16))


def test_the_gain_that_saturates(make_design: MakeDesign, f_scene: MakeScene) -> None:
    bench = _bench(gain=None, faults={"saturation": 160.0})
    assert bench.dark_counts + bench.gain_counts_per_photoelectron * 1e4 == pytest.approx(1.6 * 65535)
    assert "160%" in bench.gain_chosen
