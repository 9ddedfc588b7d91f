"""Checks of a Pulseq file against a scanner and what it should measure: pass, fail or not evaluated."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.export.mri.acoustics import acoustics
from cidesign.export.mri.blocks import GAMMA_HZ_PER_T
from cidesign.export.mri.line_checks import line_checks
from cidesign.export.mri.pulseq.limits import (
    MAX_PNS_S,
    Peak,
    amplitude_peaks,
    nerve_stimulation_peak,
    slew_peaks,
    vector_peaks,
)
from cidesign.export.mri.pulseq.read import PlayedSequence, read_pulseq
from cidesign.export.mri.pulseq.sections import UnsupportedSequence
from cidesign.export.mri.pulseq.text import SeqText, reader_version
from cidesign.export.mri.results import not_evaluated, remark, verdict
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.sourced import Sourced
from cidesign.pattern import Cartesian
from cidesign.units import format_duration_us

Held = Literal["nominal", "design"]
SliceOrientation = Literal["any", "as-written"]
SPECIFICATION = "Pulseq specification"
# Amplitudes are written with six digits; a file is not refused for its rounding.
RELATIVE_TOLERANCE = 1e-5
NORMAL_MODE_PNS, FIRST_LEVEL_PNS = 0.8, 1.0


class Designed(NamedTuple):
    """A design that is not Cartesian: how k-space is compared with it, and what the label LIN counts (`shot`)."""

    compare: Callable[[PlayedSequence], list[Check]]
    counted: str


def check_sequence(
    path: Path,
    profile: MriProfile,
    trajectory: Cartesian | Designed | None = None,
    held: Held = "nominal",
    orientation: SliceOrientation | None = None,
    order: Sequence[tuple[int, int]] | None = None,
) -> list[Check]:
    """Every check of one `.seq` file as it lies on disk, of this program or of anyone.

    `held` names the gradient limits of the profile: what the scanner can do, or what sequences are designed for (which
    also hold where the profile has no nominal ones).  `orientation` says how the slice may lie: "any", or "as-written",
    each axis of the file on an axis of the scanner; None fails no sequence that is within the limits as written, and
    remarks what an oblique slice would break.  Without `trajectory` the lines are only described; `order` is that of
    its readouts, (line, partition) each.

    Raises `FileError` when there is no such file.  One that is cut or damaged is a failed check, one that cannot be
    read here leaves all checks not evaluated.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file; give the path of a Pulseq .seq file")
    try:
        played = read_pulseq(path, profile)
    except UnsupportedSequence as error:
        return [not_evaluated("file", str(error)), *_never_evaluated(None), acoustics(None, profile)]
    except FileError as error:
        damaged = verdict("file", False, str(error), "a whole Pulseq file", SPECIFICATION)
        return [damaged, *_never_evaluated(None), acoustics(None, profile)]
    if isinstance(trajectory, Designed):
        kspace, counted = trajectory.compare(played), trajectory.counted
    else:
        kspace, counted = line_checks(played, trajectory, profile.vendor, order), None
    return [
        verdict("file", True, f"Pulseq {played.text.version_text}", "", f"read by pypulseq {reader_version()}"),
        _remarks(played),
        _signature(played.text),
        *_rasters(played.text, profile),
        _timing(played, profile),
        *_samplings(played, profile, trajectory is not None),
        *_gradients(played, profile, held, orientation, counted),
        _stimulation(played, profile, counted),
        *kspace,
        _total(played),
        *_never_evaluated(played),
        acoustics(played, profile),
    ]


def failures(lines: list[Check]) -> list[Check]:
    """The checks that failed."""
    return [line for line in lines if line.status == "failed"]


def nothing_evaluated(lines: list[Check]) -> bool:
    """Whether no check of a file could be made at all."""
    return all(line.status == "not checked" for line in lines)


def _never_evaluated(played: PlayedSequence | None) -> list[Check]:
    peak_hz = max((pulse.peak_hz for pulse in played.pulses), default=0.0) if played is not None else 0.0
    peak = f"peak of {peak_hz / GAMMA_HZ_PER_T * 1e6:.3g} uT; " if peak_hz else ""
    return [
        not_evaluated("SAR", "no body model; the scanner decides"),
        not_evaluated("B1 limit", f"{peak}transmit limits depend on the coil and its load; the scanner decides"),
    ]


def _remarks(played: PlayedSequence) -> Check:
    """What the reader says of the file, and what it was not given; none of it breaks a limit."""
    check, source = "reader's remarks", "pypulseq's warnings"
    texts = [f"ignored as optional: {', '.join(played.text.ignored)}"] if played.text.ignored else []
    texts += [" ".join(text.split())[:200] for text in played.warnings]
    if texts:
        return remark(check, "; ".join(texts), source=source)
    return verdict(check, True, "none", "", source)


