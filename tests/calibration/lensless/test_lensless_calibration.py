"""A lensless camera from capture to calibration: a clean twin raises nothing, every fault is found and named."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import fftconvolve

from cidesign.calibration.lensless.calibrate import LenslessOutcome, calibrate_bench
from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.capture import (
    PICTURES,
    LenslessCapture,
    read_lensless_capture,
    write_lensless_capture,
)
from cidesign.calibration.lensless.operator import ChannelOperator
from cidesign.calibration.lensless.optics import Geometry, Lines
from cidesign.calibration.lensless.record import read_lensless_calibration, write_lensless_calibration
from cidesign.calibration.lensless.simulated.twin import FAULTS, LenslessTwin, TwinSettings, known_target
from cidesign.errors import FileError
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import ApertureMask

SIDE, SENSOR, CODE = 16, 48, 28
UTC = "2026-01-01T00:00:00+00:00"


def band(centre_nm: float) -> Lines:
    return Lines(np.array([centre_nm - 50, centre_nm, centre_nm + 50]) / 1000, np.array([1, 4, 1]) / 6)


def camera() -> Camera:
    geometry = Geometry((CODE, CODE), 50.0, 4000.0, 24.8, (SENSOR, SENSOR), (SIDE, SIDE))
    down, across = geometry.tangents()
    response = (1 + down[:, None] ** 2 + across[None] ** 2) ** -2
    channels = {"red": band(600), "green": band(535), "blue": band(460)}
    return Camera(geometry, channels, response, "waves", 500_000.0, 24.0, 12, 64)


CAMERA = camera()
LEVELS = np.random.default_rng(0).integers(0, 2, (CODE, CODE)).astype(np.uint8)
MASK = ApertureMask(LEVELS, 50.0, "tried", "a" * 64)


@cache
def captured(name: str = "", strength: float = 0.0) -> LenslessCapture:
    settings = TwinSettings(photoelectrons_full_scale=500_000.0, read_noise_photoelectrons=24.0, adc_bits=12)
    twin = LenslessTwin(MASK, CAMERA, settings, {name: strength} if name else {})
    arrays = twin.arrays(known_target((SIDE, SIDE), 3, 5), known_target((SIDE, SIDE), 3))
    frames = {key: np.moveaxis(one.astype(np.float64), -1, -3) for key, one in arrays.items()}
    return LenslessCapture(Path("bench"), twin.record(UTC, "patches"), frames)


@cache
def calibrated(name: str = "", strength: float = 0.0) -> LenslessOutcome:
    return calibrate_bench(captured(name, strength), MASK, CAMERA)


def changed(capture: LenslessCapture, drop: tuple[str, ...] = (), **arrays: np.ndarray) -> LenslessCapture:
    kept = {name: one for name, one in {**capture.arrays, **arrays}.items() if name not in drop}
    return replace(capture, arrays=kept)


def test_a_clean_bench_is_found_and_raises_nothing() -> None:
    capture, outcome = captured(), calibrated()
    bench, calibration = capture.bench, outcome.calibration
    assert bench is not None
    assert [check for check in outcome.verification.checks if check.status != "passed"] == []
    assert outcome.verification.verdict == "passed"
    assert calibration.gain_counts_per_photoelectron == pytest.approx(bench.gain_counts_per_photoelectron, rel=0.03)
    assert outcome.shift_px == pytest.approx(bench.shift_px, abs=0.05)
    assert outcome.registration.fit.rotation_deg == pytest.approx(bench.rotation_deg, abs=0.05)


def test_the_scene_is_predicted() -> None:
    capture, calibration = captured(), calibrated().calibration
    y, _, valid = calibration.measurements(capture.scene)
    truth = capture.truth
    assert truth is not None
    left = (y - calibration.operator.predict(truth))[valid]
    assert np.linalg.norm(left) < 0.1 * np.linalg.norm(y[valid] - y[valid].mean())


def test_the_operator_is_a_cut_convolution_with_its_adjoint() -> None:
    operator = calibrated().calibration.operator
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3, SIDE, SIDE)), rng.normal(size=(3, SENSOR, SENSOR))
    seen = ChannelOperator(operator).A(x)
    for channel in range(3):
        wanted = fftconvolve(operator.psf[channel], operator.response * x[channel], "valid")
        assert seen[channel] == pytest.approx(wanted, abs=1e-9)
    assert (seen * y).sum() == pytest.approx((x * ChannelOperator(operator).A_adjoint(y)).sum(), rel=1e-9)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named(name: str) -> None:
    outcome = calibrated(name, FAULTS[name].default)
    assert name in outcome.verification.faults
    failing = {"saturation", "dark", "stray-light", "stale-point", "swapped-channels"}
    assert (outcome.verification.verdict == "failed") == (name in failing)


@pytest.mark.parametrize(("name", "strength"), [("mirror", 1.0), ("swapped-channels", 2.0)])
def test_faults_of_one_part_alone(name: str, strength: float) -> None:
    assert name in calibrated(name, strength).verification.faults


def test_a_mirrored_read_out_is_turned_back() -> None:
    capture, outcome = captured("mirror", 2.0), calibrated("mirror", 2.0)
    assert outcome.calibration.readout.flip_horizontal
    y, _, valid = outcome.calibration.measurements(capture.scene)
    truth = capture.truth
    assert truth is not None
    predicted = outcome.calibration.operator.predict(truth)
    mirrored = outcome.calibration.operator.predict(truth[..., ::-1])
    assert np.linalg.norm((y - predicted)[valid]) < 0.3 * np.linalg.norm((y - mirrored)[valid])


def test_the_psf_of_another_mask_is_refused() -> None:
    other = ApertureMask(
        np.random.default_rng(9).integers(0, 2, (CODE, CODE)).astype(np.uint8), 50.0, "tried", "a" * 64
    )
    capture = captured()
    record = capture.record.model_copy(update={"design_digest": other.design_digest})
    found = calibrate_bench(replace(capture, record=record), other, CAMERA).verification
    assert found.verdict == "failed"
    assert "PSF and drawing" in {check.name for check in found.checks if check.status == "failed"}


def test_without_a_target_nothing_is_verified() -> None:
    outcome = calibrate_bench(changed(captured(), ("target", "second")), MASK, CAMERA)
    assert outcome.verification.verdict == "not verified"
    assert outcome.verification.score is None
    alone = calibrate_bench(changed(captured(), ("target",)), MASK, CAMERA)
    assert alone.verification.verdict == "not verified"


def test_what_is_written_is_read_and_holds_another_capture(tmp_path: Path) -> None:
    stored = write_lensless_calibration(tmp_path / "cal", captured(), calibrated(), UTC, force=False)
    again = read_lensless_calibration(tmp_path / "cal")
    assert np.array_equal(again.calibration.operator.psf, calibrated().calibration.operator.psf)
    assert again.record == stored.record
    found = again.examine(captured(), MASK).verification
    assert found.verdict == "passed"
    # A mask that was turned since shows in the scene alone.
    moved = changed(captured("rotation", 1.0), ("target", "second", "point"))
    later = again.examine(moved, MASK).verification
    assert "stale-point" in later.faults
    still = again.examine(changed(captured(), ("target", "second", "point")), MASK).verification
    assert still.verdict == "passed"


def test_a_capture_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    settings = TwinSettings(photoelectrons_full_scale=500_000.0, read_noise_photoelectrons=24.0, adc_bits=12)
    twin = LenslessTwin(MASK, CAMERA, settings, {})
    arrays = twin.arrays(known_target((SIDE, SIDE), 3, 5), known_target((SIDE, SIDE), 3))
    write_lensless_capture(tmp_path / "capture", twin.record(UTC, "patches"), arrays, force=False)
    again = read_lensless_capture(tmp_path / "capture")
    assert again.arrays["point"].shape == (32, 3, SENSOR, SENSOR)
    for name, one in captured().arrays.items():
        assert np.array_equal(again.arrays[name], one)


@pytest.mark.parametrize(
    ("drop", "words"),
    [(("point",), "holds no point"), (("dark",), "no dark frames")],
)
def test_missing_captures_are_said(drop: tuple[str, ...], words: str) -> None:
    with pytest.raises(FileError, match=words):
        calibrate_bench(changed(captured(), drop), MASK, CAMERA)


def test_a_dark_point_is_refused() -> None:
    capture = captured()
    dark = np.repeat(capture.arrays["dark"], 2, axis=0)
    with pytest.raises(FileError, match="was it switched on"):
        calibrate_bench(changed(capture, point=dark), MASK, CAMERA)


def coarse() -> tuple[Camera, ApertureMask]:
    """Samples of three code pixels, of which a point in the middle shows a third of what the field throws on them."""
    geometry = Geometry((92, 92), 50.0, 4000.0, 145.7, (16, 16), (16, 16))
    levels = np.random.default_rng(3).integers(0, 2, (92, 92)).astype(np.uint8)
    down, across = geometry.tangents()
    response = (1 + down[:, None] ** 2 + across[None] ** 2) ** -2
    found = Camera(geometry, {"green": band(535)}, response, "waves", 2e6, 50.0, 14, 1000)
    return found, ApertureMask(levels, 50.0, "tried", "a" * 64)


@cache
def coarse_capture(photoelectrons: float = 2e6) -> LenslessCapture:
    found, mask = coarse()
    settings = TwinSettings(photoelectrons_full_scale=photoelectrons, read_noise_photoelectrons=50.0, adc_bits=14)
    twin = LenslessTwin(mask, found, settings, {})
    arrays = twin.arrays(known_target((16, 16), 1, 5), known_target((16, 16), 1))
    frames = {
        key: np.moveaxis(one.astype(np.float64), -1, -3) if key in PICTURES else one[:, None].astype(np.float64)
        for key, one in arrays.items()
    }
    return LenslessCapture(Path("bench"), twin.record(UTC, "patches"), frames)


def test_a_sound_bench_passes_where_a_sample_covers_several_code_pixels() -> None:
    found, mask = coarse()
    capture = coarse_capture()
    outcome = calibrate_bench(capture, mask, found)
    assert outcome.verification.verdict == "passed"
    assert outcome.verification.score is not None
    assert outcome.verification.score < 0.1
    assert capture.bench is not None
    assert outcome.shift_px == pytest.approx(capture.bench.shift_px, abs=0.02)
    assert outcome.registration.fit.rotation_deg == pytest.approx(capture.bench.rotation_deg, abs=0.05)
    values = {check.name: check.value for check in outcome.verification.checks}
    assert values["part of the PSF"] == pytest.approx(100)
    # Diffraction cannot tell the distance there; the places of the points do.
    assert values["distance of the mask"] is None
    assert values["places of the points around"] == pytest.approx(0.3, abs=0.1)


def test_what_no_point_showed_is_said_to_be_the_drawings() -> None:
    found, mask = coarse()
    outcome = calibrate_bench(changed(coarse_capture(), ("around",)), mask, found)
    check = next(one for one in outcome.verification.checks if one.name == "part of the PSF")
    assert check.status == "warning"
    assert check.value == pytest.approx(100 * 16**2 / 31**2, abs=4)
    assert "NOT MEASURED" in check.text
    assert np.count_nonzero(outcome.calibration.measured) == 16**2
    assert any("% of the PSF's light was measured" in note for note in outcome.calibration.notes)


def test_points_around_are_found_wherever_they_stand() -> None:
    found, mask = coarse()
    capture = coarse_capture()
    frames = np.split(capture.arrays["around"], 4)
    mirrored = tuple((down, -right) for down, right in capture.record.around_px)
    record = capture.record.model_copy(update={"around_px": mirrored})
    checks = calibrate_bench(replace(capture, record=record), mask, found).verification.checks
    assert [one.fault for one in checks if one.name == "places of the points around"] == ["mirror"]
    # Another order of places and frames alike is the same bench.
    order = [2, 0, 3, 1]
    shuffled = changed(capture, around=np.concatenate([frames[number] for number in order]))
    record = capture.record.model_copy(update={"around_px": tuple(capture.record.around_px[one] for one in order)})
    again = calibrate_bench(replace(shuffled, record=record), mask, found).calibration
    assert again.operator.psf == pytest.approx(calibrate_bench(capture, mask, found).calibration.operator.psf)
    one_less = capture.record.model_copy(update={"around_px": capture.record.around_px[:3]})
    with pytest.raises(FileError, match="around has 128 frames, and around_px 3 places"):
        calibrate_bench(replace(capture, record=one_less), mask, found)


def test_a_target_in_noise_verifies_nothing() -> None:
    found, mask = coarse()
    dim = coarse_capture(10_000.0)
    outcome = calibrate_bench(changed(dim, target=dim.arrays["target"][:1]), mask, found)
    assert outcome.verification.verdict == "not verified"
    assert [one.check for one in outcome.verification.not_looked_at] == ["known target"]


@pytest.mark.parametrize("orientation", [one for one in ORIENTATIONS if not one.identity], ids=lambda one: one.text)
def test_a_record_that_was_turned_in_any_way_is_turned_back(orientation: Orientation) -> None:
    found, mask = coarse()
    capture = coarse_capture()
    turned = {name: orientation.apply(capture.arrays[name]) for name in capture.arrays if name not in PICTURES}
    outcome = calibrate_bench(changed(capture, **turned), mask, found)
    assert outcome.calibration.readout == orientation
    upright = calibrate_bench(capture, mask, found).calibration.operator.psf
    assert outcome.calibration.operator.psf == pytest.approx(upright)


@pytest.mark.parametrize(
    ("distance_um", "sensor", "why"), [(4000.0, SENSOR, "reach"), (800.0, SIDE, "of their shadow")]
)
def test_the_shadow_of_a_pinhole_tells_no_tilt(distance_um: float, sensor: int, why: str) -> None:
    """It is two samples wide, or half beside the sensor for corners of the field: a fit would find any tilt."""
    levels = np.zeros((CODE, CODE), dtype=np.uint8)
    levels[13:15, 13:15] = 1
    mask = replace(MASK, levels=levels)
    geometry = Geometry((CODE, CODE), 50.0, distance_um, 24.8, (sensor, sensor), (SIDE, SIDE))
    wide = replace(CAMERA, geometry=geometry)
    settings = TwinSettings(photoelectrons_full_scale=500_000.0, read_noise_photoelectrons=24.0, adc_bits=12)
    twin = LenslessTwin(mask, wide, settings, {"shift": 3.0})
    arrays = twin.arrays(known_target((SIDE, SIDE), 3, 5), known_target((SIDE, SIDE), 3))
    frames = {key: np.moveaxis(one.astype(np.float64), -1, -3) for key, one in arrays.items()}
    found = calibrate_bench(LenslessCapture(Path("bench"), twin.record(UTC, "patches"), frames), mask, wide)
    checks = {check.name: check for check in found.verification.checks}
    assert checks["tilt of the mask"].status == "not checked"
    assert why in checks["tilt of the mask"].text
    assert not {"distance", "tilt"} & {check.fault for check in checks.values()}
