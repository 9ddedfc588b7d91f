"""Which lines of k-space a Pulseq file measures, when, and under which labels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check
from cidesign.export.mri.pulseq.read import PlayedBlock, PlayedSequence, Sampling, kspace_at
from cidesign.export.mri.results import not_evaluated, remark, verdict
from cidesign.pattern import CartesianLines

# Of a step of k-space: amplitudes have six digits in the file, which moves the outermost lines by up to 5e-5.
STEP_TOLERANCE = 1e-3
TIME_TOLERANCE_S = 1e-6
# Beyond this the sample nearest to the centre of k-space is not looked for, and the middle one stands for it.
MAX_ECHO_SAMPLES = 5_000_000
Vendor = Literal["siemens", "ge", "other"]
DESIGN = "the design"
_LINE_CHECKS = (
    "lines",
    "distance from the grid",
    "position within a readout",
    "echo position",
    "labels",
    "centre line",
)


class _Measured(NamedTuple):
    """The readouts that are no noise scan: k in steps of the matrix, the lines, and their echo times."""

    samplings: list[Sampling]
    kx: NDArray[np.float64]
    ky: NDArray[np.float64]
    lines: NDArray[np.int64]


class _Echoes(NamedTuple):
    """The echo times of all readouts, and which echo of its excitation each readout is (0: of no refocusing pulse)."""

    times_s: NDArray[np.float64]
    numbers: NDArray[np.int64]


def line_checks(played: PlayedSequence, trajectory: CartesianLines | None, vendor: Vendor | None = None) -> list[Check]:
    """All checks about lines, echoes, labels and repetitions; `vendor` is whose interpreter plays the file.

    With a design all that an export promises is held against the file.  Of the file of somebody else, differing echo
    times are a remark, and rules of an interpreter count for its vendor.
    """
    samplings = [sampling for sampling in played.samplings if not sampling.labels.get("NOISE")]
    found = [*_lines(played, samplings, trajectory), _echo_times(played, samplings, trajectory)]
    own = trajectory is not None
    return [*found, _label_start(played, vendor, own), _repetitions(played, vendor, own)]


def _lines(played: PlayedSequence, samplings: list[Sampling], trajectory: CartesianLines | None) -> Iterator[Check]:
    if trajectory is None:
        for check in _LINE_CHECKS:
            yield not_evaluated(check, f"no design to compare with; the file has {len(samplings)} readouts")
        return
    fov_m = played.text.numbers("FOV")
    if len(fov_m) != 3 or min(fov_m) <= 0 or not np.isfinite(fov_m).all():
        for check in _LINE_CHECKS:
            yield verdict(check, False, "the file states no FOV of three lengths", "k-space of the design", DESIGN)
        return
    wrong = [sampling for sampling in samplings if sampling.samples % trajectory.readout]
    if wrong or not samplings or len({sampling.samples for sampling in samplings}) > 1:
        shown = f"{wrong[0].samples} samples in block {wrong[0].block}" if wrong else f"{len(samplings)} readouts"
        for check in _LINE_CHECKS:
            yield verdict(check, False, shown, f"a multiple of {trajectory.readout} samples each", DESIGN)
        return
    measured = _measure(played, samplings, trajectory, fov_m)
    yield _which_lines(measured, trajectory)
    offset = np.abs(measured.ky - np.round(measured.ky)).max()
    yield verdict("distance from the grid", bool(offset < STEP_TOLERANCE), f"{offset:.1e} steps", "0.001 steps", DESIGN)
    spread = float(np.ptp(measured.ky, axis=1).max())
    yield verdict(
        "position within a readout", spread < STEP_TOLERANCE, f"ky moves by {spread:.1e} steps", "0.001 steps", DESIGN
    )
    samples = measured.kx.shape[1]
    wanted = (np.arange(samples) - samples // 2) / (samples // trajectory.readout)
    shift = float(np.abs(np.abs(measured.kx) - np.abs(wanted)).max())
    aligned = float(np.abs(measured.kx - wanted).max())
    yield verdict(
        "echo position",
        aligned < STEP_TOLERANCE,
        f"kx = 0 at sample {samples // 2} of {samples} to {aligned:.1e} steps"
        if aligned < STEP_TOLERANCE or shift > aligned / 2
        else f"kx runs backwards, {aligned:.1e} steps off",
        "0.001 steps",
        DESIGN,
    )
    yield _labels(measured)
    stated = played.text.numbers("kSpaceCenterLine")
    centre = trajectory.lines // 2
    if stated:
        yield verdict("centre line", stated == [centre], f"kSpaceCenterLine {stated[0]:g}", f"{centre}", DESIGN)
    else:
        yield not_evaluated("centre line", "the file states no kSpaceCenterLine")


def _measure(
    played: PlayedSequence, samplings: list[Sampling], trajectory: CartesianLines, fov_m: Sequence[float]
) -> _Measured:
    times = np.concatenate([sampling.times_s for sampling in samplings])
    k = kspace_at(played, times).reshape(3, len(samplings), -1)
    ky = k[1] * fov_m[1]
    lines = np.round(ky[:, ky.shape[1] // 2]).astype(np.int64) + trajectory.lines // 2
    return _Measured(samplings, k[0] * fov_m[0], ky, lines)


def _which_lines(measured: _Measured, trajectory: CartesianLines) -> Check:
    counts = Counter(measured.lines.tolist())
    designed = set(trajectory.acquired.tolist())
    problems = {
        "missing": sorted(designed - set(counts)),
        "unexpected": sorted(set(counts) - designed),
        "duplicated": sorted(line for line, count in counts.items() if count > 1),
    }
    limit = f"{len(designed)} of {trajectory.lines} lines, each once"
    texts = [
        f"{name} {', '.join(map(str, lines[:8]))}{', ...' if len(lines) > 8 else ''}"
        for name, lines in problems.items()
        if lines
    ]
    if texts:
        return verdict("lines", False, "; ".join(texts), limit, DESIGN)
    return verdict("lines", True, f"{len(counts)} lines, R = {trajectory.acceleration:.4g}", limit, DESIGN)


def _labels(measured: _Measured) -> Check:
    limit = "LIN of each readout is its line"
    wrong = [
        f"block {sampling.block} measures line {line} and is labelled {sampling.labels.get('LIN', 'not at all')}"
        for sampling, line in zip(measured.samplings, measured.lines.tolist(), strict=True)
        if sampling.labels.get("LIN") != line
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return verdict("labels", False, wrong[0] + more, limit, DESIGN)
    return verdict("labels", True, f"{len(measured.samplings)} readouts", limit, DESIGN)


def _echo_times(played: PlayedSequence, samplings: list[Sampling], trajectory: CartesianLines | None) -> Check:
    """The time from the last excitation to the echo: the same for all lines, or equal steps in a train."""
    check = "TE on all lines"
    echoes = _echoes(played, samplings)
    if isinstance(echoes, str):
        return not_evaluated(check, echoes)
    first = float(echoes.times_s.min())
    if echoes.numbers.any():
        spread = float(np.abs(echoes.times_s - echoes.numbers * first / echoes.numbers.min()).max())
        shown = f"echoes at multiples of {first * 1e3:.4g} ms to {spread * 1e6:.2g} us"
    else:
        spread = float(np.ptp(echoes.times_s))
        shown = f"{echoes.times_s.mean() * 1e3:.4g} ms to {spread * 1e6:.2g} us"
    if played.text.version < (1, 5, 0):
        shown += ", where pulses are what their flip angles say"
    ok, limit, source = spread < TIME_TOLERANCE_S, "1 us apart", "one contrast for all lines"
    if ok or trajectory is not None:
        return verdict(check, ok, shown, limit, source)
    return remark(check, f"{shown}; that may be meant", limit, source)


def _echoes(played: PlayedSequence, samplings: list[Sampling]) -> _Echoes | str:
    """The echoes of a sequence that has one readout for each of them; else why there are no such times."""
    starts = np.array([pulse.time_s for pulse in played.pulses if pulse.use == "excitation"])
    if not len(starts) or not samplings:
        return "no excitation or no readout in the file"
    middles = np.array([sampling.start_s + sampling.dwell_s * sampling.samples / 2 for sampling in samplings])
    index = np.searchsorted(starts, middles) - 1
    if index.min() < 0:
        return "a readout comes before the first excitation"
    turns = np.array([pulse.time_s for pulse in played.pulses if pulse.use == "refocusing"])
    numbers = np.searchsorted(turns, middles) - np.searchsorted(turns, starts[index])
    if len(set(zip(index.tolist(), numbers.tolist(), strict=True))) < len(index):
        return "several gradient echoes for each excitation"
    if numbers.any() and not numbers.all():
        return "readouts both with and without a refocusing pulse before them"
    nearest = _nearest_samples(played, samplings)
    if int(np.ptp(nearest)) > 1:
        return "the readouts pass the centre of k-space at different samples"
    # One sample for all, as the centre may lie between two of them.
    sample = int(np.median(nearest))
    times = np.array([sampling.start_s + sampling.dwell_s * (sample + 0.5) for sampling in samplings])
    return _Echoes(times - starts[index], numbers.astype(np.int64))


def _nearest_samples(played: PlayedSequence, samplings: list[Sampling]) -> NDArray[np.int64]:
    """The sample of each readout that is nearest to the centre of k-space; where there is no such one, the middle."""
    middles = np.array([sampling.samples // 2 for sampling in samplings], dtype=np.int64)
    if sum(sampling.samples for sampling in samplings) > MAX_ECHO_SAMPLES:
        return middles
    distances = np.linalg.norm(kspace_at(played, np.concatenate([one.times_s for one in samplings])), axis=0)
    ends = np.cumsum([sampling.samples for sampling in samplings])
    nearest = middles.copy()
    for number, row in enumerate(np.split(distances, ends[:-1])):
        least, middle = row.min(), row[middles[number]]
        # Samples as near as the middle one, to the rounding of the file, are not nearer than it.
        if middle - least > STEP_TOLERANCE * (row.max() - least):
            nearest[number] = int(np.argmin(row))
    return nearest


def _label_start(played: PlayedSequence, vendor: Vendor | None, own: bool) -> Check:
    check = "labels have a start value"
    used = {label for sampling in played.samplings for label in sampling.labels}
    source = "Siemens interpreter 1.5.0 stops otherwise (pulseq/pulseq issue 104)"
    if not used:
        return not_evaluated(check, "the file sets no labels")
    opening = set(played.blocks[0].labels)
    late = sorted(used - opening - {"TRID"})
    shown, limit = f"without: {', '.join(late)}" if late else ", ".join(sorted(used)), "set in the first block"
    if own:
        return verdict(check, not late, shown, limit, source)
    if not late or (vendor == "siemens" and played.text.version >= (1, 5, 0)):
        return verdict(check, not late, shown, limit, source, "limit")
    if vendor in (None, "siemens"):
        return remark(check, shown, limit, source)
    return not_evaluated(check, f"{shown}; the scanner is no Siemens", source)


def _repetitions(played: PlayedSequence, vendor: Vendor | None, own: bool) -> Check:
    """GE takes a sequence as segments, told by TRID; each must always have the same events of the same length."""
    check, source = "repetitions are alike", "GE interpreter (pge2)"
    segments: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
    current: list[PlayedBlock] = []
    groups: list[tuple[int, list[PlayedBlock]]] = []
    for block in played.blocks:
        if "TRID" in block.labels:
            current = []
            groups.append((block.labels["TRID"], current))
        current.append(block)
    if not groups:
        return not_evaluated(check, "the file has no TRID label", source)
    for trid, blocks in groups:
        segments.setdefault(trid, []).append((blocks[0].number, tuple(block.shape for block in blocks)))
    limit = "one shape for each TRID"
    for trid, found in segments.items():
        for number, shape in found:
            if shape != found[0][1]:
                where = f"TRID {trid}: block {number} on differs from block {found[0][0]} on"
                if own or vendor == "ge":
                    return verdict(check, False, where, limit, source, "file" if own else "limit")
                if vendor is None:
                    return remark(check, where, limit, source)
                return not_evaluated(check, f"{where}; the scanner is no GE", source)
    return verdict(check, True, f"{len(groups)} repetitions of {len(segments)} kinds", limit, source)
