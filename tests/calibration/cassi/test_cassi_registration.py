"""Orientation, registration and mask levels of an SD-CASSI bench, against positions that are known."""

import numpy as np
import pytest

from cidesign.calibration.cassi.cube import solved
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.optics import Layout, affine, cauchy_terms, enlarged, inverted, render, turn_scale
from cidesign.calibration.cassi.place.dispersion import dispersion_checks, fit_dispersion, shift_px
from cidesign.calibration.cassi.place.orient import Mounting, find_orientation
from cidesign.calibration.cassi.place.register import fit_line, patch_shifts
from cidesign.errors import FileError
from cidesign.orientation import ORIENTATIONS, Orientation

SIDE, MARGIN = 32, 10
SIZE = (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN + 7)
CENTRE = np.array([(SIDE - 1) / 2, (SIDE - 1) / 2])
LEVELS = np.random.default_rng(11).integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
# An F in the corner: nothing turns it into itself.
LEVELS[2:12, 2:8] = 0
LEVELS[3:11, 3] = LEVELS[3, 3:7] = LEVELS[6, 3:6] = 1


def image_of(levels, degrees, shifted, scale=1.0, binning=2, psf_px=0.35):
    """A raw image of a mask, and where (row, column, 1) of the code lies on it."""
    matrix = affine(turn_scale(degrees, scale), CENTRE, MARGIN + CENTRE + np.array(shifted))
    return render(enlarged(levels, 4), 4, matrix, SIZE, binning, psf_px), matrix


def binned(image, binning=2):
    return image.reshape(SIZE[0], binning, SIZE[1], binning).mean(axis=(1, 3))


@pytest.mark.parametrize("way", ORIENTATIONS)
@pytest.mark.parametrize("inverted_too", [False, True])
def test_every_orientation_and_polarity_is_told_apart(way: Orientation, inverted_too: bool) -> None:
    mounting = Mounting(way, inverted_too)
    image, _ = image_of(mounting.apply(LEVELS), 0.0, (0.3, 2.7))
    found = find_orientation(binned(image), LEVELS)
    assert found.mounting == mounting
    assert found.margin > 0.2
    assert np.hypot(*(found.centre - MARGIN - CENTRE - [0.3, 2.7])) < 1


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize(("degrees", "shifted", "scale"), [(0.0, (0.5, -0.5), 1.0), (-4.6, (-3.3, 5.8), 1.008)])
def test_the_affine_fit_finds_every_corner_to_a_hundredth(binning, degrees, shifted, scale):
    image, truth = image_of(LEVELS, degrees, shifted, scale, binning)
    usable = np.ones(image.shape, dtype=bool)
    usable[40, 40] = False
    image[40, 40] = 50.0  # a dead pixel must not draw the fit to itself
    found = find_orientation(binned(np.where(usable, image, 0.5), binning), LEVELS)
    start = inverted(affine(turn_scale(found.rotation_deg, 1.0), CENTRE, found.centre))
    fit = fit_line(image, usable, binning, LEVELS.astype(float), start)
    corners = np.array([[0, 0, 1], [0, SIDE - 1, 1], [SIDE - 1, 0, 1], [SIDE - 1, SIDE - 1, 1]]).T
    assert np.abs((inverted(fit.to_code) - truth) @ corners).max() < 0.01
    assert fit.error_px < 0.01
    assert fit.clear == pytest.approx(1, abs=0.02)
    assert fit.opaque == pytest.approx(0, abs=0.02)
    patches = patch_shifts(image, usable, binning, LEVELS.astype(float), fit)
    assert len(patches) >= 4
    assert np.abs(patches).max() < 0.02


