"""An SD-CASSI bench from capture to calibration: a clean twin raises nothing, every fault is found and named."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.cassi.calibrate import CassiOutcome, calibrate_bench
from cidesign.calibration.cassi.capture import CassiArray, CassiCapture, Spectrum
from cidesign.calibration.cassi.optics import inverted
from cidesign.calibration.cassi.twin import FAULTS, CassiTwin, TwinSettings
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

PROFILE = load_profile("chrome-laser-10um")
SIDE = 32
DEFAULTS = {name: kind.default for name, kind in FAULTS.items()}


def mask_of(seed: int = 1) -> ApertureMask:
    levels = np.random.default_rng(seed).integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
    return ApertureMask(levels, 10.0, PROFILE.id, PROFILE.digest)


MASK = mask_of()


def scene_cube() -> np.ndarray:
    """A smooth scene with an edge: other light in every band."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    bands = np.arange(8)[:, None, None] / 8
    cube = 0.45 + 0.3 * np.sin(6 * rows + 9 * bands) * np.cos(5 * columns - 4 * bands)
    cube[:, 8:16, 8:20] *= 0.4
    return np.clip(cube, 0, 1)


def captured(faults: dict | None = None, mask: ApertureMask = MASK, **settings) -> CassiCapture:
    twin = CassiTwin(mask, PROFILE, TwinSettings(**settings), faults or {})
    arrays = {name: array.astype(np.float64) for name, array in twin.arrays(scene_cube()).items()}
    return CassiCapture(Path("bench"), twin.record("2026-01-01T00:00:00+00:00", "a wave"), arrays)


@cache
def clean() -> tuple[CassiCapture, CassiOutcome]:
    capture = captured()
    return capture, calibrate_bench(capture, MASK, PROFILE)


def raised(verification: Verification) -> list:
    return [check for check in verification.checks if check.status not in ("passed", "not checked")]


def changed(capture: CassiCapture, drop: tuple = (), arrays: dict | None = None, **record) -> CassiCapture:
    kept = {name: array for name, array in {**capture.arrays, **(arrays or {})}.items() if name not in drop}
    stored = {name: entry for name, entry in capture.record.arrays.items() if name in kept}
    return replace(capture, arrays=kept, record=capture.record.model_copy(update={"arrays": stored, **record}))


def geometry_error_px(capture: CassiCapture, outcome: CassiOutcome) -> float:
    bench = capture.bench
    corners = np.array([[0, 0, 1], [0, SIDE - 1, 1], [SIDE - 1, 0, 1], [SIDE - 1, SIDE - 1, 1]]).T
    errors = []
    for matrix, along, across in zip(
        outcome.calibration.operator.to_code, bench.shift_px, bench.across_px, strict=True
    ):
        truth = np.array(bench.to_detector) + np.array([[0, 0, across], [0, 0, along]])
        errors.append(np.hypot(*((inverted(matrix) - truth) @ corners)).max())
    return float(max(errors))


def test_a_clean_bench_is_found_and_raises_nothing():
    capture, outcome = clean()
    bench, calibration = capture.bench, outcome.calibration
    assert not raised(outcome.verification)
    assert outcome.verification.score < 0.05
    assert geometry_error_px(capture, outcome) < 0.02
    assert calibration.shift_px == pytest.approx(np.array(bench.shift_px) - bench.shift_px[0], abs=0.01)
    assert calibration.pixel_uncertainty_px < 0.02
    assert calibration.gain_counts_per_photoelectron == pytest.approx(bench.gain_counts_per_photoelectron, rel=0.03)
    assert calibration.read_noise_counts == pytest.approx(bench.read_noise_counts, rel=0.03)
    assert calibration.operator.response == pytest.approx(bench.response, rel=1e-6)
    assert outcome.placement.edge_um == pytest.approx(bench.edge_bias_um, abs=0.05)
    full = bench.gain_counts_per_photoelectron * bench.photoelectrons_full_scale / calibration.binning**2
    assert calibration.scale_counts == pytest.approx(full / 8, rel=0.03)  # vignetting takes 2 % on the average
    assert calibration.flat[calibration.flat > 0].mean() == pytest.approx(1)


def test_the_scene_is_predicted_with_its_noise():
    capture, outcome = clean()
    calibration = outcome.calibration
    y, variance, valid = calibration.measurements(capture.scene)
    left = (y - calibration.operator.predict(capture.truth.astype(np.float32)))[valid]
    assert np.linalg.norm(left) < 0.03 * np.linalg.norm(y[valid])
    assert np.mean(left**2 / variance[valid]) < 4
    twice, smaller, _ = calibration.measurements(np.concatenate([capture.scene, capture.scene]))
    assert np.array_equal(twice, y)
    assert smaller == pytest.approx(variance / 2)


