"""A 2-D turbo spin echo (CPMG): echoes at equal spacings, one line for each echo."""

import math
from dataclasses import replace
from typing import NamedTuple

from cidesign.errors import LimitError
from cidesign.export.mri.blocks import (
    NS_PER_MS,
    Acquisition,
    Block,
    Limits,
    Lobe,
    MriPlan,
    Selection,
    ceil_to,
    design_limits,
    lobe_in,
    shown_ms,
    slice_selection,
    too_short,
)
from cidesign.export.mri.gre import (
    SHORTER_READOUT,
    SPOILER_CYCLES_SLICE,
    excitation_block,
    line_labels,
    longest_of,
    opening_blocks,
    repetition_ns,
)
from cidesign.export.mri.protocol import TseProtocol, centre_band, dummies_for, echo_trains
from cidesign.export.mri.readout import ReadoutShape, tse_readout
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

# The pulse that tips and the ones that refocus stand in quadrature (Meiboom and Gill, 1958).
EXCITATION_PHASE_RAD = math.pi / 2
CRUSHER_CYCLES_SLICE = 4.0


class _Train(NamedTuple):
    """The lobes of one echo train and half its echo spacing."""

    excitation: Selection
    refocusing: Selection
    readout: ReadoutShape
    half_spacing_ns: int
    prephase: tuple[Lobe, Lobe]
    encode: tuple[Lobe, Lobe]
    spoiler: Lobe
    spoil_ns: int

    @property
    def prephase_ns(self) -> int:
        return self.half_spacing_ns - self.excitation.tail_ns - self.refocusing.pulse.centre_ns

    @property
    def encode_ns(self) -> int:
        return self.half_spacing_ns - self.refocusing.tail_ns - round(self.readout.echo_ns)

    @property
    def rewind_ns(self) -> int:
        # Dead time and ringdown differ, so the time before a refocusing pulse is not the time after it.
        after_echo_ns = self.readout.gradient.duration_ns - round(self.readout.echo_ns)
        return self.half_spacing_ns - after_echo_ns - self.refocusing.pulse.centre_ns


def plan_tse(trajectory: CartesianLines, protocol: TseProtocol, profile: MriProfile) -> MriPlan:
    """Every block of the sequence; raises `LimitError` for what cannot be played, with the minimum and what binds."""
    limits = design_limits(profile)
    train, spacing_notes, binding = _train(trajectory, protocol, profile)
    spacing_ns = 2 * train.half_spacing_ns
    centre_echo, te_notes = _centre_echo(trajectory, protocol, spacing_ns)
    trains = echo_trains(trajectory, protocol, centre_echo)
    shot = _shot_blocks(train, trains[0], trajectory, 0, dummy=False)
    least_tr_ns = sum(block.duration_ns for block in shot)
    tr_ns, tr_notes = repetition_ns(protocol.tr_ms, least_tr_ns, limits, binding, SHORTER_READOUT)
    dummies, reason = dummies_for(protocol, tr_ns / NS_PER_MS)
    blocks = opening_blocks(train.readout.adc() if protocol.noise_scan else None, train.readout.gradient.duration_ns)
    rest_ns = tr_ns - least_tr_ns
    for _ in range(dummies):
        blocks += _shot_blocks(train, trains[0], trajectory, rest_ns, dummy=True)
    for lines in trains:
        blocks += _shot_blocks(train, lines, trajectory, rest_ns, dummy=False)
    return MriPlan(
        blocks=tuple(blocks),
        acquisitions=tuple(
            Acquisition(number, echo, line) for number, lines in enumerate(trains) for echo, line in enumerate(lines)
        ),
        samples=train.readout.samples,
        dwell_ns=train.readout.dwell_ns,
        te_ns=(centre_echo + 1) * spacing_ns,
        tr_ns=tr_ns,
        echo_spacing_ns=spacing_ns,
        dummies=dummies,
        dummies_reason=reason,
        notes=(*train.readout.notes, *spacing_notes, *te_notes, *tr_notes),
    )


