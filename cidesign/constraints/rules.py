"""The rules of a device, checked in NumPy on what was designed or on what was re-read from disk.

Each rule that training must obey has its torch face in `relax`, built from the same object.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from cidesign.checks import Check, exceeds
from cidesign.constraints.sequence import (
    MOST_STREAMED,
    SequencePlan,
    flash_images,
    limits_text,
    modes_text,
    reload_needed,
    stored_together,
    streams,
)
from cidesign.errors import LimitError
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import shipped_dmds
from cidesign.pattern import PatternStack
from cidesign.units import format_bytes


class PatternRule(Protocol):
    """A rule about the patterns themselves."""

    def check(self, pattern: PatternStack) -> list[Check]:
        """Every place where `pattern` breaks the rule; empty when it holds."""


class SequenceRule(Protocol):
    """A rule about the times and places of the frames."""

    def check(self, plan: SequencePlan) -> list[Check]:
        """Every place where `plan` breaks the rule; empty when it holds."""


@dataclass(frozen=True)
class BitDepth:
    """Levels lie on the 2**bit_depth values that the device shows; `relax.quantise` trains against this rule."""

    bit_depth: int
    allowed: tuple[int, ...]
    profile_id: str

    def check(self, pattern: PatternStack) -> list[Check]:
        """The bit depth is one the device shows, and the one that was trained against."""
        shown = ", ".join(str(depth) for depth in self.allowed)
        if pattern.bit_depth not in self.allowed:
            return [
                exceeds(
                    "bit depth",
                    "patterns",
                    f"{pattern.bit_depth}",
                    f"{shown} bit on {self.profile_id}",
                    "choose one of them with --bit-depth",
                )
            ]
        if pattern.bit_depth != self.bit_depth:
            return [
                exceeds(
                    "bit depth",
                    "patterns",
                    f"{pattern.bit_depth}",
                    f"{self.bit_depth} (as trained)",
                    "export the patterns of this run",
                )
            ]
        return []


@dataclass(frozen=True)
class SuperpixelFit:
    """n x n super-pixels of at least one column pitch fit the mirror array."""

    profile: DmdProfile

    def check(self, pattern: PatternStack) -> list[Check]:
        """n is not above what the array holds."""
        if pattern.placement == "mirrors":
            return []
        try:
            superpixel_grid(self.profile, pattern.side)
        except LimitError:
            mirrors = self.profile.mirrors
            return [
                exceeds(
                    "super-pixels a side",
                    "patterns",
                    f"{pattern.side}",
                    f"what {mirrors.columns.value} x {mirrors.rows.value} mirrors hold",
                    "choose a smaller --side",
                )
            ]
        return []


@dataclass(frozen=True)
class MirrorFit:
    """Frames of mirrors have the size of the mirror array; they are never scaled, cut or padded."""

    profile: DmdProfile

    def check(self, pattern: PatternStack) -> list[Check]:
        """Columns and rows are those of the device."""
        mirrors = self.profile.mirrors
        rows, columns = pattern.levels.shape[1:]
        if pattern.placement != "mirrors" or (columns, rows) == (mirrors.columns.value, mirrors.rows.value):
            return []
        return [
            exceeds(
                "size of a frame",
                "patterns",
                f"{columns} x {rows}",
                f"the {mirrors.columns.value} x {mirrors.rows.value} mirrors of {self.profile.id}",
                sizes_hint(columns, rows),
            )
        ]


def sizes_hint(columns: int, rows: int) -> str:
    """Which shipped devices have `columns` x `rows` mirrors, or that none has."""
    found = [one.id for one in shipped_dmds() if (one.mirrors.columns.value, one.mirrors.rows.value) == (columns, rows)]
    if found:
        return f"this is the size of {' and '.join(found)} (--profile {found[0]})"
    return "no shipped profile has this size"


@dataclass(frozen=True)
class SequenceFits:
    """Each sequence fits a table, and the device holds the images; what is streamed is only counted."""

    profile: DmdProfile

    def check(self, plan: SequencePlan) -> list[Check]:
        """The mode of the plan takes each of its sequences, and memory and flash hold them."""
        if plan.streamed:
            where, held = f"{self.profile.id} over HDMI", f"{len(plan.entries)} frames"
            fewer = [exceeds("sequence length", where, held, f"{MOST_STREAMED} frames", "use fewer patterns")]
            return fewer if len(plan.entries) > MOST_STREAMED else []
        return [*self._table(plan), *self._memory(plan), *self._flash(plan)]

    def _table(self, plan: SequencePlan) -> list[Check]:
        where = f"{self.profile.id} sequence table"
        fix = f"use fewer patterns, or the encoding offset{self._over_hdmi(plan)}"
        for mode in self.profile.sequence_modes:
            if mode.name == plan.mode:
                for number, part in enumerate(plan.sequences, start=1):
                    if len(part.entries) > mode.max_entries.value or part.images > mode.max_images.value:
                        which = f" in sequence {number}" if len(plan.starts) > 1 else ""
                        held = f"{len(part.entries)} entries and {part.images} images{which}"
                        return [exceeds("sequence length", where, held, modes_text(self.profile), fix)]
                return []
        held = f"{len(plan.entries)} entries and {plan.images} images"
        return [exceeds("sequence length", where, held, limits_text(self.profile), fix)]

    def _over_hdmi(self, plan: SequencePlan) -> str:
        """The other way, where the device has it and it takes so many frames."""
        fits = streams(self.profile) and len(plan.entries) <= MOST_STREAMED
        return ", or show them over HDMI (--format hdmi)" if fits else ""

    def _memory(self, plan: SequencePlan) -> list[Check]:
        if self.profile.timing.image_load_us is not None:
            return []
        planes = max(len(part.entries) for part in plan.sequences) * plan.bit_depth
        memory = self.profile.memory.full_rate_planes.value
        if planes <= memory:
            return []
        where, fix = f"{self.profile.id} pattern memory", "use fewer patterns, or the encoding offset"
        return [exceeds("bit planes of a sequence", where, str(planes), str(memory), fix)]

    def _flash(self, plan: SequencePlan) -> list[Check]:
        """What lies in flash side by side: the tables tell so many images apart, and so many bytes are there."""
        found = []
        where, fix = (
            f"{self.profile.id} flash",
            "use fewer patterns" + (", or show them over HDMI (--format hdmi)" if streams(self.profile) else ""),
        )
        if stored_together(self.profile) and plan.images > flash_images(self.profile):
            found.append(exceeds("images", where, str(plan.images), str(flash_images(self.profile)), fix))
        flash = self.profile.memory.flash_bytes
        if flash is not None and plan.flash_bytes is not None and plan.flash_bytes > flash.value:
            held, limit = format_bytes(plan.flash_bytes), format_bytes(flash.value)
            found.append(exceeds(f"size of {plan.images} images", where, f"about {held}", limit, fix))
        return found


@dataclass(frozen=True)
class ExposureTable:
    """No exposure is shorter than the table's entry for its bit depth, nor longer than the field takes.

    Where only the device reports its limits the table is no limit.
    """

    profile: DmdProfile

    def check(self, plan: SequencePlan) -> list[Check]:
        """Compare every entry with the table; the first of equal violations is reported."""
        limits = self.profile.depth_limits(plan.bit_depth)
        if limits is None:
            return [
                exceeds(
                    "bit depth",
                    f"{self.profile.id} exposure table",
                    str(plan.bit_depth),
                    ", ".join(sorted(self.profile.bit_depths)),
                    "choose one of them",
                )
            ]
        timing = self.profile.timing
        shortest_us = limits.min_exposure_us.value if timing.limits_from.value == "profile" else 0
        longest_us = timing.max_exposure_us.value if timing.max_exposure_us else math.inf
        for entry in plan.entries:
            if entry.exposure_us < shortest_us:
                return [
                    exceeds(
                        "exposure",
                        f"entry {entry.frame}",
                        f"{entry.exposure_us} us",
                        f"at least {shortest_us} us at {plan.bit_depth} bit on {self.profile.id}",
                        f"use --exposure-us {shortest_us} or more",
                    )
                ]
            if max(entry.exposure_us, entry.period_us) > longest_us:
                return [
                    exceeds(
                        "exposure or period",
                        f"entry {entry.frame}",
                        f"{max(entry.exposure_us, entry.period_us)} us",
                        f"at most {longest_us} us on {self.profile.id}",
                        "use a shorter one",
                    )
                ]
        return []


@dataclass(frozen=True)
class PeriodGap:
    """The period is the exposure, or longer by at least the controller's gap."""

    profile: DmdProfile

    def check(self, plan: SequencePlan) -> list[Check]:
        """Compare every entry; the first violation is reported."""
        gap = self.profile.timing.min_period_gap_us
        gap_us = gap.value if gap else 0
        for entry in plan.entries:
            difference_us = entry.period_us - entry.exposure_us
            if difference_us < 0 or 0 < difference_us < gap_us:
                return [
                    exceeds(
                        "period minus exposure",
                        f"entry {entry.frame}",
                        f"{difference_us} us",
                        f"0, or at least {gap_us} us on {self.profile.id}",
                        f"use --period-us {entry.exposure_us} or at least {entry.exposure_us + gap_us}",
                    )
                ]
        return []


