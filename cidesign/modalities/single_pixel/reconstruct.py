"""A capture of the designed patterns, with a calibration: images, baselines, diagnostics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.single_pixel.calibrate import place_unseen, verify_on
from cidesign.calibration.single_pixel.capture import Capture, read_capture
from cidesign.calibration.single_pixel.checks import sequence_checks
from cidesign.calibration.single_pixel.frames import reference_of
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.record import Calibration, read_calibration
from cidesign.calibration.single_pixel.scene_order import scene_in_order
from cidesign.calibration.verify import Check, Judgement, Verification, require_passed
from cidesign.errors import FileError
from cidesign.modalities.single_pixel import diagnostics as spc_diagnostics
from cidesign.modalities.single_pixel.maps import Bench, Prior, SpcMaps, make_maps
from cidesign.modalities.single_pixel.residuals import HeldOut, Residuals, residuals
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.reconstruct.outcome import NamedImage, Outcome, cut_off, rounded, shown
from cidesign.records import now_utc

SCHEMA_VERSION = 1
UNITS = "reflectance of the white reference (0 no light, 1 white)"
# Outside this range of mean levels the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
CHI_SQUARE_MEANING = (
    "chi2/K is 1 where an image explains the readings to their noise; with fewer readings than pixels these images fit "
    "them all and lie below, which does not prove that the operator is right; far above 1 something is wrong"
)
HEADER = ("image", "chi2/K", "held out", "largest residual", "range", "PSNR dB", "SSIM", "correlation")


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
    scene = scene_in_order(capture, design, response, calibration.operator)
    fitting = _fitting(run, calibration, capture)
    # Nothing is measured from readings in a wrong order: what that raises would name something else.  What a card in
    # this capture shows comes before: exchanged mirrors exchange the two readings of each pair.
    order = Verification(score=None, score_meaning="order of the readings", checks=[*fitting, scene.check])
    require_passed(capture.path, order, accept_failed)
    measurements = measurements_from_counts(
        scene.frames, design, response, calibration.operator, reference_of(capture, design)
    )
    checks = [*fitting, scene.check, *sequence_checks("scene", scene.frames, measurements)]
    now = Verification(score=None, score_meaning="checks of this capture", checks=checks)
    notes += require_passed(calibration.path, now, accept_failed)
    notes += [f"{check.name}: {check.text}" for check in checks if check.status == "corrected"]
    solved = _solve(calibration, run, Bench(design, response, calibration.operator, measurements))
    images, maps = solved.images, solved.maps
    notes += [*response.notes, *measurements.notes, *_light_notes(measurements, solved.prior.level), *solved.remarks]
    notes += spc_diagnostics.left_out_words(measurements, design.count)
    truth = None if capture.truth is None else capture.truth.astype(np.float32)
    found = {image.name: residuals(image.image, measurements) for image in images}
    entries = {image.name: _entry(image, found[image.name], truth) for image in images}
    notes += [*spc_diagnostics.time_notes(found["lmmse"]), *_map_notes(maps, measurements), CHI_SQUARE_MEANING]
    judgement = Judgement(calibration.record.verification, now)
    record = _record(run, capture, calibration, measurements, checks) | judgement.entry
    record |= {"notes": notes, "images": entries}
    record["pictures"] = {"residuals": spc_diagnostics.RESIDUALS_TEXT}
    if maps is not None:
        record |= spc_diagnostics.diagnostics_entry(maps, truth, {image.name: image.image for image in images})
        record["maps"] = {name: text for name, (_, text) in spc_diagnostics.MAPS.items()}
    panels = [NamedImage(i.name, i.title, i.image, _caption(entries[i.name])) for i in images]
    if truth is not None:
        panels.insert(0, NamedImage("truth", "truth (simulated)", truth))
    return Outcome(
        images=images,
        panels=panels,
        columns=len(panels),
        heading=f"{design.count} patterns of {design.side} x {design.side}; grey: 0 to 1, {UNITS.split(' (')[0]}",
        record=record,
        rows=[_row(image, entries[image.name], maps.held_out[image.name] if maps else None) for image in images],
        header=HEADER,
        remarks=notes,
        judgement=judgement,
        maps=[] if maps is None else spc_diagnostics.named_maps(maps),
        pictures={"residuals": spc_diagnostics.draw_residuals(images, found, maps, design.count)},
    )


def _record(
    run: SinglePixelRun, capture: Capture, calibration: Calibration, measurements: Measurements, checks: list[Check]
) -> dict[str, Any]:
    """What the record says of run, capture and calibration."""
    count = run.design.count
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": "single-pixel",
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": str(run.path),
        "design_digest": run.design.design_digest,
        "capture": str(capture.path),
        "simulated": capture.bench is not None,
        "calibration": str(calibration.path),
        "units": UNITS,
        "verification": calibration.record.verification.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in checks],
        "patterns": len(measurements.kept),
        "patterns_left_out": sorted(set(range(count)) - set(measurements.kept.tolist())),
        "repeats": measurements.repeats,
        "light_level": measurements.light_level._asdict(),
        "lamp": _lamp_entry(measurements),
    }


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
        checks = [Check(name="circumstances", status="warning", text=text)]
    else:
        checks = circumstances_checks(record.circumstances, capture.record.circumstances, design_matters=False)
    again = verify_on(calibration.response, calibration.operator, capture, run.design)
    return checks + (again or [place_unseen()])


@dataclass(frozen=True)
class _Solved:
    """The images, the statistics of the student's training images, the maps (None: left out), and remarks."""

    images: list[NamedImage]
    prior: Prior
    maps: SpcMaps | None
    remarks: list[str]


