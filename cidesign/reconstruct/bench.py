"""A capture of the designed patterns, with a calibration: images, baselines, diagnostics."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.bench_state import circumstances_checks
from cidesign.calibration.capture import Capture, read_capture
from cidesign.calibration.measurement import Measurements, measurements_from_counts
from cidesign.calibration.record import Calibration, read_calibration
from cidesign.calibration.response import Response
from cidesign.calibration.spc_calibrate import verify_on
from cidesign.calibration.spc_checks import sequence_checks
from cidesign.calibration.spc_frames import frames_of
from cidesign.calibration.verify import Check, Verification, require_passed
from cidesign.errors import FileError
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


def reconstruct_capture(
    run: SinglePixelRun, capture_path: Path, calibration_path: Path, accept_failed: bool = False
) -> Outcome:
    """Reconstruct a capture of the run's patterns with the calibrated operator.

    Raises `FileError` for a capture or a calibration that does not fit the run, and `LimitError` for a calibration that
    failed its verification, or does not describe this capture any more, unless `accept_failed`.
    """
    design = run.design
    capture = read_capture(capture_path)
    calibration = read_calibration(calibration_path)
    response = calibration.response
    notes = require_passed(calibration.path, calibration.record.verification, accept_failed)
    frames = frames_of(capture, "scene", design, response)
    measurements = measurements_from_counts(
        frames, design, response, calibration.operator, capture.arrays.get("reference")
    )
    checks = [*_fitting(run, calibration, capture), *sequence_checks("scene", frames, measurements)]
    now = Verification(score=None, score_meaning="checks of this capture", checks=checks)
    notes += require_passed(calibration.path, now, accept_failed)
    notes += [f"{check.name}: {check.text}" for check in checks if check.status == "corrected"]
    images, prior_level = _solve(run, measurements, response.with_peak(calibration.operator.peak_over_mean))
    notes += [*response.notes, *measurements.notes, *_light_notes(measurements, prior_level)]
    notes.append(CHI_SQUARE_MEANING)
    truth = None if capture.truth is None else capture.truth.astype(np.float32)
    entries = {image.name: _entry(image, measurements, truth) for image in images}
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
        "verification": calibration.record.verification.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in checks],
        "patterns": len(measurements.kept),
        "patterns_left_out": sorted(set(range(design.count)) - set(measurements.kept.tolist())),
        "repeats": measurements.repeats,
        "light_level": measurements.light_level._asdict(),
        "lamp": _lamp_entry(measurements),
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


def _fitting(run: SinglePixelRun, calibration: Calibration, capture: Capture) -> list[Check]:
    """Whether the calibration is of this device and still describes the bench."""
    record = calibration.record
    if record.profile_digest != run.record.profile_digest:
        raise FileError(
            f"{calibration.path}: profile {record.profile_digest[:12]} was calibrated, the run is for profile "
            f"{run.record.profile_digest[:12]}; calibrate with a capture of this device"
        )
    side = calibration.operator.light_map.shape[0]
    if side != run.design.side:
        raise FileError(
            f"{calibration.path}: a field of {side} super-pixels a side was calibrated, the run's patterns have "
            f"{run.design.side}; calibrate with this design"
        )
    if capture.record is None:
        text = (
            f"{capture.path.name} is a bare array: design, device and exposure ({record.exposure_us:g} us calibrated) "
            "could not be checked; only the number of readings fits"
        )
        return [Check(name="circumstances", status="warning", text=text)]
    checks = circumstances_checks(record.circumstances, capture.record.circumstances, design_matters=False)
    return checks + verify_on(calibration.response, calibration.operator, capture, run.design)


def _solve(run: SinglePixelRun, measurements: Measurements, response: Response) -> tuple[list[NamedImage], float]:
    """The images, and the mean level of the student's training images."""
    from cidesign.models.system import load_student
    from cidesign.reconstruct import solve

    system = load_student(run)
    noise = solve.calibrated_noise(response, run.design.encoding)
    student = solve.decode(system, measurements.y, measurements.signed, noise)
    images = [
        NamedImage("student", "student", student),
        NamedImage("lmmse", "best linear (LMMSE)", solve.best_linear_calibrated(system, measurements)),
        NamedImage("tikhonov", "least squares (Tikhonov)", solve.tikhonov_calibrated(system, measurements)),
    ]
    return images, float(system.decoder.prior.mean[0])


def _light_notes(measurements: Measurements, prior_level: float) -> list[str]:
    level = measurements.light_level.value / float(measurements.light_weights.mean())
    ratio = level / prior_level
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene's mean level is {level:.3f}, {ratio:.2f} times that of the training "
        f"images ({prior_level:.3f}); the student may be less accurate, adjust the light or the white reference"
    ]


def _lamp_entry(measurements: Measurements) -> dict[str, Any] | None:
    lamp = measurements.lamp
    if lamp is None:
        return None
    wave = lamp.flicker
    return {
        "corrected": lamp.degree > 0 or wave is not None,
        "degree": lamp.degree,
        "drift_peak_to_peak_percent": lamp.drift_percent,
        "flicker_percent": wave.amplitude_percent if wave else 0.0,
        "flicker_hz": wave.frequency_hz if wave else None,
        "pair_sum_scatter_percent": lamp.scatter_percent,
        "scatter_over_expected_noise": measurements.scatter_ratio,
    }


def _entry(named: NamedImage, measurements: Measurements, truth: NDArray[np.float32] | None) -> dict[str, Any]:
    found = residuals(named.image, measurements)
    index, largest = found.largest
    entry: dict[str, Any] = {
        "title": named.title,
        "chi_square_reduced": found.chi_square_reduced,
        "largest_residual": {"pattern": int(measurements.kept[index]), "normalised": largest},
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
