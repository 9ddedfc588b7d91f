"""Captures of Hadamard rows: a full basis as a bench for any patterns, and a part of one as patterns of its own.

Every pattern is a combination of Hadamard rows, so the readings that it would have given follow from those of a full
basis: y = phi . image.  Of some rows only, the image is reconstructed with these rows as the operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture, read_hadamard_capture
from cidesign.calibration.single_pixel.full_basis.hadamard_settle import SettledRecord, settle_readings
from cidesign.calibration.single_pixel.full_basis.spas import WalshReadings, read_spas
from cidesign.errors import FileError, LimitError
from cidesign.hadamard import hadamard_rows, walsh_hadamard
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns, random_patterns
from cidesign.modalities.single_pixel.record import FullBasisRecord, PatternSetEntry, RowsEntry
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.models.system import load_student
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, Reconstruction, cut_off, draw_panels, shown
from cidesign.reconstruct.pipeline import common_entries

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

RANDOM_DRAWS = 5
SCALE_PERCENTILE = 99.5
SMALLEST_VARIANCE = 1e-6
CORNER_EXCESS = 0.02
# Entries of the matrix of the rows that were measured: 1 GB of them.
MAX_OPERATOR = 2**28
HEADER = ("patterns", "reconstruction", "PSNR dB", "SSIM", "correlation")
PARTIAL_HEADER = ("reconstruction", "residual chi2", "lowest", "highest")


@dataclass(frozen=True)
class Scaled:
    """The full-basis image divided by `divisor` (its 99.5th percentile), and the noise variance of one y."""

    image: NDArray[np.float64]
    divisor: float
    noise_variance: float


def reconstruct_hadamard(
    run: SinglePixelRun, path: Path, region: int | None, *, order: str | None = None, patterns: str | None = None
) -> Reconstruction:
    """Compare the run's patterns with the coarsest Hadamard patterns and random ones on a full-basis capture.

    `order`, `patterns`: which rows were shown when, and as what, instead of what the readings themselves say
    (`settle_readings`).  Raises `FileError` for a capture that cannot be read, has another size than the run's
    patterns, or that no known order explains.
    """
    capture = read_hadamard_capture(path)
    _check_side(run, path, capture.side)
    chosen = capture.choose_region(region)
    settled = settle_readings(capture, chosen, order, patterns)
    by_default = region is None and len(capture.labels) > 1
    label = f"{capture.labels[chosen]} of {len(capture.labels)}" + (" (the middle one; --region chooses)" * by_default)
    remarks = [*settled.remarks, *capture.notes, label]
    return _compare(run, settled.capture, chosen, "hadamard", remarks, settled.record)


def reconstruct_spas(run: SinglePixelRun, path: Path, band_nm: tuple[float, float] | None) -> Reconstruction:
    """Reconstruct a SPAS capture of Walsh patterns, its counts summed over a band of wavelengths or over all.

    With every row measured it is compared like any full-basis capture.  With some rows, the image is the best linear
    estimate, and what the student's decoder makes, of these rows.  Raises `FileError` for a capture that cannot be
    read or has another size than the run's patterns, `InputError` for a band without wavelengths.
    """
    capture = read_spas(path)
    _check_side(run, path, capture.metadata.side)
    walsh = capture.walsh_readings(band_nm)
    if walsh.complete:
        return _compare(run, walsh.full_basis(), 0, "spas", [walsh.label, *walsh.notes])
    return _reconstruct_rows(run, walsh)


def _check_side(run: SinglePixelRun, path: Path, side: int) -> None:
    design = run.design
    if side != design.side:
        raise FileError(
            f"{path}: the capture is {side} x {side}, the run's patterns are {design.side} x {design.side}; use a run "
            f"with --side {side}"
        )


def _compare(
    run: SinglePixelRun,
    capture: HadamardCapture,
    region: int,
    reader: str,
    remarks: list[str],
    readings: SettledRecord | None = None,
) -> Reconstruction:
    scaled = scale_to_unit(capture, region)
    results = compare_patterns(load_student(run), run.design.signed(), scaled)
    table = [_entry(name, kind, images, scaled.image) for name, images in results.items() for kind in images[0]]
    notes = [*remarks, *_notes(capture, region, scaled)]
    return _outcome(run, capture, region, scaled, results, table, notes, reader, readings)


Results = dict[str, list[dict[str, NDArray[np.float32]]]]


def compare_patterns(system: "ImagingSystem", student: NDArray[np.float32], scaled: Scaled) -> Results:
    """Images by set of patterns, draw and reconstruction (`linear`, `decoder`), for the sets of `pattern_sets`."""
    sets = pattern_sets(student)
    return {name: [_reconstruct(system, signed, scaled) for signed in stacks] for name, stacks in sets.items()}


def scale_to_unit(capture: HadamardCapture, region: int) -> Scaled:
    """The region's image on the scale of the training images: its 99.5th percentile becomes 1.

    The noise of y = phi . image / n is that of one reading divided by n (white readings, patterns of +1 and -1).
    """
    image = capture.image(region)
    divisor = float(np.percentile(image, SCALE_PERCENTILE))
    if divisor <= 0:
        raise FileError(f"{capture.path}: the image of region {region} has no positive values; is it a capture?")
    variance = (capture.reading_noise(region) / divisor / capture.side) ** 2
    return Scaled(image / divisor, divisor, max(variance, SMALLEST_VARIANCE))


def pattern_sets(student: NDArray[np.float32]) -> dict[str, list[NDArray[np.float32]]]:
    """The pattern stacks to compare, all with as many patterns as the student's (K, n, n)."""
    count, side, _ = student.shape
    return {
        "student": [student],
        "hadamard": [hadamard_patterns(side, count, "sequency")],
        "random": [random_patterns(side, count, seed) for seed in range(RANDOM_DRAWS)],
    }


