"""When each frame is shown: exposure, period, images and table entries of a sequence on a controller."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.dmd.schema import DmdProfile, SequenceMode

SequenceModeName = Literal["fixed_exposure", "variable_exposure"]


@dataclass(frozen=True)
class SequenceEntry:
    """One line of the sequence table: which frame of which image, for how long.

    `slot` counts frames inside the 24-plane image; `loads_image` marks the first entry of each image.
    """

    frame: int
    image: int
    slot: int
    loads_image: bool
    exposure_us: int
    period_us: int


@dataclass(frozen=True)
class SequencePlan:
    """How a controller shows F frames: the table, and what was asked for beside what is done.

    `requested_exposure_us` and `requested_period_us` are None where the shortest legal value was left to the
    plan.  `total_us` is the sum of all periods.  `notes` says in words what differs from the request and why.
    """

    bit_depth: int
    entries: tuple[SequenceEntry, ...]
    images: int
    mode: SequenceModeName | None
    requested_exposure_us: float | None
    requested_period_us: float | None
    exposure_us: int
    notes: tuple[str, ...]

    @property
    def total_us(self) -> int:
        """Time to show every frame once, in microseconds."""
        return sum(entry.period_us for entry in self.entries)

    @property
    def start_times_us(self) -> NDArray[np.float64]:
        """When each frame begins, (F,), from the start of the first."""
        periods = np.array([entry.period_us for entry in self.entries], dtype=np.float64)
        return np.cumsum(periods) - periods


def shortest_exposure_us(profile: DmdProfile, bit_depth: int) -> int:
    """The exposure table's entry; raises `LimitError` for a bit depth that the device does not show."""
    limits = profile.depth_limits(bit_depth)
    if limits is None:
        raise LimitError(
            f"{profile.id}: bit depth {bit_depth} is not in its exposure table; "
            f"it shows {', '.join(sorted(profile.bit_depths))} bit"
        )
    return limits.min_exposure_us.value


def plan_sequence(
    profile: DmdProfile,
    frames: int,
    bit_depth: int,
    exposure_us: float | None = None,
    period_us: float | None = None,
) -> SequencePlan:
    """Plan `frames` frames of `bit_depth` bits, in order, on the profile's controller.

    Times are whole microseconds, rounded up.  Without a request the exposure is the table's shortest, and the
    period the shortest legal one: the exposure itself, or, where images must be re-loaded while the sequence
    runs, an equal share of the image's load time.  A request is kept even where it breaks a limit (the rules
    report that); nothing is lengthened silently.
    """
    shortest_us = shortest_exposure_us(profile, bit_depth)
    for name, value in (("exposure", exposure_us), ("period", period_us)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} {value} us: a positive number of microseconds is needed")
    per_image = profile.bit_depths[str(bit_depth)].frames_per_image.value
    images = math.ceil(frames / per_image)
    actual_us = shortest_us if exposure_us is None else math.ceil(exposure_us)
    notes = []
    if profile.timing.limits_from.value == "device":
        notes.append(
            f"the shortest exposure of {shortest_us} us is a planning value: {profile.id} reports its own limits; "
            "ask the device before a measurement"
        )
    if exposure_us is not None and actual_us != exposure_us:
        notes.append(f"exposure {exposure_us} us becomes {actual_us} us: the device counts whole microseconds")
    entries = []
    for frame in range(frames):
        image, slot = divmod(frame, per_image)
        in_image = min(per_image, frames - image * per_image)
        shown_us = _legal_period_us(profile, actual_us, images, in_image) if period_us is None else math.ceil(period_us)
        entries.append(SequenceEntry(frame, image, slot, slot == 0, actual_us, shown_us))
    if period_us is None and any(entry.period_us > entry.exposure_us for entry in entries):
        load_us = profile.timing.image_load_us
        notes.append(
            f"{images} images do not fit the {profile.timing.image_buffers.value} buffers: each is shown for "
            f"{load_us.value if load_us else 0} us so that the next one can be read from flash; "
            f"the period grows from {actual_us} us to {entries[0].period_us} us"
        )
    if period_us is not None and math.ceil(period_us) != period_us:
        notes.append(f"period {period_us} us becomes {math.ceil(period_us)} us: the device counts whole microseconds")
    mode = _choose_mode(profile, entries, images)
    return SequencePlan(bit_depth, tuple(entries), images, mode, exposure_us, period_us, actual_us, tuple(notes))


def reload_needed(profile: DmdProfile, images: int) -> bool:
    """Whether images are read from flash while the sequence runs."""
    return profile.timing.image_load_us is not None and images > profile.timing.image_buffers.value


def video_time_us(profile: DmdProfile, frames: int, bit_depth: int, exposure_us: int) -> int | None:
    """Time to show the frames when a video input streams one 24-bit image per video frame; None without one.

    Within a video frame each frame of the sequence gets its exposure; where they do not fit at the highest
    frame rate, the frame rate falls.
    """
    rate_hz = profile.timing.video_max_frame_hz
    limits = profile.depth_limits(bit_depth)
    if rate_hz is None or limits is None:
        return None
    per_image = limits.frames_per_image.value
    frame_us = max(math.ceil(1_000_000 / Fraction(rate_hz.value)), per_image * exposure_us)
    return math.ceil(frames / per_image) * frame_us


def _legal_period_us(profile: DmdProfile, exposure_us: int, images: int, frames_in_image: int) -> int:
    if not reload_needed(profile, images) or profile.timing.image_load_us is None:
        return exposure_us
    share_us = math.ceil(profile.timing.image_load_us.value / frames_in_image)
    if share_us <= exposure_us:
        return exposure_us
    gap_us = profile.timing.min_period_gap_us
    return max(share_us, exposure_us + (gap_us.value if gap_us else 0))


def _fits(mode: SequenceMode, entries: int, images: int) -> bool:
    return entries <= mode.max_entries.value and images <= mode.max_images.value


def _choose_mode(profile: DmdProfile, entries: list[SequenceEntry], images: int) -> SequenceModeName | None:
    same_time = len({(entry.exposure_us, entry.period_us) for entry in entries}) <= 1
    for mode in profile.sequence_modes:
        if _fits(mode, len(entries), images) and (same_time or mode.name == "variable_exposure"):
            return mode.name
    return None
