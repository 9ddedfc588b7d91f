"""Which lines or points of k-space a Pulseq file measures, when, and under which labels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check
from cidesign.export.mri.pulseq.read import PlayedBlock, PlayedSequence, Sampling, kspace_at
from cidesign.export.mri.results import not_evaluated, remark, verdict
from cidesign.pattern import Cartesian, CartesianPoints, as_points

# Of a step of k-space: amplitudes have six digits in the file, which moves the outermost lines by up to 5e-5.
STEP_TOLERANCE = 1e-3
TIME_TOLERANCE_S = 1e-6
# Beyond this the sample nearest to the centre of k-space is not looked for, and the middle one stands for it.
MAX_ECHO_SAMPLES = 5_000_000
Vendor = Literal["siemens", "ge", "other"]
DESIGN = "the design"
STEPS = "0.001 steps"
# At a time, so that memory does not grow with the length of a scan.
_CHUNK_SAMPLES = 1_000_000


class _Measured(NamedTuple):
    """The readouts that are no noise scan, what each measures (line, partition), and how far k is from where it should
    be, in steps of the matrix: from the grid, within a readout, and along it (`shift`: whichever way it runs)."""

    samplings: list[Sampling]
    points: NDArray[np.int64]
    offset: float
    spread: float
    aligned: float
    shift: float


class _Echoes(NamedTuple):
    """The echo times of all readouts, and which echo of its excitation each readout is (0: of no refocusing pulse)."""

    times_s: NDArray[np.float64]
    numbers: NDArray[np.int64]


def line_checks(
    played: PlayedSequence,
    trajectory: Cartesian | None,
    vendor: Vendor | None = None,
    order: Sequence[tuple[int, int]] | None = None,
) -> list[Check]:
    """All checks about lines (or points), echoes, labels and repetitions; `vendor` is whose interpreter plays the file.

    With a design all that an export promises is held against the file, and the `order` (line, partition) where it is
    given.  Of the file of somebody else, differing echo times are a remark, and rules of an interpreter count for its
    vendor.
    """
    samplings = [sampling for sampling in played.samplings if not sampling.labels.get("NOISE")]
    own = trajectory is not None
    return [*_lines(played, samplings, trajectory, order), *played_checks(played, samplings, vendor, "lines", own)]


def played_checks(
    played: PlayedSequence, samplings: list[Sampling], vendor: Vendor | None, counted: str, own: bool = True
) -> list[Check]:
    """What holds of the readouts of any kind of scan: echo times of all `counted`, labels, repetitions."""
    echoes = _echo_times(played, samplings, counted, own)
    return [echoes, _label_start(played, vendor, own), _repetitions(played, vendor, own)]


def _lines(
    played: PlayedSequence,
    samplings: list[Sampling],
    trajectory: Cartesian | None,
    order: Sequence[tuple[int, int]] | None,
) -> Iterator[Check]:
    centre_checks = ("centre line", "centre partition") if isinstance(trajectory, CartesianPoints) else ("centre line",)
    kind = "lines" if trajectory is None else trajectory.kind
    names = (kind, "distance from the grid", "position within a readout", "echo position", "labels", *centre_checks)
    if trajectory is None:
        for check in names:
            yield not_evaluated(check, f"no design to compare with; the file has {len(samplings)} readouts")
        return
    fov_m = played.text.numbers("FOV")
    if len(fov_m) != 3 or min(fov_m) <= 0 or not np.isfinite(fov_m).all():
        for check in names:
            yield verdict(check, False, "the file states no FOV of three lengths", "k-space of the design", DESIGN)
        return
    wrong = [sampling for sampling in samplings if sampling.samples % trajectory.readout]
    if wrong or not samplings or len({sampling.samples for sampling in samplings}) > 1:
        shown = f"{wrong[0].samples} samples in block {wrong[0].block}" if wrong else f"{len(samplings)} readouts"
        for check in names:
            yield verdict(check, False, shown, f"a multiple of {trajectory.readout} samples each", DESIGN)
        return
    points = as_points(trajectory)
    measured = _measure(played, samplings, points, fov_m)
    yield _which_points(measured, trajectory)
    if order is not None:
        yield _order(measured, order)
    yield verdict(
        "distance from the grid", measured.offset < STEP_TOLERANCE, f"{measured.offset:.1e} steps", STEPS, DESIGN
    )
    moved = "ky" if points.partitions == 1 else "ky or kz"
    shown = f"{moved} moves by {measured.spread:.1e} steps"
    yield verdict("position within a readout", measured.spread < STEP_TOLERANCE, shown, STEPS, DESIGN)
    yield _echo_position(measured)
    yield _labels(measured, trajectory)
    stated_centres = (("kSpaceCenterLine", points.lines // 2), ("kSpaceCenterPartition", points.partitions // 2))
    for check, (name, centre) in zip(centre_checks, stated_centres, strict=False):
        stated = played.text.numbers(name)
        if stated:
            yield verdict(check, stated == [centre], f"{name} {stated[0]:g}", f"{centre}", DESIGN)
        else:
            yield not_evaluated(check, f"the file states no {name}")


def _echo_position(measured: _Measured) -> Check:
    samples, aligned = measured.samplings[0].samples, measured.aligned
    found = (
        f"kx = 0 at sample {samples // 2} of {samples} to {aligned:.1e} steps"
        if aligned < STEP_TOLERANCE or measured.shift > aligned / 2
        else f"kx runs backwards, {aligned:.1e} steps off"
    )
    return verdict("echo position", aligned < STEP_TOLERANCE, found, STEPS, DESIGN)


def _measure(
    played: PlayedSequence, samplings: list[Sampling], points: CartesianPoints, fov_m: Sequence[float]
) -> _Measured:
    samples = samplings[0].samples
    wanted = (np.arange(samples) - samples // 2) / (samples // points.readout)
    centre = np.array([points.lines // 2, points.partitions // 2])
    found, worst = [], np.zeros(4)
    together = max(_CHUNK_SAMPLES // samples, 1)
    for first in range(0, len(samplings), together):
        part = samplings[first : first + together]
        k = kspace_at(played, np.concatenate([one.times_s for one in part])).reshape(3, len(part), samples)
        k *= np.asarray(fov_m)[:, None, None]
        across = k[1:]
        found.append(np.round(across[:, :, samples // 2]).astype(np.int64).T + centre)
        here = (
            np.abs(across - np.round(across)).max(),
            np.ptp(across, axis=2).max(),
            np.abs(k[0] - wanted).max(),
            np.abs(np.abs(k[0]) - np.abs(wanted)).max(),
        )
        worst = np.maximum(worst, here)
    return _Measured(samplings, np.concatenate(found), *worst.tolist())


def _which_points(measured: _Measured, trajectory: Cartesian) -> Check:
    counts = Counter(map(tuple, measured.points.tolist()))
    designed = set(map(tuple, as_points(trajectory).acquired.tolist()))
    problems = {
        "missing": sorted(designed - set(counts)),
        "unexpected": sorted(set(counts) - designed),
        "duplicated": sorted(point for point, count in counts.items() if count > 1),
    }
    kind, whole = trajectory.kind, " x ".join(str(n) for n in as_points(trajectory).matrix if n > 1)
    limit = f"{len(designed)} of {whole} {kind}, each once"
    texts = [
        f"{name} {', '.join(_named(point, trajectory) for point in points[:8])}{', ...' if len(points) > 8 else ''}"
        for name, points in problems.items()
        if points
    ]
    if texts:
        return verdict(kind, False, "; ".join(texts), limit, DESIGN)
    return verdict(kind, True, f"{len(counts)} {kind}, R = {trajectory.acceleration:.4g}", limit, DESIGN)


def _named(point: tuple[int, ...], trajectory: Cartesian) -> str:
    """A line by its number, a point by both of its own; what is off the plane of a 2-D scan is said."""
    if isinstance(trajectory, CartesianPoints):
        return f"({point[0]}, {point[1]})"
    return f"{point[0]}" if point[1] == 0 else f"{point[0]} ({point[1]} steps out of the slice)"


def _order(measured: _Measured, order: Sequence[tuple[int, int]]) -> Check:
    """The readouts in the order that was planned; what eddy currents remember are the jumps between them."""
    found = measured.points
    limit, source = f"{len(order)} readouts in the planned order", "manifest"
    wanted = np.asarray(order, dtype=np.int64).reshape(-1, 2)
    if wanted.shape != found.shape or (wanted != found).any():
        where = f"{len(found)} readouts"
        if wanted.shape == found.shape:
            where = f"readout {int(np.argmax((wanted != found).any(axis=1)))} of them is another"
        return verdict("order", False, where, limit, source)
    jumps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    shown = f"mean jump {jumps.mean():.3g} steps, largest {jumps.max():.3g}" if len(jumps) else "one readout"
    return verdict("order", True, f"as planned; {shown}", limit, source)


def _labels(measured: _Measured, trajectory: Cartesian) -> Check:
    counters = [("LIN", "line", 0)] + ([("PAR", "partition", 1)] if isinstance(trajectory, CartesianPoints) else [])
    limit = " and ".join(f"{label} of each readout is its {what}" for label, what, _ in counters)
    wrong = [
        f"block {sampling.block} measures {what} {point[axis]} and is labelled "
        f"{sampling.labels.get(label, 'not at all')}"
        for sampling, point in zip(measured.samplings, measured.points.tolist(), strict=True)
        for label, what, axis in counters
        if sampling.labels.get(label) != point[axis]
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return verdict("labels", False, wrong[0] + more, limit, DESIGN)
    return verdict("labels", True, f"{len(measured.samplings)} readouts", limit, DESIGN)


def _echo_times(played: PlayedSequence, samplings: list[Sampling], counted: str, own: bool) -> Check:
    """The time from the last excitation to the echo: the same for all lines, or equal steps in a train."""
    check = f"TE on all {counted}"
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
    ok, limit, source = spread < TIME_TOLERANCE_S, "1 us apart", f"one contrast for all {counted}"
    if ok or own:
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
    return nearest_to_centre(np.split(distances, ends[:-1]))


def nearest_to_centre(distances: Iterable[NDArray[np.float64]]) -> NDArray[np.int64]:
    """The sample of each readout that is nearest to k = 0, by the distances of all."""
    nearest = []
    for row in distances:
        least, middle = row.min(), len(row) // 2
        # Samples as near as the middle one, to the rounding of a file, are not nearer than it.
        off = row[middle] - least > STEP_TOLERANCE * (row.max() - least)
        nearest.append(int(np.argmin(row)) if off else middle)
    return np.array(nearest, dtype=np.int64)


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
