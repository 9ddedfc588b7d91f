"""A full-basis Hadamard capture as a bench for any patterns: the student's against others, on real readings.

Every pattern is a combination of Hadamard rows, so the readings that it would have given follow from the real
ones: y = phi . image, with the image of the full basis.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.hadamard_capture import HadamardCapture, read_hadamard_capture
from cidesign.errors import FileError
from cidesign.physics.designs import hadamard_patterns, random_patterns
from cidesign.reconstruct.outcome import NamedImage, Outcome, cut_off, shown
from cidesign.reconstruct.score import Score, score
from cidesign.runs import SinglePixelRun, now_utc

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

SCHEMA_VERSION = 1
RANDOM_DRAWS = 5
SCALE_PERCENTILE = 99.5
SMALLEST_VARIANCE = 1e-6
CORNER_EXCESS = 0.02
HEADER = ("patterns", "reconstruction", "PSNR dB", "SSIM", "correlation")


@dataclass(frozen=True)
class Scaled:
    """The full-basis image divided by `divisor` (its 99.5th percentile), and the noise variance of one y."""

    image: NDArray[np.float64]
    divisor: float
    noise_variance: float


def reconstruct_hadamard(run: SinglePixelRun, path: Path, region: int | None) -> Outcome:
    """Compare the run's patterns with the coarsest Hadamard patterns and random ones on a full-basis capture.

    Raises `FileError` for a capture that cannot be read or has another size than the run's patterns.
    """
    from cidesign.models.system import load_student

    capture = read_hadamard_capture(path)
    design = run.design
    if capture.side != design.side:
        raise FileError(
            f"{path}: the capture is {capture.side} x {capture.side}, the run's patterns are "
            f"{design.side} x {design.side}; use a run with --side {capture.side}"
        )
    chosen = capture.choose_region(region)
    scaled = scale_to_unit(capture, chosen)
    system = load_student(run)
    sets = pattern_sets(design.signed())
    results = {name: [_reconstruct(system, signed, scaled) for signed in stacks] for name, stacks in sets.items()}
    table = [_entry(name, kind, images, scaled.image) for name, images in results.items() for kind in images[0]]
    notes = _notes(capture, chosen, scaled, by_default=region is None and len(capture.labels) > 1)
    return _outcome(run, capture, chosen, scaled, results, table, notes)


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
}


def _reconstruct(
    system: "ImagingSystem", signed: NDArray[np.float32], scaled: Scaled
) -> dict[str, NDArray[np.float32]]:
    from cidesign.reconstruct import solve

    y = measure(signed, scaled.image)
    noise = solve.constant_noise(scaled.noise_variance, signed.shape[-1])
    return {
        "linear": solve.best_linear(system, y, signed, scaled.noise_variance),
        "decoder": solve.decode(system, y, signed, noise),
    }


def _entry(
    name: str, kind: str, images: list[dict[str, NDArray[np.float32]]], truth: NDArray[np.float64]
) -> dict[str, Any]:
    """Mean scores over the draws of a pattern set, and the spread of PSNR where there is more than one."""
    scores = [score(draw[kind], truth) for draw in images]
    entry: dict[str, Any] = {"patterns": name, "reconstruction": kind, "draws": len(scores)}
    for field in Score._fields:
        values = [value for value in (getattr(one, field) for one in scores) if value is not None]
        entry[field] = float(np.mean(values)) if values else None
    if len(scores) > 1:
        entry["psnr_db_deviation"] = float(np.std([one.psnr_db for one in scores if one.psnr_db], ddof=1))
    return entry | {"first_draw": cut_off(images[0][kind])}


def _notes(capture: HadamardCapture, region: int, scaled: Scaled, by_default: bool) -> list[str]:
    ranges = cut_off(scaled.image.astype(np.float32))
    noise = scaled.noise_variance**0.5
    notes = [
        f"{capture.labels[region]} of {len(capture.labels)}" + (" (the middle one; --region chooses)" * by_default),
        f"units are arbitrary: the full-basis image is divided by its {SCALE_PERCENTILE:g}th percentile, "
        f"{scaled.divisor:.6g}; {ranges['pixels_below_0']} pixels are negative (lowest {ranges['minimum']:.3f}), "
        f"{ranges['pixels_above_1']} above 1 (highest {ranges['maximum']:.3f})",
        f"the full-basis image is itself noisy (at most {noise:.4f} a pixel, {-20 * np.log10(noise):.1f} dB); all rows "
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
    results: dict[str, list[dict[str, NDArray[np.float32]]]],
    table: list[dict[str, Any]],
    notes: list[str],
) -> Outcome:
    full = NamedImage("full_basis", f"full basis, {capture.side**2} readings", scaled.image.astype(np.float32))
    images = [full]
    for entry in table:
        name, kind = entry["patterns"], entry["reconstruction"]
        draws = entry["draws"]
        caption = f"{shown(entry['psnr_db'], '.2f')} dB, SSIM {shown(entry['ssim'], '.3f')}"
        title = TITLES[name] if draws == 1 else f"{TITLES[name]}, first of {draws} draws"
        title += f"\n{TITLES[kind]}"
        if draws > 1:
            caption = f"mean of {draws}: {caption}"
        images.append(NamedImage(f"{name}_{kind}", title, results[name][0][kind], caption))
    count = run.design.count
    # Two rows: linear above, decoder below; the full-basis image opens the first.
    blank = NamedImage("blank", "", np.ones_like(full.image))
    panels = [full, *(image for image in images if image.name.endswith("_linear")), blank]
    panels += [image for image in images if image.name.endswith("_decoder")]
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": "single-pixel",
        "reader": "hadamard",
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": str(run.path),
        "design_digest": run.design.design_digest,
        "capture": str(capture.path),
        "region": region,
        "region_label": capture.labels[region],
        "patterns": count,
        "pixels": capture.side**2,
        "scale_divisor": scaled.divisor,
        "scale_percentile": SCALE_PERCENTILE,
        "noise_variance_upper_bound": scaled.noise_variance,
        "full_basis": cut_off(full.image),
        "notes": notes,
        "table": table,
    }
    return Outcome(
        images=images,
        panels=panels,
        columns=4,
        heading=f"{count} readings of {capture.side**2}: {capture.path.name}, {capture.labels[region]}",
        record=record,
        rows=[_row(entry) for entry in table],
        header=HEADER,
        remarks=notes,
    )


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    spread = f" ± {entry['psnr_db_deviation']:.2f}" if "psnr_db_deviation" in entry else ""
    draws = f" (mean of {entry['draws']})" if entry["draws"] > 1 else ""
    return (
        TITLES[entry["patterns"]] + draws,
        TITLES[entry["reconstruction"]],
        shown(entry["psnr_db"], ".2f") + spread,
        shown(entry["ssim"], ".3f"),
        shown(entry["correlation"], ".3f"),
    )
