"""The blocks of a sequence before it becomes a file, and the gradient lobes they are made of.

All times are whole nanoseconds, so that nothing is off a raster by rounding; gradients are in Hz/m, as in Pulseq.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import LimitError
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.units import format_duration_us

# Proton gyromagnetic ratio of Pulseq, Hz/T (42.576 MHz/T).
GAMMA_HZ_PER_T = 42.576e6
NS_PER_US, NS_PER_MS, NS_PER_S = 1_000, 1_000_000, 1_000_000_000
Use = Literal["excitation", "refocusing"]
# Of the pulse that selects a slice.
TIME_BANDWIDTH = 4.0


def mt_per_m(hz_per_m: float) -> float:
    """A gradient of Hz/m in mT/m."""
    return 1e3 * hz_per_m / GAMMA_HZ_PER_T


class Limits(NamedTuple):
    """What one lobe may do: amplitude in Hz/m, slew in Hz/m/s, and the raster of its corners."""

    max_hz_per_m: float
    max_hz_per_m_per_s: float
    raster_ns: int

    def shared(self, axes: int) -> "Limits":
        """The share of each of `axes` lobes that play together, so that their sum is legal in any orientation."""
        factor = 1 / math.sqrt(axes)
        return Limits(self.max_hz_per_m * factor, self.max_hz_per_m_per_s * factor, self.raster_ns)


@dataclass(frozen=True)
class Lobe:
    """A trapezoid; `amplitude_hz_per_m` carries the sign."""

    amplitude_hz_per_m: float
    rise_ns: int
    flat_ns: int
    delay_ns: int = 0

    @property
    def duration_ns(self) -> int:
        """From the start of the block to the end of the lobe."""
        return self.delay_ns + 2 * self.rise_ns + self.flat_ns

    @property
    def area_per_m(self) -> float:
        """The integral, in cycles/m."""
        return self.amplitude_hz_per_m * (self.rise_ns + self.flat_ns) / NS_PER_S

    def scaled(self, factor: float) -> "Lobe":
        """The same shape with another amplitude (never a negative zero)."""
        return replace(self, amplitude_hz_per_m=self.amplitude_hz_per_m * factor + 0.0)


@dataclass(frozen=True, eq=False)
class Wave:
    """A gradient of any shape: its heights in Hz/m at the edges of its raster, straight between them."""

    heights_hz_per_m: NDArray[np.float64]
    raster_ns: int
    delay_ns: int = 0


@dataclass(frozen=True)
class Pulse:
    """A sinc pulse with a Hanning window, symmetric about its middle."""

    flip_deg: float
    duration_ns: int
    delay_ns: int
    phase_rad: float
    use: Use
    time_bandwidth: float

    @property
    def centre_ns(self) -> int:
        """From the start of the block to the middle of the pulse."""
        return self.delay_ns + self.duration_ns // 2


@dataclass(frozen=True)
class Readout:
    """The samples of one line."""

    samples: int
    dwell_ns: int
    delay_ns: int
    phase_rad: float


@dataclass(frozen=True)
class Block:
    """What happens together; labels are set before the samples are taken."""

    duration_ns: int
    rf: Pulse | None = None
    gx: Lobe | Wave | None = None
    gy: Lobe | Wave | None = None
    gz: Lobe | None = None
    adc: Readout | None = None
    labels: tuple[tuple[str, int], ...] = ()


class Acquisition(NamedTuple):
    """When a line, or a point of a 3-D scan, is measured: shot and echo count from 0, and so does the partition.

    Shots that are no lines are counted as `line`.  The noise scan and dummies are not among them.
    """

    shot: int
    echo: int
    line: int
    partition: int = 0


@dataclass(frozen=True)
class MriPlan:
    """A whole sequence, with what was asked for and what came of it."""

    blocks: tuple[Block, ...]
    acquisitions: tuple[Acquisition, ...]
    samples: int
    dwell_ns: int
    te_ns: int
    tr_ns: int
    echo_spacing_ns: int | None
    dummies: int
    dummies_reason: str
    notes: tuple[str, ...]

    @property
    def total_ns(self) -> int:
        """The length of the sequence."""
        return sum(block.duration_ns for block in self.blocks)


def ceil_to(value_ns: float, raster_ns: int) -> int:
    """The smallest multiple of the raster that is not below `value_ns`."""
    return math.ceil(value_ns / raster_ns - 1e-9) * raster_ns


def raster_ns(profile: MriProfile) -> int:
    """The raster on which gradients and blocks both fall."""
    gradient = round(profile.rasters.gradient_us.value * NS_PER_US)
    return math.lcm(gradient, round(profile.rasters.block_us.value * NS_PER_US))


def rf_raster_ns(profile: MriProfile) -> int:
    """The raster on which pulses and samplings start: that of the RF, and the whole microseconds of the file."""
    return math.lcm(round(profile.rasters.rf_us.value * NS_PER_US), NS_PER_US)


def design_limits(profile: MriProfile) -> Limits:
    """The limits that sequences are made for."""
    return Limits(
        profile.design.max_gradient_mt_per_m.value * 1e-3 * GAMMA_HZ_PER_T,
        profile.design.max_slew_t_per_m_per_s.value * GAMMA_HZ_PER_T,
        raster_ns(profile),
    )


def ramp_ns(amplitude_hz_per_m: float, limits: Limits) -> int:
    """The shortest legal ramp to an amplitude, at least one raster."""
    seconds = abs(amplitude_hz_per_m) / limits.max_hz_per_m_per_s
    return max(ceil_to(seconds * NS_PER_S, limits.raster_ns), limits.raster_ns)


def shortest_lobe(area_per_m: float, limits: Limits) -> tuple[int, str]:
    """The shortest time a lobe of this area takes, and which limit binds it."""
    area = abs(area_per_m)
    rise_ns = max(ceil_to(math.sqrt(area / limits.max_hz_per_m_per_s) * NS_PER_S, limits.raster_ns), limits.raster_ns)
    if area / (rise_ns / NS_PER_S) <= limits.max_hz_per_m:
        return 2 * rise_ns, f"slew of {limits.max_hz_per_m_per_s / GAMMA_HZ_PER_T:.4g} T/m/s"
    rise_ns = ramp_ns(limits.max_hz_per_m, limits)
    flat_ns = ceil_to(area / limits.max_hz_per_m * NS_PER_S - rise_ns, limits.raster_ns)
    return 2 * rise_ns + flat_ns, f"gradient of {mt_per_m(limits.max_hz_per_m):.4g} mT/m"


def lobe_in(area_per_m: float, duration_ns: int, limits: Limits) -> Lobe:
    """The lobe of this area and duration with the lowest amplitude; the duration is at least the shortest one."""
    seconds = duration_ns / NS_PER_S
    # amplitude = area / (T - rise) and amplitude / rise <= slew: the smaller root of rise^2 - T rise + area / slew = 0.
    root = seconds * seconds - 4 * abs(area_per_m) / limits.max_hz_per_m_per_s
    rise_s = (seconds - math.sqrt(max(root, 0.0))) / 2
    rise_ns = max(ceil_to(rise_s * NS_PER_S, limits.raster_ns), limits.raster_ns)
    amplitude = area_per_m / ((duration_ns - rise_ns) / NS_PER_S)
    return Lobe(amplitude, rise_ns, duration_ns - 2 * rise_ns)


class Selection(NamedTuple):
    """A pulse with its slice gradient: the block, and the times and areas before and after its middle."""

    pulse: Pulse
    gradient: Lobe
    duration_ns: int

    @property
    def tail_ns(self) -> int:
        """From the middle of the pulse to the end of the block."""
        return self.duration_ns - self.pulse.centre_ns

    @property
    def tail_area_per_m(self) -> float:
        """The area of the slice gradient after the middle of the pulse."""
        return self.gradient.area_per_m / 2


def slice_selection(
    flip_deg: float,
    use: Use,
    rf_duration_ms: float,
    thickness_mm: float,
    profile: MriProfile,
    time_bandwidth: float = TIME_BANDWIDTH,
) -> Selection:
    """A slice-selective pulse: amplitude = time-bandwidth / duration / thickness.

    Raises `LimitError` when the gradient is too large or the duration is not on the rasters.
    """
    limits, times = design_limits(profile), profile.dead_times
    duration_ns = round(rf_duration_ms * NS_PER_MS)
    # The middle of the pulse must be a whole number of rasters away from its ends: echo times count from it.
    step_ns = math.lcm(2 * limits.raster_ns, rf_raster_ns(profile))
    if duration_ns % step_ns or not duration_ns:
        below = duration_ns // step_ns * step_ns
        near = [below, below + step_ns] if below else [step_ns]
        raise LimitError(
            f"RF pulse: a duration of {rf_duration_ms:g} ms is not a multiple of {step_ns / NS_PER_US:g} us; give "
            f"rf_duration_ms {' or '.join(f'{n / NS_PER_MS:g}' for n in near)}"
        )
    amplitude = time_bandwidth / (duration_ns / NS_PER_S) / (thickness_mm * 1e-3)
    if amplitude > limits.max_hz_per_m:
        least_mm = time_bandwidth / (duration_ns / NS_PER_S) / limits.max_hz_per_m * 1e3
        raise LimitError(
            f"slice: {thickness_mm:g} mm needs a slice gradient of {mt_per_m(amplitude):.4g} mT/m, the limit is "
            f"{mt_per_m(limits.max_hz_per_m):.4g} mT/m ({profile.id}, design); give at least {least_mm:.3g} mm, or an "
            f"rf_duration_ms of {rf_duration_ms * amplitude / limits.max_hz_per_m:.3g}"
        )
    rise_ns = ramp_ns(amplitude, limits)
    start_step_ns = math.lcm(limits.raster_ns, rf_raster_ns(profile))
    delay_ns = ceil_to(max(times.rf_dead_us.value * NS_PER_US, rise_ns), start_step_ns)
    gradient = Lobe(amplitude, rise_ns, duration_ns, delay_ns - rise_ns)
    ringdown_ns = round(times.rf_ringdown_us.value * NS_PER_US)
    end_ns = ceil_to(max(gradient.duration_ns, delay_ns + duration_ns + ringdown_ns), limits.raster_ns)
    return Selection(Pulse(flip_deg, duration_ns, delay_ns, 0.0, use, time_bandwidth), gradient, end_ns)


def too_short(name: str, asked_ns: int, least_ns: int, binding: str, relax: str) -> LimitError:
    """The error of a time that cannot be met: what was asked, the minimum, what binds, and what to relax."""
    return LimitError(
        f"{name}: {asked_ns / NS_PER_MS:g} ms asked for, the minimum is {least_ns / NS_PER_MS:g} ms; what binds is "
        f"{binding}; {relax}"
    )


def shown_ms(value_ns: int) -> str:
    """A duration for people."""
    return format_duration_us(value_ns / NS_PER_US)