def _signature(text: SeqText) -> Check:
    check, signature = "signature", text.signature
    if signature is None:
        return not_evaluated(check, "the file carries none, so nothing shows that it is whole", SPECIFICATION)
    kind, stated = signature.kind[:40], signature.stated[:160]
    if signature.state == "right":
        way = f", taken {signature.convention}" if signature.convention else ""
        return verdict(check, True, f"{kind} {stated}{way}", "", SPECIFICATION)
    if signature.state == "unknown":
        return not_evaluated(check, f"of the kind {kind!r}, which is not known", SPECIFICATION)
    if signature.state == "not last":
        return not_evaluated(check, "sections follow it, which it does not cover", SPECIFICATION)
    if signature.state == "cut":
        found = f"the file ends inside [SIGNATURE], its {kind} is {stated!r}; it looks cut there, copy it anew"
        return verdict(check, False, found, "a whole hash", SPECIFICATION)
    found = f"file edited after export: its {kind} is {signature.actual}"
    return verdict(check, False, found, f"{stated} as signed", SPECIFICATION)


def _rasters(text: SeqText, profile: MriProfile) -> Iterator[Check]:
    rasters = profile.rasters
    wanted: dict[str, tuple[Sourced[float], float]] = {
        "GradientRasterTime": (rasters.gradient_us, 1e-6),
        "BlockDurationRaster": (rasters.block_us, 1e-6),
        "RadiofrequencyRasterTime": (rasters.rf_us, 1e-6),
        "AdcRasterTime": (rasters.adc_ns, 1e-9),
    }
    for name, (sourced, unit_s) in wanted.items():
        limit_us = sourced.value * unit_s * 1e6
        stated = text.numbers(name)
        source = f"{profile.id}: {sourced.source}"
        if name not in text.definitions:
            if text.version < (1, 4, 0):
                yield not_evaluated(f"raster {name}", f"Pulseq {text.version_text} does not state it", SPECIFICATION)
            else:
                yield verdict(f"raster {name}", False, "missing", f"{limit_us:g} us", SPECIFICATION)
            continue
        ok = len(stated) == 1 and abs(stated[0] * 1e6 - limit_us) <= 1e-6 * limit_us
        shown = f"{stated[0] * 1e6:g} us" if len(stated) == 1 else text.definitions[name][:40]
        yield verdict(f"raster {name}", ok, shown, f"{limit_us:g} us", source, "limit")


def _timing(played: PlayedSequence, profile: MriProfile) -> Check:
    errors = played.timing_errors
    limit = "every event on its raster and outside the dead times"
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return verdict("timing", False, errors[0] + more, limit, f"{profile.id}, design", "limit")
    return verdict("timing", True, f"{len(played.blocks)} blocks", limit, f"{profile.id}")


def _samplings(played: PlayedSequence, profile: MriProfile, own: bool) -> Iterator[Check]:
    shapes = sorted({(sampling.samples, round(sampling.dwell_s * 1e9)) for sampling in played.samplings})
    if not shapes:
        yield not_evaluated("samples", "the file samples nothing")
        return
    shown = ", ".join(f"{samples} x {dwell_ns / 1e3:g} us" for samples, dwell_ns in shapes[:4])
    yield _one_kind(len(shapes) == 1, shown, profile, own)
    most = max(samples for samples, _ in shapes)
    if profile.max_adc_samples is None:
        yield not_evaluated("samples of a readout", f"{most}; {profile.id} has no max_adc_samples")
    else:
        limit = profile.max_adc_samples
        yield verdict("samples of a readout", most <= limit.value, f"{most}", f"{limit.value}", limit.source, "limit")
    if profile.adc_samples_divisor is None:
        yield not_evaluated("divisor of the samples", f"{profile.id} has no adc_samples_divisor")
    else:
        divisor = profile.adc_samples_divisor
        ok = all(samples % divisor.value == 0 for samples, _ in shapes)
        most_of = f"a multiple of {divisor.value}"
        yield verdict("divisor of the samples", ok, f"{most}", most_of, divisor.source, "limit")


def _one_kind(ok: bool, shown: str, profile: MriProfile, own: bool) -> Check:
    """An export promises one kind of readout; only some versions stop at several, so that others get a remark."""
    check, source = "one kind of readout", "some Siemens versions stop at several (pulseq/pulseq issue 47)"
    if ok or own:
        return verdict(check, ok, shown, "1 kind", source)
    if profile.vendor in (None, "siemens"):
        return remark(check, shown, "1 kind", source)
    return not_evaluated(check, f"{shown}; a rule for Siemens, {profile.id} is not one", source)