def test_saturated_and_dead_pixels_are_not_valid():
    capture, outcome = clean()
    calibration = outcome.calibration
    raw = capture.scene.copy()
    raw[0, 41, 53] = calibration.saturation_counts
    _, _, valid = calibration.measurements(raw)
    assert not valid[20, 26]
    dead = np.argwhere(~outcome.detector.usable)
    assert len(dead)
    assert not valid[dead[:, 0] // 2, dead[:, 1] // 2].any()
    with pytest.raises(FileError, match=r"\(1, 40, 40\) were captured"):
        calibration.measurements(np.zeros((1, 40, 40)))


@pytest.mark.parametrize("seed", range(3))
def test_no_false_alarm_on_other_clean_benches(seed):
    rng = np.random.default_rng(seed)
    capture = captured(
        mask=(mask := mask_of(seed + 5)),
        seed=seed,
        detector_seed=seed,
        detector_px_per_code_px=1 + seed,
        displacement_along_px=float(rng.uniform(-0.25, 0.25)),
        displacement_across_px=float(rng.uniform(-0.25, 0.25)),
        rotation_deg=float(rng.uniform(-0.1, 0.1)),
        psf_px=float(rng.uniform(0.25, 0.5)),
    )
    outcome = calibrate_bench(capture, mask, PROFILE)
    assert not raised(outcome.verification)
    assert geometry_error_px(capture, outcome) < 0.05


@pytest.mark.parametrize(
    "name", ["mirror", "inversion", "rotation", "shift", "wrong-step", "bit-justification", "gain-map"]
)
def test_a_fault_that_can_be_allowed_for_is_named_and_corrected(name):
    capture = captured({name: DEFAULTS[name]})
    outcome = calibrate_bench(capture, MASK, PROFILE)
    found = raised(outcome.verification)
    assert [(check.status, check.fault) for check in found] == [("corrected", name)]
    assert outcome.verification.verdict == "passed"
    assert outcome.verification.faults == (name,)
    assert outcome.verification.score < 0.06
    assert geometry_error_px(capture, outcome) < 0.02


@pytest.mark.parametrize(
    ("name", "check"), [("saturation", "saturation"), ("dark", "dark level (lines)"), ("wrong-lamp", "lamp")]
)
def test_a_fault_that_spoils_the_captures_fails_by_its_name(name, check):
    outcome = calibrate_bench(captured({name: DEFAULTS[name]}), MASK, PROFILE)
    assert outcome.verification.verdict == "failed"
    assert outcome.verification.faults == (name,)
    assert check in [failed.name for failed in outcome.verification.failed]


@pytest.mark.parametrize(("percent", "status"), [(-20.0, "failed"), (-3.0, "failed"), (0.7, "warning")])
def test_light_during_the_dark_frames_or_after_them_is_told_apart(percent, status):
    outcome = calibrate_bench(captured({"dark": percent}), MASK, PROFILE)
    check = next(check for check in outcome.verification.checks if check.name == "dark level (lines)")
    assert (check.status, check.fault) == (status, "dark")
    assert check.value == pytest.approx(percent, abs=0.05 * abs(percent))
    assert ("during the dark frames" in check.text) == (percent < 0)


@pytest.mark.parametrize(
    "name", ["mirror", "inversion", "rotation", "shift", "wrong-step", "wrong-lamp", "gain-map", "dark", "saturation"]
)
def test_a_bench_that_changed_after_its_calibration_is_refused_by_the_name_of_the_fault(name):
    _, outcome = clean()
    later = captured({name: DEFAULTS[name]}, seed=7)
    checks = verify_against(outcome.calibration, later, MASK)
    again = Verification(score=None, score_meaning="again", checks=checks)
    assert again.verdict == "failed"
    assert again.faults == (name,)


@pytest.mark.parametrize(("bits", "status"), [(4, "corrected"), (8, "failed")])
def test_a_converter_that_drops_bits_after_the_calibration_is_named(bits, status):
    """Steps of 16 counts lie below the calibrated noise, steps of 256 do not."""
    _, outcome = clean()
    checks = verify_against(outcome.calibration, captured({"bit-justification": bits}, seed=2), MASK)
    check = next(check for check in checks if check.name == "converter bits")
    assert (check.status, check.fault, check.value) == (status, "bit-justification", bits)


def test_the_amount_of_a_change_is_told():
    _, outcome = clean()
    for name, strength, told in (
        ("shift", 2.0, "code pixels down"),
        ("rotation", -2.0, "degrees clockwise"),
        ("wrong-step", 12.0, "% of the calibrated"),
        ("wrong-lamp", -80.0, "% more slope"),
        ("gain-map", 60.0, "% of light missing"),
    ):
        checks = verify_against(outcome.calibration, captured({name: strength}, seed=2), MASK)
        check = next(check for check in checks if check.name == "white target")
        assert check.fault == name
        number = re.search(rf"([+-]?[\d.]+) {told}", check.text)
        assert float(number.group(1)) == pytest.approx(strength, rel=0.2), check.text


def test_a_later_capture_of_the_same_bench_passes():
    _, outcome = clean()
    checks = verify_against(outcome.calibration, captured(seed=9), MASK)
    assert {check.status for check in checks} == {"passed"}
    without = changed(captured(seed=9), drop=("white",))
    assert "not checked" in {check.status for check in verify_against(outcome.calibration, without, MASK)}


def test_small_changes_across_the_dispersion_show_in_the_white_target():
    """The figures of the literature's test: 0.1 px shows, 0.25 px is refused."""
    _, outcome = clean()
    relative_residual = []
    for across in (0.0, 0.1, 0.25):
        checks = verify_against(outcome.calibration, captured({"shift": across} if across else {}, seed=3), MASK)
        relative_residual.append(next(check.value for check in checks if check.name == "white target"))
    assert relative_residual[0] < 0.05 < 0.08 < relative_residual[1] < 0.15 < 0.2 < relative_residual[2] < 0.35


def test_without_a_white_target_the_calibration_is_not_trusted():
    capture, _ = clean()
    outcome = calibrate_bench(changed(capture, drop=("white",)), MASK, PROFILE)
    assert outcome.verification.score is None
    assert outcome.verification.verdict == "not verified"
    (missing,) = outcome.verification.not_looked_at
    assert missing.check == "white target"
    assert "put an even white target in place of the scene" in missing.why


def test_the_white_target_is_no_part_of_any_fit():
    capture, outcome = clean()
    other = calibrate_bench(changed(capture, arrays={"white": capture.white[:, ::-1]}), MASK, PROFILE)
    assert np.array_equal(other.calibration.operator.masks, outcome.calibration.operator.masks)
    assert np.array_equal(other.calibration.operator.to_code, outcome.calibration.operator.to_code)
    assert other.calibration.scale_counts == outcome.calibration.scale_counts
    assert other.verification.verdict == "failed"


def test_lines_without_flats_and_without_a_check_line_will_do():
    capture, outcome = clean()
    less = calibrate_bench(
        changed(capture, drop=("flat_lines", "check_line"), check_line_nm=None, code_origin_px=None), MASK, PROFILE
    )
    assert not raised(less.verification)
    assert geometry_error_px(capture, less) < 0.02
    assert any("flat_lines were not captured" in note for note in less.calibration.notes)
    assert less.verification.score < 0.05
    assert "position" in [check.name for check in less.verification.checks if check.status == "not checked"]
    assert outcome.dispersion.checked_by != less.dispersion.checked_by


def with_exposure(capture: CassiCapture, name: str, exposure_us: float) -> dict:
    entry = CassiArray(file="images.npz", exposure_us=exposure_us)
    return {"arrays": {**capture.record.arrays, name: entry}}


BAD = {
    "no dark frames": (lambda c: changed(c, drop=("dark",)), "no dark frames; block the light"),
    "dark of another exposure": (
        lambda c: replace(c, record=c.record.model_copy(update=with_exposure(c, "dark", 5000.0))),
        "flat was exposed 20000 us, but the dark frames are of another exposure .dark 5000 us.",
    ),
    "lines of another exposure": (
        lambda c: replace(c, record=c.record.model_copy(update=with_exposure(c, "lines", 5000.0))),
        "lines was exposed 5000 us, but the dark frames are of another exposure .dark 20000 us.",
    ),
    "white of another exposure": (
        lambda c: replace(c, record=c.record.model_copy(update=with_exposure(c, "white", 5000.0))),
        "white was exposed 5000 us, the capture 20000 us; flat, white target and scene need one",
    ),
    "one dark frame": (lambda c: changed(c, arrays={"dark": c.arrays["dark"][:1]}), "1 dark frame; noise is seen in 2"),
    "dark and flat exchanged": (
        lambda c: changed(c, arrays={"dark": c.arrays["flat"], "flat": c.arrays["dark"]}),
        "are the two exchanged, or was the shutter closed",
    ),
    "no lines": (lambda c: changed(c, drop=("lines",)), "holds no lines, only"),
    "no flat": (lambda c: changed(c, drop=("flat",)), "holds no flat, only"),
    "lines without wavelengths": (lambda c: changed(c, line_nm=[]), "gives no line_nm"),
    "four lines": (
        lambda c: changed(
            c, arrays={n: c.arrays[n][:4] for n in ("lines", "flat_lines")}, line_nm=c.record.line_nm[:4]
        ),
        "4 different wavelengths; a dispersion curve needs 5",
    ),
    "no lamp": (lambda c: changed(c, lamp=None), "gives no `lamp` spectrum; measure the lamp"),
    "a lamp that leaves out bands": (
        lambda c: changed(c, lamp=Spectrum(wavelength_nm=[400, 500], relative=[1, 1], source="half")),
        "known from 400 to 500 nm, which leaves out the band.s. at 507.1, 535.7",
    ),
    "a lamp without light": (
        lambda c: changed(c, lamp=Spectrum(wavelength_nm=[400, 500, 700], relative=[0, 0, 1], source="dark")),
        "0 at 450 nm; a band without light is no band",
    ),
    "another mask": (lambda c: changed(c, design_digest="0" * 64), "was recorded with mask 000000000000"),
    "another profile": (lambda c: changed(c, profile_digest="1" * 64), "was recorded with profile 111111111111"),
    "a detector that is too small": (
        lambda c: changed(c, arrays={n: a[..., :40, :] for n, a in c.arrays.items() if n != "truth"}),
        "cannot hold a code of 32 x 32; is detector_px_per_code_px",
    ),
    "lines that were switched off": (
        lambda c: changed(c, arrays={"flat_lines": 0 * c.arrays["flat_lines"]}),
        "flat_lines at .* nm is darker than the dark frames",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_captures_that_cannot_be_calibrated_from_are_refused_in_one_line(name):
    change, message = BAD[name]
    with pytest.raises(FileError, match=message) as error:
        calibrate_bench(change(clean()[0]), MASK, PROFILE)
    assert "\n" not in str(error.value)


def failed_names(outcome: CassiOutcome) -> list[str]:
    return [check.name for check in outcome.verification.failed]


def test_a_bench_with_another_mask_fails_as_not_found():
    capture, _ = clean()
    other = mask_of(77)
    disguised = changed(capture, design_digest=other.design_digest)
    outcome = calibrate_bench(disguised, other, PROFILE)
    assert "mask" in failed_names(outcome)
    check = outcome.verification.failed[[c.name for c in outcome.verification.failed].index("mask")]
    assert "is it this mask" in check.text
    assert check.limit == 0.2


def test_dark_frames_of_different_levels_fail():
    capture, _ = clean()
    dark = capture.arrays["dark"].copy()
    dark[3] += 600
    outcome = calibrate_bench(changed(capture, arrays={"dark": dark}), MASK, PROFILE)
    check = next(check for check in outcome.verification.failed if check.name == "dark frames")
    assert check.fault == "dark"


def test_rows_that_were_not_read_fail():
    capture, _ = clean()
    scene = capture.arrays["scene"].copy()
    scene[:, 50] = 0
    outcome = calibrate_bench(changed(capture, arrays={"scene": scene}), MASK, PROFILE)
    assert failed_names(outcome) == ["rows and columns"]


def test_saturation_of_more_than_a_thousandth_fails_and_less_does_not():
    capture, _ = clean()
    for count, failing in ((12, False), (13, True)):
        scene = capture.arrays["scene"].copy()
        scene.flat[:count] = capture.record.saturation_counts
        outcome = calibrate_bench(changed(capture, arrays={"scene": scene}), MASK, PROFILE)
        assert (failed_names(outcome) == ["saturation"]) == failing


def test_a_distorted_image_fails_its_registration():
    from scipy.ndimage import map_coordinates

    capture, _ = clean()
    rows, columns = np.mgrid[:104, :118].astype(np.float64)
    bent = columns + 1.6 * np.sin(rows / 8)
    lines = np.stack(
        [map_coordinates(image, (rows, bent), order=1, mode="nearest") for image in capture.arrays["lines"]]
    )
    outcome = calibrate_bench(changed(capture, arrays={"lines": lines}), MASK, PROFILE)
    check = next(check for check in outcome.verification.failed if check.name == "registration")
    assert "distortion" in check.text
    assert check.limit == 0.15


def test_a_lamp_of_other_brightness_is_told_from_what_is_refused():
    capture, _ = clean()
    dark = capture.arrays["dark"].mean(axis=0)
    for factor, status in ((0.45, "failed"), (0.7, "warning"), (1.0, "passed")):
        white = dark + factor * (capture.white - dark)
        outcome = calibrate_bench(changed(capture, arrays={"white": white}), MASK, PROFILE)
        check = next(check for check in outcome.verification.checks if check.name == "white level")
        assert check.status == status
        assert check.value == pytest.approx(0.99 * factor, abs=0.02)
