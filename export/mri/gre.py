"""A spoiled gradient echo: every repetition plays the same lobes, scaled, so all lines share one echo time."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cidesign.export.mri.blocks import (
    NS_PER_MS,
    Acquisition,
    Block,
    Limits,
    MriPlan,
    Readout,
    Selection,
    ceil_to,
    design_limits,
    lobe_in,
    shortest_lobe,
    shown_ms,
    slice_selection,
    too_short,
)
from cidesign.export.mri.protocol import GreProtocol, Protocol, ScanProtocol, dummies_for, ordered_lines
from cidesign.export.mri.readout import ReadoutShape, gre_readout
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Cartesian, CartesianLines

# Quadratic phase increment of RF spoiling (Zur et al., Magn. Reson. Med. 21, 251, 1991).
RF_SPOILING_DEG = 117.0
# Cycles that the spoilers wind up: across a slice, and across a pixel along the readout.
SPOILER_CYCLES_SLICE, SPOILER_CYCLES_PIXEL = 4.0, 1.0
# What makes a repetition shorter.
SHORTER_READOUT = "a shorter te_ms, or a larger bandwidth"
# TRID: 1 a repetition that measures, 2 one that does not, 3 the noise scan.
TRID_LINE, TRID_DUMMY, TRID_NOISE = 1, 2, 3


class Encoded(NamedTuple):
    """What one excitation measures: its parts, -1 to 1, of the outermost phase encodings along y and z."""

    y: float
    z: float
    labels: tuple[tuple[str, int], ...]
    acquisition: Acquisition


class Along(NamedTuple):
    """What is played along z beside the slice: areas in cycles/m, and what the two lobes are called."""

    outermost_per_m: float
    spoiler_per_m: float
    before: str
    after: str


def plan_gre(trajectory: CartesianLines, protocol: GreProtocol, profile: MriProfile) -> MriPlan:
    """Every block of the sequence; raises `LimitError` for what cannot be played, with the minimum and what binds."""
    centre = trajectory.lines // 2
    encoded = [
        Encoded((line - centre) / max(centre, 1), 0.0, line_labels(line), Acquisition(shot, 0, line))
        for shot, line in enumerate(ordered_lines(trajectory, protocol.order))
    ]
    spoiler = SPOILER_CYCLES_SLICE / (protocol.slice_thickness_mm * 1e-3)
    return gradient_echo(trajectory, protocol, profile, encoded, Along(0.0, spoiler, "slice rephaser", "slice spoiler"))


def gradient_echo(
    trajectory: Cartesian, protocol: Protocol, profile: MriProfile, encoded: Sequence[Encoded], along: Along
) -> MriPlan:
    """The blocks that measure `encoded`, one excitation each; raises `LimitError` for what cannot be played."""
    selection = slice_selection(
        protocol.flip_angle_deg,
        "excitation",
        protocol.rf_duration_ms,
        protocol.excited_mm,
        profile,
        protocol.time_bandwidth,
    )
    readout = gre_readout(trajectory, protocol, profile)
    limits = design_limits(profile)
    shared = limits.shared(3)
    areas, spoil_areas = lobe_areas(trajectory, protocol, selection, readout, along)
    pre_ns, binding = longest_of(areas, shared)
    spoil_ns, spoil_binding = longest_of(spoil_areas, shared)
    least_te_ns = round(selection.tail_ns + pre_ns + readout.echo_ns)
    relax = "a larger bandwidth or fov_mm, or a shorter rf_duration_ms"
    te_delay_ns, te_notes = echo_delay_ns(protocol, least_te_ns, limits, binding, readout.echo_ns, relax)
    least_tr_ns = selection.duration_ns + pre_ns + te_delay_ns + readout.gradient.duration_ns + spoil_ns
    tr_ns, tr_notes = repetition_ns(protocol.tr_ms, least_tr_ns, limits, spoil_binding, SHORTER_READOUT)
    pre = [lobe_in(area, pre_ns, shared) for area in areas.values()]
    spoil = [lobe_in(area, spoil_ns, shared) for area in spoil_areas.values()]
    dummies, reason = dummies_for(protocol, tr_ns / NS_PER_MS)
    noise, counters = readout.adc() if protocol.noise_scan else None, [name for name, _ in encoded[0].labels]
    blocks = opening_blocks(noise, readout.gradient.duration_ns, counters)
    repetitions: list[Encoded | None] = [*([None] * dummies), *encoded]
    for number, one in enumerate(repetitions):
        phase = rf_phase_rad(number)
        y, z = (0.0, 0.0) if one is None else (one.y, one.z)
        adc = None if one is None else readout.adc(phase)
        # Along z both lobes have a constant part: the lobe is that of the largest sum, scaled.
        before = (-selection.tail_area_per_m + z * along.outermost_per_m) / areas[along.before]
        after = (along.spoiler_per_m - z * along.outermost_per_m) / spoil_areas[along.after]
        blocks += [
            excitation_block(selection, phase, one is None),
            Block(pre_ns + te_delay_ns, gx=pre[0], gy=pre[1].scaled(y), gz=pre[2].scaled(before)),
            Block(
                readout.gradient.duration_ns,
                gx=readout.gradient,
                adc=adc,
                labels=() if one is None else one.labels,
            ),
            Block(spoil_ns + tr_ns - least_tr_ns, gx=spoil[0], gy=spoil[1].scaled(-y), gz=spoil[2].scaled(after)),
        ]
    return MriPlan(
        blocks=tuple(blocks),
        acquisitions=tuple(one.acquisition for one in encoded),
        samples=readout.samples,
        dwell_ns=readout.dwell_ns,
        te_ns=least_te_ns + te_delay_ns,
        tr_ns=tr_ns,
        echo_spacing_ns=None,
        dummies=dummies,
        dummies_reason=reason,
        notes=(*readout.notes, *te_notes, *tr_notes),
    )


def lobe_areas(
    trajectory: Cartesian, protocol: Protocol, selection: Selection, readout: ReadoutShape, along: Along
) -> tuple[dict[str, float], dict[str, float]]:
    """The largest areas (1/m) of the lobes along x, y and z before the readout, and of those after it, by name."""
    outermost = max(trajectory.lines // 2, 1) / (protocol.phase_fov * 1e-3)
    before = {
        "readout prephaser": -readout.echo_area_per_m,
        "phase encoding": outermost,
        along.before: -selection.tail_area_per_m - along.outermost_per_m,
    }
    after = {
        "readout spoiler": SPOILER_CYCLES_PIXEL * trajectory.readout / (protocol.fov_mm * 1e-3),
        "phase rewinder": outermost,
        along.after: along.spoiler_per_m + along.outermost_per_m,
    }
    return before, after


def longest_of(areas: dict[str, float], limits: Limits) -> tuple[int, str]:
    """The time that lobes played together need, and which of them binds it by which limit."""
    times = {name: shortest_lobe(area, limits) for name, area in areas.items()}
    name, (duration_ns, limit) = max(times.items(), key=lambda item: item[1][0])
    return duration_ns, f"the {name} of {shown_ms(duration_ns)} at a {limit} (the design limit shared by the axes)"


def rf_phase_rad(number: int) -> float:
    """The phase of excitation `number`, counted from 0, and of its samples, for RF spoiling."""
    return math.radians(RF_SPOILING_DEG * (number * (number + 1) / 2 % 360))


def opening_blocks(noise: Readout | None, duration_ns: int, counters: Sequence[str] = ("LIN",)) -> list[Block]:
    """The first blocks: every label at 0, and samples without a pulse in a block as long as a readout.

    `counters` are the labels of the readouts.

    Siemens interpreter 1.5.0 stops at files whose labels have no start value (pulseq/pulseq issue 104).
    """
    blocks = [Block(0, labels=tuple((label, 0) for label in (*counters, "SLC", "NOISE")))]
    if noise is not None:
        blocks.append(Block(duration_ns, adc=noise, labels=(("TRID", TRID_NOISE), ("NOISE", 1))))
    return blocks


def excitation_block(selection: Selection, phase_rad: float, dummy: bool) -> Block:
    """The slice-selective excitation that opens a repetition."""
    pulse = replace(selection.pulse, phase_rad=phase_rad)
    labels = (("TRID", TRID_DUMMY if dummy else TRID_LINE), ("NOISE", 0))
    return Block(selection.duration_ns, rf=pulse, gz=selection.gradient, labels=labels)


def line_labels(line: int | None) -> tuple[tuple[str, int], ...]:
    """The label that names the line of a readout; none for a dummy."""
    return () if line is None else (("LIN", line),)


def echo_delay_ns(
    protocol: ScanProtocol, least_ns: int, limits: Limits, binding: str, echo_ns: float, relax: str
) -> tuple[int, tuple[str, ...]]:
    """How long the echo must be delayed on the raster; it comes `echo_ns` after the start of its readout.

    Raises `LimitError`, which says what to `relax`, when it is asked for too early.
    """
    if protocol.te_ms is None:
        return 0, (f"TE: the shortest, {least_ns / NS_PER_MS:g} ms",)
    asked_ns = round(protocol.te_ms * NS_PER_MS)
    if asked_ns < least_ns:
        raise too_short(
            "TE",
            asked_ns,
            least_ns,
            f"{binding}, with half a pulse of {protocol.rf_duration_ms / 2:g} ms and {shown_ms(round(echo_ns))} of "
            "readout before the echo",
            f"give te_ms of at least {least_ns / NS_PER_MS:g}, {relax}",
        )
    delay_ns = ceil_to(asked_ns - least_ns, limits.raster_ns)
    made_ns = least_ns + delay_ns
    if made_ns == asked_ns:
        return delay_ns, ()
    return delay_ns, (f"TE: {protocol.te_ms:g} ms asked for, {made_ns / NS_PER_MS:g} ms made on the block raster",)


def repetition_ns(
    asked_ms: float | None, least_ns: int, limits: Limits, binding: str, relax: str
) -> tuple[int, tuple[str, ...]]:
    """The repetition time on the raster; raises `LimitError`, which says what to `relax`, for one that is too short."""
    if asked_ms is None:
        return least_ns, (f"TR: the shortest, {least_ns / NS_PER_MS:g} ms",)
    asked_ns = round(asked_ms * NS_PER_MS)
    if asked_ns < least_ns:
        raise too_short(
            "TR",
            asked_ns,
            least_ns,
            f"the sum of pulse, prephasers, readout and {binding}",
            f"give tr_ms of at least {least_ns / NS_PER_MS:g}, {relax}",
        )
    made_ns = least_ns + ceil_to(asked_ns - least_ns, limits.raster_ns)
    if made_ns == asked_ns:
        return made_ns, ()
    return made_ns, (f"TR: {asked_ms:g} ms asked for, {made_ns / NS_PER_MS:g} ms made on the block raster",)
