"""When each frame is shown: exposure, period, images and table entries of a sequence on a controller."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.dmd.schema import DmdProfile, SequenceMode

SequenceModeName = Literal["fixed_exposure", "variable_exposure"]
# What a computer at a video input is sent is counted in 16 bits, in the table and in the answers of the link.
MOST_STREAMED = 2**16 - 1


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
    """How a controller shows F frames: the tables, and what was asked for beside what is done.

    `starts` holds the first frame of each sequence, 0 first: more than one where no table of the device holds all
    frames, and the sequences are started one after the other.  Each begins with an image of its own.  `image` of an
    entry is the number by which the device knows it: in flash all images lie side by side; where they are loaded at
    run time, each sequence counts from 0.  `images` are those of all sequences.

    `streamed`: no table and no memory of the device holds the frames; a computer at its video input shows one image
    after the other.  `flash_bytes`: what the images take there, None where it is not known.

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
    starts: tuple[int, ...] = (0,)
    streamed: bool = False
    flash_bytes: int | None = None

    @property
    def total_us(self) -> int:
        """Time to show every frame once, in microseconds, without the time between two sequences."""
        return sum(entry.period_us for entry in self.entries)

    @property
    def start_times_us(self) -> NDArray[np.float64]:
        """When each frame begins, (F,), from the start of the first frame of its sequence.

        The time between two sequences is that of a start, by hand or over a link, and not known.
        """
        periods = np.array([entry.period_us for entry in self.entries], dtype=np.float64)
        times = np.cumsum(periods) - periods
        first = np.searchsorted(self.starts, np.arange(len(times)), side="right") - 1
        from_start: NDArray[np.float64] = times - times[np.array(self.starts)][first]
        return from_start

    @property
    def sequences(self) -> "tuple[SequencePlan, ...]":
        """Each sequence as a plan of its own, whose frames count from 0."""
        if len(self.starts) == 1:
            return (self,)
        ends = (*self.starts[1:], len(self.entries))
        return tuple(self._part(first, last) for first, last in zip(self.starts, ends, strict=True))

    def _part(self, first: int, last: int) -> "SequencePlan":
        entries = tuple(replace(entry, frame=entry.frame - first) for entry in self.entries[first:last])
        images = sum(entry.loads_image for entry in entries)
        return replace(self, entries=entries, images=images, starts=(0,), flash_bytes=None, notes=())


def joined(plans: Sequence[SequencePlan]) -> SequencePlan:
    """The plan of which these are the `sequences`; they must agree in what all have in common."""
    first = plans[0]
    starts: list[int] = []
    entries: list[SequenceEntry] = []
    for plan in plans:
        starts.append(len(entries))
        entries += [replace(entry, frame=starts[-1] + entry.frame) for entry in plan.entries]
    images = sum(plan.images for plan in plans)
    return replace(first, entries=tuple(entries), images=images, starts=tuple(starts))


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
    pairs_from: int | None = None,
) -> SequencePlan:
    """Plan `frames` frames of `bit_depth` bits, in order, in the tables of the profile's controller.

    Times are whole microseconds, rounded up.  Without a request the exposure is the table's shortest, and the
    period the shortest legal one: the exposure itself, or, where images must be re-loaded while the sequence
    runs, an equal share of the image's load time.  A request is kept even where it breaks a limit (the rules
    report that); nothing is lengthened silently.

    What is longer than one table becomes the fewest sequences, each as long as it can be; two frames from
    `pairs_from` on (a pattern and its complement) are never torn apart.  Without a mode that holds them `mode` is None.
    """
    exposed_us, notes = _exposure(profile, bit_depth, exposure_us, period_us)
    per_image = profile.bit_depths[str(bit_depth)].frames_per_image.value
    tried: list[tuple[SequenceModeName | None, tuple[int, ...], list[SequenceEntry], int]] = []
    for mode in profile.sequence_modes:
        starts = _starts(profile, mode, frames, bit_depth, pairs_from)
        if starts is not None:
            entries, images = _entries(profile, frames, starts, per_image, exposed_us, period_us)
            held = not stored_together(profile) or images <= flash_images(profile)
            if held and _holds_times(mode, entries):
                tried.append((mode.name, starts, entries, images))
    if not tried:
        tried = [(None, (0,), *_entries(profile, frames, (0,), per_image, exposed_us, period_us))]
    name, starts, entries, images = min(tried, key=lambda one: len(one[1]))
    notes += _period_notes(profile, entries, images, exposed_us, period_us)
    plan = SequencePlan(
        bit_depth, tuple(entries), images, name, exposure_us, period_us, exposed_us, tuple(notes), starts
    )
    return plan if len(starts) == 1 else replace(plan, notes=(*plan.notes, _split_note(profile, plan)))


