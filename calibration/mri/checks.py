"""The checks of an MRI calibration: what a scan shows, held against limits, and named in plain words.

Limits stand well above what clean scanners show, and well below what a fault of usual strength does.
"""

from typing import Literal

import numpy as np

from cidesign.calibration.mri.examine import Findings, PhantomFindings
from cidesign.calibration.mri.held_lines import HeldOut
from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.response import LARGEST_ECHO_SHIFT
from cidesign.checks import Check, FaultName, Status
from cidesign.orientation import Orientation

WARN_AUTOCORRELATION = 0.1
# Variance beside the field of view over that of the noise scan.
NOISE_RATIO, REFUSE_NOISE_RATIO = (0.6, 1.6), (0.2, 20.0)
# Of the noise scan of a capture over that of its calibration.
REFUSE_CHANGE = (0.4, 2.5)
# Two samples may be equal by chance in whole numbers, or by the symmetry of a noise-free phantom; more are clipped.
MOST_AT_LIMIT, CLIPPED_AT_LIMIT = 1, 3
ORIENTATION_MARGIN = 0.2
MOST_SHIFT_PX = 0.5
MOST_DRIFT_DEGREES = 10.0
# A loss of readouts is one where the model with it leaves that much less of the energy, and half as much.
LOSS_GAIN, LOSS_RATIO = 0.003, 0.5
MOST_ECHO_SAMPLES = 1.0
# Without a phantom the object's own linear phase counts as well.
MOST_OBJECT_ECHO_SAMPLES = 2.5
WARN_RESIDUAL, REFUSE_RESIDUAL = 0.10, 0.25
WARN_HELD, REFUSE_HELD = 0.35, 0.5
# A field that drifts is removed where the phantom is explained this well.
DETERMINED = 0.1
# Of the centre of k-space along the lines: of a phantom, and of an object, which may have a linear phase of its own
# (0.4 lines in procedural slices, 1.3 in the worst of 120); more is refused even where the phantom has none.
MOST_PHANTOM_LINES, MOST_OBJECT_LINES, REFUSE_OBJECT_LINES = 0.5, 1.75, 2.5
# As a part of the matrix: a centre further off was not counted wrongly, but stored in another order.
LARGEST_OFFSET = 1 / 8
NO_PHANTOM = "no phantom was scanned; scan one with marks, see `cidesign calibrate --plan`"
Mode = Literal["calibrate", "check"]


def judge(
    findings: Findings, raw: RawKspace, expected: Orientation, mode: Mode, *, given: bool, echo: float | None = None
) -> list[Check]:
    """The checks of one scan.

    `calibrate`: what can be corrected is `corrected`; `check`: the scan was corrected as calibrated, and what is left
    is `failed`.  `given`: whether `expected` was asked for, or may be replaced.  `echo`: the phantom's, as calibrated.
    """
    checks = [*signal_checks(findings, raw, mode), _centre_check(findings, raw, mode)]
    if findings.phantom is None:
        small = "the phantom is too small, or gave no signal" if raw.phantom is not None else NO_PHANTOM
        names = ("orientation", "position of the phantom", "order of readouts", "phase drift", "echo", "phantom")
        return checks + [Check(name=name, status="not checked", text=small) for name in names]
    seen = findings.phantom
    checks += [
        _orientation_check(seen, expected, mode, given), _position_check(seen, mode), _order_check(seen, raw),
        _drift_check(seen, raw, mode), _echo_check(seen, mode, echo), _model_check(seen),
    ]  # fmt: skip
    return checks


def signal_checks(findings: Findings, raw: RawKspace, mode: Mode) -> list[Check]:
    """The checks of noise, receiver and coils, which are the same for every kind of scan."""
    return [
        whiteness(findings.autocorrelation, findings.autocorrelation_error), _edges(findings),
        _offset_check(findings, mode), _range_check(findings),
        _coil_check(findings, raw, mode),
    ]  # fmt: skip


