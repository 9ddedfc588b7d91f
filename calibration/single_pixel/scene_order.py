"""The scene's readings in the order of the design's frames, and what they themselves say of that order.

Pair sums show a record that is shifted by an odd number of readings, the readings' predictions of one another show
every other wrong order: a whole pair, offset encoding, a record that begins in the middle.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.frames import Frames, frames_of, noise_of_reading, reference_of
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.readings.order_evidence import OrderModel
from cidesign.calibration.single_pixel.readings.reading_order import (
    CLEAR_LEAD,
    FEWEST_READINGS,
    MOST_READINGS,
    OTHER_EVIDENCE,
    Order,
    OrderFinding,
    Sequence,
    best_shift,
    judge_order,
)
from cidesign.calibration.single_pixel.readings.triggers import LEAST_LIGHT, RecordShift, moved, shift_words
from cidesign.calibration.single_pixel.response import Response
from cidesign.checks import Check, FaultName
from cidesign.pattern import PatternStack

NAME = "order of readings (scene)"
# Values of the patterns: 268 MB of them.
MOST_VALUES = 2**25
# A record that lacks more of its frames is recorded again rather than put right.
PUT_RIGHT_PART = 0.1
RIGHT = "the readings predict one another in this order, better than in any other that was tried"
RANDOM = (
    "the order of the readings is suspect: they predict one another no better than in a random order. Triggers were "
    "lost or doubled, the readings were sorted, or other patterns than the design's were shown; or the scene has no "
    "structure at all. Check trigger and patterns, and record again"
)
UNKNOWN = "too few readings, or too much noise for what the scene varies, to tell their order"
AMBIGUOUS = (
    "another order fits the readings better ({words}), but its image is rougher than that as recorded: scenes of few "
    "edges, all along the pixels, are like that; whether a part of the record is moved cannot be told"
)
MANY = f"more than {MOST_READINGS} readings, or patterns too large: comparing orders would take minutes"


@dataclass(frozen=True)
class SceneInOrder:
    """The scene's frames, put in order where that could be done, and the check of their order."""

    frames: Frames
    check: Check


def scene_in_order(
    capture: Capture, design: PatternStack, response: Response, operator: SpcOperator, dark_known: bool = True
) -> SceneInOrder:
    """The scene of a capture, frame by frame, with a record that begins late or early put right.

    `dark_known`: whether the response's dark level is the bench's.
    Raises `FileError` where `frames_of` does.
    """
    frames = frames_of(capture, "scene", design, response)
    if design.count > MOST_READINGS or design.levels.size > MOST_VALUES:
        check = _odd_check(0) if any(frames.odd) else Check(name=NAME, status="not checked", text=MANY)
        return SceneInOrder(frames, check)
    rows = _Rows.of(design, operator, response, frames, reference_of(capture, design), not dark_known)
    found = [rows.finding(number) for number in range(len(frames.readings))]
    early = [rows.early(number, one) for number, one in enumerate(found)]
    untold = any(odd and not by for odd, by in zip(frames.odd, early, strict=True)) if frames.odd else False
    if untold or not any(early):
        return SceneInOrder(frames, _odd_check(0) if untold else _check(found, operator))
    if any(abs(by) > PUT_RIGHT_PART * frames.readings.shape[1] for by in early) or _bound(capture):
        return SceneInOrder(frames, _odd_check(early[0]) if any(frames.odd) else _check(found, operator))
    frames = _put_right(frames, early, response, f"{capture.path}: scene")
    rows = replace(rows, frames=frames)
    return SceneInOrder(frames, _check([rows.finding(number) for number in range(len(frames.readings))], operator))


def _bound(capture: Capture) -> bool:
    """Whether something else was recorded with the scene, reading by reading, so that it cannot be moved alone."""
    return "reference" in capture.arrays or (capture.record is not None and capture.record.sync_every is not None)


def _odd_check(early: int) -> Check:
    """The check of pairs that fit only after all readings are moved, by `early` of them; 0 where that is not known."""
    untold = "the record begins late or early, and the readings do not tell by how many"
    return Check(
        name=NAME,
        status="failed",
        text="the sums of the pairs fit only where all readings are moved by an odd number: "
        f"{shift_words(early) if early else untold}. Check when the detector is armed, and record again",
        value=float(early) if early else None,
        unit="readings early" if early else "",
        fault="lost-trigger",
    )


def _put_right(frames: Frames, early: list[int], response: Response, where: str) -> Frames:
    times = frames.design_times if frames.timed else None
    noise = noise_of_reading(frames.readings, response)
    readings = frames.readings.copy()
    events = list(frames.events)
    for number, by in enumerate(early):
        if by:
            readings[number] = moved(readings[number], by, times, noise, where, frames.pair_starts)
            lost = np.flatnonzero(np.isnan(readings[number, 0::2]))
            events.append(RecordShift(by, tuple(lost.tolist())))
    return replace(frames, readings=readings, events=tuple(events), odd=())


