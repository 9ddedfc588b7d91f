"""Writes a planned sequence as Pulseq files of two versions."""

import math
from pathlib import Path
from typing import Any

from cidesign.errors import LimitError
from cidesign.export.mri.blocks import NS_PER_MS, NS_PER_S, Lobe, MriPlan, Pulse
from cidesign.export.mri.protocol import Protocol
from cidesign.export.mri.pulseq.library import collected_warnings, pypulseq, scanner_options
from cidesign.files import disk_errors
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Cartesian, CartesianPoints


def write_pulseq(
    plan: MriPlan, trajectory: Cartesian, protocol: Protocol, profile: MriProfile, v150: Path, v141: Path
) -> None:
    """Write the sequence as Pulseq 1.5.0 and 1.4.1: interpreters accept one of them and reject the other.

    Raises `InputError` without pypulseq, and `LimitError` when pypulseq would change what was planned.
    """
    with collected_warnings() as found:
        sequence = _build(plan, profile)
        for name, value in _definitions(plan, trajectory, protocol).items():
            sequence.set_definition(name, value)
        with disk_errors(v150):
            sequence.write(str(v150))
        with disk_errors(v141):
            sequence.write(str(v141), v141_compat=True)
    if found:
        raise LimitError(
            f"{v150.name}: pypulseq would not write this sequence as it was planned ({found[0]}); please report the "
            "protocol and the profile"
        )


def _build(plan: MriPlan, profile: MriProfile) -> Any:
    pp = pypulseq()
    system = scanner_options(profile)
    sequence = pp.Sequence(system=system)
    pulses: dict[tuple[float, int, str], Any] = {}
    for block in plan.blocks:
        events = [pp.make_label(type="SET", label=label, value=value) for label, value in block.labels]
        if block.rf is not None:
            events.append(_pulse(pp, system, block.rf, pulses))
        events += [
            _trapezoid(pp, system, axis, lobe)
            for axis, lobe in (("x", block.gx), ("y", block.gy), ("z", block.gz))
            if lobe is not None
        ]
        if block.adc is not None:
            events.append(
                pp.make_adc(
                    num_samples=block.adc.samples,
                    dwell=block.adc.dwell_ns / NS_PER_S,
                    delay=block.adc.delay_ns / NS_PER_S,
                    phase_offset=block.adc.phase_rad,
                    system=system,
                )
            )
        if block.duration_ns:
            events.append(pp.make_delay(block.duration_ns / NS_PER_S))
        sequence.add_block(*events)
    return sequence


def _pulse(pp: Any, system: Any, pulse: Pulse, known: dict[tuple[float, int, str], Any]) -> Any:
    key = (pulse.flip_deg, pulse.duration_ns, pulse.use)
    if key not in known:
        known[key] = pp.make_sinc_pulse(
            flip_angle=math.radians(pulse.flip_deg),
            duration=pulse.duration_ns / NS_PER_S,
            delay=pulse.delay_ns / NS_PER_S,
            time_bw_product=pulse.time_bandwidth,
            apodization=0.5,
            use=pulse.use,
            system=system,
        )
    known[key].phase_offset = pulse.phase_rad
    return known[key]


def _trapezoid(pp: Any, system: Any, axis: str, lobe: Lobe) -> Any:
    return pp.make_trapezoid(
        channel=axis,
        amplitude=lobe.amplitude_hz_per_m,
        rise_time=lobe.rise_ns / NS_PER_S,
        flat_time=lobe.flat_ns / NS_PER_S,
        fall_time=lobe.rise_ns / NS_PER_S,
        delay=lobe.delay_ns / NS_PER_S,
        system=system,
    )


def _definitions(plan: MriPlan, trajectory: Cartesian, protocol: Protocol) -> dict[str, str | float | list[float]]:
    pixel_mm = protocol.fov_mm / trajectory.readout
    line_mm = protocol.phase_fov / trajectory.lines
    found: dict[str, str | float | list[float]] = {
        "Name": f"cidesign_{protocol.kind}_research_only",
        "FOV": [size_mm * 1e-3 for size_mm in protocol.fovs_mm],
        "BaseResolution": trajectory.readout,
        "ReadoutOversamplingFactor": protocol.oversampling,
        "PhaseEncodingLines": trajectory.lines,
        "kSpaceCenterLine": trajectory.lines // 2,
        "PhaseResolution": pixel_mm / line_mm,
        "SliceThickness": protocol.excited_mm * 1e-3,
        "TE": plan.te_ns / NS_PER_MS * 1e-3,
        "TR": plan.tr_ns / NS_PER_MS * 1e-3,
    }
    if isinstance(trajectory, CartesianPoints):
        found |= {
            "Partitions": trajectory.partitions,
            "kSpaceCenterPartition": trajectory.partitions // 2,
            "PartitionResolution": pixel_mm / (protocol.depth_fov / trajectory.partitions),
        }
    return found