def plan_streamed(
    profile: DmdProfile,
    frames: int,
    bit_depth: int,
    exposure_us: float | None = None,
    period_us: float | None = None,
    why: str = "",
) -> SequencePlan:
    """Plan frames that a computer at the video input shows, one image after the other: no table bounds their number.

    Nothing waits for flash.  `why` says what holds them otherwise, for people.
    """
    exposed_us, notes = _exposure(profile, bit_depth, exposure_us, period_us)
    per_image = profile.bit_depths[str(bit_depth)].frames_per_image.value
    shown_us = exposed_us if period_us is None else math.ceil(period_us)
    entries = tuple(
        SequenceEntry(frame, *divmod(frame, per_image), frame % per_image == 0, exposed_us, shown_us)
        for frame in range(frames)
    )
    images = math.ceil(frames / per_image)
    notes += _period_notes(profile, list(entries), images, exposed_us, period_us)
    notes.append(
        f"{frames} frames in {images} images are shown over HDMI, one image after the other{': ' if why else ''}{why}"
    )
    return SequencePlan(
        bit_depth, entries, images, "fixed_exposure", exposure_us, period_us, exposed_us, tuple(notes), streamed=True
    )


def plan_shown(
    profile: DmdProfile,
    frames: int,
    bit_depth: int,
    exposure_us: float | None = None,
    period_us: float | None = None,
    pairs_from: int | None = None,
) -> SequencePlan:
    """The tables of the controller where some hold the frames, else its video input where it has one."""
    plan = plan_sequence(profile, frames, bit_depth, exposure_us, period_us, pairs_from)
    if plan.mode is not None or not streams(profile) or frames > MOST_STREAMED:
        return plan
    why = f"its tables hold {modes_text(profile)}"
    return plan_streamed(profile, frames, bit_depth, exposure_us, period_us, why)


def streams(profile: DmdProfile) -> bool:
    """Whether a computer at a video input of the device can show images one after the other."""
    return profile.timing.video_max_frame_hz is not None


def stored_together(profile: DmdProfile) -> bool:
    """Whether the images of all sequences lie in the device side by side, in its flash."""
    return not profile.interfaces.image_upload_at_run_time.value


def flash_images(profile: DmdProfile) -> int:
    """How many images the tables of a device can tell apart."""
    return max(mode.max_images.value for mode in profile.sequence_modes)


def modes_text(profile: DmdProfile) -> str:
    """What the tables of a device hold, for people."""
    return "; ".join(
        f"{mode.name.replace('_', ' ')} {mode.max_entries.value} entries and {mode.max_images.value} images"
        for mode in profile.sequence_modes
    )


def limits_text(profile: DmdProfile) -> str:
    """`modes_text`, and what goes over the video input where there is one."""
    return modes_text(profile) + (f"; over HDMI {MOST_STREAMED} frames" if streams(profile) else "")


def sequences_text(plan: SequencePlan) -> str:
    """`, 2 sequences` for people; nothing for one."""
    return f", {len(plan.starts)} sequences" if len(plan.starts) > 1 else ""


