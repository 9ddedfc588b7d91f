"""A run for a micromirror device."""

from cidesign.constraints.sequence import video_time_us
from cidesign.export.dmd.planning import plan_design
from cidesign.files import JsonObject
from cidesign.hardware_profiles.dmd.schema import DmdProfile
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