def test_patches_show_a_distortion_that_an_affine_fit_cannot_follow():
    left, _ = image_of(LEVELS, 0.0, (0.0, 0.0))
    right, _ = image_of(LEVELS, 0.0, (0.6, 0.0))
    image = left.copy()
    half = (MARGIN + SIDE // 2) * 2
    image[half:, half:] = right[half:, half:]
    usable = np.ones(image.shape, dtype=bool)
    start = inverted(affine(np.eye(2), CENTRE, MARGIN + CENTRE))
    fit = fit_line(image, usable, 2, LEVELS.astype(float), start)
    assert np.hypot(*patch_shifts(image, usable, 2, LEVELS.astype(float), fit).T).max() > 0.2


def test_levels_are_what_the_operator_needs_to_predict_an_image():
    to_code = inverted(affine(turn_scale(0.3, 1.001), CENTRE, MARGIN + CENTRE + np.array([0.4, -0.3])))
    levels = np.random.default_rng(3).random((SIDE, SIDE)).astype(np.float32)
    operator = CassiOperator(levels[None], to_code[None], np.ones(1), SIZE)
    image = operator.predict(np.ones((1, SIDE, SIDE), np.float32))
    found = solved(image, to_code, np.full((SIDE, SIDE), 0.5), axis=1)
    again = CassiOperator(found[None].astype(np.float32), to_code[None], np.ones(1), SIZE)
    inside = (slice(MARGIN + 2, MARGIN + SIDE - 2), slice(MARGIN + 2, MARGIN + SIDE - 2))
    left = again.predict(np.ones((1, SIDE, SIDE), np.float32)) - image
    assert np.abs(left[inside]).max() < 0.02
    assert len(np.unique(np.round(found, 3))) > SIDE  # grey, never binary


BANDS_NM = np.linspace(450, 650, 8)
LAYOUT = Layout((SIDE, SIDE), BANDS_NM, np.arange(8.0), 1, 1)
LINES_NM = np.array([440, 480, 520, 560, 600, 640, 660.0])


def places(lines_nm, step=1.0, noise_px=0.0, seed=0):
    """Positions (n, 2) of the code's centre on a curve of glass, a little oblique."""
    curve = np.linalg.lstsq(cauchy_terms(BANDS_NM, 550.0), np.arange(8.0), rcond=None)[0]
    along = step * cauchy_terms(lines_nm, 550.0) @ curve
    noise = noise_px * np.random.default_rng(seed).normal(size=(len(lines_nm), 2))
    return np.stack([20 + 0.02 * along, 30 + along], axis=1) + noise


def named(checks):
    return {check.name: check for check in checks}


def test_a_curve_of_glass_is_found_in_both_directions():
    fit = fit_dispersion(LINES_NM, places(LINES_NM), (530.0, places(np.array([530.0]))[0]), 550.0)
    assert np.abs(fit.at(BANDS_NM) - places(BANDS_NM)).max() < 1e-9
    assert fit.checked_px < 1e-9
    truth = places(BANDS_NM)[:, 1]
    assert shift_px(fit, LAYOUT) == pytest.approx(truth - truth[0])
    assert {check.status for check in dispersion_checks(fit, LAYOUT)} == {"passed"}


def test_the_uncertainty_is_that_of_the_positions():
    found = [
        fit_dispersion(LINES_NM, places(LINES_NM, 1, 0.05, seed), None, 550.0).uncertainty_px for seed in range(60)
    ]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.05, rel=0.12)


def test_too_few_lines_are_refused():
    lines_nm = np.array([450, 500, 500, 550, 600.0])
    with pytest.raises(FileError, match="4 different wavelengths; a dispersion curve needs 5"):
        fit_dispersion(lines_nm, places(lines_nm), None, 550.0)


def test_a_line_with_a_wrong_wavelength_fails_and_is_named():
    wrong = places(LINES_NM)
    wrong[3] = places(LINES_NM + 40)[3]
    check = named(dispersion_checks(fit_dispersion(LINES_NM, wrong, None, 550.0), LAYOUT))["dispersion"]
    assert check.status == "failed"
    assert "560 nm" in check.text
    assert check.limit == 0.3


def test_a_held_out_line_that_is_missed_fails():
    fit = fit_dispersion(LINES_NM, places(LINES_NM), (530.0, places(np.array([545.0]))[0]), 550.0)
    check = named(dispersion_checks(fit, LAYOUT))["wavelengths"]
    assert check.status == "failed"
    assert "530 nm is predicted to within 0.5" in check.text


def test_bands_beyond_the_outer_lines_are_refused():
    lines_nm = np.linspace(470, 640, 6)
    check = named(dispersion_checks(fit_dispersion(lines_nm, places(lines_nm), None, 550.0), LAYOUT))[
        "bands between the lines"
    ]
    assert check.status == "failed"
    assert "450, 650 nm" in check.text


def test_a_wrong_step_is_corrected_and_a_spectrum_that_runs_backwards_refused():
    checks = named(dispersion_checks(fit_dispersion(LINES_NM, places(LINES_NM, 1.04), None, 550.0), LAYOUT))
    step = checks["step of the dispersion"]
    assert (step.status, step.fault) == ("corrected", "wrong-step")
    assert step.value == pytest.approx(4, abs=0.1)
    backwards = named(dispersion_checks(fit_dispersion(LINES_NM, places(LINES_NM, -1), None, 550.0), LAYOUT))
    assert backwards["direction of the dispersion"].status == "failed"
