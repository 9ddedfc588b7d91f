"""The gate of a calibration of shots: what the scan shows, held against limits, in plain words."""

import numpy as np

from cidesign.calibration.mri.checks import NO_PHANTOM, noise_as_calibrated_check, whiteness
from cidesign.calibration.mri.examine import autocorrelation
from cidesign.calibration.mri.phantom import orientations_of
from cidesign.calibration.mri.shots.capture import RawShots
from cidesign.calibration.mri.shots.response import (
    DETERMINED_NS,
    LARGEST_DELAY_NS,
    LEAST_RADIUS,
    ShotsCalibration,
    ShotsFindings,
    calibrate_shots,
    coil_images,
    determined,
    examine_shots,
)
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import CidesignError, LimitError
from cidesign.pattern import NonCartesian

SCORE_MEANING = (
    "centre of k-space: the part of the energy of its samples that no one image explains in all shots, above the "
    "noise; 0 at best"
)
NOTHING_CROSSED = "none: no shots cross near the centre of k-space"
# Delays below are none to speak of; those beyond the standard errors by less are no finding.
SMALL_DELAY_NS, MOST_ERRORS = 100.0, 4.0
# Unlike at the calibration.
CHANGED_DELAY_NS = 500.0
WARN_LEFT, REFUSE_LEFT = 0.01, 0.05
# The best orientation of a phantom is told from the next by so much of correlation.
ORIENTATION_MARGIN, LEAST_CORRELATION = 0.05, 0.5


def calibrate_and_verify_shots(raw: RawShots, design: NonCartesian) -> tuple[ShotsCalibration, Verification]:
    """Look for faults, correct the delay, calibrate.

    Raises `FileError` for captures that cannot be calibrated, `LimitError` where they show a fault as well.
    """
    seen = examine_shots(raw, design)
    checks = [_noise_check(raw), _coil_check(seen, raw), _delay_check(seen, None), _centre_check(seen)]
    try:
        calibration = calibrate_shots(raw, design, seen)
    except CidesignError as error:
        broken = next((check for check in checks if check.status == "failed"), None)
        if broken is None:
            raise
        raise LimitError(f"{error}; and {broken.name}: {broken.text}", fault=broken.fault) from error
    checks.append(_orientation_check(raw, design, calibration))
    return calibration, _verification(checks, seen)


def verify_stored_shots(calibration: ShotsCalibration, raw: RawShots, design: NonCartesian) -> Verification:
    """Whether a capture still shows what was calibrated."""
    seen = examine_shots(raw, design)
    checks = [
        _noise_check(raw),
        _coil_check(seen, raw, calibration),
        _delay_check(seen, calibration),
        _centre_check(seen),
        _orientation_check(raw, design, calibration),
    ]
    if seen.coils == calibration.coils:
        checks.append(noise_as_calibrated_check(calibration.noise, seen.noise))
    return _verification(checks, seen)


def _verification(checks: list[Check], seen: ShotsFindings) -> Verification:
    score = None if seen.delay is None else max(seen.delay.left - seen.delay.noise_part, 0.0)
    return Verification(score=score, score_meaning=NOTHING_CROSSED if score is None else SCORE_MEANING, checks=checks)


def _noise_check(raw: RawShots) -> Check:
    if raw.noise is None:
        return whiteness(None, 0.0)
    return whiteness(autocorrelation(raw.noise), raw.noise.size**-0.5)


def _coil_check(seen: ShotsFindings, raw: RawShots, calibration: ShotsCalibration | None = None) -> Check:
    name = "coils"
    if calibration is not None and calibration.coils != seen.coils:
        text = f"coils {list(seen.coils)} receive, {list(calibration.coils)} did at the calibration; calibrate again"
        return Check(name=name, status="failed", text=text, fault="coil-loss")
    if not seen.dead:
        return Check(name=name, status="passed", text=f"all {raw.coils} receive", value=0, limit=0, unit="coils")
    text = f"coil {', '.join(map(str, seen.dead))} receives nothing; it is left out"
    return Check(
        name=name, status="corrected", text=text, value=len(seen.dead), limit=0, unit="coils", fault="coil-loss"
    )


