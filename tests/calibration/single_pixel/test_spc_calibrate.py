"""The whole calibration of a single-pixel bench: every fault found, named and allowed for; nothing on clean benches."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.calibrate import SpcCalibration, calibrate_spc, verify_on
from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.twin_faults import FAULTS, illumination
from cidesign.checks import Check, FaultName
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

Take = Callable[..., Capture]
Calibrated = Callable[..., SpcCalibration]
Changed = Callable[..., Capture]
DEFAULTS = {name: kind.default for name, kind in FAULTS.items()}


def _notable(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.status not in ("passed", "not checked")]


def _check(found: SpcCalibration, name: str) -> Check:
    return next(check for check in found.verification.checks if check.name == name)


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "saturation"])
def test_every_fault_is_named_and_allowed_for(calibrated: Calibrated, name: FaultName) -> None:
    found = calibrated(**{name.replace("-", "_"): DEFAULTS[name]})
    # A record that begins late has lost its first triggers.
    assert found.verification.faults == ("lost-trigger" if name == "record-shift" else name,)
    assert {check.status for check in _notable(found.verification.checks)} == {"corrected"}
    assert found.verification.verdict == "passed"
    assert found.verification.score is not None
    assert found.verification.score < 0.03


def test_saturation_is_refused(card_design: PatternStack, take: Take) -> None:
    with pytest.raises(FileError, match=r"white at light 0\.625: 256 of 256 readings are at or above the saturation"):
        calibrate_spc(take(card_design, faults={"saturation": 160}), card_design)


def test_a_clean_bench_is_found_clean(calibrated: Calibrated) -> None:
    found = calibrated()
    assert found.verification.score is not None
    assert found.verification.score < 0.015
    assert _notable(found.verification.checks) == []
    operator = found.operator
    assert operator.placement.orientation.identity
    assert abs(operator.placement.rotation_deg) < 5 * operator.rotation_error_deg
    assert operator.illumination == pytest.approx(np.ones((16, 16)), abs=0.02)


@pytest.mark.parametrize("photoelectrons", [1e4, 2e4, 5e4])
def test_noise_is_not_taken_for_uneven_light(
    card_design: PatternStack, take: Take, changed: Changed, photoelectrons: float
) -> None:
    """What little light cannot tell is said to be unknown; an even field is never called uneven, or bent to noise."""
    said = set()
    for seed in range(8):
        capture = take(card_design, seed=seed, photoelectrons_per_frame=photoelectrons)
        found = calibrate_spc(changed(capture, scene=None), card_design)
        evenness = _check(found, "evenness of the light")
        said.add(evenness.status)
        assert evenness.fault is None
        assert found.operator.illumination == pytest.approx(np.ones((16, 16)), abs=1e-12)
        assert found.operator.light_error < 0.25
        unknown = {one.check for one in found.verification.not_looked_at}
        assert (evenness.status == "not checked") == ("evenness of the light" in unknown)
        turn = _check(found, "turn")
        assert turn.status == "not checked" or 4 * found.operator.rotation_error_deg <= 0.25
    assert said <= {"passed", "not checked"}
    assert photoelectrons > 1e4 or said == {"not checked"}


def test_uneven_light_shows_through_noise_that_is_weaker(card_design: PatternStack, take: Take) -> None:
    capture = take(card_design, photoelectrons_per_frame=1e5, faults={"gain-map": 60})
    evenness = _check(calibrate_spc(capture, card_design), "evenness of the light")
    assert (evenness.status, evenness.fault) == ("corrected", "gain-map")


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_clean_benches_raise_nothing(
    make_design: Callable[..., PatternStack], take: Take, changed: Changed, encoding: str
) -> None:
    """40 seeds between them: targets, scenes, detector and lamp without a false alarm."""
    design = make_design(16, 80, 1, encoding)
    for seed in range(14 if encoding == "complementary" else 26):
        capture = take(design, seed=seed)
        # Scenes are looked at as targets are; leaving most of them out saves time.
        found = calibrate_spc(changed(capture, scene=None) if seed % 3 else capture, design)
        assert _notable(found.verification.checks) == [], seed
        assert found.verification.score is not None
        assert found.verification.score < 0.02


@pytest.mark.parametrize(("degrees", "tolerance"), [(2.0, 0.15), (-20.0, 0.3)])
def test_a_turn_is_measured(calibrated: Calibrated, degrees: float, tolerance: float) -> None:
    operator = calibrated(rotation=degrees).operator
    assert operator.placement.rotation_deg == pytest.approx(degrees, abs=tolerance)
    assert abs(operator.placement.rotation_deg - degrees) < 5 * operator.rotation_error_deg + 0.005 * abs(degrees)


@pytest.mark.parametrize("pixels", [1.0, -1.7, 0.3])
def test_a_shift_is_measured(calibrated: Calibrated, pixels: float) -> None:
    operator = calibrated(shift=pixels).operator
    assert operator.placement.right_px == pytest.approx(pixels, abs=0.02)
    assert operator.placement.down_px == pytest.approx(0, abs=0.02)
    assert abs(operator.placement.rotation_deg) < 5 * operator.rotation_error_deg


def test_a_shift_by_more_than_an_eighth_of_the_field_is_refused(calibrated: Calibrated) -> None:
    with pytest.raises(FileError, match="the field shifted by more than an eighth of its side"):
        calibrated(shift=-3.0)


def test_an_uneven_field_is_measured(calibrated: Calibrated) -> None:
    operator = calibrated(gain_map=30.0).operator
    truth = illumination(16, {"gain-map": 30.0})
    assert operator.illumination == pytest.approx(truth / truth.mean(), abs=0.015)
    error = (operator.illumination * truth.mean() / truth - 1).std()
    assert error < 5 * operator.light_error


def test_polarity_and_mirror(calibrated: Calibrated) -> None:
    assert calibrated(inversion=1).operator.polarity == -1
    assert calibrated().operator.polarity == 1
    assert calibrated(mirror=1).operator.placement.orientation.text == "left and right exchanged"
    assert calibrated(mirror=2).operator.placement.orientation.text == "top and bottom exchanged"


def test_several_faults_at_once(calibrated: Calibrated) -> None:
    found = calibrated(mirror=2, inversion=1, rotation=5.0)
    assert set(found.verification.faults) == {"mirror", "inversion", "rotation"}
    assert found.verification.verdict == "passed"
    assert found.operator.placement.rotation_deg == pytest.approx(5, abs=0.2)
    lamp = calibrated(flicker=5.0, drift=10.0, shift=2.0)
    assert set(lamp.verification.faults) == {"flicker", "drift", "shift"}
    assert lamp.operator.placement.right_px == pytest.approx(2, abs=0.03)
    wave = lamp.fit is not None and _check(lamp, "flicker (card)")
    assert wave
    assert wave.value == pytest.approx(5, abs=0.3)
    assert "100" in wave.text


def test_a_lost_trigger_says_where(calibrated: Calibrated) -> None:
    check = _check(calibrated(lost_trigger=1.0), "triggers (scene)")
    said = r"a reading is missing at frame \d+ or \d+ \(pattern \d+\); put right, patterns [\d, ]+ are left out"
    assert re.search(said, check.text)


def test_an_unusable_scene_fails_the_capture_and_not_the_bench(
    card_design: PatternStack, take: Take, changed: Changed
) -> None:
    capture = take(card_design)
    short = changed(capture, scene=capture.arrays["scene"][:-10])
    found = calibrate_spc(short, card_design)
    (failed,) = found.verification.failed
    assert (failed.name, failed.fault) == ("scene", "lost-trigger")
    assert "scene: 150 readings, but the design shows 160 frames" in failed.text
    clipped = capture.arrays["scene"].copy()
    clipped[5:9] = 65535
    (failed,) = calibrate_spc(changed(capture, scene=clipped), card_design).verification.failed
    assert failed.fault == "saturation"


def test_partial_captures(card_design: PatternStack, take: Take, changed: Changed, calibrated: Calibrated) -> None:
    capture = take(card_design, faults={"shift": 1.0})
    card_only = calibrate_spc(changed(capture, flat=None, scene=None), card_design)
    assert card_only.operator.placement.right_px == pytest.approx(1, abs=0.03)
    assert card_only.verification.faults == ("shift",)
    flat_only = calibrate_spc(changed(capture, card=None, card_picture=None, scene=None), card_design)
    assert not flat_only.operator.fitted
    assert _check(flat_only, "place of the patterns").status == "not checked"
    assert flat_only.verification.verdict == "not verified"
    assert "on the white reference" in flat_only.verification.score_meaning
    assert "card" not in _check(flat_only, "held-out patterns (white reference)").text
    assert (card_only.verification.verdict, "on the known card" in card_only.verification.score_meaning) == (
        "passed", True,
    )  # fmt: skip
    none = calibrate_spc(changed(capture, card=None, card_picture=None, flat=None), card_design)
    assert none.fit is None
    assert none.verification.score is None
    assert none.verification.verdict == "not verified"
    assert {one.check for one in none.verification.not_looked_at} == {"place of the patterns", "evenness of the light"}
    assert _check(none, "place of the patterns").status == "not checked"
    assert np.array_equal(none.operator.illumination, np.ones((16, 16)))


@pytest.mark.parametrize("count", [1, 2, 5, 14])
def test_designs_too_small_to_find_their_place(
    make_design: Callable[..., PatternStack], take: Take, count: int
) -> None:
    design = make_design(16, count)
    found = calibrate_spc(take(design), design)
    assert found.fit is None
    check = _check(found, "place of the patterns")
    assert check.status == "not checked"
    assert f"{count} patterns are too few" in check.text
    assert found.verification.verdict == "not verified"
    (place,) = (one for one in found.verification.not_looked_at if one.check == "place of the patterns")
    assert "15 patterns or more" in place.target


def test_the_wrong_card_is_refused(card_design: PatternStack, take: Take, changed: Changed) -> None:
    """Another picture than the card that was held up: refused as failed, or as no illumination at all."""
    capture = changed(take(card_design), scene=None)
    for seed in range(3):
        picture = np.random.default_rng(seed).uniform(0, 1, (16, 16))
        try:
            found = calibrate_spc(changed(capture, card_picture=picture), card_design)
        except FileError as error:
            assert "another card than card_picture" in str(error)  # noqa: PT017
            continue
        assert found.verification.verdict == "failed"
        assert found.verification.score is not None
        assert found.verification.score > 0.4


def test_another_sequence_is_refused(card_design: PatternStack, take: Take, changed: Changed) -> None:
    """Same number of patterns, but not those of the design."""
    capture = changed(take(card_design), scene=None)
    order = np.random.default_rng(1).permutation(80)
    shuffled = {name: capture.arrays[name].reshape(80, 2)[order].reshape(-1) for name in ("flat", "card")}
    try:
        verification = calibrate_spc(changed(capture, **shuffled), card_design).verification
    except FileError as error:
        assert "another sequence" in str(error)  # noqa: PT017
        return
    assert verification.verdict == "failed"


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.eye(8), r"card_picture: shape \(8, 8\) is not the patterns' 16 x 16"),
        (np.full((16, 16), 0.5), r"reflectances from 0\.5 to 0\.5; a card of at least 0\.2 between"),
        (np.linspace(-1, 1, 256).reshape(16, 16), "none below 0"),
    ],
)
def test_wrong_pictures(
    card_design: PatternStack,
    take: Take,
    changed: Changed,
    calibrated: Calibrated,
    picture: NDArray[np.float64],
    said: str,
) -> None:
    wrong = changed(take(card_design), card_picture=picture, scene=None)
    with pytest.raises(FileError, match=said):
        calibrate_spc(wrong, card_design)
    stored = calibrated()
    with pytest.raises(FileError, match=said):
        verify_on(stored.response, stored.operator, wrong, card_design)


@pytest.mark.parametrize(
    ("faults", "fault", "status"),
    [
        ({"mirror": 1}, "mirror", "failed"),
        ({"inversion": 1}, "inversion", "failed"),
        ({"shift": 1}, "shift", "failed"),
        ({"shift": -0.4}, "shift", "failed"),
        ({"rotation": 6}, "rotation", "failed"),
        ({"gain-map": 60}, "gain-map", "warning"),
    ],
)
def test_a_bench_that_changed_is_named(
    calibrated: Calibrated, card_design: PatternStack, take: Take, faults: dict[str, float], fault: str, status: str
) -> None:
    stored = calibrated()
    (check,) = _notable(
        verify_on(stored.response, stored.operator, take(card_design, seed=1, faults=faults), card_design)
    )
    assert (check.name, check.status, check.fault) == ("held-out patterns", status, fault)


def test_a_bench_that_stayed_is_confirmed(
    calibrated: Calibrated, card_design: PatternStack, take: Take, changed: Changed
) -> None:
    for faults in ({}, {"shift": 1}, {"mirror": 1}):
        named: dict[str, Any] = dict(faults)
        stored = calibrated(**named)
        later = take(card_design, seed=2, faults=named)
        assert _notable(verify_on(stored.response, stored.operator, later, card_design)) == []
    assert verify_on(stored.response, stored.operator, changed(later, card=None, card_picture=None), card_design) == []


def test_a_card_that_nothing_explains(
    calibrated: Calibrated, card_design: PatternStack, take: Take, changed: Changed
) -> None:
    stored = calibrated()
    picture = np.random.default_rng(0).uniform(0, 1, (16, 16))
    checks = verify_on(stored.response, stored.operator, changed(take(card_design), card_picture=picture), card_design)
    (check,) = _notable(checks)
    assert (check.status, check.fault) == ("failed", None)
    assert "is this the card of card_picture?" in check.text


def test_sync_frames_do_not_change_what_is_found(card_design: PatternStack, take: Take, changed: Changed) -> None:
    for faults, named in (({}, ()), ({"inversion": 1}, ("inversion",)), ({"drift": 5}, ("drift",))):
        capture = changed(take(card_design.with_sync(8), faults=faults), scene=None)
        found = calibrate_spc(capture, card_design)
        assert found.verification.faults == named
        assert found.verification.verdict == "passed"


def test_sync_frames_restore_offset_encoding_under_drift(
    make_design: Callable[..., PatternStack], take: Take, changed: Changed
) -> None:
    design = make_design(16, 80, 1, "offset")
    found = calibrate_spc(changed(take(design.with_sync(1), faults={"drift": 5}), scene=None), design)
    assert found.verification.verdict == "passed"
    assert found.verification.faults == ("drift",)
    assert found.verification.score is not None
    assert found.verification.score < 0.05
    slipped = take(design.with_sync(4), faults={"lost-trigger": 1})
    (failed,) = calibrate_spc(slipped, design).verification.failed
    assert failed.fault == "lost-trigger"
    assert "the sync frames are not where they should be: 1 reading(s) lost" in failed.text


def test_a_foreign_capture(card_design: PatternStack, take: Take) -> None:
    capture = take(card_design)
    assert capture.record is not None
    other = replace(capture, record=capture.record.model_copy(update={"design_digest": "b" * 64}))
    with pytest.raises(
        FileError, match=r"was recorded with design bbbbbbbbbbbb.* name the run whose patterns were shown"
    ):
        calibrate_spc(other, card_design)


FOLDERS = ("monday", "saturation-study", "lost trigger readings for clips", "inversion", "dark")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_fault_does_not_hang_on_the_name_of_the_folder(
    card_design: PatternStack, take: Take, changed: Changed, folder: str
) -> None:
    capture = replace(take(card_design), path=Path(folder))
    scene = capture.arrays["scene"]
    clipped = scene.copy()
    clipped[5:9] = 65535
    cases = {
        "lost-trigger": scene[:-10], "saturation": clipped, None: scene[::2],
        "bit-justification": np.round(scene / 64) * 64,
    }  # fmt: skip
    for fault, readings in cases.items():
        (failed,) = calibrate_spc(changed(capture, scene=readings), card_design).verification.failed
        assert (failed.name, failed.fault) == ("scene", fault)
        assert folder in failed.text
