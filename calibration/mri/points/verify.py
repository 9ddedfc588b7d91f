"""The gate of a calibration of points: what the readouts show, and points that were held out of the coil maps."""

import numpy as np

from cidesign.calibration.faults import fault_of
from cidesign.calibration.mri.checks import (
    MOST_OBJECT_LINES,
    held_verdict,
    noise_as_calibrated_check,
    object_echo_check,
    signal_checks,
)
from cidesign.calibration.mri.examine import Findings, examine
from cidesign.calibration.mri.kspace import centred_ifft
from cidesign.calibration.mri.noise import CoilNoise, measure_noise
from cidesign.calibration.mri.points.held_points import predict_points
from cidesign.calibration.mri.points.response import VolumeCalibration, calibrate_volume
from cidesign.calibration.mri.points.volume import RawVolume, require_points
from cidesign.calibration.mri.response import Corrections
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import CidesignError, FileError, LimitError
from cidesign.pattern import CartesianPoints, calibration_region

SCORE_MEANING = (
    "points held out of the coil maps: the energy that their prediction leaves above the noise, of their own or of "
    "what maps turned by half a turn leave, whichever is more; 0 at best, about 1 for wrong maps"
)
NOTHING_HELD = "none: no points were held out of coil maps to be predicted"
# Of twelve simulated scans of one object (24 x 20 points, four coils, 0.5 to 3 % of noise) sound ones left at most
# 0.12, those with other maps 0.33 and more, and those that lost readouts 0.32 and more.
WARN_HELD, REFUSE_HELD = 0.2, 0.3
# Of simulated volumes (64 x 64 points, regions of 8 to 16) maps that cover the object left 0.2 to 0.5 % of what the
# calibration region shows, mostly its ringing; those with a hole inside the object (32 x 32, 7 x 7) 2.8 %.
MOST_LEFT_OUT = 0.015
# What only the scan of a known phantom shows.
NOT_LOOKED_AT = ("orientation", "position", "order of readouts", "phase drift")


def calibrate_and_verify_volume(
    raw: RawVolume, design: CartesianPoints, acs: tuple[int, int] | None = None, kernel: int | None = None
) -> tuple[VolumeCalibration, Verification]:
    """Look for faults, correct what can be corrected, calibrate, and predict held-out points.

    Raises `FileError` for captures that `calibrate_volume` refuses, `LimitError` where they show a fault as well.
    """
    require_points(raw, design)
    findings, checks = _examined(raw, "calibrate", None)
    corrections = Corrections(coils=findings.corrections().coils, offset=findings.offset)
    try:
        calibration = calibrate_volume(raw, design, acs, kernel, corrections)
    except CidesignError as error:
        failed = [check for check in checks if check.status == "failed"]
        if not failed:
            raise
        fault = next((check.fault for check in failed if check.fault), fault_of(error))
        raise LimitError(f"{error}. Before that: {failed[0].text}", fault=fault) from error
    checks.append(object_echo_check(calibration.echo_shift_samples))
    return calibration, _verification(checks, raw, calibration, "their own")


def verify_stored_volume(calibration: VolumeCalibration, raw: RawVolume) -> Verification:
    """Hold a stored calibration against a capture: its noise, and points predicted with the stored maps.

    Nothing is corrected any more: what differs from the calibration fails.
    """
    corrected = RawVolume(calibration.corrections.apply(raw.readouts), raw.points, raw.matrix)
    findings, checks = _examined(corrected, "check", calibration.noise)
    checks.append(noise_as_calibrated_check(calibration.noise, findings.noise))
    return _verification(checks, raw, calibration, "the stored")


def _examined(raw: RawVolume, mode: str, known: CoilNoise | None) -> tuple[Findings, list[Check]]:
    """The planes through the centre of k-space are 2-D scans of their own, and are looked at as such."""
    lines, partitions = (raw.through_centre(axis) for axis in (0, 1))
    if lines is None or partitions is None:
        raise FileError(f"{raw.path}: nothing was measured on the central line or partition; measure the centre")
    if known is None and raw.readouts.noise is None and raw.readouts.edges is None:
        # Ends of readouts say it then, of which a plane has too few.
        known = measure_noise(raw.readouts)
    findings = examine(lines, known)
    checks = signal_checks(findings, lines, "check" if mode == "check" else "calibrate")
    alive = Corrections(coils=findings.corrections().coils, offset=findings.offset)
    kept = known if known is None or alive.coils is None else known.select(alive.coils)
    across = examine(alive.apply(partitions), kept)
    checks += [_centre("lines", findings.centre_lines), _centre("partitions", across.centre_lines)]
    text = "no known phantom is scanned with points of a 3-D scan; compare an image with the object"
    return findings, [*checks, *(Check(name=name, status="not checked", text=text) for name in NOT_LOOKED_AT)]


def _centre(what: str, above: float) -> Check:
    good = abs(above) <= MOST_OBJECT_LINES
    text = "with the linear phase of the object"
    if not good:
        text = (
            f"the centre of k-space lies {above:+.2f} {what} from the middle one: {what} are counted from another one, "
            "or the prephaser has another size (or the object has such a linear phase). Other points than those of the "
            "design were measured: put it right and measure again"
        )
    return Check(
        name=f"centre along the {what}",
        status="passed" if good else "failed",
        text=text,
        value=above,
        limit=MOST_OBJECT_LINES,
        unit=what,
        fault=None if good else "line-offset",
    )


def left_out(raw: RawVolume, calibration: VolumeCalibration) -> float:
    """The part of the energy of the calibration region's images, noise taken off, that lies where there are no maps."""
    region = calibration_region(raw.matrix, calibration.acs)
    slices = calibration.slices(raw) * region
    energy = (np.abs(centred_ifft(slices, (-2, -1))) ** 2).sum(axis=1)
    noise = 2 * calibration.noise_deviation**2 * slices.shape[1] * float(region.mean())
    seen = np.maximum(energy - noise, 0)
    without = np.abs(calibration.maps).max(axis=1) == 0
    return float(seen[without].sum() / max(float(seen.sum()), 1e-30))


def _cover_check(raw: RawVolume, calibration: VolumeCalibration) -> Check:
    name, found = "cover of the coil maps", left_out(raw, calibration)
    if found <= MOST_LEFT_OUT:
        text = "they are there wherever the calibration region shows something"
        return Check(name=name, status="passed", text=text, value=found, limit=MOST_LEFT_OUT)
    text = (
        f"{found:.1%} of what the calibration region shows lies where there are no maps, and will be missing from all "
        f"images; design with a larger region than {calibration.acs[0]} x {calibration.acs[1]} (acs_lines, "
        "acs_partitions)"
    )
    return Check(name=name, status="warning", text=text, value=found, limit=MOST_LEFT_OUT)


def _verification(checks: list[Check], raw: RawVolume, calibration: VolumeCalibration, whose: str) -> Verification:
    held = predict_points(raw, calibration)
    score, meaning = (None, NOTHING_HELD) if held is None else (held.relative_residual, SCORE_MEANING)
    if held is not None:
        what = f"{held.points} points of {held.slices} slices"
        found = held_verdict("points", held.relative_residual, what, whose, WARN_HELD, REFUSE_HELD)
    else:
        why = "one coil says nothing of points that were not measured"
        if calibration.coils > 1:
            why = "too few points beside the fully sampled centre to hold some out"
        found = Check(name="held-out points", status="not checked", text=why)
    cover = [_cover_check(raw, calibration)] if calibration.coils > 1 else []
    return Verification(score=score, score_meaning=meaning, checks=[*checks, *cover, found])