def _check(
    name: str, status: Status, text: str, value: float | None = None, limit: float | None = None, unit: str = "",
    fault: FaultName | None = None,
) -> Check:  # fmt: skip
    named = fault if status in ("corrected", "warning", "failed") else None
    return Check(name=name, status=status, text=text, value=value, limit=limit, unit=unit, fault=named)


def whiteness(autocorrelation: float | None, error: float) -> Check:
    """Whether samples of a noise scan (None: there is none) depend on those before, beyond the error of telling it."""
    if autocorrelation is None:
        return _check("noise scan", "not checked", "there is no noise scan; record one without a pulse")
    limit = max(WARN_AUTOCORRELATION, 6 * error)
    good = autocorrelation <= limit
    text = "samples do not depend on those before" if good else (
        "noise samples depend on those before: interference, or a filter; look for a source of radio waves"
    )  # fmt: skip
    return _check("noise scan", "passed" if good else "warning", text, autocorrelation, limit)


def _edges(findings: Findings) -> Check:
    ratio = findings.edges_over_scan
    if ratio is None:
        return _check(
            "noise of the image", "not checked", "needs a noise scan, and a readout whose oversampling was removed here"
        )
    if NOISE_RATIO[0] <= ratio <= NOISE_RATIO[1]:
        return _check("noise of the image", "passed", "as in the noise scan", ratio, NOISE_RATIO[1])
    status: Status = "warning" if REFUSE_NOISE_RATIO[0] <= ratio <= REFUSE_NOISE_RATIO[1] else "failed"
    limits = NOISE_RATIO if status == "warning" else REFUSE_NOISE_RATIO
    text = (
        f"the air beside the field of view has {ratio:.2g} times the variance of the noise scan: another receiver gain,"
        " spikes or clipped samples; record the noise scan with the settings of the image"
    )
    return _check("noise of the image", status, text, ratio, limits[0] if ratio < 1 else limits[1])


def _offset_check(findings: Findings, mode: Mode) -> Check:
    name = "constant offset"
    if not findings.offset_known:
        return _check(name, "not checked", "only a noise scan tells an offset from an object in the middle")
    if findings.offset is None:
        return _check(name, "passed", "none stands out of the noise scan", 0.0)
    part = 100 * findings.offset_part
    text = f"every sample has {part:.2g} % of the largest one too much (mean of the noise scan): a bright dot"
    if mode == "calibrate":
        return _check(name, "corrected", f"{text}; subtracted", part, None, "%", "dark")
    return _check(
        name, "failed", f"{text}, which differs from the calibration; calibrate again", part, None, "%", "dark"
    )


def _range_check(findings: Findings) -> Check:
    counts = {"scan": findings.at_limit, "phantom": findings.phantom.at_limit if findings.phantom else 0}
    worst = max(counts.values())
    if worst <= MOST_AT_LIMIT:
        return _check("range of the receiver", "passed", "no samples pile up on the largest", worst, MOST_AT_LIMIT)
    of_what = max(counts, key=lambda key: counts[key])
    text = (
        f"{worst} real or imaginary parts of the {of_what} share the largest value: the receiver was overdriven; lower "
        "its gain (repeat the prescan) and measure again"
    )
    status: Status = "failed" if worst >= CLIPPED_AT_LIMIT else "warning"
    return _check("range of the receiver", status, text, worst, MOST_AT_LIMIT, "samples", "saturation")


def _coil_check(findings: Findings, raw: RawKspace, mode: Mode) -> Check:
    name, weakest = "signal of the coils", float(findings.signal_power.min() ** 0.5)
    if not findings.dead:
        return _check(name, "passed", "all coils receive the object", weakest, None, "times the noise")
    which = ", ".join(map(str, findings.dead))
    text = f"coil {which} of {raw.coils} gives noise only; check its plug and preamplifier"
    if mode == "check":
        text += ". It had signal when the scanner was calibrated; calibrate again"
        return _check(name, "failed", text, weakest, None, "times the noise", "coil-loss")
    if len(findings.alive) < 2:
        return _check(
            name, "failed", f"{text}: {len(findings.alive)} left", weakest, None, "times the noise", "coil-loss"
        )
    text += f". The other {len(findings.alive)} are used alone"
    return _check(name, "corrected", text, weakest, None, "times the noise", "coil-loss")