def _gradients(
    played: PlayedSequence, profile: MriProfile, held: Held, orientation: SliceOrientation | None, counted: str | None
) -> Iterator[Check]:
    nominal = profile.nominal if held == "nominal" else None
    limits, which = (nominal, "nominal") if nominal is not None else (profile.design, "design")
    gradient, slew = limits.max_gradient_mt_per_m, limits.max_slew_t_per_m_per_s
    raster_s = profile.rasters.gradient_us.value * 1e-6
    # Sequences made here are to stay within the limits however the slice is turned.
    asked = "any" if held == "design" else orientation

    def line(check: str, peak: Peak, limit: Sourced[float], unit: str) -> Check:
        ok = peak.value <= limit.value * (1 + RELATIVE_TOLERANCE)
        where = f" at {peak.time_s * 1e3:.3f} ms, {_place(played, peak.time_s, counted)}" if peak.value else ""
        value = f"{peak.value:.4g} {unit}{where}"
        return verdict(check, ok, value, f"{limit.value:g} {unit}", f"{profile.id}, {which}: {limit.source}", "limit")

    amplitudes = [line(f"gradient {peak.where}", peak, gradient, "mT/m") for peak in amplitude_peaks(played)]
    slews = [line(f"slew {peak.where}", peak, slew, "T/m/s") for peak in slew_peaks(played, raster_s)]
    amplitude, steepness = vector_peaks(played)
    yield from amplitudes
    yield from slews
    yield _turned(line("gradient, any orientation", amplitude, gradient, "mT/m"), amplitudes, asked)
    yield _turned(line("slew, any orientation", steepness, slew, "T/m/s"), slews, asked)
    jumps = [jump for wave in played.waveforms for jump in wave.jumps]
    # The specification allows a step that the slew limit covers in one raster.
    worst = max((abs(height) for _, height in jumps), default=0.0) / GAMMA_HZ_PER_T / raster_s
    yield verdict(
        "gradients start and end at 0",
        worst <= slew.value,
        f"{len(jumps)} steps without a ramp",
        f"steps within {slew.value:g} T/m/s over one raster",
        SPECIFICATION,
        "limit",
    )


def _place(played: PlayedSequence, time_s: float, counted: str | None) -> str:
    """The block at a time, and in a readout which shot that is."""
    block = played.block_at(time_s)
    shot = next((one.labels.get("LIN") for one in played.samplings if one.block == block), None) if counted else None
    return f"block {block}" if shot is None else f"block {block} ({counted} {shot})"


def _turned(norm: Check, axes: list[Check], asked: SliceOrientation | None) -> Check:
    """What the norm of the axes says: a turned slice can put all of it on one axis of the scanner.

    A limit is one of the scanner's axes.  As the file is written each of its axes is one of them (a slice that is not
    oblique), so a norm above the limit breaks none until somebody turns the slice.
    """
    if norm.status == "passed" or asked == "any" or any(axis.status == "failed" for axis in axes):
        return norm
    if asked == "as-written":
        return not_evaluated(norm.name, f"{norm.value}; asked was for the slice as written", norm.source)
    value = f"{norm.value}: within the limit as written, beyond it in an oblique slice (--orientation any refuses it)"
    return remark(norm.name, value, str(norm.limit), norm.source)


def _stimulation(played: PlayedSequence, profile: MriProfile, counted: str | None) -> Check:
    check, model = "nerve stimulation (PNS)", profile.nerve_stimulation
    if model is None:
        return not_evaluated(check, "profile has no PNS model", profile.id)
    if played.total_s > MAX_PNS_S:
        return not_evaluated(
            check, f"the sequence lasts {played.total_s:.0f} s, at most {MAX_PNS_S:.0f} s are evaluated"
        )
    peak = nerve_stimulation_peak(played, model, profile.rasters.gradient_us.value * 1e-6)
    value = f"{peak.value:.1%} of the threshold at {peak.time_s * 1e3:.2f} ms, {_place(played, peak.time_s, counted)}"
    return verdict(
        check,
        peak.value <= NORMAL_MODE_PNS,
        value,
        f"{NORMAL_MODE_PNS:.0%} (normal mode; {FIRST_LEVEL_PNS:.0%} in the first-level mode)",
        f"IEC 60601-2-33:2022 nerve-impulse response, equal weights; {profile.id}: {model.chronaxie_us.source}",
        "stimulation",
    )


def _total(played: PlayedSequence) -> Check:
    shown = format_duration_us(played.total_s * 1e6)
    if played.text.version < (1, 4, 0):
        return not_evaluated("total time", f"{shown} with the dead times of the profile; the file has no block lengths")
    stated = played.text.numbers("TotalDuration")
    if len(stated) != 1:
        return not_evaluated("total time", f"{shown}; the file states none to compare with")
    ok = abs(stated[0] - played.total_s) <= 1e-5 + 1e-6 * played.total_s
    return verdict("total time", ok, shown, f"{stated[0]:g} s as stated", "TotalDuration in the file")
