"""A run for a micromirror device."""

from cidesign.checks import Limit
from cidesign.constraints.sequence import (
    MOST_STREAMED,
    SequencePlan,
    flash_images,
    reload_needed,
    stored_together,
    video_time_us,
)
from cidesign.export.dmd.planning import plan_design
from cidesign.files import JsonObject
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.sourced import Sourced
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.pattern import PatternStack
from cidesign.runs import RunOf
from cidesign.units import format_duration_us


class SinglePixelRun(RunOf[SinglePixelSettings, DmdProfile, PatternStack]):
    """A run for a micromirror device."""

    modality = "single-pixel"


def measurement_time(run: SinglePixelRun) -> tuple[JsonObject, list[str]]:
    """How long the device takes for one image: values for --json, and lines for people."""
    settings = run.settings
    frames = len(run.design.frames())
    plan = plan_design(run.profile, run.design, settings.exposure_us)
    video_us = video_time_us(run.profile, frames, settings.bit_depth, plan.exposure_us)
    times = f"one image takes {frames} frames of {plan.exposure_us} us:"
    if not plan.streamed:
        times += f" {format_duration_us(plan.total_us)} on the device"
        times += "" if video_us is None else " from flash,"
    if video_us is not None:
        times += f" {format_duration_us(video_us)} streamed over HDMI"
    value = {
        "frames": frames,
        "exposure_us": plan.exposure_us,
        "acquisition_us": video_us if plan.streamed else plan.total_us,
        "video_us": video_us,
        "sequences": len(plan.starts),
    }
    return value, [times, *(f"note: {remark}" for remark in plan.notes)]


def device_limits(run: SinglePixelRun) -> list[Limit]:
    """How near the sequence comes to the device's limits: times first, then what tables and memories hold."""
    profile, plan = run.profile, plan_design(run.profile, run.design, run.settings.exposure_us)
    return [*_times(profile, plan), *_places(profile, plan)]


def _times(profile: DmdProfile, plan: SequencePlan) -> list[Limit]:
    found, timing, depth = [], profile.timing, profile.depth_limits(plan.bit_depth)
    load_us = timing.image_load_us
    if load_us is not None and not plan.streamed and any(reload_needed(profile, one.images) for one in plan.sequences):
        shown_us: dict[tuple[int, int], int] = {}
        for number, part in enumerate(plan.sequences):
            for entry in part.entries if reload_needed(profile, part.images) else ():
                shown_us[number, entry.image] = shown_us.get((number, entry.image), 0) + entry.period_us
        name = "time an image is shown while the next is read from flash"
        found.append(_at_least(name, min(shown_us.values()), load_us))
    if depth is not None and timing.limits_from.value == "profile":
        name = f"exposure of a frame of {plan.bit_depth} bit"
        found.append(_at_least(name, min(entry.exposure_us for entry in plan.entries), depth.min_exposure_us))
    return found


def _at_least(name: str, value_us: float, limit_us: Sourced[int]) -> Limit:
    return Limit(name=name, value=value_us, sense="at least", limit=limit_us.value, unit="us", source=limit_us.source)


def _places(profile: DmdProfile, plan: SequencePlan) -> list[Limit]:
    def at_most(name: str, value: float, limit: float, source: str, unit: str = "") -> Limit:
        return Limit(name=name, value=value, sense="at most", limit=limit, unit=unit, source=source)

    if plan.streamed:
        return [at_most("frames over HDMI", len(plan.entries), MOST_STREAMED, "cidesign.constraints.sequence")]
    found = []
    entries = max(len(part.entries) for part in plan.sequences)
    images = max(part.images for part in plan.sequences)
    for mode in profile.sequence_modes:
        if mode.name == plan.mode:
            found.append(at_most("entries of a sequence", entries, mode.max_entries.value, mode.max_entries.source))
            found.append(at_most("images of a sequence", images, mode.max_images.value, mode.max_images.source))
    memory = profile.memory
    if profile.timing.image_load_us is None:
        planes = memory.full_rate_planes
        found.append(at_most("bit planes of a sequence", entries * plan.bit_depth, planes.value, planes.source))
    if stored_together(profile):
        found.append(at_most("images in flash", plan.images, flash_images(profile), "its sequence modes"))
    if memory.flash_bytes is not None and plan.flash_bytes is not None:
        flash = memory.flash_bytes
        found.append(at_most("size of the images in flash", plan.flash_bytes, flash.value, flash.source, "bytes"))
    return found