def _exposure(
    profile: DmdProfile, bit_depth: int, exposure_us: float | None, period_us: float | None
) -> tuple[int, list[str]]:
    """The exposure in whole microseconds, and what is to be said of it; raises `InputError` for what is no time."""
    shortest_us = shortest_exposure_us(profile, bit_depth)
    for name, value in (("exposure", exposure_us), ("period", period_us)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} {value} us: a positive number of microseconds is needed")
    actual_us = shortest_us if exposure_us is None else math.ceil(exposure_us)
    notes: list[str] = []
    if profile.timing.limits_from.value == "device":
        notes.append(
            f"the shortest exposure of {shortest_us} us is a planning value: {profile.id} reports its own limits; "
            "ask the device before a measurement"
        )
    if exposure_us is not None and actual_us != exposure_us:
        notes.append(f"exposure {exposure_us} us becomes {actual_us} us: the device counts whole microseconds")
    return actual_us, notes


def _starts(
    profile: DmdProfile, mode: SequenceMode, frames: int, bit_depth: int, pairs_from: int | None
) -> tuple[int, ...] | None:
    """The first frame of each sequence in a mode; None where it holds none."""
    per_image = profile.bit_depths[str(bit_depth)].frames_per_image.value
    most = min(mode.max_entries.value, mode.max_images.value * per_image)
    if profile.timing.image_load_us is None:
        most = min(most, profile.memory.full_rate_planes.value // bit_depth)
    starts = [0]
    while frames - starts[-1] > most:
        cut = starts[-1] + most
        if pairs_from is not None and cut > pairs_from and (cut - pairs_from) % 2:
            cut -= 1
        if cut <= starts[-1]:
            return None
        starts.append(cut)
    return tuple(starts)


def _entries(
    profile: DmdProfile,
    frames: int,
    starts: tuple[int, ...],
    per_image: int,
    exposure_us: int,
    period_us: float | None,
) -> tuple[list[SequenceEntry], int]:
    """The entries of all sequences, and how many images they have."""
    entries, images = [], 0
    for first, last in zip(starts, (*starts[1:], frames), strict=True):
        count = math.ceil((last - first) / per_image)
        before = images if stored_together(profile) else 0
        for frame in range(first, last):
            image, slot = divmod(frame - first, per_image)
            in_image = min(per_image, last - first - image * per_image)
            if period_us is None:
                shown_us = _legal_period_us(profile, exposure_us, count, in_image)
            else:
                shown_us = math.ceil(period_us)
            entries.append(SequenceEntry(frame, before + image, slot, slot == 0, exposure_us, shown_us))
        images += count
    return entries, images


def _period_notes(
    profile: DmdProfile, entries: list[SequenceEntry], images: int, exposure_us: int, period_us: float | None
) -> list[str]:
    notes = []
    if period_us is None and any(entry.period_us > entry.exposure_us for entry in entries):
        load_us = profile.timing.image_load_us
        notes.append(
            f"{images} images do not fit the {profile.timing.image_buffers.value} buffers: each is shown for "
            f"{load_us.value if load_us else 0} us so that the next one can be read from flash; "
            f"the period grows from {exposure_us} us to {entries[0].period_us} us"
        )
    if period_us is not None and math.ceil(period_us) != period_us:
        notes.append(f"period {period_us} us becomes {math.ceil(period_us)} us: the device counts whole microseconds")
    return notes


def _split_note(profile: DmdProfile, plan: SequencePlan) -> str:
    most = max(len(part.entries) for part in plan.sequences)
    if stored_together(profile):
        how = f"started one after the other ({plan.images} of the {flash_images(profile)} images that its flash holds)"
    else:
        how = "loaded and started one after the other: the device holds one at a time"
    return f"{len(plan.entries)} frames are {len(plan.starts)} sequences of up to {most}, {how}"


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


def _holds_times(mode: SequenceMode, entries: list[SequenceEntry]) -> bool:
    """Whether the mode has exposures and periods of each entry's own, or all are the same."""
    return mode.name == "variable_exposure" or len({(entry.exposure_us, entry.period_us) for entry in entries}) <= 1