@dataclass(frozen=True)
class _Rows:
    """The frames as readings of a model: `light` (R, F) less dark, `variance` (R, F)."""

    design: PatternStack
    model: OrderModel
    structured: NDArray[np.bool_]
    frames: Frames
    response: Response
    reference: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        design: PatternStack,
        operator: SpcOperator,
        response: Response,
        frames: Frames,
        reference: NDArray[np.float64] | None,
        free_level: bool,
    ) -> "_Rows":
        lit = operator.all_on / operator.all_on.max()
        structured = _structured(design)
        if design.encoding == "as-shown":
            signed = operator.signed(design).astype(np.float64)
            return cls(design, OrderModel(signed, free_level), structured, frames, response, reference)
        rows = np.empty((design.count + 1, *lit.shape))
        rows[:-1], rows[-1] = operator.signed(design), lit
        if design.encoding == "offset":
            rows[:-1] += lit
            rows[:-1] *= 0.5
            structured = np.append(structured, False)
        # The differences of pairs have nothing in common.
        free = free_level and design.encoding == "offset"
        return cls(design, OrderModel(rows, free), structured, frames, response, reference)

    def finding(self, number: int) -> OrderFinding:
        """What the readings of one row say."""
        odd = bool(self.frames.odd) and self.frames.odd[number]
        sequence = self._sequence(number, odd)
        if sequence.values.size < FEWEST_READINGS:
            return OrderFinding("unknown", 0.0)
        return best_shift(sequence) if odd else judge_order(sequence)

    def early(self, number: int, found: OrderFinding) -> int:
        """By how many readings a row begins too early, where that is clear and can be put right; 0 otherwise."""
        clear = found.verdict == "other" and found.clear and found.other is not None and found.other.moved is not None
        if not clear or self.design.encoding != "complementary" or found.other is None or found.other.moved is None:
            return 0
        odd = bool(self.frames.odd) and self.frames.odd[number]
        return int(odd) - 2 * found.other.moved

    def _sequence(self, number: int, odd: bool) -> Sequence:
        light = self.frames.readings[number] - self.response.dark_counts.value
        variance = self.response.gain_for_noise * np.maximum(light, 0.0) + self.response.noise_variance_counts2
        if self.reference is not None:
            light = light / (self.reference[number] / self.reference[number].mean())
        if self.design.encoding != "complementary":
            mean = float(light.mean())
            return Sequence(self.model, light / mean, _NONE, self.structured, float(variance.mean()) / mean**2, False)
        # A pair's difference over its own sum: whatever the lamp does, it does to both.
        inside = slice(1, -1) if odd else slice(None)
        first, second = light[inside][0::2], light[inside][1::2]
        sums = first + second
        # Pairs of another light, such as dark frames after the end, are no readings of the scene.
        sums = np.where(sums > LEAST_LIGHT * max(float(np.nanmedian(sums)), 0.0), sums, np.nan)
        ratios = ((variance[inside][0::2] + variance[inside][1::2]) / sums**2)[np.isfinite(sums)]
        noise = float(ratios.mean()) if ratios.size else np.inf
        return Sequence(self.model, (first - second) / sums, np.ones(1), self.structured, noise, True)


_NONE = np.zeros(0)


def _structured(design: PatternStack) -> NDArray[np.bool_]:
    """Which patterns are not the same everywhere, (K,)."""
    structured: NDArray[np.bool_] = np.ptp(design.levels.reshape(design.count, -1), axis=1) > 0
    return structured


def differences_order(differences: NDArray[np.float64], design: PatternStack, noise: float) -> Check:
    """The check of the order of readings (R, K) that are differences of pairs already, NaN where there is none, with
    their noise in counts."""
    if design.count > MOST_READINGS or design.levels.size > MOST_VALUES:
        return Check(name=NAME, status="not checked", text=MANY)
    model = OrderModel(design.signed().astype(np.float64))
    scale = float(np.nanstd(differences))
    found = [
        judge_order(Sequence(model, row / scale, _NONE, _structured(design), (noise / scale) ** 2, False))
        for row in differences
    ]
    return _check(found, SpcOperator.as_designed(design.side))


def _check(found: list[OrderFinding], operator: SpcOperator) -> Check:
    """The check of the worst row."""
    lead = min(one.lead for one in found)
    for number, one in enumerate(found):
        where = f"repeat {number}: " if len(found) > 1 else ""
        if one.verdict == "other" and one.other is not None:
            return Check(
                name=NAME,
                status="failed",
                text=f"{where}the readings predict one another far better in another order: {one.other.words}. Check "
                "trigger and detector, and record again",
                value=one.gain,
                limit=OTHER_EVIDENCE,
                unit="more log evidence of another order",
                fault=_fault(one.other, operator),
            )
        if one.verdict == "random":
            return _against_random("failed", where + RANDOM, one.lead, "lost-trigger")
        if one.verdict == "ambiguous" and one.other is not None:
            return _against_random("not checked", where + AMBIGUOUS.format(words=one.other.words), one.lead, None)
    if all(one.verdict == "right" for one in found):
        return _against_random("passed", RIGHT, lead, None)
    return _against_random("not checked", UNKNOWN, lead, None)


def _against_random(status: str, text: str, lead: float, fault: FaultName | None) -> Check:
    unit = "deviations above random orders"
    return Check.model_validate(
        {"name": NAME, "status": status, "text": text, "value": lead, "limit": CLEAR_LEAD, "unit": unit, "fault": fault}
    )


def _fault(order: Order, operator: SpcOperator) -> FaultName:
    """Pairs that are exchanged are on and off mirrors exchanged, where no known card has shown which is which."""
    return "inversion" if order.sign < 0 and not operator.fitted else "lost-trigger"