def measure(signed: NDArray[np.float32], image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The readings y = sum(phi x) / n that the patterns (K, n, n) would have given, (K,)."""
    readings: NDArray[np.float64] = signed.reshape(len(signed), -1) @ image.reshape(-1) / image.shape[0]
    return readings


TITLES = {
    "student": "student patterns",
    "hadamard": "coarsest Hadamard",
    "random": "random ±1",
    "linear": "best linear",
    "decoder": "student decoder",
    "zero_filled": "zero-filled",
}


def _reconstruct(
    system: "ImagingSystem", signed: NDArray[np.float32], scaled: Scaled
) -> dict[str, NDArray[np.float32]]:
    y = measure(signed, scaled.image)
    noise = solve.constant_noise(scaled.noise_variance, signed.shape[-1])
    return {
        "linear": solve.best_linear(system, y, signed, scaled.noise_variance),
        "decoder": solve.decode(system, y, signed, noise),
    }


def _entry(
    name: str, kind: str, images: list[dict[str, NDArray[np.float32]]], truth: NDArray[np.float64]
) -> PatternSetEntry:
    """Mean scores over the draws of a pattern set, and the spread of PSNR where there is more than one."""
    scores = [score(draw[kind], truth) for draw in images]
    spread = {}
    if len(scores) > 1:
        spread["psnr_db_deviation"] = float(np.std([one.psnr_db for one in scores if one.psnr_db], ddof=1))
    return PatternSetEntry(
        patterns=name,
        reconstruction=kind,
        draws=len(scores),
        psnr_db=_mean(one.psnr_db for one in scores),
        ssim=_mean(one.ssim for one in scores),
        correlation=_mean(one.correlation for one in scores),
        first_draw=cut_off(images[0][kind]),
        **spread,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _notes(capture: HadamardCapture, region: int, scaled: Scaled) -> list[str]:
    noise = scaled.noise_variance**0.5
    bound = "at most " if capture.measured_noise is None else ""
    notes = [
        f"units are arbitrary: the full-basis image is divided by its {SCALE_PERCENTILE:g}th percentile, "
        f"{scaled.divisor:.6g}; {_range_text(scaled.image)}",
        f"the full-basis image is itself noisy ({bound}{noise:.4f} a pixel, {-20 * np.log10(noise):.1f} dB); all rows "
        "share its noise, because their readings follow from it",
        "the student's decoder was trained for its own patterns; its linear first step takes the operator, "
        "which is how it decodes the others",
    ]
    excess = capture.corner_excess(region)
    if abs(excess) < CORNER_EXCESS:
        notes.append(
            f"pixel (0, 0) is the image's mean to {abs(excess):.1%}, as if the common part of the readings had been "
            "removed; it was probably not measured"
        )
    return notes


def _range_text(image: NDArray[np.floating]) -> str:
    ranges = cut_off(image.astype(np.float32))
    return (
        f"{ranges.pixels_below_0} pixels are negative (lowest {ranges.minimum:.3f}), "
        f"{ranges.pixels_above_1} above 1 (highest {ranges.maximum:.3f})"
    )


def _outcome(
    run: SinglePixelRun,
    capture: HadamardCapture,
    region: int,
    scaled: Scaled,
    results: Results,
    table: list[PatternSetEntry],
    notes: list[str],
    reader: str,
    readings: SettledRecord | None,
) -> Reconstruction:
    full = NamedImage("full_basis", f"full basis, {capture.side**2} readings", scaled.image.astype(np.float32))
    images = [full]
    for entry in table:
        name, kind, draws = entry.patterns, entry.reconstruction, entry.draws
        caption = f"{shown(entry.psnr_db, '.2f')} dB, SSIM {shown(entry.ssim, '.3f')}"
        title = TITLES[name] if draws == 1 else f"{TITLES[name]}, first of {draws} draws"
        title += f"\n{TITLES[kind]}"
        if draws > 1:
            caption = f"mean of {draws}: {caption}"
        images.append(NamedImage(f"{name}_{kind}", title, results[name][0][kind], caption))
    count = run.design.count
    # Two rows: linear above, decoder below; the full-basis image opens the first.
    blank = NamedImage("blank", "", np.ones_like(full.image))
    rows = {
        kind: [image for entry, image in zip(table, images[1:], strict=True) if entry.reconstruction == kind]
        for kind in ("linear", "decoder")
    }
    panels = [full, *rows["linear"], blank, *rows["decoder"]]
    record = _record(run, reader, capture.path, scaled.divisor, scaled.noise_variance, notes) | {
        "region": region,
        "region_label": capture.labels[region],
        "patterns": count,
        "noise_is_upper_bound": capture.measured_noise is None,
        "full_basis": cut_off(full.image),
        "table": table,
        **({} if readings is None else {"readings": readings}),
    }
    heading = f"{count} readings of {capture.side**2}: {capture.path.name}, {capture.labels[region]}"
    return Reconstruction(
        leaves=images,
        record=FullBasisRecord.model_validate(record),
        heading=heading,
        rows=[_row(entry) for entry in table],
        header=HEADER,
        pictures={COMPARISON: lambda: draw_panels(panels, 4, heading)},
    )


def _row(entry: PatternSetEntry) -> tuple[str, ...]:
    spread = "" if entry.psnr_db_deviation is None else f" ± {entry.psnr_db_deviation:.2f}"
    draws = f" (mean of {entry.draws})" if entry.draws > 1 else ""
    return (
        TITLES[entry.patterns] + draws,
        TITLES[entry.reconstruction],
        shown(entry.psnr_db, ".2f") + spread,
        shown(entry.ssim, ".3f"),
        shown(entry.correlation, ".3f"),
    )


def _record(
    run: SinglePixelRun, reader: str, capture: Path, divisor: float, noise_variance: float, notes: list[str]
) -> dict[str, object]:
    """What the records of all readers say."""
    return {
        **common_entries(run, str(capture), notes),
        "reader": reader,
        "pixels": run.design.side**2,
        "scale_divisor": divisor,
        "scale_percentile": SCALE_PERCENTILE,
        "noise_variance": noise_variance,
    }


def _reconstruct_rows(run: SinglePixelRun, walsh: WalshReadings) -> Reconstruction:
    """Images from the rows that were measured, without a truth to compare them with."""
    count, pixels = walsh.rows.size, walsh.side**2
    if count * pixels > MAX_OPERATOR:
        raise LimitError(
            f"{walsh.path}: {count} rows of {pixels} pixels are a matrix of {count * pixels} entries; at most "
            f"{MAX_OPERATOR} are solved, so record fewer rows or all"
        )
    zero_filled, divisor = _zero_filled(walsh)
    variance = max((walsh.noise_counts / divisor / walsh.side) ** 2, SMALLEST_VARIANCE)
    signed = hadamard_rows(walsh.side, walsh.rows).astype(np.float32)
    y = walsh.readings / divisor / walsh.side
    system = load_student(run)
    made = {
        "zero_filled": zero_filled,
        "linear": solve.best_linear(system, y, signed, variance),
        "decoder": solve.decode(system, y, signed, solve.constant_noise(variance, walsh.side)),
    }
    table = [
        RowsEntry(
            **dict(cut_off(image)),
            patterns="measured",
            reconstruction=name,
            chi_square_reduced=float(np.mean((y - measure(signed, image.astype(np.float64))) ** 2) / variance),
        )
        for name, image in made.items()
    ]
    notes = _row_notes(walsh, zero_filled, divisor, variance)
    record = _record(run, "spas", walsh.path, divisor, variance, notes) | {"patterns": count, "table": table}
    images = [NamedImage(f"measured_{name}", TITLES[name], image) for name, image in made.items()]
    heading = f"{count} readings of {pixels}: {walsh.path.name}, {walsh.label}"
    return Reconstruction(
        leaves=images,
        record=FullBasisRecord.model_validate(record),
        heading=heading,
        rows=[
            (TITLES[row.reconstruction], *(f"{x:.3f}" for x in (row.chi_square_reduced, row.minimum, row.maximum)))
            for row in table
        ],
        header=PARTIAL_HEADER,
        pictures={COMPARISON: lambda: draw_panels(images, len(images), heading)},
    )


def _row_notes(walsh: WalshReadings, zero_filled: NDArray[np.float32], divisor: float, variance: float) -> list[str]:
    return [
        walsh.label,
        *walsh.notes,
        f"{walsh.rows.size} of {walsh.side**2} Hadamard rows were measured; what the others would have read is not "
        "known, so there is no score",
        f"units are arbitrary: the zero-filled image is divided by its {SCALE_PERCENTILE:g}th percentile, "
        f"{divisor:.6g}; {_range_text(zero_filled)}",
        f"noise of a pixel, were all rows measured: {variance**0.5:.4f} (from the sums of the pairs)",
        "the student's decoder was trained for its own patterns; its linear first step takes the rows measured",
    ]


def _zero_filled(walsh: WalshReadings) -> tuple[NDArray[np.float32], float]:
    """The image H^T y / N with 0 for rows that were not measured, divided by its percentile, and that divisor."""
    if 0 not in walsh.rows:
        raise FileError(
            f"{walsh.path}: the first pattern (0 and 1, all mirrors on and off) was not read; it sets the scale, so "
            "record it with the others"
        )
    image = walsh_hadamard(walsh.natural()).reshape(walsh.side, walsh.side) / walsh.side**2
    divisor = float(np.percentile(image, SCALE_PERCENTILE))
    if divisor <= 0:
        raise FileError(f"{walsh.path}: the image has no positive values; is the light on, and even the positive half?")
    return (image / divisor).astype(np.float32), divisor
