"""Which way a device shows a design: from its tables, in one sequence or several, or over its video input."""

from dataclasses import replace

from cidesign.constraints.rules import SequenceFits
from cidesign.constraints.sequence import (
    MOST_STREAMED,
    SequencePlan,
    modes_text,
    plan_sequence,
    plan_streamed,
    streams,
)
from cidesign.export.dmd.base import Exporter, grid_of
from cidesign.export.dmd.formats import exporter_named, formats_for
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack
from cidesign.units import format_bytes

_ONE_ALL_ON = (
    "the all-on frame of offset encoding is shown in the last sequence alone: what the lamp does between the sequences "
    "goes unseen; complementary encoding or --sync-every shows it"
)


def plan_design(
    profile: DmdProfile, pattern: PatternStack, exposure_us: float | None = None, period_us: float | None = None
) -> SequencePlan:
    """The tables of the device where they hold the design, else its video input where it has one.

    Without either the plan is that of the tables, which the rules refuse.
    """
    plan = plan_stored(profile, pattern, exposure_us, period_us)
    if not streams(profile) or not SequenceFits(profile).check(plan) or len(plan.entries) > MOST_STREAMED:
        return plan
    return _streamed(profile, pattern, plan, exposure_us, period_us)


def plan_format(
    exporter: Exporter,
    profile: DmdProfile,
    pattern: PatternStack,
    exposure_us: float | None = None,
    period_us: float | None = None,
) -> SequencePlan:
    """The plan of a design in one file format; where that is streamed, of any length."""
    plan = plan_stored(profile, pattern, exposure_us, period_us)
    if not exporter.streamed or (len(plan.starts) == 1 and not SequenceFits(profile).check(plan)):
        return plan
    return _streamed(profile, pattern, plan, exposure_us, period_us)


def usual_format(profile: DmdProfile, plan: SequencePlan) -> Exporter:
    """The format in which a plan goes to its device unless another is asked for."""
    found = [exporter_named(name) for name in formats_for(profile.controller.value)]
    return next((one for one in found if one.streamed), found[0]) if plan.streamed else found[0]


def plan_stored(
    profile: DmdProfile, pattern: PatternStack, exposure_us: float | None = None, period_us: float | None = None
) -> SequencePlan:
    """The plan of the device's tables, and what the images take in its flash."""
    frames = len(pattern.frames())
    plan = plan_sequence(profile, frames, pattern.bit_depth, exposure_us, period_us, pattern.pairs_from)
    if len(plan.starts) > 1 and pattern.encoding == "offset" and pattern.sync_every is None:
        plan = replace(plan, notes=(*plan.notes, _ONE_ALL_ON))
    return with_flash_bytes(profile, pattern, plan)


def with_flash_bytes(profile: DmdProfile, pattern: PatternStack, plan: SequencePlan) -> SequencePlan:
    """The plan, with the bytes that its images take where the device keeps them in its flash.

    Designs that do not fit the mirrors have none; the rules about patterns refuse them.
    """
    of_flash = exporter_named(formats_for(profile.controller.value)[0]).flash_bytes
    if of_flash is None or profile.memory.flash_bytes is None or SequenceFits(profile).check(plan):
        return plan
    return replace(plan, flash_bytes=of_flash(pattern, plan, grid_of(profile, pattern)))


def _streamed(
    profile: DmdProfile,
    pattern: PatternStack,
    stored: SequencePlan,
    exposure_us: float | None,
    period_us: float | None,
) -> SequencePlan:
    flash = profile.memory.flash_bytes
    if stored.mode is None:
        why = f"its tables hold {modes_text(profile)}"
    elif flash is not None and stored.flash_bytes is not None and stored.flash_bytes > flash.value:
        why = f"its flash of {format_bytes(flash.value)} does not hold them (about {format_bytes(stored.flash_bytes)})"
    else:
        why = f"from flash they are {len(stored.starts)} sequences"
    return plan_streamed(profile, len(pattern.frames()), pattern.bit_depth, exposure_us, period_us, why)