def centre_lines(findings: Findings) -> tuple[float, float]:
    """How far the centre of k-space lies above the middle line, and the limit: of the phantom where that is off."""
    seen = findings.phantom
    if seen is not None and abs(seen.centre_lines) > MOST_PHANTOM_LINES:
        return seen.centre_lines, MOST_PHANTOM_LINES
    return findings.centre_lines, MOST_OBJECT_LINES


def _centre_check(findings: Findings, raw: RawKspace, mode: Mode) -> Check:
    """The place of the centre along the lines: moved in a full scan, refused where only some lines were measured."""
    name, unit = "centre along the lines", "lines"
    seen = findings.phantom
    if seen is not None and _lost(seen):
        return _check(name, "not checked", "lost readouts move it as well")
    above, limit = centre_lines(findings)
    if abs(above) <= limit:
        return _check(name, "passed", "with the linear phase of the object", above, limit, unit)
    whose = "phantom" if limit == MOST_PHANTOM_LINES else "object"
    text = (
        f"the centre of k-space of the {whose} lies {above:+.2f} lines from line {raw.matrix_lines // 2}: lines are "
        "counted from another one, or the prephaser of the phase encoding has another size"
    )
    if whose == "object":
        text += " (or the object has such a linear phase; a phantom would tell)" if seen is None else ""
    if mode == "check" and raw.padding is not None:
        text += ", unlike at the calibration; calibrate again with a full scan of this kind"
        return _check(name, "failed", text, above, limit, unit, "line-offset")
    if abs(above) > LARGEST_OFFSET * raw.matrix_lines:
        most = int(LARGEST_OFFSET * raw.matrix_lines)
        text += f". At most {most} are moved; is k-space stored with its centre first (fftshift)?"
        return _check(name, "failed", text, above, limit, unit, "line-offset")
    if raw.padding is not None and mode == "calibrate":
        text += f"; all lines are moved by {-round(above):+d}"
        return _check(name, "corrected", text, above, limit, unit, "line-offset")
    if whose == "object" and seen is not None and abs(above) <= REFUSE_OBJECT_LINES:
        return _check(name, "warning", f"{text}; that of the phantom does not", above, limit, unit, "line-offset")
    text += ". Other lines than those of the design were measured: put it right and measure again, or scan all lines"
    return _check(name, "failed", text, above, limit, unit, "line-offset")


def _orientation_check(seen: PhantomFindings, expected: Orientation, mode: Mode, given: bool) -> Check:
    best, second = seen.matches[0], seen.matches[1]
    found = best.orientation
    if found == expected:
        margin = best.correlation - second.correlation
        if margin >= ORIENTATION_MARGIN:
            return _check("orientation", "passed", f"{found.text}, as expected", margin, ORIENTATION_MARGIN)
        text = "the phantom matches its drawing hardly better than in another orientation; is it that of this phantom?"
        return _check("orientation", "warning", text, margin, ORIENTATION_MARGIN, "", None)
    here = next(match.correlation for match in seen.matches if match.orientation == expected)
    margin = best.correlation - here
    text = f"the orientation in which the phantom looks like its drawing: {found.text}; expected: {expected.text}"
    flags = " ".join(f"--set {name}={str(value).lower()}" for name, value in vars(found).items())
    if mode == "calibrate" and not given:
        text += f" ({flags}); pictures are shown in it. Does the phantom lie as it is drawn?"
        return _check("orientation", "corrected", text, margin, ORIENTATION_MARGIN, "", "mirror")
    if margin < ORIENTATION_MARGIN:
        return _check("orientation", "warning", text, margin, ORIENTATION_MARGIN, "", "mirror")
    text += f"; calibrate with {flags}, or put the gradient's polarity right"
    return _check("orientation", "failed", text, margin, ORIENTATION_MARGIN, "", "mirror")


