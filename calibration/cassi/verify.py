"""The checks of an SD-CASSI calibration against the white target, at calibration and again with every later capture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.detector import saturation_checks
from cidesign.calibration.cassi.optics import Array
from cidesign.calibration.cassi.scene_check import scene_check
from cidesign.calibration.cassi.white import WhiteTarget, lamp_slope_percent, resemblances
from cidesign.calibration.converter import bits_check, converter_step
from cidesign.checks import Check, Status
from cidesign.pattern import ApertureMask

WARN_RESIDUAL, REFUSE_RESIDUAL = 0.10, 0.25
# A fault is named when it explains so much: this share of the structure, root of the difference of the squares.
CONVINCING = 0.05
# The end bands are wrong by half of it, and the spectra that are reconstructed with them.
WARN_SLOPE_PERCENT, REFUSE_SLOPE_PERCENT = 15.0, 40.0
WARN_LEVEL, REFUSE_LEVEL = 0.15, (0.5, 2.0)
WARN_STRAY_PERCENT, REFUSE_STRAY_PERCENT = 0.5, 1.0
MIN_BESIDE_PX = 50


class WhiteResult(NamedTuple):
    """What the white target says: its checks, and images (h, w) of what was measured and predicted."""

    checks: list[Check]
    relative_residual: float
    measured: Array
    predicted: Array
    lit: NDArray[np.bool_]


def verify_against(calibration: CassiCalibration, capture: CassiCapture, design: ApertureMask) -> list[Check]:
    """Check a stored calibration against the white target and the scene of another capture.

    A bench that changed since shows in the white target, with the fault that this resembles; without one, most changes
    show in how the scene is seen through the mask.  Raises `FileError` for a
    capture of another mask or of images of another size.
    """
    capture.require_design(design)
    checks = saturation_checks(capture, ("white", "scene"))
    read = [capture.arrays[name].ravel() for name in ("white", "scene") if name in capture.arrays]
    if read:
        checks.append(bits_check(converter_step(np.concatenate(read)), calibration.read_noise_counts))
    if capture.white is None:
        text = "the capture holds none; a bench that has changed since the calibration shows in it alone"
        checks.append(Check(name="white target", status="not checked", text=text))
        if "scene" in capture.arrays:
            checks.append(scene_check(calibration, capture.scene))
        return checks
    sound = all(check.status != "failed" for check in checks)
    return [*checks, *check_white(calibration, capture.white, explain=sound, since=True).checks]


def check_white(calibration: CassiCalibration, frames: Array, explain: bool = True, since: bool = False) -> WhiteResult:
    """Compare white frames (R, h_raw, w_raw) in counts with what the calibration predicts.

    `explain`: whether to look for a fault of the bench that would explain what is not predicted (frames that are known
    to be unsound resemble anything); `since`: the calibration is an earlier one, so that a fault that explains it is a
    change of the bench, and the calibration is no longer its own.
    """
    y, _, valid = calibration.measurements(frames)
    target = WhiteTarget(calibration.operator, y, valid)
    open_image = target.through_open_code()
    lit = target.lit(open_image)
    predicted = target.predicted()
    if int(lit.sum()) < 10 * target.bands:
        text = f"only {int(lit.sum())} pixels of the code's image are neither saturated nor dead"
        failed = Check(name="white target", status="failed", text=text, fault="saturation")
        return WhiteResult([failed], float("nan"), y, predicted, lit)
    found = target.explained(predicted, open_image, lit)
    stray = _stray_percent(y, target.beside(open_image), float(calibration.operator.response.sum()), not since)
    dark = stray_check(stray, "white target")
    structure = _white_check(target, found.relative_residual, explain and dark.status != "failed", since)
    checks = [dark, structure]
    # A slope means something where the structure is predicted but for it, brightness where it is predicted at all.
    if structure.status == "passed" or structure.fault == "wrong-lamp":
        checks.append(_lamp_check(*lamp_slope_percent(target, predicted, lit)))
    if found.relative_residual <= REFUSE_RESIDUAL:
        checks.append(_level_check(found.gain))
    return WhiteResult(checks, found.relative_residual, y, found.gain * predicted + found.offset, lit)


def _stray_percent(y: Array, beside: NDArray[np.bool_], full: float, in_flat: bool) -> float | None:
    """Median light beside the code's image in percent of full white; `in_flat`: the flat field that says what that is
    was taken with the same stray light."""
    if int(beside.sum()) < MIN_BESIDE_PX:
        return None
    stray = float(np.median(y[beside]))
    return percent_of_white(stray, full) if in_flat else 100 * stray / full


def percent_of_white(stray: float, full: float) -> float:
    """Stray light in percent of full white, where `full` was measured with it, or less what was in the dark."""
    return 100 * stray / (full - stray)


def stray_check(percent: float | None, where: str) -> Check:
    """Light where the plate lets none through; `where` says in which images."""
    name = f"dark level ({where})"
    if percent is None:
        text = "the code's image fills the detector; leave a dark frame of some 10 code pixels around it"
        return Check(name=name, status="not checked", text=text)
    status: Status = "passed"
    if abs(percent) > WARN_STRAY_PERCENT:
        status = "warning" if abs(percent) <= REFUSE_STRAY_PERCENT else "failed"
    wrong = "; stray light came in after the dark frames" if percent > 0 else "; light came in during the dark frames"
    return Check(
        name=name,
        status=status,
        text=f"beside the code the detector reads {percent:+.2f} % of full white"
        + ("" if status == "passed" else f"{wrong}: find it and capture the dark frames again"),
        value=percent,
        limit=REFUSE_STRAY_PERCENT if status == "failed" else WARN_STRAY_PERCENT,
        unit="% of full white",
        fault=None if status == "passed" else "dark",
    )


def _white_check(target: WhiteTarget, relative_residual: float, explain: bool, since: bool) -> Check:
    status: Status = "passed"
    if relative_residual > WARN_RESIDUAL:
        status = "warning" if relative_residual <= REFUSE_RESIDUAL else "failed"
    text, fault = f"{relative_residual:.3f} of its structure is not predicted", None
    best = resemblances(target)[0] if explain and relative_residual > CONVINCING else None
    if best is not None and max(relative_residual**2 - best.relative_residual**2, 0.0) ** 0.5 > CONVINCING:
        fault = best.fault
        text += f"; {best.text} would leave {best.relative_residual:.3f}"
        if since:
            status = "failed"
            text += ": the bench has changed since its calibration; put it back, or calibrate again"
        status = "warning" if status == "passed" else status
    elif status != "passed" and not explain:
        text += "; see the dark level and the saturation first"
    elif status != "passed":
        text += "; no single fault explains it. Is the recorded lamp the one in use, and the target white and even?"
    return Check(
        name="white target",
        status=status,
        text=text,
        value=relative_residual,
        limit=REFUSE_RESIDUAL
        if relative_residual > REFUSE_RESIDUAL
        else WARN_RESIDUAL
        if fault is None
        else CONVINCING,
        unit="of the structure",
        fault=fault,
    )


def _lamp_check(slope: float, error: float) -> Check:
    status: Status = "passed"
    if abs(slope) > WARN_SLOPE_PERCENT:
        status = "warning" if abs(slope) <= REFUSE_SLOPE_PERCENT else "failed"
    return Check(
        name="lamp",
        status=status,
        text=f"its spectrum has {slope:+.1f} +- {error:.1f} % more slope than was recorded, from first band to last"
        + ("" if status == "passed" else "; measure the spectrum of the lamp in use, and calibrate again"),
        value=slope,
        limit=REFUSE_SLOPE_PERCENT if status == "failed" else WARN_SLOPE_PERCENT,
        unit="% from end to end",
        fault=None if status == "passed" else "wrong-lamp",
    )


def _level_check(gain: float) -> Check:
    status: Status = "passed"
    if abs(gain - 1) > WARN_LEVEL:
        status = "warning" if REFUSE_LEVEL[0] <= gain <= REFUSE_LEVEL[1] else "failed"
    return Check(
        name="white level",
        status=status,
        text=f"{gain:.3f} of what flat field and lamp predict"
        + ("" if status == "passed" else "; did the lamp change after the flat field, or is the target grey?"),
        value=gain,
        limit=REFUSE_LEVEL[0 if gain < 1 else 1]
        if status == "failed"
        else 1 - WARN_LEVEL
        if gain < 1
        else 1 + WARN_LEVEL,
        unit="of the expected level",
    )
