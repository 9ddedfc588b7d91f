"""A 2-D spoiled gradient echo whose readouts play the gradients of a design, each a block of its own.

The image's rows lie along y and its columns along x, as for lines.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import LimitError
from cidesign.export.mri.blocks import (
    NS_PER_MS,
    NS_PER_US,
    Acquisition,
    Block,
    Limits,
    Lobe,
    MriPlan,
    Readout,
    Wave,
    ceil_to,
    design_limits,
    lobe_in,
    rf_raster_ns,
    slice_selection,
)
from cidesign.export.mri.gre import (
    SPOILER_CYCLES_SLICE,
    echo_delay_ns,
    excitation_block,
    line_labels,
    longest_of,
    opening_blocks,
    repetition_ns,
    rf_phase_rad,
)
from cidesign.export.mri.line_checks import nearest_to_centre
from cidesign.export.mri.protocol import SliceProtocol, dummies_for
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import GAMMA_HZ_PER_T

RELAX = "a thicker slice, or a shorter rf_duration_ms"


@dataclass(frozen=True, kw_only=True)
class ShotProtocol(SliceProtocol):
    """What a scan of shots needs to be told; readout, field of view and matrix are the design's."""

    kind: ClassVar[str] = "gre"


@dataclass(frozen=True)
class ShotReadout:
    """Where in its block the gradients of a shot start (`lead_ns`), how long the block is, and its samples."""

    lead_ns: int
    duration_ns: int
    adc: Readout


def plan_shots(design: NonCartesian, protocol: ShotProtocol, profile: MriProfile) -> MriPlan:
    """Every block of the sequence, the shots in the order of the design.

    A shot that does not start at k = 0 is led there by a prephaser, and every one is led back to 0 behind its readout,
    so that all repetitions leave the same dephasing.  Raises `LimitError` for what cannot be played.
    """
    selection = slice_selection(
        protocol.flip_angle_deg, "excitation", protocol.rf_duration_ms, protocol.slice_thickness_mm, profile
    )
    readout = shot_readout(design, profile)
    limits = design_limits(profile)
    fov_m = design.fov_mm * 1e-3
    starts, ends = design.starts / fov_m, design.corners[:, -1] / fov_m
    pre, pre_ns, binding = _lobes(starts, "prephaser", {"slice rephaser": -selection.tail_area_per_m}, limits)
    spoiler = {"slice spoiler": SPOILER_CYCLES_SLICE / (protocol.slice_thickness_mm * 1e-3)}
    spoil, spoil_ns, spoil_binding = _lobes(-ends, "rewinder", spoiler, limits)
    echo_ns = readout.adc.delay_ns + (centre_sample(design) + 0.5) * design.dwell_ns
    least_te_ns = round(selection.tail_ns + pre_ns + echo_ns)
    te_delay_ns, te_notes = echo_delay_ns(protocol, least_te_ns, limits, binding, echo_ns, RELAX)
    least_tr_ns = selection.duration_ns + pre_ns + te_delay_ns + readout.duration_ns + spoil_ns
    tr_ns, tr_notes = repetition_ns(protocol.tr_ms, least_tr_ns, limits, spoil_binding, "a shorter te_ms or readout")
    dummies, reason = dummies_for(protocol, tr_ns / NS_PER_MS)
    waves = _waves(design, readout.lead_ns)
    blocks = opening_blocks(readout.adc if protocol.noise_scan else None, readout.duration_ns)
    repetitions: list[int | None] = [*([None] * dummies), *range(design.shots)]
    for number, shot in enumerate(repetitions):
        phase, at = rf_phase_rad(number), shot or 0
        adc = None if shot is None else replace(readout.adc, phase_rad=phase)
        (down, right), (pre_y, pre_x), (back_y, back_x) = waves[at], pre[at][:2], spoil[at][:2]
        blocks += [
            excitation_block(selection, phase, shot is None),
            Block(pre_ns + te_delay_ns, gx=pre_x, gy=pre_y, gz=pre[at][2]),
            Block(readout.duration_ns, gx=right, gy=down, adc=adc, labels=line_labels(shot)),
            Block(spoil_ns + tr_ns - least_tr_ns, gx=back_x, gy=back_y, gz=spoil[at][2]),
        ]
    return MriPlan(
        blocks=tuple(blocks),
        acquisitions=tuple(Acquisition(shot, 0, shot) for shot in range(design.shots)),
        samples=design.samples_per_shot,
        dwell_ns=design.dwell_ns,
        te_ns=least_te_ns + te_delay_ns,
        tr_ns=tr_ns,
        echo_spacing_ns=None,
        dummies=dummies,
        dummies_reason=reason,
        notes=(*_echo_notes(design), *te_notes, *tr_notes),
    )


