"""What a single-pixel camera adds to the settings of a run, and its defaults."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from cidesign.constraints.rules import check_design, require
from cidesign.constraints.sequence import plan_sequence
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.modality import Request
from cidesign.pattern import Encoding, PatternStack
from cidesign.run_settings import NonNegative, PositiveFloat, PositiveInt, TrainingSettings

PATTERN_RATIO = 0.10


class SinglePixelSettings(TrainingSettings):
    """A single-pixel camera on a micromirror device.

    `photoelectrons_per_frame` is what the detector collects in one frame with all mirrors on and a white scene;
    `read_noise_photoelectrons` is the standard deviation of its read noise, referred to photoelectrons.
    """

    modality: Literal["single-pixel"] = "single-pixel"
    side: Annotated[int, Field(ge=4, le=512)]
    patterns: PositiveInt
    bit_depth: Annotated[int, Field(ge=1, le=8)]
    encoding: Encoding
    photoelectrons_per_frame: PositiveFloat
    read_noise_photoelectrons: NonNegative
    exposure_us: PositiveFloat | None


def settings_for(request: Request, common: dict[str, Any], profile: DmdProfile) -> SinglePixelSettings:
    """All settings; raises `InputError` for what cannot be, `LimitError` for what the device cannot show."""
    own, side = request.own, common["side"]
    patterns = own.get("patterns", round(PATTERN_RATIO * side * side))
    if not 1 <= patterns <= side * side:
        raise InputError(
            f"--patterns {patterns}: an image of {side} x {side} has {side * side} unknowns; use 1 to {side * side}"
        )
    if own.get("encoding") == "as-shown":
        raise InputError(
            "--encoding as-shown: trained patterns have signed weights, which light alone does not show; use "
            "complementary or offset"
        )
    # 1e7 photoelectrons in one all-on frame of a white scene is about 16 nW at 532 nm during 235 us on a detector of
    # unit quantum efficiency; photodiodes and multipliers on a bench collect this much or more.
    settings = SinglePixelSettings(
        **common,
        patterns=patterns,
        bit_depth=own.get("bit_depth", 1),
        encoding=own.get("encoding", "complementary"),
        photoelectrons_per_frame=own.get("photoelectrons", 1e7),
        read_noise_photoelectrons=own.get("read_noise", 100.0),
        exposure_us=own.get("exposure_us"),
    )
    _check_sequence(settings, profile)
    return settings


def _check_sequence(settings: SinglePixelSettings, profile: DmdProfile) -> None:
    """Raise `LimitError` when the profile's device cannot show what would be trained."""
    # The rules look at one pattern like at all of them; all could be gigabytes, before the device has refused them.
    blank = np.zeros((1, settings.side, settings.side), dtype=np.uint8)
    stack = PatternStack(blank, settings.bit_depth, settings.encoding, profile.id, profile.digest)
    frames = 2 * settings.patterns if settings.encoding == "complementary" else settings.patterns + 1
    plan = plan_sequence(profile, frames, settings.bit_depth, settings.exposure_us)
    require(check_design(stack, plan, profile))
