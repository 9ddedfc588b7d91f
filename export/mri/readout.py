"""The readout of one line or point: which dwell is legal, which gradient it needs, and where its centre lies."""

import math
from typing import NamedTuple

from cidesign.errors import LimitError
from cidesign.export.mri.blocks import (
    NS_PER_S,
    NS_PER_US,
    Limits,
    Lobe,
    Readout,
    ceil_to,
    design_limits,
    mt_per_m,
    ramp_ns,
    rf_raster_ns,
)
from cidesign.export.mri.protocol import Protocol
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Cartesian


class ReadoutShape(NamedTuple):
    """Gradient and samples of a line; sample `centre` is the echo, `echo_ns` after the start of the block.

    `echo_area_per_m` is the area of the gradient up to the echo, which the prephaser must cancel.
    """

    gradient: Lobe
    samples: int
    centre: int
    dwell_ns: int
    delay_ns: int
    echo_ns: float
    echo_area_per_m: float
    notes: tuple[str, ...]

    def adc(self, phase_rad: float = 0.0) -> Readout:
        """The samples, received with a phase."""
        return Readout(self.samples, self.dwell_ns, self.delay_ns, phase_rad)


def gre_readout(trajectory: Cartesian, protocol: Protocol, profile: MriProfile) -> ReadoutShape:
    """The readout of a gradient echo: sampling starts with the plateau, the prephaser takes up the half dwell.

    Raises `LimitError` for an illegal dwell, number of samples or gradient.
    """
    samples = _samples(trajectory, protocol, profile)
    dwell_ns, notes = _dwell(samples, protocol, profile, symmetric=False)
    amplitude = _amplitude(samples, dwell_ns, protocol, profile)
    limits = design_limits(profile)
    rise_ns = _rise_ns(amplitude, limits, profile)
    gradient = Lobe(amplitude, rise_ns, ceil_to(samples * dwell_ns, limits.raster_ns))
    centre = samples // 2
    to_echo_ns = dwell_ns * (centre + 0.5)
    area = amplitude * (rise_ns / 2 + to_echo_ns) / NS_PER_S
    return ReadoutShape(gradient, samples, centre, dwell_ns, rise_ns, rise_ns + to_echo_ns, area, notes)


def tse_readout(trajectory: Cartesian, protocol: Protocol, profile: MriProfile) -> ReadoutShape:
    """The readout of a spin echo: the echo sample lies in the middle of the plateau.

    A half dwell in the prephaser would change its sign after each refocusing pulse, so the samples are moved instead.
    Raises `LimitError` for an illegal dwell, number of samples or gradient.
    """
    samples = _samples(trajectory, protocol, profile)
    dwell_ns, notes = _dwell(samples, protocol, profile, symmetric=True)
    amplitude = _amplitude(samples, dwell_ns, protocol, profile)
    limits = design_limits(profile)
    rise_ns = _rise_ns(amplitude, limits, profile)
    centre = samples // 2
    before_ns = dwell_ns * (2 * centre + 1) // 2
    half_flat_ns = ceil_to(max(before_ns, samples * dwell_ns - before_ns), limits.raster_ns)
    gradient = Lobe(amplitude, rise_ns, 2 * half_flat_ns)
    echo_ns = rise_ns + half_flat_ns
    return ReadoutShape(
        gradient, samples, centre, dwell_ns, echo_ns - before_ns, echo_ns, gradient.area_per_m / 2, notes
    )


def _samples(trajectory: Cartesian, protocol: Protocol, profile: MriProfile) -> int:
    samples = trajectory.readout * protocol.oversampling
    if profile.max_adc_samples is not None and samples > profile.max_adc_samples.value:
        raise LimitError(
            f"readout: {samples} samples ({trajectory.readout} with {protocol.oversampling} x oversampling), the limit "
            f"is {profile.max_adc_samples.value} ({profile.id}: {profile.max_adc_samples.source}); use fewer samples "
            "or no oversampling"
        )
    divisor = profile.adc_samples_divisor
    if divisor is not None and samples % divisor.value:
        raise LimitError(
            f"readout: {samples} samples are not a multiple of {divisor.value} ({profile.id}: {divisor.source}); give "
            f"a readout of {samples // divisor.value * divisor.value // protocol.oversampling} or "
            f"{(samples // divisor.value + 1) * divisor.value // protocol.oversampling} samples"
        )
    return samples


