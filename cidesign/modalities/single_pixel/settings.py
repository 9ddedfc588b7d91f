"""What a single-pixel camera adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cidesign.constraints.rules import check_design, require
from cidesign.constraints.sequence import SequencePlan, plan_shown, stored_together, streams
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import Encoding, PatternStack
from cidesign.run_settings import Ladder, NonNegative, PositiveFloat, PositiveInt, TrainingSettings, validated, whole

PATTERN_RATIO = 0.10


class SinglePixelSettings(TrainingSettings):
    """A single-pixel camera on a micromirror device.

    `photoelectrons_per_frame` is what the detector collects in one frame with all mirrors on and a white scene;
    `read_noise_photoelectrons` is the standard deviation of its read noise, referred to photoelectrons.  `pictures`:
    images are random square `crops` of the pictures in `data`, or the `whole` of each (its middle square).
    """

    added_later: ClassVar[frozenset[str]] = TrainingSettings.added_later | {"pictures"}
    sizes: ClassVar[tuple[str, ...]] = ("side", "patterns", "batch", "images")

    modality: Literal["single-pixel"] = "single-pixel"
    side: Annotated[int, Field(ge=4, le=512)] = 32
    ladder: Ladder = ("real",)
    patterns: PositiveInt
    bit_depth: Annotated[int, Field(ge=1, le=8)] = 1
    encoding: Encoding = "complementary"
    # About 16 nW at 532 nm during 235 us on a detector of unit quantum efficiency; photodiodes and multipliers on a
    # bench collect this much or more.
    photoelectrons_per_frame: PositiveFloat = 1e7
    read_noise_photoelectrons: NonNegative = 100.0
    exposure_us: PositiveFloat | None = None
    pictures: Literal["crops", "whole"] = "crops"
    optics_start: Literal["auto", "designed", "random", "searched"] = "auto"

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        pixels = self.side**2
        # Patterns that exist may be more than their pixels (a pattern and its complement, repetitions).
        if self.patterns > pixels and self.design is None:
            raise ValueError(
                f"patterns {self.patterns}: an image of {self.side} x {self.side} has {pixels} unknowns; use 1 to "
                f"{pixels}"
            )
        return self


def settings_for(values: dict[str, object], profile: DmdProfile, typed: Mapping[str, str]) -> SinglePixelSettings:
    """All settings; raises `InputError` for what cannot be, `LimitError` for what the device cannot show."""
    values.setdefault("patterns", round(PATTERN_RATIO * whole(values, "side") ** 2))
    settings = validated(SinglePixelSettings, values, typed)
    if settings.encoding == "as-shown" and settings.design is None:
        raise InputError(
            "encoding as-shown: trained patterns have signed weights, which light alone does not show; use "
            "complementary or offset"
        )
    # What exists may have been shown in parts, or by another device; `check` and `export` say what this one can show.
    if settings.design is None:
        _check_sequence(settings, profile)
    return settings


def _check_sequence(settings: SinglePixelSettings, profile: DmdProfile) -> None:
    """Raise `LimitError` when the profile's device cannot show what would be trained."""
    # The rules look at one pattern like at all of them; all could be gigabytes, before the device has refused them.
    blank = np.zeros((1, settings.side, settings.side), dtype=np.uint8)
    stack = PatternStack(blank, settings.bit_depth, settings.encoding, profile.id, profile.digest)
    require(check_design(stack, _plan(settings, profile), profile))


def way_text(settings: SinglePixelSettings, profile: DmdProfile) -> str:
    """How a design that one table does not hold is shown, in parentheses; nothing for others."""
    plan = _plan(settings, profile)
    frames, count = len(plan.entries), len(plan.starts)
    if plan.streamed:
        return f" ({frames} frames, over HDMI)"
    if count == 1:
        return ""
    if not stored_together(profile):
        return f" ({frames} frames: {count} sequences, loaded one after the other)"
    # What the images take in flash is not known before there are patterns.
    held = "from flash where it holds the images, else over HDMI" if streams(profile) else "from flash"
    return f" ({frames} frames: {count} sequences {held})"


def _plan(settings: SinglePixelSettings, profile: DmdProfile) -> SequencePlan:
    more = {"complementary": settings.patterns, "offset": 1, "as-shown": 0}
    frames = settings.patterns + more[settings.encoding]
    pairs_from = 0 if settings.encoding == "complementary" else None
    return plan_shown(profile, frames, settings.bit_depth, settings.exposure_us, pairs_from=pairs_from)
