"""The response found from a simulated capture is the twin's own, within its standard errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.response import Response, estimate_response, white_levels
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

MakeDesign = Callable[..., PatternStack]
Simulate = Callable[..., Capture]
SEEDS = 60


@pytest.fixture
def simulate(make_design: MakeDesign, take: Callable[..., Capture]) -> Simulate:
    def make(**changes: Any) -> Capture:
        values: dict[str, Any] = {"gain": 0.35, "photoelectrons_per_frame": 1e5, "read_noise_counts": 12.0}
        return take(make_design(), **(values | changes))

    return make


def _in_standard_errors(responses: list[Response], name: str, truth: float) -> NDArray[np.float64]:
    estimates: list[Estimate] = [getattr(response, name) for response in responses]
    return np.array([(estimate.value - truth) / estimate.standard_error for estimate in estimates])


def test_the_truth_is_found_within_its_error(simulate: Simulate) -> None:
    """Over 60 seeds: no bias beyond 4 standard errors of the mean, and a spread of about one standard error."""
    responses = [estimate_response(simulate(seed=seed))[0] for seed in range(SEEDS)]
    truths = {
        "dark_counts": 200.0,
        "read_noise_counts": (144 + 1 / 12) ** 0.5,
        "gain_counts_per_photoelectron": 0.35,
        "scale_counts": 35_000.0,
        "photon_transfer_intercept_counts2": 144 + 1 / 12,
        "photoelectrons_per_frame": 1e5,
    }
    for name, truth in truths.items():
        deviations = _in_standard_errors(responses, name, truth)
        assert abs(deviations.mean()) < 4 / SEEDS**0.5, name
        assert 0.75 < deviations.std() < 1.3, name
        assert np.abs(deviations).max() < 4.5, name
    assert max(response.linearity_percent for response in responses) < 0.2
    assert all(response.notes == () and response.step_counts == 1 for response in responses)


def test_a_slow_drift_of_the_lamp_leaves_the_gain(simulate: Simulate) -> None:
    """2 % drift within a white level is 18 times its photon noise; successive differences do not see it."""
    capture = simulate(read_noise_counts=3.0)
    drift = np.linspace(0.99, 1.01, capture.arrays["white"].shape[1])
    white = 200 + (capture.arrays["white"] - 200) * drift
    gain = estimate_response(Capture(capture.path, capture.record, {**capture.arrays, "white": white}))[0]
    assert gain.gain_counts_per_photoelectron.value == pytest.approx(0.35, rel=0.15)


def test_variance_of_successive_differences() -> None:
    levels = white_levels(np.array([[1.0, 3.0, 2.0, 6.0]]), [1.0])
    assert levels.variance_counts2[0] == pytest.approx((4 + 1 + 16) / 6)
    assert levels.mean_counts[0] == 3


def test_a_bent_response_is_remarked(simulate: Simulate) -> None:
    capture = simulate()
    white = capture.arrays["white"]
    bent = white - 0.1 * white * (white / 40_000)
    response, _ = estimate_response(Capture(capture.path, capture.record, {**capture.arrays, "white": bent}))
    assert response.linearity_percent > 1
    assert any("straight line" in note for note in response.notes)


def test_photon_noise_below_read_noise_is_said(simulate: Simulate) -> None:
    response, _ = estimate_response(simulate(gain=0.0005, photoelectrons_per_frame=7e7, read_noise_counts=300.0))
    assert response.photoelectrons_per_frame is None
    assert any("not resolved" in note for note in response.notes)
    assert response.scale_counts.value == pytest.approx(35_000, rel=0.01)


def test_a_quiet_detector_is_not_quieter_than_its_converter(simulate: Simulate) -> None:
    response, _ = estimate_response(simulate(read_noise_counts=0.0))
    assert response.read_noise_counts.value == 0
    assert response.noise_variance_counts2 == pytest.approx(1 / 12)
    assert any("rounding" in note for note in response.notes)


def test_cut_off_dark_is_remarked(simulate: Simulate) -> None:
    response, _ = estimate_response(simulate(dark_counts=5.0))
    assert any("exactly 0" in note for note in response.notes)


def _changed(capture: Capture, **arrays: NDArray[np.float64]) -> Capture:
    return Capture(capture.path, capture.record, {**capture.arrays, **arrays})


def test_missing_arrays_say_what_to_record(simulate: Simulate) -> None:
    capture = simulate()
    only_scene = Capture(capture.path, capture.record, {"scene": capture.arrays["scene"]})
    with pytest.raises(FileError, match=r"dark and white missing; record `dark` .*`white` \(all mirrors on"):
        estimate_response(only_scene)
    with pytest.raises(FileError, match="missing; record"):
        estimate_response(Capture(capture.path, None, {"scene": capture.arrays["scene"]}))


def test_useless_arrays(simulate: Simulate) -> None:
    capture = simulate()
    with pytest.raises(FileError, match="15 dark and 256 white readings per level; at least 16"):
        estimate_response(_changed(capture, dark=capture.arrays["dark"][:15]))
    with pytest.raises(FileError, match="dark and white swapped"):
        estimate_response(_changed(capture, white=np.random.default_rng(0).normal(100, 5, (8, 256))))
    with pytest.raises(FileError, match="dark and white swapped"):  # the very same readings: no signal at all
        estimate_response(_changed(capture, white=np.tile(capture.arrays["dark"], (8, 1))))
    with pytest.raises(FileError, match="all 256 dark readings are 0"):
        estimate_response(_changed(capture, dark=np.zeros(256), white=capture.arrays["white"] + 0.5))
    saturated = capture.arrays["white"].copy()
    saturated[7, :9] = 65535
    with pytest.raises(FileError, match="white at light 1: 9 of 256 readings are at or above the saturation level"):
        estimate_response(_changed(capture, white=saturated))
    assert capture.record is not None
    white = capture.record.arrays["white"].model_copy(update={"light_fractions": [0.5, 1.0] * 4})
    record = capture.record.model_copy(update={"arrays": {**capture.record.arrays, "white": white}})
    with pytest.raises(FileError, match="2 different light levels; at least 3"):
        estimate_response(Capture(capture.path, record, capture.arrays))


@pytest.mark.parametrize("percent", [2.0, -2.0, 0.6])
def test_stray_light_is_found_and_allowed_for(simulate: Simulate, percent: float) -> None:
    """Light that was there in all frames but the dark ones, or offset that only the dark frames had."""
    capture = simulate(dark_counts=2000.0, photoelectrons_per_frame=1e6, gain=0.03, faults={"dark": percent})
    response, _ = estimate_response(capture)
    stray = 0.01 * percent * 0.03 * 1e6
    assert response.stray_counts == pytest.approx(stray, abs=5 * response.dark_counts.standard_error)
    assert response.dark_counts.value == pytest.approx(2000 + stray, abs=5 * response.dark_counts.standard_error)
    assert response.scale_counts.value == pytest.approx(30_000, abs=5 * response.scale_counts.standard_error)
    assert any("stray light, or dark frames taken otherwise" in note for note in response.notes)


def test_no_stray_light_on_a_clean_bench(simulate: Simulate) -> None:
    for seed in range(200):
        assert estimate_response(simulate(seed=seed))[0].stray_counts == 0


def test_the_step_of_the_converter(simulate: Simulate) -> None:
    response, _ = estimate_response(simulate(faults={"bit-justification": 4}, read_noise_counts=40.0))
    assert response.step_counts == 16
    assert response.noise_variance_counts2 >= 16**2 / 12


def test_another_exposure_is_refused_with_both_times(simulate: Simulate) -> None:
    capture = simulate()
    assert capture.record is not None
    for name in ("dark", "white"):
        stored = capture.record.arrays[name].model_copy(update={"exposure_us": 500.0})  # type: ignore[index]
        record = capture.record.model_copy(update={"arrays": {**capture.record.arrays, name: stored}})
        with pytest.raises(FileError, match=f"{name} was recorded at 500 us, the scene at 235 us"):
            estimate_response(Capture(capture.path, record, capture.arrays))