@dataclass(frozen=True)
class ImageLoadTime:
    """Where images are re-loaded while the sequence runs, each stays long enough for the next to be read."""

    profile: DmdProfile

    def check(self, plan: SequencePlan) -> list[Check]:
        """The sum of periods of each image is at least the load time, when there are more images than buffers."""
        load_us = self.profile.timing.image_load_us
        if load_us is None or plan.streamed:
            return []
        for part in plan.sequences:
            if not reload_needed(self.profile, part.images):
                continue
            # Keyed by the images that were found: a table that was re-read may name any.
            shown_us: dict[int, int] = {}
            for entry in part.entries:
                shown_us[entry.image] = shown_us.get(entry.image, 0) + entry.period_us
            for image, time_us in shown_us.items():
                if time_us < load_us.value:
                    return [
                        exceeds(
                            "time an image is shown",
                            f"image {image}",
                            f"{time_us} us",
                            f"at least {load_us.value} us while the next image is read from flash "
                            f"({part.images} images, {self.profile.timing.image_buffers.value} buffers)",
                            "leave out --period-us, or use fewer patterns",
                        )
                    ]
        return []


def bit_depth_rule(profile: DmdProfile, bit_depth: int) -> BitDepth:
    """The rule of a profile's bit depths: the one that training quantises by and export checks."""
    return BitDepth(bit_depth, tuple(sorted(int(depth) for depth in profile.bit_depths)), profile.id)


def pattern_rules(profile: DmdProfile, bit_depth: int) -> list[PatternRule]:
    """The rules that patterns for `profile` obey; training uses the same objects through `relax`."""
    return [bit_depth_rule(profile, bit_depth), SuperpixelFit(profile), MirrorFit(profile)]


def sequence_rules(profile: DmdProfile) -> list[SequenceRule]:
    """The rules that a sequence on `profile` obeys."""
    return [SequenceFits(profile), ExposureTable(profile), PeriodGap(profile), ImageLoadTime(profile)]


def check_design(pattern: PatternStack, plan: SequencePlan, profile: DmdProfile) -> list[Check]:
    """All violations of a design and its sequence."""
    found = [violation for rule in pattern_rules(profile, plan.bit_depth) for violation in rule.check(pattern)]
    return found + [violation for rule in sequence_rules(profile) for violation in rule.check(plan)]


def require(violations: list[Check]) -> None:
    """Raise `LimitError` naming the first violation, and how many there are."""
    if violations:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise LimitError(f"{violations[0]}{more}")