def _position_check(seen: PhantomFindings, mode: Mode) -> Check:
    name, limit = "position of the phantom", MOST_SHIFT_PX
    down, along = seen.readouts.shift_px, seen.matches[0].columns_px
    if abs(down) > limit:
        text = f"the phantom lies {down:+.2f} pixels off along phase encoding: it or the field of view is shifted"
        if mode == "calibrate":
            return _check(name, "corrected", f"{text}; a phase ramp moves it back", down, limit, "pixels", "shift")
        return _check(name, "failed", f"{text}, unlike at the calibration", down, limit, "pixels", "shift")
    if along:
        text = f"the phantom lies {along:+d} pixels off along the readout, and is left there; centre the field of view"
        return _check(name, "warning", text, along, limit, "pixels", "shift")
    return _check(name, "passed", "where its drawing has it", down, limit, "pixels")


def _lost(seen: PhantomFindings) -> bool:
    fit = seen.readouts
    gain = fit.without_loss - fit.relative_residual
    return bool(fit.lost) and gain >= LOSS_GAIN and fit.relative_residual <= LOSS_RATIO * fit.without_loss


def _order_check(seen: PhantomFindings, raw: RawKspace) -> Check:
    """Lost readouts: where, which lines are wrong from then on, and what to do."""
    fit, name = seen.readouts, "order of readouts"
    if not _lost(seen):
        return _check(name, "passed", "every line of the phantom lies where it should", 0, 0, "lines")
    text = f"{fit.lost} readout(s) were lost after the first {fit.lost_at} of the phantom scan"
    if raw.phantom is not None and fit.lost_at + fit.lost < len(raw.phantom.order):
        wrong, right = raw.phantom.order[fit.lost_at], raw.phantom.order[fit.lost_at + fit.lost]
        text += f": what is stored as line {wrong} is line {right}, and all after it are wrong as well"
    text += ". Check the trigger and the number of acquisitions, and measure everything again"
    return _check(name, "failed", text, fit.lost, 0, "lines", "lost-trigger")


def _drift_check(seen: PhantomFindings, raw: RawKspace, mode: Mode) -> Check:
    name = "phase drift"
    if not seen.separable:
        return _check(name, "not checked", "the lines were measured in rising order, or in one that is not known")
    total = float(np.rad2deg(seen.readouts.drift_rad_per_readout)) * (raw.matrix_lines - 1)
    if abs(total) <= MOST_DRIFT_DEGREES:
        return _check(name, "passed", "over a scan of all lines", total, MOST_DRIFT_DEGREES, "degrees")
    text = f"the phase drifts by {total:+.0f} degrees over a scan of all lines (the field warms up?)"
    if mode == "check":
        text += ", unlike at the calibration; let the magnet settle and calibrate again"
        return _check(name, "failed", text, total, MOST_DRIFT_DEGREES, "degrees", "drift")
    if seen.readouts.relative_residual <= DETERMINED and raw.order is not None:
        text += "; removed at this rate, in the order of the lines"
        return _check(name, "corrected", text, total, MOST_DRIFT_DEGREES, "degrees", "drift")
    why = "the order of the lines is not known" if raw.order is None else "it is not well determined"
    return _check(name, "warning", f"{text}; left in, as {why}", total, MOST_DRIFT_DEGREES, "degrees", "drift")


