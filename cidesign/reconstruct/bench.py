"""A capture of the designed patterns, with a calibration: images, baselines, diagnostics."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.capture import read_capture
from cidesign.calibration.measurement import Measurements, measurements_from_counts
from cidesign.calibration.record import read_calibration, require_fitting
from cidesign.calibration.response import Response
from cidesign.reconstruct.diagnose import residuals
from cidesign.reconstruct.outcome import NamedImage, Outcome, cut_off, rounded, shown
from cidesign.reconstruct.score import score
from cidesign.runs import SinglePixelRun, now_utc

SCHEMA_VERSION = 1
UNITS = "reflectance of the white reference (0 no light, 1 white)"
# Outside this range of mean levels the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
CHI_SQUARE_MEANING = (
    "chi2/K is 1 where an image explains the readings to their noise; with fewer readings than pixels these images fit "
    "them all and lie below, which does not prove that the operator is right; far above 1 something is wrong"
)
HEADER = ("image", "chi2/K", "largest residual", "range", "PSNR dB", "SSIM", "correlation")


def reconstruct_capture(run: SinglePixelRun, capture_path: Path, calibration_path: Path) -> Outcome:
    """Reconstruct a capture of the run's patterns.

    Raises `FileError` for a capture or a calibration that does not fit the run.
    """
    design = run.design
    capture = read_capture(capture_path)
    calibration = read_calibration(calibration_path)
    readings = capture.scene(design)
    notes = require_fitting(calibration, capture, run.record.profile_digest, design.design_digest)
    measurements = measurements_from_counts(readings, design, calibration.response)
    images, prior_level = _solve(run, measurements, calibration.response)
    notes += [*calibration.response.notes, *measurements.notes, *_light_notes(measurements, prior_level)]
    notes.append(CHI_SQUARE_MEANING)
    truth = None if capture.truth is None else capture.truth.astype(np.float32)
    signed = design.signed()
    entries = {image.name: _entry(image, measurements, signed, truth) for image in images}
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": "single-pixel",
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": str(run.path),
        "design_digest": design.design_digest,
        "capture": str(capture.path),
        "simulated": capture.bench is not None,
        "calibration": str(calibration.path),
        "units": UNITS,
        "patterns": design.count,
        "repeats": measurements.repeats,
        "light_level": measurements.light_level._asdict(),
        "lamp_drift": _drift_entry(measurements),
        "notes": notes,
        "images": entries,
    }
    panels = [NamedImage(i.name, i.title, i.image, _caption(entries[i.name])) for i in images]
    if truth is not None:
        panels.insert(0, NamedImage("truth", "truth (simulated)", truth))
    return Outcome(
        images=images,
        panels=panels,
        columns=len(panels),
        heading=f"{design.count} patterns of {design.side} x {design.side}; grey: 0 to 1, {UNITS.split(' (')[0]}",
        record=record,
        rows=[_row(image, entries[image.name]) for image in images],
        header=HEADER,
        remarks=notes,
    )


def _solve(run: SinglePixelRun, measurements: Measurements, response: Response) -> tuple[list[NamedImage], float]:
    """The images, and the mean level of the student's training images."""
    from cidesign.models.system import load_student
    from cidesign.reconstruct import solve

    system = load_student(run)
    design = run.design
    signed = design.signed()
    noise = solve.calibrated_noise(response, design.encoding)
    images = [
        NamedImage("student", "student", solve.decode(system, measurements.y, signed, noise)),
        NamedImage("lmmse", "best linear (LMMSE)", solve.best_linear_calibrated(system, measurements, signed)),
        NamedImage("tikhonov", "least squares (Tikhonov)", solve.tikhonov_calibrated(system, measurements, signed)),
    ]
    return images, float(system.decoder.prior.mean[0])


def _light_notes(measurements: Measurements, prior_level: float) -> list[str]:
    ratio = measurements.light_level.value / prior_level
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene's mean level is {measurements.light_level.value:.3f}, {ratio:.2f} times that of the training "
        f"images ({prior_level:.3f}); the student may be less accurate, adjust the light or the white reference"
    ]


def _drift_entry(measurements: Measurements) -> dict[str, float | int | bool | None] | None:
    drift = measurements.drift
    if drift is None:
        return None
    return {
        "corrected": drift.degree > 0,
        "degree": drift.degree,
        "peak_to_peak_percent": drift.peak_to_peak_percent,
        "pair_sum_scatter_percent": drift.scatter_percent,
        "scatter_over_expected_noise": measurements.scatter_ratio,
    }


def _entry(
    named: NamedImage, measurements: Measurements, signed: NDArray[np.float32], truth: NDArray[np.float32] | None
) -> dict[str, Any]:
    found = residuals(named.image, measurements, signed)
    index, largest = found.largest
    entry: dict[str, Any] = {
        "title": named.title,
        "chi_square_reduced": found.chi_square_reduced,
        "largest_residual": {"pattern": index, "normalised": largest},
        **cut_off(named.image),
    }
    if truth is not None:
        entry |= score(named.image, truth)._asdict()
    return {**entry, "normalised_residuals": rounded(found.normalised)}


def _caption(entry: dict[str, Any]) -> str:
    psnr = f"{shown(entry['psnr_db'], '.2f')} dB, " if "psnr_db" in entry else ""
    return f"{psnr}chi²/K {entry['chi_square_reduced']:.2f}"


def _row(named: NamedImage, entry: dict[str, Any]) -> tuple[str, ...]:
    largest = entry["largest_residual"]
    return (
        named.title,
        f"{entry['chi_square_reduced']:.2f}",
        f"{largest['normalised']:+.1f} (pattern {largest['pattern']})",
        f"{entry['minimum']:.2f} .. {entry['maximum']:.2f}",
        shown(entry.get("psnr_db"), ".2f"),
        shown(entry.get("ssim"), ".3f"),
        shown(entry.get("correlation"), ".3f"),
    )