def _train(
    trajectory: CartesianLines, protocol: TseProtocol, profile: MriProfile
) -> tuple[_Train, tuple[str, ...], str]:
    thickness_mm, rf_ms = protocol.slice_thickness_mm, protocol.rf_duration_ms
    excitation = slice_selection(protocol.flip_angle_deg, "excitation", rf_ms, thickness_mm, profile)
    refocusing = slice_selection(protocol.refocusing_deg, "refocusing", rf_ms, thickness_mm, profile)
    readout = tse_readout(trajectory, protocol, profile)
    limits = design_limits(profile)
    shared = limits.shared(2)
    crusher = CRUSHER_CYCLES_SLICE / (thickness_mm * 1e-3)
    outermost = max(trajectory.lines // 2, 1) / (protocol.phase_fov * 1e-3)
    # The first interval takes up the tail of the excitation, so that all echoes see the same area along the slice.
    pre_areas = {"readout prephaser": readout.echo_area_per_m, "crusher": crusher - excitation.tail_area_per_m}
    pre_ns, pre_binding = longest_of(pre_areas, shared)
    encode_ns, encode_binding = longest_of({"phase encoding": outermost, "crusher": crusher}, shared)
    echo_ns = round(readout.echo_ns)
    after_ns = readout.gradient.duration_ns - echo_ns
    halves = {
        f"the first interval, with {pre_binding}": excitation.tail_ns + pre_ns + refocusing.pulse.centre_ns,
        f"half a readout and {encode_binding}": refocusing.tail_ns + encode_ns + echo_ns,
        f"half a readout and the rewinder, with {encode_binding}": after_ns + encode_ns + refocusing.pulse.centre_ns,
    }
    binding, least_half_ns = max(halves.items(), key=lambda item: item[1])
    spacing_ns, notes = _spacing_ns(protocol, 2 * least_half_ns, limits, binding)
    spoil_areas = {"slice spoiler": SPOILER_CYCLES_SLICE / (thickness_mm * 1e-3)}
    spoil_ns, spoil_binding = longest_of(spoil_areas, limits)
    train = _Train(
        excitation,
        refocusing,
        readout,
        spacing_ns // 2,
        (lobe_in(readout.echo_area_per_m, pre_ns, shared), lobe_in(pre_areas["crusher"], pre_ns, shared)),
        (lobe_in(outermost, encode_ns, shared), lobe_in(crusher, encode_ns, shared)),
        lobe_in(spoil_areas["slice spoiler"], spoil_ns, limits),
        spoil_ns,
    )
    return train, notes, f"{protocol.echo_train_length} echo spacings of {shown_ms(spacing_ns)} and {spoil_binding}"


def _spacing_ns(protocol: TseProtocol, least_ns: int, limits: Limits, binding: str) -> tuple[int, tuple[str, ...]]:
    if protocol.echo_spacing_ms is None:
        return least_ns, (f"echo spacing: the shortest, {least_ns / NS_PER_MS:g} ms",)
    asked_ns = round(protocol.echo_spacing_ms * NS_PER_MS)
    if asked_ns < least_ns:
        raise too_short(
            "echo spacing",
            asked_ns,
            least_ns,
            binding,
            f"give echo_spacing_ms of at least {least_ns / NS_PER_MS:g}, a larger bandwidth, or a shorter "
            "rf_duration_ms",
        )
    made_ns = least_ns + ceil_to(asked_ns - least_ns, 2 * limits.raster_ns)
    if made_ns == asked_ns:
        return made_ns, ()
    return made_ns, (
        f"echo spacing: {protocol.echo_spacing_ms:g} ms asked for, {made_ns / NS_PER_MS:g} ms made on the block raster",
    )


def _centre_echo(trajectory: CartesianLines, protocol: TseProtocol, spacing_ns: int) -> tuple[int, tuple[str, ...]]:
    length = protocol.echo_train_length
    if protocol.order == "centre-out":
        echo = 0
    elif protocol.te_ms is None:
        echo = centre_band(trajectory, length)
    else:
        echo = round(protocol.te_ms * NS_PER_MS / spacing_ns) - 1
    made_ms = (echo + 1) * spacing_ns / NS_PER_MS
    if protocol.te_ms is None:
        return echo, (f"TE: {made_ms:g} ms, the centre of k-space is on echo {echo + 1} of {length}",)
    asked_ms = protocol.te_ms
    least_ms, most_ms = spacing_ns / NS_PER_MS, length * spacing_ns / NS_PER_MS
    if protocol.order == "centre-out" and abs(asked_ms - made_ms) > 0.01 * made_ms:
        raise LimitError(
            f"TE: {asked_ms:g} ms asked for; the order centre-out measures the centre on the first echo, "
            f"{made_ms:g} ms; what binds is the echo spacing; give te_ms {made_ms:g}, order sequential, or "
            "another echo_spacing_ms"
        )
    if not 0 <= echo < length or abs(asked_ms - made_ms) > 0.01 * made_ms:
        near = min(max(echo, 0), length - 1)
        raise LimitError(
            f"TE: {asked_ms:g} ms asked for, the minimum is {least_ms:g} ms and the maximum {most_ms:g} ms in steps of "
            f"the echo spacing of {least_ms:g} ms, which binds; give te_ms {(near + 1) * least_ms:g}, or an "
            f"echo_spacing_ms of {asked_ms / (near + 1):g}"
        )
    if abs(asked_ms - made_ms) < 1e-6:
        return echo, ()
    return echo, (f"TE: {asked_ms:g} ms asked for, {made_ms:g} ms made, echo {echo + 1} of {length}",)


def _shot_blocks(train: _Train, lines: list[int], trajectory: CartesianLines, rest_ns: int, dummy: bool) -> list[Block]:
    """One shot: excitation, `len(lines)` echoes, spoiler and `rest_ns` of waiting."""
    centre, readout = trajectory.lines // 2, train.readout
    refocusing = Block(train.refocusing.duration_ns, rf=train.refocusing.pulse, gz=train.refocusing.gradient)
    adc = None
    if not dummy:
        adc = readout.adc(EXCITATION_PHASE_RAD)
    blocks = [
        excitation_block(train.excitation, EXCITATION_PHASE_RAD, dummy),
        Block(train.prephase_ns, gx=train.prephase[0], gz=train.prephase[1]),
    ]
    for line in lines:
        step = 0.0 if dummy else (line - centre) / max(centre, 1)
        # What comes before a refocusing pulse ends with it, what comes after it starts with it.
        late = train.rewind_ns - train.encode[0].duration_ns
        phase, crusher = train.encode
        blocks += [
            refocusing,
            Block(train.encode_ns, gy=phase.scaled(step), gz=crusher),
            Block(
                readout.gradient.duration_ns,
                gx=readout.gradient,
                adc=adc,
                labels=line_labels(None if dummy else line),
            ),
            Block(
                train.rewind_ns,
                gy=replace(phase.scaled(-step), delay_ns=late),
                gz=replace(crusher, delay_ns=late),
            ),
        ]
    return [*blocks, Block(train.spoil_ns + rest_ns, gz=train.spoiler)]