def _echo_check(seen: PhantomFindings, mode: Mode, calibrated: float | None) -> Check:
    late = seen.echo_samples - (calibrated or 0.0)
    limit, unit = MOST_ECHO_SAMPLES, "samples"
    if abs(late) <= limit:
        return _check("echo", "passed", "near the middle of the readout", late, limit, unit)
    where = "the middle" if calibrated is None else "where it was calibrated"
    text = f"the phantom's echo lies {late:+.2f} samples from {where}"
    text += ": gradient and converter do not start together"
    if mode == "check":
        return _check("echo", "failed", f"{text}; calibrate again", late, limit, unit, "trajectory-delay")
    if abs(late) <= LARGEST_ECHO_SHIFT:
        return _check("echo", "corrected", f"{text}; it is centred", late, limit, unit, "trajectory-delay")
    text += f"; at most {LARGEST_ECHO_SHIFT:g} are corrected, check the prephaser"
    return _check("echo", "failed", text, late, LARGEST_ECHO_SHIFT, unit, "trajectory-delay")


def object_echo_check(shift_samples: float) -> Check:
    """The echo of the object itself, where no phantom was scanned."""
    good = abs(shift_samples) <= MOST_OBJECT_ECHO_SAMPLES
    text = "with the object's own linear phase; a phantom would tell them apart"
    if not good:
        text = f"the echo lies {shift_samples:+.2f} samples from the middle, {text}"
    return _check(
        "echo of the object", "passed" if good else "warning", text, shift_samples, MOST_OBJECT_ECHO_SAMPLES,
        "samples", "trajectory-delay",
    )  # fmt: skip


def _model_check(seen: PhantomFindings) -> Check:
    left = seen.readouts.relative_residual
    if left <= WARN_RESIDUAL:
        return _check("phantom", "passed", "its drawing explains the scan", left, WARN_RESIDUAL)
    status: Status = "warning" if left <= REFUSE_RESIDUAL else "failed"
    text = (
        f"{left:.0%} of the energy of the phantom scan is not that of its drawing: another phantom, motion, or a fault "
        "of the scanner that has no name here"
    )
    return _check("phantom", status, text, left, WARN_RESIDUAL if status == "warning" else REFUSE_RESIDUAL)


def held_check(held: HeldOut | None, coils: int, whose: str) -> Check:
    """Held-out lines, predicted with `whose` coil maps."""
    name = "held-out lines"
    if held is None:
        if coils == 1:
            return _check(name, "not checked", "one coil says nothing of lines that were not measured")
        return _check(
            "coil maps", "not checked", "too few contiguous lines around the centre to hold some out (10 are needed)"
        )
    return held_verdict("lines", held.relative_residual, f"lines {', '.join(map(str, held.lines))}", whose)


def held_verdict(
    kind: str, left: float, which: str, whose: str, warn: float = WARN_HELD, refuse: float = REFUSE_HELD
) -> Check:
    """What the residual of held-out lines or points (`kind`), `which`, says of `whose` coil maps."""
    name = f"held-out {kind}"
    if left <= warn:
        return _check(name, "passed", f"{which} are predicted with {whose} coil maps", left, warn)
    status: Status = "warning" if left <= refuse else "failed"
    text = f"{which} are not what {whose} coil maps make of the others: coils, subject or {kind} have changed"
    return _check(name, status, text, left, warn if status == "warning" else refuse)


def noise_as_calibrated_check(calibrated: CoilNoise, found: CoilNoise) -> Check:
    """The power of the noise after whitening with the stored covariance."""
    name = "noise as calibrated"
    if not (calibrated.from_scan and found.from_scan):
        return _check(name, "not checked", "needs a noise scan in the calibration and in the capture")
    coils = len(calibrated.covariance)
    ratio = float(np.trace(np.linalg.solve(calibrated.covariance, found.covariance)).real) / coils
    if NOISE_RATIO[0] <= ratio <= NOISE_RATIO[1]:
        return _check(name, "passed", "the same receiver gain", ratio, NOISE_RATIO[1])
    within = REFUSE_CHANGE[0] <= ratio <= REFUSE_CHANGE[1]
    limits = NOISE_RATIO if within else REFUSE_CHANGE
    text = f"the noise has {ratio:.2g} times its calibrated power: another receiver gain or coil; calibrate again"
    return _check(name, "warning" if within else "failed", text, ratio, limits[0] if ratio < 1 else limits[1])