def _legal(dwell_ns: int, samples: int, profile: MriProfile, symmetric: bool) -> bool:
    # A start of sampling is written in whole microseconds and lies on the RF raster.
    return not symmetric or dwell_ns * (2 * (samples // 2) + 1) % (2 * rf_raster_ns(profile)) == 0


def legal_dwells_ns(wanted_ns: float, samples: int, profile: MriProfile, symmetric: bool) -> list[int]:
    """The legal dwells next to `wanted_ns`: itself, or the one below (if there is one) and the one above."""
    step_ns = round(profile.rasters.adc_ns.value)
    floor, ceiling = int((wanted_ns + 1e-6) // step_ns) * step_ns, ceil_to(wanted_ns, step_ns)
    if floor == ceiling and _legal(floor, samples, profile, symmetric):
        return [floor]
    below, above = floor, max(ceiling, step_ns)
    while below > 0 and not _legal(below, samples, profile, symmetric):
        below -= step_ns
    while not _legal(above, samples, profile, symmetric):
        above += step_ns
    return [dwell for dwell in (below, above) if dwell > 0]


def bandwidth_hz_per_px(dwell_ns: int, samples: int) -> float:
    """The bandwidth of one pixel, 1 / (samples * dwell)."""
    return NS_PER_S / (samples * dwell_ns)


def _dwell(samples: int, protocol: Protocol, profile: MriProfile, symmetric: bool) -> tuple[int, tuple[str, ...]]:
    if protocol.bandwidth_hz_per_px is not None:
        wanted_ns = NS_PER_S / (samples * protocol.bandwidth_hz_per_px)
        dwell_ns = min(legal_dwells_ns(wanted_ns, samples, profile, symmetric), key=lambda ns: abs(ns - wanted_ns))
        got = bandwidth_hz_per_px(dwell_ns, samples)
        return dwell_ns, (
            f"bandwidth: {protocol.bandwidth_hz_per_px:g} Hz/px asked for, {got:.4g} Hz/px made, a dwell of "
            f"{dwell_ns / NS_PER_US:g} us on the {profile.rasters.adc_ns.value:g} ns raster",
        )
    wanted_ns = (protocol.dwell_us or 0) * NS_PER_US
    legal = legal_dwells_ns(wanted_ns, samples, profile, symmetric)
    if len(legal) == 1 and abs(legal[0] - wanted_ns) < 1e-3:
        return legal[0], ()
    shown = " or ".join(f"{ns / NS_PER_US:g} us ({bandwidth_hz_per_px(ns, samples):.4g} Hz/px)" for ns in legal)
    half = f", and its half times {2 * (samples // 2) + 1} on whole microseconds" if symmetric else ""
    raise LimitError(
        f"dwell: {protocol.dwell_us:g} us is not legal on {profile.id}; a dwell lies on the ADC raster of "
        f"{profile.rasters.adc_ns.value:g} ns{half}. The nearest are {shown}"
    )


def _amplitude(samples: int, dwell_ns: int, protocol: Protocol, profile: MriProfile) -> float:
    limits = design_limits(profile)
    # delta k = 1 / FOV passes in `oversampling` dwells.
    amplitude = NS_PER_S / (protocol.fov_mm * 1e-3 * protocol.oversampling * dwell_ns)
    if amplitude > limits.max_hz_per_m:
        least_ns = dwell_ns * amplitude / limits.max_hz_per_m
        raise LimitError(
            f"readout: a dwell of {dwell_ns / NS_PER_US:g} us ({bandwidth_hz_per_px(dwell_ns, samples):.4g} Hz/px) "
            f"over {protocol.fov_mm:g} mm needs {mt_per_m(amplitude):.4g} mT/m, the limit is "
            f"{profile.design.max_gradient_mt_per_m.value:g} mT/m ({profile.id}, design); give a dwell of at least "
            f"{least_ns / NS_PER_US:.4g} us, a bandwidth of at most {NS_PER_S / (samples * least_ns):.4g} Hz/px, or a "
            f"fov_mm of at least {protocol.fov_mm * amplitude / limits.max_hz_per_m:.4g}"
        )
    return amplitude


def _rise_ns(amplitude: float, limits: Limits, profile: MriProfile) -> int:
    # The ramps are as long as the dead time of the receiver at least, so that it is ready when the plateau starts,
    # and sampling may start there.
    least_ns = max(ramp_ns(amplitude, limits), profile.dead_times.adc_dead_us.value * NS_PER_US)
    return ceil_to(least_ns, math.lcm(limits.raster_ns, rf_raster_ns(profile)))
