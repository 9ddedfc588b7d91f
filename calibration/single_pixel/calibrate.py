"""The calibration of a single-pixel bench from one capture folder, and the check of a stored one on a later capture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cidesign.calibration.faults import fault_of
from cidesign.calibration.single_pixel.capture import Capture, SequenceName
from cidesign.calibration.single_pixel.checks import (
    RESIDUAL_WARN,
    ROTATION_DEG,
    SHIFT_PX,
    detector_checks,
    held_out_check,
    held_out_white_check,
    placement_checks,
    sequence_checks,
)
from cidesign.calibration.single_pixel.fit import (
    MIN_PATTERNS,
    TargetFit,
    compared,
    fit_targets,
    noise_of,
    require_picture,
)
from cidesign.calibration.single_pixel.frames import frames_of, reference_of
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.response import Response, WhiteLevels, estimate_response
from cidesign.calibration.single_pixel.scene_order import scene_in_order
from cidesign.calibration.verify import Verification
from cidesign.checks import Check, FaultName
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

_MISFIT = "misfit beyond noise of held-out patterns, {of}, over the variation of their readings: 0 for {best}"
ON_CARD = _MISFIT.format(of="on the known card", best="a perfect operator, 1 for one that knows nothing")
ON_WHITE = _MISFIT.format(
    of="on the white reference",
    best="a perfect illumination; says nothing of where the patterns lie, as no known card was captured",
)
NOTHING_HELD = "none: nothing was fitted that held-out patterns could be predicted with"
UNKNOWN_CHANGE = "nothing that is known explains it; is this the card of card_picture?"


@dataclass(frozen=True)
class SpcCalibration:
    """Everything that a capture says of the bench; `fit` is None where no calibration target was captured."""

    response: Response
    levels: WhiteLevels
    operator: SpcOperator
    fit: TargetFit | None
    verification: Verification


def calibrate_spc(capture: Capture, design: PatternStack, more: Sequence[Check] = ()) -> SpcCalibration:
    """Calibrate detector, lamp and operator, and verify on what was held out of the fits.

    `more`: checks of a camera's registration, which count like the others.

    Raises `FileError` for captures that cannot be calibrated from at all: no dark or white frames, saturated ones, or a
    sequence of another design.
    """
    found = _calibrated(capture, design, more)
    if "scene" not in capture.arrays:
        return found
    checks = [*found.verification.checks, *_scene_checks(capture, design, found.response, found.operator)]
    return replace(found, verification=found.verification.model_copy(update={"checks": checks}))


def _scene_checks(capture: Capture, design: PatternStack, response: Response, operator: SpcOperator) -> list[Check]:
    """Whether the scene can be used: the bench is calibrated without it, and the record says what is wrong with it."""
    order: list[Check] = []
    try:
        scene = scene_in_order(capture, design, response, operator)
        order = [scene.check]
        if scene.check.status == "failed":
            # What the lamp does cannot be told from readings in a wrong order.
            return order
        measured = measurements_from_counts(scene.frames, design, response, operator, reference_of(capture, design))
    except FileError as error:
        return [*order, _unusable(error)]
    return [*order, *sequence_checks("scene", scene.frames, measured)]


def _calibrated(capture: Capture, design: PatternStack, more: Sequence[Check]) -> SpcCalibration:
    response, levels = estimate_response(capture)
    checks = [*detector_checks(response), *more]
    plain = SpcOperator.as_designed(design.side)
    measured: dict[SequenceName, Measurements] = {}
    names: tuple[SequenceName, ...] = ("flat", "card")
    for name in names:
        if name not in capture.arrays:
            continue
        frames = frames_of(capture, name, design, response)
        measured[name] = measurements_from_counts(frames, design, response, plain)
        checks += sequence_checks(name, frames, measured[name])
    flat, card = measured.get("flat"), measured.get("card")
    if flat is None and card is None:
        text = "neither `flat` nor `card` was captured: uneven light and misplaced patterns would go unseen"
        return SpcCalibration(response, levels, plain, None, _unfitted(checks, text))
    if design.count < MIN_PATTERNS:
        text = f"{design.count} patterns are too few to find their place by; {MIN_PATTERNS} would do"
        return SpcCalibration(response, levels, plain, None, _unfitted(checks, text))
    fit = fit_targets(design, flat, card, capture.arrays.get("card_picture"))
    on_card = fit.operator.fitted
    held = held_out_check(fit.relative_residual) if on_card else held_out_white_check(fit.relative_residual)
    verification = Verification(
        score=fit.relative_residual,
        score_meaning=ON_CARD if on_card else ON_WHITE,
        checks=[*checks, *placement_checks(fit), held],
    )
    return SpcCalibration(response, levels, fit.operator, fit, verification)


def _unfitted(checks: list[Check], why: str) -> Verification:
    """The verification of a detector alone: the patterns are taken to lie as designed, in even light."""
    names = ("evenness of the light", "place of the patterns")
    unseen = [Check(name=name, status="not checked", text=why) for name in names]
    return Verification(score=None, score_meaning=NOTHING_HELD, checks=[*checks, *unseen])


def _unusable(error: FileError) -> Check:
    return Check(name="scene", status="failed", text=str(error)[:1000], fault=fault_of(error))


def verify_on(response: Response, operator: SpcOperator, capture: Capture, design: PatternStack) -> list[Check]:
    """Check a stored calibration on the known card of a later capture; empty where that holds none.

    Raises `FileError` for a card's picture of another size or without contrast.
    """
    if "card" not in capture.arrays:
        return []
    frames = frames_of(capture, "card", design, response)
    measured = measurements_from_counts(frames, design, response, SpcOperator.as_designed(design.side))
    picture = capture.arrays["card_picture"]
    require_picture(picture, design.side)
    signed = design.signed().astype(np.float64)[measured.kept]
    found = compared(operator, signed, design.encoding, measured.y, picture, noise_of(measured))
    relative_residual = found.relative_residual
    checks = [check for check in sequence_checks("card", frames, measured) if check.status != "passed"]
    if relative_residual <= RESIDUAL_WARN:
        return [*checks, held_out_check(relative_residual)]
    try:
        fault, detail = _what_changed(operator, fit_targets(design, None, measured, picture).operator)
    except FileError:
        # No place of the patterns and no light explains this card at all.
        fault, detail = None, UNKNOWN_CHANGE
    return [*checks, held_out_check(relative_residual, fault, detail)]


def place_unseen() -> Check:
    """Said of a later capture without a known card."""
    text = (
        "this capture holds no known card: patterns that were mirrored, turned, shifted or inverted since the "
        "calibration would go unseen"
    )
    return Check(name="place of the patterns", status="not checked", text=text)


def _what_changed(before: SpcOperator, now: SpcOperator) -> tuple[FaultName | None, str]:
    """What of the patterns' place differs most from the calibrated one."""
    was, place = before.placement, now.placement
    if was.orientation != place.orientation:
        fault: FaultName = "mirror" if was.orientation.mirrored != place.orientation.mirrored else "rotation"
        return (
            fault,
            f"how the patterns lie now: {place.orientation.text}; as calibrated: {was.orientation.text}",
        )
    if before.polarity != now.polarity:
        return "inversion", "on and off mirrors were exchanged since"
    turn = place.rotation_deg - was.rotation_deg
    down, right = place.down_px - was.down_px, place.right_px - was.right_px
    shift = float(np.hypot(down, right))
    half_field = 0.5 * before.illumination.shape[0]
    # What a turn moves at the edge of the field, against the shift of its middle.
    if abs(turn) > ROTATION_DEG and np.deg2rad(abs(turn)) * half_field > shift:
        return "rotation", f"the patterns were turned by {turn:+.2f} degrees since"
    if shift > SHIFT_PX:
        return "shift", f"the patterns moved by {down:+.2f} super-pixels down and {right:+.2f} to the right since"
    ratio = now.illumination / before.illumination
    change = float(100 * (ratio.max() - ratio.min()) / ratio.mean())
    if change > 10:
        return "gain-map", f"the evenness of the light changed by {change:.0f} % since"
    return None, UNKNOWN_CHANGE
