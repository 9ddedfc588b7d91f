"""Counts to measurements: exact without noise, right in variance with it; and the lamp's drift."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.capture import SimulatedBench
from cidesign.calibration.single_pixel.frames import Frames
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator
from cidesign.calibration.single_pixel.readings.lamp import Observations, fit_lamp
from cidesign.calibration.single_pixel.response import Response
from cidesign.calibration.single_pixel.twin import simulate_readings
from cidesign.calibration.single_pixel.twin_faults import lamp_drift
from cidesign.errors import FileError
from cidesign.orientation import Orientation
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
MakeScene = Callable[[int], NDArray[np.float64]]
MakeResponse = Callable[..., Response]
MakeBench = Callable[..., SimulatedBench]
FrameMeans = Callable[[PatternStack, NDArray[np.float64]], NDArray[np.float64]]
SCALE, DARK, FRAME_US = 40_000.0, 321.0, 235.0


def _measured(
    rows: NDArray[np.float64],
    design: PatternStack,
    response: Response,
    *,
    period_us: float | None = None,
    reference: NDArray[np.float64] | None = None,
    operator: SpcOperator | None = None,
) -> Measurements:
    """Readings (R, F) of evenly spaced frames, whose times are unknown where `period_us` is None."""
    times = np.arange(rows.shape[1]) * (period_us or 1.0)
    frames = Frames(rows, np.empty((len(rows), 0)), times, period_us is not None)
    return measurements_from_counts(
        frames, design, response, operator or SpcOperator.as_designed(design.side), reference
    )


def _scene(design: PatternStack, scene: NDArray[np.float64], bench: SimulatedBench) -> NDArray[np.float64]:
    times = FRAME_US * np.arange(len(design.frames()))
    return simulate_readings(design, scene, bench, times)["scene"].astype(np.float64)


def _operator(design: PatternStack) -> NDArray[np.float64]:
    """phi / n from the levels, written out: nothing of the code under test."""
    phi = 2.0 * design.levels.astype(np.float64) / (2**design.bit_depth - 1) - 1.0
    return phi.reshape(design.count, -1) / design.side


@pytest.mark.parametrize("bit_depth", range(1, 9))
@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_exact_without_noise(
    make_design: MakeDesign,
    f_scene: MakeScene,
    ideal_response: MakeResponse,
    frame_means: FrameMeans,
    encoding: str,
    bit_depth: int,
) -> None:
    design, scene = make_design(count=30, bit_depth=bit_depth, encoding=encoding), f_scene(8)
    counts = DARK + SCALE * frame_means(design, scene)
    found = _measured(np.stack([counts, counts]), design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-6)
    assert found.light_level.value == pytest.approx(scene.mean(), abs=1e-9)
    assert found.repeats == 2


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_whitened_errors_have_unit_variance(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, make_bench: MakeBench, encoding: str
) -> None:
    design, scene = make_design(count=60, encoding=encoding), f_scene(8)
    bench = make_bench(dark_counts=DARK, gain=0.5, photoelectrons_per_frame=2e4, read_noise_counts=40.0)
    response = ideal_response(1e4, DARK, 0.5, 40.0)
    errors = []
    for seed in range(40):
        readings = _scene(design, scene, bench.model_copy(update={"seed": seed}))
        found = _measured(readings[None], design, response)
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
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans, encoding: str
) -> None:
    design, scene = make_design(count=1, encoding=encoding), f_scene(8)
    counts = DARK + SCALE * frame_means(design, scene)
    found = _measured(counts[None], design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-6)


def test_repeats_halve_the_variance(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    for encoding in ("complementary", "offset"):
        design = make_design(encoding=encoding)
        counts = DARK + SCALE * frame_means(design, f_scene(8))
        one = _measured(counts[None], design, ideal_response(SCALE, DARK))
        two = _measured(np.stack([counts, counts]), design, ideal_response(SCALE, DARK))
        assert two.covariance() == pytest.approx(one.covariance() / 2)


@pytest.mark.parametrize("percent", [-8.0, 0.5, 8.0])
def test_linear_drift_is_removed_exactly(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans, percent: float
) -> None:
    """Without noise a straight drift, a change inside each pair included, leaves less than 1e-6 of it."""
    design, scene = make_design(count=60), f_scene(8)
    lamp = 1 + 0.01 * percent * np.linspace(0, 1, 120)
    counts = DARK + SCALE * frame_means(design, scene) * lamp
    found = _measured(counts[None], design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-8)
    assert found.lamp is not None
    assert found.lamp.factor == pytest.approx(lamp, abs=1e-8)
    assert found.lamp.drift_percent == pytest.approx(abs(percent), rel=1e-6)


def test_correction_improves_on_none(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, make_bench: MakeBench
) -> None:
    design, scene = make_design(count=100), f_scene(8)
    truth = _operator(design) @ scene.reshape(-1)
    response = ideal_response(1e4, DARK, 0.01, 2.0)
    for seed in range(5):
        bench = make_bench(
            dark_counts=DARK, gain=0.01, photoelectrons_per_frame=1e6, read_noise_counts=2.0, seed=seed,
            faults={"drift": 20},
        )  # fmt: skip
        readings = _scene(design, scene, bench)
        found = _measured(readings[None], design, response)
        uncorrected = 8 * (readings[0::2] - readings[1::2]) / 1e4
        assert np.std(found.y - truth) < 0.5 * np.std(uncorrected - truth)
        corrected, left = (np.mean(found.whiten(y - truth) ** 2) for y in (found.y, uncorrected))
        assert corrected < min(2.0, 0.15 * left)  # what is left is the curve's uncertainty at its start
        assert "divided out" in found.notes[0]


def test_no_drift_is_said(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    design, scene = make_design(count=100), f_scene(8)
    rng = np.random.default_rng(3)
    counts = DARK + SCALE * frame_means(design, scene) + rng.normal(0, 20, 200)
    found = _measured(counts[None], design, ideal_response(SCALE, DARK, 1e-6, 20.0))
    assert found.lamp is not None
    assert (found.lamp.degree, found.lamp.drift_percent, found.lamp.flicker) == (0, 0, None)
    assert "nothing was corrected" in found.notes[0]
    assert found.scatter_ratio == pytest.approx(1, abs=0.3)
    offset = make_design(count=100, encoding="offset")
    counts = DARK + SCALE * frame_means(offset, scene)
    assert "nothing was corrected" in _measured(counts[None], offset, ideal_response(SCALE, DARK)).notes[0]


def test_each_repeat_has_a_lamp_of_its_own(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    """Nobody knows the time between repeats: a lamp that drifts in each and jumps between them is divided out."""
    design, scene = make_design(count=60), f_scene(8)
    lamp = np.stack([1 + 0.04 * np.linspace(0, 1, 120), 1.3 - 0.1 * np.linspace(0, 1, 120), np.full(120, 0.9)])
    rows = DARK + SCALE * frame_means(design, scene) * lamp
    found = _measured(rows, design, ideal_response(SCALE, DARK))
    assert found.y == pytest.approx(_operator(design) @ scene.reshape(-1), abs=1e-8)
    assert found.lamp is not None
    assert found.lamp.factor == pytest.approx(lamp.reshape(-1), abs=1e-8)
    assert found.lamp.drift_percent == pytest.approx(40, rel=1e-6)  # from the brightest repeat's start to the darkest


def test_a_lost_trigger_is_remarked(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    design = make_design(side=8, count=100)
    counts = DARK + SCALE * frame_means(design, f_scene(8)) + np.random.default_rng(1).normal(0, 20, 200)
    counts[50:-1] = counts[51:]
    found = _measured(counts[None], design, ideal_response(SCALE, DARK, 1e-6, 20.0))
    assert found.scatter_ratio is not None
    assert found.scatter_ratio > 5
    assert any("lost or doubled trigger" in note for note in found.notes)


def test_no_light_and_a_switched_lamp(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    design = make_design(count=100)
    dark = np.random.default_rng(0).normal(DARK, 5, (1, 200))
    with pytest.raises(FileError, match="no light reached the detector"):
        _measured(dark, design, ideal_response(SCALE, DARK, 1.0, 5.0))
    counts = DARK + SCALE * frame_means(design, f_scene(8))
    counts = DARK + (counts - DARK) * np.clip(1.2 - np.linspace(0, 1.15, 200), 0.06, 1)
    with pytest.raises(FileError, match="the lamp was switched"):
        _measured(counts[None], design, ideal_response(SCALE, DARK))


def test_lamp_drift_of_the_twin_is_found() -> None:
    """The drift found is the drift put in, to a tenth of it."""
    share = np.random.default_rng(0).uniform(0.4, 0.6, 200)
    frames = 1e5 * np.stack([share, 1 - share], axis=1).reshape(-1)
    lamp = lamp_drift(400, 5.0, 2)
    row = frames * lamp + np.random.default_rng(1).normal(0, 30, 400)
    seen = Observations(row[0::2], row[1::2], np.arange(400).reshape(-1, 2), np.arange(400.0), False)
    assert fit_lamp(seen).factor == pytest.approx(lamp, abs=0.005)


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_a_reference_detector_removes_flicker(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans, encoding: str
) -> None:
    """5 % flicker, which offset encoding cannot see by itself; what is left is the noise that the variance says."""
    design, scene = make_design(count=60, encoding=encoding), f_scene(8)
    truth, light = _operator(design) @ scene.reshape(-1), frame_means(design, scene)
    response = ideal_response(SCALE, DARK, 1e-6, 4.0)
    whitened, left = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lamp = 1 + 0.05 * np.sin(2e-6 * np.pi * 100 * FRAME_US * np.arange(light.size) + rng.uniform(0, 6))
        counts = DARK + SCALE * light * lamp + rng.normal(0, 4.0, light.size)
        monitor = 20_000 * lamp + rng.normal(0, 10.0, light.size)
        found = _measured(counts[None], design, response, period_us=FRAME_US, reference=monitor)
        whitened.append(found.whiten(found.y / lamp.mean() - truth))
        left.append(np.abs(found.y / lamp.mean() - truth).max() / np.std(truth))
        assert "divided by that of the lamp's reference detector" in found.notes[0]
    assert max(left) < 0.03
    assert np.mean(np.array(whitened) ** 2) == pytest.approx(1, abs=0.3)
    if encoding == "offset":
        alone = _measured(counts[None], design, response, period_us=FRAME_US)
        assert np.abs(alone.y - truth).max() > 0.3 * np.std(truth)


def test_wrong_references(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    design = make_design(encoding="offset")
    counts = (DARK + SCALE * frame_means(design, f_scene(8)))[None]
    response = ideal_response(SCALE, DARK)
    with pytest.raises(FileError, match="reference: 20 readings for 21 frames; one for each reading"):
        _measured(counts, design, response, reference=np.ones(20))
    with pytest.raises(FileError, match="reference: its lowest reading is 0; the monitor's readings must be above"):
        _measured(counts, design, response, reference=np.arange(21.0))


def test_exchanged_mirrors_of_offset_encoding_are_named(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    """The all-on frame is then dark: the light that complements cannot be known."""
    design = make_design(encoding="offset")
    light = frame_means(design, f_scene(8))
    counts = DARK + SCALE * (light[-1] - light)
    with pytest.raises(FileError, match=r"the all-on frame reads .* on and off mirrors are exchanged \(inversion\)"):
        _measured(counts[None], design, ideal_response(SCALE, DARK))


def test_lost_patterns_are_left_out(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, frame_means: FrameMeans
) -> None:
    design, scene = make_design(count=40), f_scene(8)
    counts = DARK + SCALE * frame_means(design, scene)
    rows = np.stack([counts, counts])
    rows[0, 14:16] = np.nan  # pattern 7 in one repeat, pattern 20 in both
    rows[:, 40:42] = np.nan
    found = _measured(rows, design, ideal_response(SCALE, DARK))
    kept = [number for number in range(40) if number != 20]
    assert found.kept.tolist() == kept
    assert found.y == pytest.approx((_operator(design) @ scene.reshape(-1))[kept], abs=1e-8)
    assert np.array_equal(found.signed, design.signed()[kept])
    assert found.own_variance[7] == pytest.approx(2 * np.median(found.own_variance), rel=0.1)
    assert np.isfinite(found.covariance()).all()


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_a_calibrated_operator_stays_exact(
    make_design: MakeDesign, f_scene: MakeScene, ideal_response: MakeResponse, encoding: str
) -> None:
    """y = sum(signed x) / n and light_level = sum(weights x) / n^2 where patterns lie shifted in uneven light."""
    design, scene = make_design(side=8, count=30, encoding=encoding), f_scene(8)
    light = 1 + 0.3 * np.linspace(-1, 1, 8)[:, None] * np.linspace(0, 1, 8)[None, :]
    placement = Placement(10.0, 0.4, -0.6, Orientation(flip_horizontal=True))
    operator = SpcOperator(placement, 1, light / light.mean(), 0.0, 0.0, 0.0, True)
    shown = placement.seen(design.displayed().astype(np.float64))
    counts = DARK + SCALE * (shown * light * scene).mean(axis=(1, 2)) / operator.all_on.mean() / light.mean()
    found = _measured(counts[None], design, ideal_response(SCALE, DARK), operator=operator)
    assert np.abs(found.signed).max() <= 1
    assert found.y == pytest.approx((found.signed * scene).sum(axis=(1, 2)) / 8, abs=1e-5)
    assert found.light_level.value == pytest.approx((found.light_weights * scene).mean(), abs=1e-6)
    assert found.light_weights.max() == 1
