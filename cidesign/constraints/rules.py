"""The rules of a device, checked in NumPy on what was designed or on what was re-read from disk.

Each rule that training must obey has its torch face in `relax`, built from the same object.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from cidesign.checks import Check, exceeds
from cidesign.constraints.sequence import SequencePlan, reload_needed
from cidesign.errors import LimitError
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import shipped_dmds
from cidesign.pattern import PatternStack


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
    """The table holds the entries and the images."""

    profile: DmdProfile

    def check(self, plan: SequencePlan) -> list[Check]:
        """Some sequence mode of the controller takes the plan, and run-time memory holds it."""
        found = []
        if plan.mode is None:
            modes = "; ".join(
                f"{mode.name.replace('_', ' ')} {mode.max_entries.value} entries and {mode.max_images.value} images"
                for mode in self.profile.sequence_modes
            )
            found.append(
                exceeds(
                    "sequence length",
                    f"{self.profile.id} sequence table",
                    f"{len(plan.entries)} entries and {plan.images} images",
                    modes,
                    "use fewer patterns, the encoding offset, or several sequences",
                )
            )
        planes = len(plan.entries) * plan.bit_depth
        memory = self.profile.memory.full_rate_planes.value
        if self.profile.timing.image_load_us is None and planes > memory:
            found.append(
                exceeds(
                    "bit planes",
                    f"{self.profile.id} pattern memory",
                    str(planes),
                    str(memory),
                    "use fewer patterns, the encoding offset, or several sequences",
                )
            )
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
        if load_us is None or not reload_needed(self.profile, plan.images):
            return []
        shown_us = [0] * plan.images
        for entry in plan.entries:
            shown_us[entry.image] += entry.period_us
        for image, time_us in enumerate(shown_us):
            if time_us < load_us.value:
                return [
                    exceeds(
                        "time an image is shown",
                        f"image {image}",
                        f"{time_us} us",
                        f"at least {load_us.value} us while the next image is read from flash "
                        f"({plan.images} images, {self.profile.timing.image_buffers.value} buffers)",
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
