"""The gate of an MRI calibration: faults found and put right, coil maps tried on lines that were held out of them."""

from cidesign.calibration.faults import fault_of
from cidesign.calibration.mri.checks import (
    centre_lines,
    held_check,
    judge,
    noise_as_calibrated_check,
    object_echo_check,
)
from cidesign.calibration.mri.coils import MOST_ACS_LINES, centre_of, choose_kernel, espirit_maps
from cidesign.calibration.mri.examine import Findings, examine
from cidesign.calibration.mri.held_lines import LEAST_FIT_LINES, HeldOut, held_lines, predict_lines
from cidesign.calibration.mri.kspace import RawKspace, require_design
from cidesign.calibration.mri.response import (
    Corrections,
    KspaceCalibration,
    calibrate_kspace,
)
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import CidesignError, LimitError
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianLines

SCORE_MEANING = (
    "lines held out of the coil maps: the energy that their prediction leaves above the noise, of their own or of what "
    "maps turned by half a turn leave, whichever is more; 0 at best, about 1 for wrong maps"
)

NOTHING_HELD = "none: no lines were held out of coil maps to be predicted"


def calibrate_and_verify(
    raw: RawKspace,
    design: CartesianLines,
    orientation: Orientation | None,
    acs_lines: int | None = None,
    kernel: int | None = None,
) -> tuple[KspaceCalibration, Verification, Findings]:
    """Look for faults, correct what can be corrected, calibrate, and predict held-out lines.

    `orientation` None: as the phantom shows it, or as scanned.  Raises `FileError` for captures that `calibrate_kspace`
    refuses, `LimitError` where they show a fault as well.
    """
    require_design(raw, design)
    findings = examine(raw)
    checks = judge(findings, raw, orientation or Orientation(), "calibrate", given=orientation is not None)
    corrections = _warranted(findings, checks)
    try:
        calibration = calibrate_kspace(raw, design, orientation or _shown(findings), acs_lines, kernel, corrections)
    except CidesignError as error:
        failed = [check for check in checks if check.status == "failed"]
        if not failed:
            raise
        names = ", ".join(dict.fromkeys(check.fault or check.name for check in failed))
        fault = next((check.fault for check in failed if check.fault), fault_of(error))
        text = f"{error}. Before that: {failed[0].text}; this resembles: {names}"
        raise LimitError(text, fault=fault) from error
    if findings.phantom is None:
        checks.append(object_echo_check(calibration.echo_shift_samples))
    held = _held_with_own_maps(raw, calibration)
    checks.append(held_check(held, calibration.coils, "their own"))
    return calibration, _verification(checks, held), findings


def verify_stored(calibration: KspaceCalibration, raw: RawKspace, phantom_echo_samples: float | None) -> Verification:
    """Hold a stored calibration against a capture: its noise, its phantom, and lines predicted with the stored maps.

    Nothing is corrected any more: what differs from the calibration fails.  `phantom_echo_samples`: as calibrated.
    """
    corrected = calibration.corrections.apply(raw)
    findings = examine(corrected, calibration.noise)
    checks = judge(findings, corrected, calibration.orientation, "check", given=True, echo=phantom_echo_samples)
    checks.append(noise_as_calibrated_check(calibration.noise, findings.noise))
    held = _held_with_stored_maps(raw, calibration)
    checks.append(held_check(held, calibration.coils, "the stored"))
    return _verification(checks, held)


def _verification(checks: list[Check], held: HeldOut | None) -> Verification:
    meaning = SCORE_MEANING if held else NOTHING_HELD
    return Verification(score=held.relative_residual if held else None, score_meaning=meaning, checks=checks)


def _shown(findings: Findings) -> Orientation:
    """The orientation that the phantom shows, as scanned without one."""
    return Orientation() if findings.phantom is None else findings.phantom.matches[0].orientation


def _warranted(findings: Findings, checks: list[Check]) -> Corrections:
    """The corrections whose checks say `corrected`; dead coils are left out in any case."""
    put_right = {check.fault for check in checks if check.status == "corrected"}
    wanted = findings.corrections()
    return Corrections(
        coils=wanted.coils,
        offset=wanted.offset,
        shift_px=wanted.shift_px if "shift" in put_right else 0.0,
        drift_rad_per_readout=wanted.drift_rad_per_readout if "drift" in put_right else 0.0,
        offset_lines=round(centre_lines(findings)[0]) if "line-offset" in put_right else 0,
    )


def _held_with_own_maps(raw: RawKspace, calibration: KspaceCalibration) -> HeldOut | None:
    """Predict a line on either side of the centre, with maps fitted to the lines up to there."""
    k, variance = calibration.measurements(raw), 2 * calibration.noise_deviation**2
    raw = calibration.corrections.apply(raw)
    block = _central(raw)
    parts = []
    for fitted, held in held_lines(block) if calibration.coils > 1 else []:
        if len(fitted) < LEAST_FIT_LINES:
            return None
        kernel = choose_kernel(len(fitted), None, raw.path)
        maps = espirit_maps(centre_of(k, fitted.start, len(fitted)), (k.shape[1], k.shape[2]), kernel, variance)
        parts.append(predict_lines(k, raw.lines, maps, variance, block, (held,)))
    if not parts:
        return None
    return HeldOut(sum(part.relative_residual for part in parts) / len(parts), tuple(part.lines[0] for part in parts))


def _held_with_stored_maps(raw: RawKspace, calibration: KspaceCalibration) -> HeldOut | None:
    corrected = calibration.corrections.apply(raw)
    block = _central(corrected)
    held = tuple(line for _, line in held_lines(block))
    if not held or calibration.coils < 2:
        return None
    k, variance = calibration.measurements(raw), 2 * calibration.noise_deviation**2
    return predict_lines(k, corrected.lines, calibration.operator()[0], variance, block, held)


def _central(raw: RawKspace) -> range:
    """The contiguous lines around the centre, symmetric, at most as many as maps are fitted to."""
    found = raw.central_lines()
    centre = raw.matrix_lines // 2
    half = min(centre - found.start, found.stop - centre, MOST_ACS_LINES // 2)
    return range(centre - half, centre + half)
