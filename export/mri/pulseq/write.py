"""Writes a planned sequence as Pulseq files of two versions."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cidesign.errors import LimitError
from cidesign.export.mri.blocks import NS_PER_MS, NS_PER_S, Lobe, MriPlan, Pulse, Wave
from cidesign.export.mri.pulseq.library import collected_warnings, pypulseq, scanner_options
from cidesign.files import disk_errors
from cidesign.hardware_profiles.mri.schema import MriProfile

Definitions = Mapping[str, str | float | list[float]]
# Digits of an amplitude in the file.
AMPLITUDE_DIGITS = 6


def write_pulseq(plan: MriPlan, definitions: Definitions, profile: MriProfile, v150: Path, v141: Path) -> None:
    """Write the sequence as Pulseq 1.5.0 and 1.4.1: interpreters accept one of them and reject the other.

    `definitions` are those beside TE and TR.  Raises `InputError` without pypulseq, and `LimitError` when pypulseq
    would change what was planned.
    """
    with collected_warnings() as found:
        sequence = _build(plan, profile)
        times = {"TE": plan.te_ns / NS_PER_MS * 1e-3, "TR": plan.tr_ns / NS_PER_MS * 1e-3}
        for name, value in {**definitions, **times}.items():
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
    waves: dict[tuple[str, int], Any] = {}
    for block in plan.blocks:
        events = [pp.make_label(type="SET", label=label, value=value) for label, value in block.labels]
        if block.rf is not None:
            events.append(_pulse(pp, system, block.rf, pulses))
        for axis, gradient in (("x", block.gx), ("y", block.gy), ("z", block.gz)):
            if isinstance(gradient, Wave):
                # Dummies play one shot over and over.
                if (axis, id(gradient)) not in waves:
                    waves[axis, id(gradient)] = _wave(pp, system, sequence, axis, gradient)
                events.append(waves[axis, id(gradient)])
            elif gradient is not None:
                events.append(_trapezoid(pp, system, axis, gradient))
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


def _wave(pp: Any, system: Any, sequence: Any, axis: str, wave: Wave) -> Any:
    """The corners as they are.

    pypulseq would take the largest height as the amplitude, of which the file keeps six digits, and so lose up to
    5e-6 of every height.  The shape is therefore held against an amplitude that six digits say exactly.
    """
    times = (wave.delay_ns + np.arange(len(wave.heights_hz_per_m)) * wave.raster_ns) / NS_PER_S
    event = pp.make_extended_trapezoid(
        channel=axis, times=times, amplitudes=wave.heights_hz_per_m, system=system, skip_check=True
    )
    event.shape_dur = event.tt[-1]
    largest = float(np.abs(wave.heights_hz_per_m).max())
    if largest == 0:
        return event
    amplitude = _rounded_up(largest)
    sign = np.sign(wave.heights_hz_per_m[np.flatnonzero(wave.heights_hz_per_m)[0]])
    shapes = (wave.heights_hz_per_m / (sign * amplitude), event.tt / sequence.grad_raster_time)
    event.shape_IDs = [_shape_number(pp, sequence, shape) for shape in shapes]
    event.waveform = wave.heights_hz_per_m * (amplitude / largest)
    return event


def _rounded_up(value: float) -> float:
    """The smallest number of six digits that is not below a positive one."""
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - AMPLITUDE_DIGITS)
    return float(f"{math.ceil(value / step - 1e-9) * step:.{AMPLITUDE_DIGITS}g}")


def _shape_number(pp: Any, sequence: Any, values: Any) -> int:
    shape = pp.compress_shape.compress_shape(values)
    number, _ = sequence.shape_library.find_or_insert(np.concatenate(([shape.num_samples], shape.data)))
    return int(number)
