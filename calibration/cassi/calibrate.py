"""From a capture of an SD-CASSI bench to its calibration, with everything that was checked on the way."""

from dataclasses import dataclass

import numpy as np

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.cube import beyond_rim, mask_cube
from cidesign.calibration.cassi.detector import Detector, dark_of, detector_checks, estimate_detector
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.optics import Array, Layout, raw_centres
from cidesign.calibration.cassi.place.dispersion import DispersionFit, dispersion_checks, fit_dispersion, shift_px
from cidesign.calibration.cassi.place.lines import FittedLines, fit_lines
from cidesign.calibration.cassi.place.placement import Placement, placement_checks, placement_of
from cidesign.calibration.cassi.response import spectral_response
from cidesign.calibration.cassi.verify import WhiteResult, check_white, percent_of_white, stray_check
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.pattern import ApertureMask

SCORE_MEANING = "white target, held out of the fit: share of the structure given by the mask that is not predicted"

NOTHING_HELD = "none: no white target to hold the operator against"


@dataclass(frozen=True)
class CassiOutcome:
    """A calibration, its checks, and what its pictures show; `white` is None without a white target."""

    calibration: CassiCalibration
    verification: Verification
    detector: Detector
    lines: FittedLines
    dispersion: DispersionFit
    layout: Layout
    placement: Placement
    white: WhiteResult | None


def calibrate_bench(capture: CassiCapture, design: ApertureMask, profile: ApertureProfile) -> CassiOutcome:
    """Calibrate dark level, noise, flat field, geometry, dispersion, mask cube, light of the bands and scale.

    Raises `FileError` where captures are missing, contradict each other, or belong to another mask or profile; what can
    be measured but must not be used is a failed check.
    """
    _require_fitting(capture, design, profile)
    detector = estimate_detector(capture)
    height, width = design.levels.shape
    layout = Layout.of(profile, (height, width))
    response, source = spectral_response(capture, layout.wavelengths_nm)
    lines = fit_lines(capture, detector, design)
    reference_nm = float(layout.wavelengths_nm.mean())
    check = None
    if lines.check_centre is not None and capture.known.check_line_nm is not None:
        check = (capture.known.check_line_nm, lines.check_centre)
    dispersion = fit_dispersion(lines.lines_nm, lines.centres, check, reference_nm)
    binning = capture.known.detector_px_per_code_px
    operator = _operator(lines, detector, dispersion, layout, response, binning)
    # The rim is no fault of the detector, but its readings mean as little to the operator as those of a dead pixel.
    rim = np.kron(beyond_rim(operator, layout.axis), np.ones((binning, binning), dtype=bool))
    calibration = CassiCalibration(
        operator=operator,
        dark_counts=detector.dark_counts,
        scale_counts=detector.flat_counts / float(response.sum()),
        read_noise_counts=detector.read_noise_counts,
        gain_counts_per_photoelectron=detector.gain,
        flat=detector.model_flat(binning),
        pixel_uncertainty_px=float(np.hypot(dispersion.uncertainty_px, np.mean([fit.error_px for fit in lines.fits]))),
        shift_px=shift_px(dispersion, layout),
        notes=tuple(_notes(lines, detector, source)),
        saturation_counts=capture.known.saturation_counts,
        usable=detector.usable & ~rim,
    )
    placement = placement_of(lines, dispersion, layout, capture.known.code_origin_px, design.pitch_um)
    of_frames = [
        *detector_checks(capture, detector, binning),
        _stray_in_lines(capture, detector, lines, dispersion),
    ]
    sound = all(check.status != "failed" for check in of_frames)
    white = None if capture.white is None else check_white(calibration, capture.white, explain=sound)
    checks = [
        *of_frames,
        *placement_checks(placement, lines, design),
        *dispersion_checks(dispersion, layout),
        *(_no_white() if white is None else white.checks),
    ]
    score = None if white is None or not np.isfinite(white.relative_residual) else white.relative_residual
    meaning = NOTHING_HELD if score is None else SCORE_MEANING
    verification = Verification(score=score, score_meaning=meaning, checks=checks)
    return CassiOutcome(calibration, verification, detector, lines, dispersion, layout, placement, white)


def _require_fitting(capture: CassiCapture, design: ApertureMask, profile: ApertureProfile) -> None:
    capture.require_design(design)
    if capture.known.profile_digest != profile.digest:
        raise FileError(
            f"{capture.path}: was recorded with profile {capture.known.profile_digest[:12]}, the run is for "
            f"{profile.digest[:12]}; name the run of this bench with --run"
        )
    for name in ("lines", "flat"):
        capture.frames(name)
    for name in ("flat", "white", "scene"):
        if name in capture.arrays:
            if capture.known.exposure_of(name) != capture.known.exposure_us:
                raise FileError(
                    f"{capture.path}: {name} was exposed {capture.known.exposure_of(name):g} us, the capture "
                    f"{capture.known.exposure_us:g} us; flat, white target and scene need one exposure"
                )
            dark_of(capture, name)


def _operator(
    lines: FittedLines, detector: Detector, dispersion: DispersionFit, layout: Layout, response: Array, binning: int
) -> CassiOperator:
    masks, to_code = mask_cube(lines, detector, dispersion, layout, binning)
    raw = detector.dark_counts.shape
    return CassiOperator(
        masks=masks,
        to_code=to_code,
        response=response,
        size=(raw[0] // binning, raw[1] // binning),
    )


def _notes(lines: FittedLines, detector: Detector, source: str) -> list[str]:
    notes = [source, "scale: mean of the flat field above dark, divided by the sum of the bands' light"]
    if not lines.has_flats:
        notes.append(
            "flat_lines were not captured: clear parts of the mask are taken to let all light through, and vignetting "
            "is taken from the lamp's flat"
        )
    if detector.gain == 0:
        notes.append("the frames do not resolve the gain; photon noise is left out of the variances")
    return notes


def _stray_in_lines(capture: CassiCapture, detector: Detector, lines: FittedLines, dispersion: DispersionFit) -> Check:
    """Light beside the code's image in the lines, where the plate is opaque."""
    binning = capture.known.detector_px_per_code_px
    raw = detector.dark_counts.shape
    rows, columns = raw_centres((raw[0] // binning, raw[1] // binning), binning)
    dark = dark_of(capture, "lines").mean(axis=0)
    levels = []
    for image, centre in zip(capture.frames("lines"), dispersion.at(lines.lines_nm), strict=True):
        matrix = lines.to_code(centre)
        away = detector.usable.copy()
        outside = np.zeros_like(away)
        for axis, size in enumerate(lines.seen.shape):
            place = matrix[axis, 0] * rows + matrix[axis, 1] * columns + matrix[axis, 2]
            outside |= (place < -3) | (place > size + 2)
        away &= outside
        if int(away.sum()) >= 50:
            levels.append(percent_of_white(float(np.median((image - dark)[away])), detector.flat_counts))
    return stray_check(float(np.median(levels)) if levels else None, "lines")


def _no_white() -> list[Check]:
    text = (
        "no white target was captured, and nothing else shows a wrong lamp, scale or mask; put an even white target in "
        "place of the scene, capture it as `white` and calibrate again"
    )
    return [Check(name="white target", status="not checked", text=text)]
