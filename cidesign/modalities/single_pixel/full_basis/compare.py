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

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture, choose_region, full_basis_of
from cidesign.calibration.single_pixel.full_basis.hadamard_files import converter_words, read_hadamard_file
from cidesign.calibration.single_pixel.full_basis.hadamard_settle import SettledRecord, settle_readings
from cidesign.calibration.single_pixel.full_basis.measured_rows import rows_of_full_basis, settle_rows
from cidesign.calibration.single_pixel.full_basis.pattern_size import is_full_basis, size_of_patterns
from cidesign.calibration.single_pixel.full_basis.spas import read_spas
from cidesign.errors import FileError
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns, random_patterns
from cidesign.modalities.single_pixel.full_basis.row_images import reconstruct_rows
from cidesign.modalities.single_pixel.full_basis.row_words import (
    SCALE_PERCENTILE,
    SMALLEST_VARIANCE,
    TITLES,
    full_basis_record,
    percentile_of,
    range_text,
)
from cidesign.modalities.single_pixel.record import FullBasisRecord, PatternSetEntry
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.models.system import load_student
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, Reconstruction, cut_off, draw_panels, shown

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

RANDOM_DRAWS = 5
CORNER_EXCESS = 0.02
HEADER = ("patterns", "reconstruction", "PSNR dB", "SSIM", "correlation")


@dataclass(frozen=True)
class Scaled:
    """The full-basis image divided by `divisor` (its 99.5th percentile), and the noise variance of one y."""

    image: NDArray[np.float64]
    divisor: float
    noise_variance: float


def reconstruct_hadamard(
    run: SinglePixelRun,
    path: Path,
    region: int | None,
    *,
    order: str | None = None,
    patterns: str | None = None,
    size: str | None = None,
) -> Reconstruction:
    """Reconstruct a capture of Hadamard patterns; of a full basis, compare the run's patterns with other ones on it.

    `order`, `patterns`, `size` (HxW): which rows were shown when, as what, and of which size, instead of what the
    readings and the file themselves say.  A full basis of the run's size is compared (`compare_patterns`); of some
    rows, or of another size, the image is made of these rows.  Raises `FileError` for a capture that cannot be read,
    holds more readings than there are patterns, or leaves open what they are.
    """
    raw = read_hadamard_file(path)
    chosen = choose_region(path, len(raw.labels), region)
    extent = size_of_patterns(raw, size, run.design.side)
    by_default = region is None and len(raw.labels) > 1
    label = f"{raw.labels[chosen]} of {len(raw.labels)}" + (" (the middle one; --region chooses)" * by_default)
    if not is_full_basis(raw, extent, patterns):
        rows = settle_rows(raw, chosen, extent, order, patterns)
        return reconstruct_rows(run, rows, "hadamard", [label, *converter_words(raw, chosen)], chosen)
    settled = settle_readings(full_basis_of(raw, extent, patterns), chosen, order, patterns)
    if extent != (run.design.side, run.design.side):
        rows = rows_of_full_basis(settled, chosen)
        return reconstruct_rows(run, rows, "hadamard", [label, *converter_words(raw, chosen)], chosen)
    remarks = [*settled.remarks, *settled.capture.notes, label, *converter_words(raw, chosen)]
    return _compare(run, settled.capture, chosen, "hadamard", remarks, settled.record)


def reconstruct_spas(run: SinglePixelRun, path: Path, band_nm: tuple[float, float] | None) -> Reconstruction:
    """Reconstruct a SPAS capture of Walsh patterns, its counts summed over a band of wavelengths or over all.

    With every row of the run's size measured it is compared like any full-basis capture; else the image is made of the
    rows that were measured.  Raises `FileError` for a capture that cannot be read, `InputError` for a band without
    wavelengths.
    """
    walsh = read_spas(path).walsh_readings(band_nm)
    if walsh.complete and walsh.side == run.design.side:
        return _compare(run, walsh.full_basis(), 0, "spas", [walsh.label, *walsh.notes])
    if 0 not in walsh.rows:
        raise FileError(
            f"{walsh.path}: the first pattern (0 and 1, all mirrors on and off) was not read; it sets the scale, so "
            "record it with the others"
        )
    return reconstruct_rows(run, walsh.measured(), "spas", [walsh.label], None)


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
    divisor = percentile_of(image, f"{capture.path}: the image of region {region}")
    variance = (capture.reading_noise(region) / divisor / capture.size[0]) ** 2
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
        f"{scaled.divisor:.6g}; {range_text(scaled.image)}",
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
    full = NamedImage(
        "full_basis", f"full basis, {capture.readings.shape[1]} readings", scaled.image.astype(np.float32)
    )
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
    record = full_basis_record(run, reader, capture.path, scaled.divisor, scaled.noise_variance, notes) | {
        "region": region,
        "region_label": capture.labels[region],
        "patterns": count,
        "noise_is_upper_bound": capture.measured_noise is None,
        "full_basis": cut_off(full.image),
        "table": table,
        **({} if readings is None else {"readings": readings}),
    }
    heading = f"{count} readings of {capture.readings.shape[1]}: {capture.path.name}, {capture.labels[region]}"
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
