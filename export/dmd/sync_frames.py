"""What an export says about its sync frames: how many there are, where they lie, and the time they take."""

from cidesign.constraints.sequence import SequencePlan, plan_sequence, plan_streamed
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import BLINK_CODE, PatternStack
from cidesign.units import format_duration_us

_LISTED = 6
_ONE_CODE = (
    "; the blink code marks the first sequence alone: trigger the detector by the device, for the readings between "
    "two sequences belong to no frame"
)


def added_frames(pattern: PatternStack) -> int:
    """The number of sync frames; 0 without them."""
    return len(pattern.frames()) - len(pattern.design_frames)


def designed_plan(profile: DmdProfile, pattern: PatternStack, plan: SequencePlan) -> SequencePlan:
    """What was asked for in `plan`, planned for the design's own frames alone.

    More than the sync frames' own times can lie between the two: images that must be re-loaded lengthen all periods.
    """
    designed = len(pattern.design_frames)
    asked = plan.requested_exposure_us, plan.requested_period_us
    if plan.streamed:
        return plan_streamed(profile, designed, plan.bit_depth, *asked)
    pairs_from = None if pattern.pairs_from is None else 0
    return plan_sequence(profile, designed, plan.bit_depth, *asked, pairs_from)


def sync_note(pattern: PatternStack, profile: DmdProfile, plan: SequencePlan) -> str:
    """How many sync frames `plan` shows beside the design, and how much longer it takes than the design alone."""
    designed = len(pattern.design_frames)
    extra_us = plan.total_us - designed_plan(profile, pattern, plan).total_us
    return (
        f"{added_frames(pattern)} sync frames were added to the {designed} frames of the design and take "
        f"{format_duration_us(extra_us)} more: a blink code of {len(BLINK_CODE)} frames, then all-on and all-off after "
        f"every {pattern.sync_every} patterns and at the end" + (_ONE_CODE if len(plan.starts) > 1 else "")
    )


def sync_summary(pattern: PatternStack) -> str:
    """Where the sync frames lie, for people."""
    code = len(BLINK_CODE)
    pairs = [int(frame) - 1 for frame in pattern.frames_of("off") if frame >= code]
    listed = ", ".join(str(frame) for frame in pairs[:_LISTED]) + (", ..." if len(pairs) > _LISTED else "")
    return (
        f"{added_frames(pattern)} of {len(pattern.frames())} frames: blink code in frames 0 to {code - 1}, "
        f"{len(pairs)} all-on, all-off pairs from frame {listed}"
    )