def _delay_check(seen: ShotsFindings, calibration: ShotsCalibration | None) -> Check:
    name, found = "gradient delay", seen.delay
    if found is None:
        text = f"shots leave gaps within {LEAST_RADIUS} steps of the centre of k-space, and do not tell it"
        return Check(name=name, status="not checked", text=text)
    if found.left - found.noise_part > REFUSE_LEFT:
        return Check(
            name=name, status="not checked", text="with no delay do the shots agree near the centre of k-space"
        )
    if not determined(found):
        worst = max(found.errors_ns) / 1e3
        text = f"known to {worst:.2g} us only, {DETERMINED_NS / 1e3:g} us are needed: few shots cross, or much noise"
        return Check(name=name, status="not checked", text=text)
    before = (0.0, 0.0) if calibration is None else calibration.delays_ns
    apart = [now - then for now, then in zip(found.delays_ns, before, strict=True)]
    worst = max(apart, key=abs)
    said = (
        f"gradients come {found.delays_ns[0] / 1e3:+.2f} us (rows) and {found.delays_ns[1] / 1e3:+.2f} us (columns) "
        f"late, known to {max(found.errors_ns) / 1e3:.2g} us"
    )
    if calibration is not None:
        limit = max(CHANGED_DELAY_NS, MOST_ERRORS * max(found.errors_ns))
        ok = abs(worst) <= limit
        text = said if ok else f"{said}, {worst / 1e3:+.2f} us from the calibration; calibrate again"
        status = "passed" if ok else "failed"
    else:
        limit = max(SMALL_DELAY_NS, MOST_ERRORS * max(found.errors_ns))
        if abs(worst) <= limit:
            status, text = "passed", said
        elif abs(worst) < LARGEST_DELAY_NS:
            status, text = "corrected", f"{said}; samples are placed with it"
        else:
            status, limit = "failed", LARGEST_DELAY_NS
            text = f"{said}: no delay, but another trajectory than the design's; check what was played"
    fault = "trajectory-delay" if status in ("corrected", "failed") else None
    return Check.model_validate(
        {"name": name, "status": status, "text": text, "value": worst / 1e3, "limit": limit / 1e3, "unit": "us",
         "fault": fault}
    )  # fmt: skip


def _centre_check(seen: ShotsFindings) -> Check:
    """Whether the shots agree where they pass the centre, with the delay that fits them best."""
    name, delay = "centre of k-space", seen.delay
    if delay is None:
        return Check(
            name=name, status="not checked", text="shots leave gaps there, so that none is held against others"
        )
    left = max(delay.left - delay.noise_part, 0.0)
    if left <= WARN_LEFT:
        return Check(name=name, status="passed", text="one image explains all shots", value=left, limit=WARN_LEFT)
    text = (
        f"{left:.1%} of the energy there fits no one image in all shots: shots lost or in another order, a field that "
        "drifts, motion, or another trajectory than the design's"
    )
    refused = left > REFUSE_LEFT
    return Check(
        name=name,
        status="failed" if refused else "warning",
        text=text,
        value=left,
        limit=REFUSE_LEFT if refused else WARN_LEFT,
        fault="lost-trigger" if refused else None,
    )


def _orientation_check(raw: RawShots, design: NonCartesian, calibration: ShotsCalibration) -> Check:
    name = "orientation"
    if raw.phantom is None or raw.drawing is None:
        return Check(name=name, status="not checked", text=NO_PHANTOM)
    images = coil_images(calibration.points(design), design.size, raw.phantom[list(calibration.coils)])
    found = orientations_of(np.sqrt((np.abs(images) ** 2).sum(axis=0)).astype(np.float64), raw.drawing)
    best, ahead = found[0], found[0].correlation - found[1].correlation
    if best.correlation < LEAST_CORRELATION or ahead < ORIENTATION_MARGIN:
        text = f"the phantom looks like its drawing in no orientation (correlation {best.correlation:.2f} at best)"
        return Check(name=name, status="not checked", text=text)
    if best.orientation.identity:
        text = f"the phantom lies as its drawing does (correlation {best.correlation:.2f})"
        return Check(name=name, status="passed", text=text, value=best.correlation, limit=LEAST_CORRELATION)
    text = (
        f"the phantom looks like its drawing only when it is {best.orientation.text}: gradients run against their "
        "names; put their signs right and scan again"
    )
    return Check(name=name, status="failed", text=text, fault="mirror")
