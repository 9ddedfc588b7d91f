"""Which shots a Pulseq file plays: its gradients, samples, labels and k-space against the design."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check
from cidesign.export.mri.blocks import GAMMA_HZ_PER_T
from cidesign.export.mri.checks import Designed
from cidesign.export.mri.line_checks import DESIGN, STEP_TOLERANCE, played_checks
from cidesign.export.mri.pulseq.read import PlayedSequence, Sampling, kspace_at
from cidesign.export.mri.results import not_evaluated, verdict
from cidesign.export.mri.shots.limits import broken_limits
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import NS_PER_S

# Times in a file are whole nanoseconds.
TIME_TOLERANCE_S = 1.1e-9
_AFTER_COUNT = ("raster of the shots", "limits of the shots", "k-space", "labels", "rewound")


class _Window(NamedTuple):
    """One shot in the file: its readout, and when its gradients start."""

    sampling: Sampling
    start_s: float


def designed_shots(design: NonCartesian, profile: MriProfile) -> Designed:
    """What `check_sequence` holds a file against."""
    return Designed(lambda played: shot_checks(played, design, profile), "shot")


def shot_checks(played: PlayedSequence, design: NonCartesian, profile: MriProfile) -> list[Check]:
    """All that an export of shots promises, held against the file as it lies on disk."""
    samplings = [sampling for sampling in played.samplings if not sampling.labels.get("NOISE")]
    return [*_shots(played, samplings, design, profile), *played_checks(played, samplings, profile.vendor, "shots")]


def _shots(
    played: PlayedSequence, samplings: list[Sampling], design: NonCartesian, profile: MriProfile
) -> Iterator[Check]:
    wrong = _other_samples(samplings, design)
    limit = f"{design.shots} shots, {design.samples_per_shot} x {design.dwell_ns / 1e3:g} us each"
    if len(samplings) != design.shots or wrong:
        yield verdict("shots", False, wrong or f"{len(samplings)} readouts", limit, DESIGN)
        for check in _AFTER_COUNT:
            yield not_evaluated(check, "the readouts are not those of the design")
        return
    yield verdict("shots", True, f"{len(samplings)} shots, R = {design.acceleration:.4g}", limit, DESIGN)
    windows = [_Window(one, one.start_s - design.delay_ns / NS_PER_S) for one in samplings]
    off = _off_raster(played, windows, design)
    every = f"corners every {design.raster_ns / 1e3:g} us"
    yield verdict("raster of the shots", off is None, off or f"{design.shots} shots", every, DESIGN, "limit")
    yield _limits(played, windows, design, profile)
    yield _kspace(played, samplings, design)
    yield _labels(samplings)
    yield _rewound(played, design)


def _other_samples(samplings: list[Sampling], design: NonCartesian) -> str:
    """The first readout with other samples than those of the design; nothing where there is none."""
    for shot, one in enumerate(samplings):
        dwell_ns = round(one.dwell_s * NS_PER_S)
        if (one.samples, dwell_ns) != (design.samples_per_shot, design.dwell_ns):
            return f"shot {shot}, block {one.block}: {one.samples} x {dwell_ns / 1e3:g} us"
    return ""


def _off_raster(played: PlayedSequence, windows: list[_Window], design: NonCartesian) -> str | None:
    """The first corner in a shot that is not on the raster of the design, with shot and time; None where all are."""
    raster_s, duration_s = design.raster_ns / NS_PER_S, design.duration_ns / NS_PER_S
    for shot, window in enumerate(windows):
        for axis, wave in zip("xy", played.waveforms[:2], strict=True):
            first, last = np.searchsorted(wave.times_s, [window.start_s, window.start_s + duration_s])
            since_s = wave.times_s[first:last] - window.start_s
            apart_s = np.abs(since_s - np.round(since_s / raster_s) * raster_s)
            if len(apart_s) and apart_s.max() > TIME_TOLERANCE_S:
                at = int(np.argmax(apart_s))
                return f"shot {shot}: a corner along {axis} {since_s[at] * 1e6:.6g} us after its start"
    return None


def _limits(played: PlayedSequence, windows: list[_Window], design: NonCartesian, profile: MriProfile) -> Check:
    """The rule that designs are held against, of the shots as the file has them."""
    corners_s = np.arange(design.gradients_mt_per_m.shape[1]) * design.raster_ns / NS_PER_S
    times = np.stack([window.start_s + corners_s for window in windows])
    # Rows of the image lie along y, columns along x.
    heights = [np.interp(times, wave.times_s, wave.gradients_hz_per_m) for wave in played.waveforms[1::-1]]
    gradients = np.stack(heights, axis=-1) * 1e3 / GAMMA_HZ_PER_T
    gradients[:, [0, -1]] = 0  # what is not 0 there is a step, which has a check of its own
    broken = broken_limits(replace(design, gradients_mt_per_m=gradients), profile, True)
    limits = profile.design
    allowed = f"{limits.max_gradient_mt_per_m.value:g} mT/m and {limits.max_slew_t_per_m_per_s.value:g} T/m/s together"
    source = f"{profile.id}, design: {limits.max_slew_t_per_m_per_s.source}"
    if broken:
        return verdict("limits of the shots", False, f"{broken[0]}", allowed, source, "limit")
    largest = np.linalg.norm(gradients, axis=2).max()
    slew = np.linalg.norm(np.diff(gradients, axis=1), axis=2).max() * 1e-3 / (design.raster_ns / NS_PER_S)
    return verdict("limits of the shots", True, f"{largest:.4g} mT/m, {slew:.4g} T/m/s", allowed, source)


def _kspace(played: PlayedSequence, samplings: list[Sampling], design: NonCartesian) -> Check:
    limit = f"{STEP_TOLERANCE:g} of 1/FOV"
    fov_m = played.text.numbers("FOV")
    if len(fov_m) != 3 or not np.isfinite(fov_m).all() or abs(fov_m[1] * 1e3 - design.fov_mm) > 1e-5 * design.fov_mm:
        shown = f"a FOV of {fov_m[1] * 1e3:g} mm" if len(fov_m) == 3 else "no FOV of three lengths"
        return verdict("k-space", False, f"the file states {shown}", f"{design.fov_mm:g} mm", DESIGN)
    found = played_samples(played, samplings, design.fov_mm)
    apart = np.linalg.norm(found - design.samples, axis=2)
    shot, sample = np.unravel_index(int(np.argmax(apart)), apart.shape)
    value = f"{apart[shot, sample]:.1e} of 1/FOV"
    if apart[shot, sample] < STEP_TOLERANCE:
        return verdict("k-space", True, f"every sample to {value}", limit, DESIGN)
    time_ms = design.sample_times_ns[sample] / 1e6
    where = f"shot {shot}, sample {sample}, {time_ms:.4g} ms after its start (block {samplings[shot].block})"
    return verdict("k-space", False, f"{value} off in {where}", limit, DESIGN)


def played_samples(played: PlayedSequence, samplings: list[Sampling], fov_mm: float) -> NDArray[np.float64]:
    """Where a file samples k-space: (shots, samples, 2) in 1/FOV, rows of the image first."""
    times = np.concatenate([sampling.times_s for sampling in samplings])
    k = kspace_at(played, times).reshape(3, len(samplings), -1) * fov_mm * 1e-3
    found: NDArray[np.float64] = np.stack([k[1], k[0]], axis=-1)
    return found


def _labels(samplings: list[Sampling]) -> Check:
    limit = "LIN of each readout is its shot"
    for shot, one in enumerate(samplings):
        if one.labels.get("LIN") != shot:
            found = one.labels.get("LIN", "not at all")
            return verdict(
                "labels", False, f"block {one.block} plays shot {shot} and is labelled {found}", limit, DESIGN
            )
    return verdict("labels", True, f"{len(samplings)} readouts", limit, DESIGN)


def _rewound(played: PlayedSequence, design: NonCartesian) -> Check:
    """k in the plane at the end of each repetition: what differs between repetitions spoils the spoiling."""
    pulses = np.array([pulse.time_s for pulse in played.pulses if pulse.use == "excitation"])
    ends = np.append(pulses[1:], played.total_s) - 1e-9
    left = np.linalg.norm(kspace_at(played, ends)[:2], axis=0) * design.fov_mm * 1e-3
    worst = int(np.argmax(left))
    # What the amplitudes of a repetition leave by their six digits.
    limit = 1e-2
    value = f"{left[worst]:.1e} of 1/FOV left in the plane"
    where = f" at the end of the repetition that starts at {pulses[worst] * 1e3:.4g} ms" if left[worst] > limit else ""
    return verdict("rewound", bool(left[worst] <= limit), value + where, f"{limit:g} of 1/FOV", DESIGN)
