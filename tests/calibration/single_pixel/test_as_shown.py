"""Patterns that are shown once, with nothing subtracted: measured, calibrated and put in order like the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.frames import frames_of
from cidesign.calibration.single_pixel.measurement import measurements_from_counts
from cidesign.calibration.single_pixel.operator import SpcOperator, of_polarity
from cidesign.calibration.single_pixel.plan import plan_spc
from cidesign.calibration.single_pixel.response import Response
from cidesign.calibration.single_pixel.scene_order import scene_in_order
from cidesign.calibration.single_pixel.twin_faults import illumination
from cidesign.checks import FaultName
from cidesign.pattern import PatternStack

Take = Callable[..., Capture]


@pytest.fixture(scope="module")
def shown(make_design: Callable[..., PatternStack]) -> PatternStack:
    return make_design(16, 80, 1, "as-shown")


@pytest.mark.parametrize("bits", [1, 3])
def test_readings_are_counts_less_dark(
    bits: int,
    make_design: Callable[..., PatternStack],
    ideal_response: Callable[..., Response],
    take: Take,
    frame_means: Callable[..., NDArray[np.float64]],
    f_scene: Callable[[int], NDArray[np.float64]],
) -> None:
    """y_k = n (c_k - dark) / S = sum(P_k x) / n; own noise of a reading, the error of the dark level in all alike."""
    design = make_design(16, 30, bits, "as-shown")
    capture = take(design)
    bench = capture.bench
    assert bench is not None
    scale = bench.gain_counts_per_photoelectron * bench.photoelectrons_per_frame
    response = ideal_response(scale, bench.dark_counts, bench.gain_counts_per_photoelectron, bench.read_noise_counts)
    frames = frames_of(capture, "scene", design, response)
    found = measurements_from_counts(frames, design, response, SpcOperator.as_designed(16))
    truth = 16 * frame_means(design, f_scene(16))
    assert np.all(np.abs(found.y - truth) < 5 * np.sqrt(found.own_variance))
    assert found.shared_variance == 0
    light = truth / 16 * scale
    one = bench.gain_counts_per_photoelectron * light + bench.read_noise_counts**2
    assert found.own_variance == pytest.approx((16 / scale) ** 2 * one, rel=0.01)
    assert found.signed == pytest.approx(design.levels / (2**bits - 1))
    # Nothing beside the readings tells the level, so they must not be told it as if it was measured.
    assert found.light_level.standard_error > found.light_level.value
    off = Response(**{**vars(response), "dark_counts": Estimate(bench.dark_counts, 7.0)})
    again = measurements_from_counts(frames, design, off, SpcOperator.as_designed(16))
    assert again.shared_variance == pytest.approx((16 * 7.0 / scale) ** 2)


def test_the_other_polarity_is_what_is_left_of_the_light() -> None:
    patterns = np.array([[[0.0, 1.0], [0.25, 0.5]]])
    assert of_polarity(patterns, -1, "as-shown").tolist() == [[[1.0, 0.0], [0.75, 0.5]]]
    assert of_polarity(patterns, -1, "complementary").tolist() == (-patterns).tolist()
    assert of_polarity(patterns, 1, "as-shown") is patterns


@pytest.mark.parametrize("seed", range(6))
def test_a_clean_bench_is_found_clean(seed: int, shown: PatternStack, take: Take) -> None:
    found = calibrate_spc(take(shown, seed=seed), shown)
    assert [check for check in found.verification.checks if check.status not in ("passed", "not checked")] == []
    assert found.verification.verdict == "passed"
    assert found.verification.score is not None
    assert found.verification.score < 0.02
    assert found.operator.illumination == pytest.approx(np.ones((16, 16)), abs=0.03)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"mirror": 1.0}, "left and right exchanged"),
        ({"mirror": 2.0, "inversion": 1.0}, "top and bottom exchanged"),
        ({"inversion": 1.0}, "upright"),
        ({"rotation": 3.0}, "upright"),
        ({"shift": -1.2}, "upright"),
    ],
)
def test_how_the_patterns_lie_is_found(
    faults: dict[FaultName, float], words: str, shown: PatternStack, take: Take
) -> None:
    found = calibrate_spc(take(shown, faults=faults), shown)
    assert found.verification.verdict == "passed"
    assert set(found.verification.faults) == set(faults)
    assert found.operator.placement.orientation.text == words
    assert found.operator.polarity == (-1 if "inversion" in faults else 1)
    assert found.operator.placement.rotation_deg == pytest.approx(faults.get("rotation", 0.0), abs=0.2)
    assert found.operator.placement.right_px == pytest.approx(faults.get("shift", 0.0), abs=0.05)


def test_an_uneven_field_is_measured(shown: PatternStack, take: Take) -> None:
    found = calibrate_spc(take(shown, faults={"gain-map": 30.0}), shown)
    truth = illumination(16, {"gain-map": 30.0})
    assert found.operator.illumination == pytest.approx(truth / truth.mean(), abs=0.03)


def test_a_record_that_begins_late_is_named(shown: PatternStack, take: Take, changed: Callable[..., Any]) -> None:
    capture = take(shown)
    response, operator = calibrate_spc(capture, shown).response, SpcOperator.as_designed(16)
    assert scene_in_order(capture, shown, response, operator).check.status == "passed"
    late = changed(capture, scene=np.roll(capture.arrays["scene"], 2))
    check = scene_in_order(late, shown, response, operator).check
    assert (check.status, check.fault) == ("failed", "lost-trigger")


def test_the_plan_is_for_one_frame_each(shown: PatternStack) -> None:
    steps = plan_spc(shown, 235.0)
    assert any("80 frames of 235 us" in step.how for step in steps)


def test_sync_frames_show_the_lamp(shown: PatternStack, take: Take) -> None:
    """Where frames with all mirrors on show it, drift is divided out; without them nobody can see it."""
    found = calibrate_spc(take(shown.with_sync(10), faults={"drift": 3.0}), shown)
    drift = [check for check in found.verification.checks if check.name.startswith("drift")]
    assert [check.status for check in drift] == ["corrected"] * 3
    blind = calibrate_spc(take(shown, faults={"drift": 3.0}), shown)
    lamp = [check for check in blind.verification.checks if check.name.startswith("lamp")]
    assert [check.status for check in lamp] == ["not checked"] * 3
    assert blind.verification.score is not None
    assert found.verification.score is not None
    assert found.verification.score < blind.verification.score