def _solve(calibration: Calibration, run: SinglePixelRun, bench: Bench) -> _Solved:
    from cidesign.modalities.single_pixel import solve
    from cidesign.reconstruct.fine_tuned import load_decoder_for

    system, remarks = load_decoder_for(run, calibration.path)
    measurements = bench.measurements
    noise = solve.calibrated_noise(bench.response.with_peak(bench.operator.peak_over_mean), run.design.encoding)
    student = solve.decode(system, measurements.y, measurements.signed, noise)
    images = [
        NamedImage("student", "student", student),
        NamedImage("lmmse", "best linear (LMMSE)", solve.best_linear_calibrated(system, measurements)),
        NamedImage("tikhonov", "least squares (Tikhonov)", solve.tikhonov_calibrated(system, measurements)),
    ]
    prior = solve.image_statistics(system)
    maps = make_maps(bench, prior, solve.decoder_of(system, noise), {image.name: image.image for image in images})
    return _Solved(images, prior, maps, remarks)


def _map_notes(maps: SpcMaps | None, measurements: Measurements) -> list[str]:
    if maps is not None:
        return spc_diagnostics.map_notes(maps)
    count, side = measurements.signed.shape[:2]
    return [
        f"held-out readings and uncertainty are left out: with {count} patterns of {side} x {side} they take minutes, "
        "or nothing can be kept from a single one"
    ]


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


def _entry(named: NamedImage, found: Residuals, truth: NDArray[np.float32] | None) -> dict[str, Any]:
    index, largest = found.largest
    entry: dict[str, Any] = {
        "title": named.title,
        "chi_square_reduced": found.chi_square_reduced,
        "largest_residual": {"pattern": int(found.numbers[index]), "normalised": largest},
        **spc_diagnostics.time_entry(found),
        **cut_off(named.image),
    }
    if truth is not None:
        entry |= score(named.image, truth)._asdict()
    return {**entry, "normalised_residuals": rounded(found.normalised)}


def _caption(entry: dict[str, Any]) -> str:
    psnr = f"{shown(entry['psnr_db'], '.2f')} dB, " if "psnr_db" in entry else ""
    return f"{psnr}chi²/K {entry['chi_square_reduced']:.2g}"


def _row(named: NamedImage, entry: dict[str, Any], held: HeldOut | None) -> tuple[str, ...]:
    largest = entry["largest_residual"]
    return (
        named.title,
        f"{entry['chi_square_reduced']:.2g}",
        shown(None if held is None else held.relative, ".1%"),
        f"{largest['normalised']:+.1f} (pattern {largest['pattern']})",
        f"{entry['minimum']:.2f} .. {entry['maximum']:.2f}",
        shown(entry.get("psnr_db"), ".2f"),
        shown(entry.get("ssim"), ".3f"),
        shown(entry.get("correlation"), ".3f"),
    )