def shot_readout(design: NonCartesian, profile: MriProfile) -> ShotReadout:
    """How a shot lies in its block.  Raises `LimitError` for samples that start off the raster of samplings."""
    limits = design_limits(profile)
    _require_start(design, profile)
    dead_ns = round(profile.dead_times.adc_dead_us.value * NS_PER_US)
    lead_ns = ceil_to(max(dead_ns - design.delay_ns, 0), limits.raster_ns)
    delay_ns = lead_ns + design.delay_ns
    sampled_ns = delay_ns + design.samples_per_shot * design.dwell_ns + dead_ns
    duration_ns = ceil_to(max(sampled_ns, lead_ns + design.duration_ns), limits.raster_ns)
    adc = Readout(design.samples_per_shot, design.dwell_ns, delay_ns, 0.0)
    return ShotReadout(lead_ns, duration_ns, adc)


def centre_sample(design: NonCartesian) -> int:
    """The sample at which the shots come nearest to k = 0: of shots that differ, the middle one."""
    return int(np.median(_nearest(design)))


def _nearest(design: NonCartesian) -> NDArray[np.int64]:
    """The sample of each shot that is nearest to k = 0; the middle one where that is as near."""
    return nearest_to_centre(np.linalg.norm(design.samples, axis=2))


def _echo_notes(design: NonCartesian) -> tuple[str, ...]:
    """That the shots do not pass the centre of k-space together, where they do not."""
    nearest = _nearest(design)
    first, last = (int(at) * design.dwell_ns / NS_PER_US for at in (nearest.min(), nearest.max()))
    if np.ptp(nearest) <= 1:
        return ()
    return (
        f"the shots come nearest to the centre of k-space {first:g} to {last:g} us after the start of sampling; TE is "
        "that of the middle one",
    )


def _lobes(
    areas: NDArray[np.float64], word: str, along_slice: dict[str, float], limits: Limits
) -> tuple[list[tuple[Lobe | None, Lobe | None, Lobe]], int, str]:
    """For each shot the lobes along y, x and the slice, their time, and what binds it; none in the plane for 0.

    `areas` (shots, 2) in cycles/m.  All shots have the shape of the largest lobe of an axis, scaled, so that all
    repetitions are alike.
    """
    largest = np.abs(areas).max(axis=0)
    # The lobes of one shot play together on up to three axes.
    shared = limits.shared(3)
    named = {f"{word} along {axis}": float(area) for axis, area in zip("yx", largest, strict=True) if area > 0}
    duration_ns, binding = longest_of({**named, **along_slice}, shared)
    shapes = [lobe_in(float(area), duration_ns, shared) if area > 0 else None for area in largest]
    (slice_area,) = along_slice.values()
    normal = lobe_in(slice_area, duration_ns, shared)
    scaled = [
        [
            None if shape is None else shape.scaled(float(area / most))
            for shape, area, most in zip(shapes, row, largest, strict=True)
        ]
        for row in areas
    ]
    return [(y, x, normal) for y, x in scaled], duration_ns, binding


def _waves(design: NonCartesian, lead_ns: int) -> list[tuple[Wave, Wave]]:
    """The gradients of each shot along y and x."""
    heights = design.gradients_mt_per_m * 1e-3 * GAMMA_HZ_PER_T
    return [
        (
            Wave(np.ascontiguousarray(shot[:, 0]), design.raster_ns, lead_ns),
            Wave(np.ascontiguousarray(shot[:, 1]), design.raster_ns, lead_ns),
        )
        for shot in heights
    ]


def _require_start(design: NonCartesian, profile: MriProfile) -> None:
    start_ns = rf_raster_ns(profile)
    if design.delay_ns % start_ns:
        raise LimitError(
            f"samples: a start {design.delay_ns / NS_PER_US:g} us after that of the gradients is not a multiple of "
            f"{start_ns / NS_PER_US:g} us, on which samplings start ({profile.id})"
        )
