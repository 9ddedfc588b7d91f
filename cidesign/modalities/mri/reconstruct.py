"""Raw k-space of the designed lines, or of all lines to sample them from, with a calibration: images and scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.mri.kspace import NO_REFERENCE, RawKspace, Samples, centred_ifft, require_design
from cidesign.calibration.mri.phantom import as_acquired
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.record import (
    StoredKspaceCalibration,
    read_kspace_calibration,
    require_fitting_kspace,
    verify_capture,
)
from cidesign.calibration.orientation import Orientation
from cidesign.calibration.verify import Judgement, require_passed
from cidesign.modalities.mri.diagnostics import Diagnosis, diagnose, redrawn
from cidesign.modalities.mri.fixed_designs import centre_lines, variable_density_lines
from cidesign.modalities.mri.panels import METHODS, Result, comparison, images_of
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.pattern import Trajectory
from cidesign.reconstruct.outcome import Outcome, shown
from cidesign.reconstruct.uncertainty import Image, deviation_of, error_over
from cidesign.records import now_utc

SCHEMA_VERSION = 1
UNITS = "magnitude as root of the sum of squares over the coils; 1 is the brightest pixel of the object"
HEADER = ("lines", "reconstruction", "PSNR dB", "SSIM", "HFEN dB", "residual", "chi2")
# Of the powers 2, 4 and 8 tried on phantoms, the one whose reconstructions came nearest.
DENSITY_POWER = 4.0
DENSITY_SEED = 0
# Without a reference, pictures are scaled to this percentile of the conjugate-gradient image.
DISPLAY_PERCENTILE = 99.9
# Outside this range of energies the student sees images unlike those it was trained on.
ENERGY_RATIO = (0.25, 4.0)
MEANING = (
    "residual: |A x - y| / |y| over the lines measured; chi2: its square over that of the noise, about 1 where an "
    "image explains the readings, which proves nothing about the lines that were not measured"
)


def reconstruct_kspace(
    run: MriRun,
    capture: Path,
    calibration: Path,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    accept_failed: bool = False,
    *,
    measurement: str | None = None,
    encoding: int | None = None,
) -> Outcome:
    """Reconstruct a capture with the student's decoder and baselines.

    A capture of the designed lines is reconstructed as it is, and scored only against the truth of a simulation.  From
    a fully sampled one the lines of the design, a centre block and variable-density lines are taken, and scored
    against its own full reconstruction.  Raises `FileError` for captures and calibrations that do not fit, and
    `LimitError` for a calibration that failed, or that the capture's own noise, phantom or lines contradict, unless
    `accept_failed`.
    """
    design = run.design
    raw = read_kspace(capture, slice_index, matrix_lines, measurement, encoding)
    use = require_design(raw, design)
    stored = read_kspace_calibration(calibration)
    notes = require_fitting_kspace(stored, raw, design)
    notes += require_passed(stored.path, stored.record.verification, accept_failed)
    again = verify_capture(stored, raw, design)
    notes += [note for note in require_passed(raw.path, again, accept_failed) if note not in notes]
    corrected = stored.calibration.corrections.apply(raw)
    require_design(corrected, design)
    above = stored.calibration.corrections.offset_lines
    if above and use == "retrospective":
        notes.append(f"all lines are moved by {-above:+d}: the centre of k-space was calibrated off the middle one")
    sets = {"student": design}
    if use == "retrospective":
        sets = line_sets(design)
        notes += _only_measured(sets, corrected)
    reference, of_what = _reference(raw, stored, use)
    results, scatter, system_notes = _results(run, raw, stored, sets)
    notes += [*stored.calibration.notes, *system_notes, MEANING]
    if use == "retrospective":
        notes.append(
            "lines were taken out of a fully sampled capture: contrast and motion of a real scan of these lines differ"
        )
    if reference is None:
        notes.append(NO_REFERENCE)
    elif raw.truth is None and not raw.complete:
        notes.append(f"{raw.padding_note()}: the reference is the zero-filled image of these lines")
    peak, mask = _scale(reference, results)
    if reference is not None and raw.truth is None:
        part = stored.calibration.noise_deviation / peak
        notes.append(
            f"the full reconstruction is itself noisy ({part:.3f} of its brightest pixel): an image without that noise "
            f"scores about {-20 * np.log10(part):.1f} dB at best"
        )
    entries = _entries(results, reference, mask)
    # A scan's own full reconstruction shares the noise of the lines, so only a truth shows the error.
    truth = None if raw.truth is None else reference
    found = _diagnosis(results, scatter, stored.calibration.orientation, peak, truth, mask)
    notes += found.notes
    outcome = _outcome(run, raw, stored, use, results, reference, of_what, peak, entries, notes)
    checked = {
        "calibration": stored.record.verification.model_dump(mode="json"),
        "capture": again.model_dump(mode="json"),
    }
    held = {"unexplained": again.score, "meaning": again.score_meaning}
    judgement = Judgement(stored.record.verification, again, same=stored.record.capture_sha256 == raw.digest)
    record = {**outcome.record, **found.entries, **judgement.entry, "verification": checked, "held_back": held}
    return replace(outcome, record=record, maps=found.maps, judgement=judgement)


def line_sets(design: Trajectory) -> dict[str, Trajectory]:
    """The design and fixed sets of as many lines: a centre block (low-pass) and a variable density."""
    from cidesign.constraints.kspace import LineBudget

    rule = LineBudget(design.lines, len(design.acquired), design.calibration_lines)

    def like(lines: NDArray[np.int64]) -> Trajectory:
        return Trajectory(
            design.lines, design.readout, lines, design.calibration_lines, design.profile_id, design.profile_digest
        )

    return {
        "student": design,
        "centre block": like(centre_lines(rule)),
        "variable density": like(variable_density_lines(rule, DENSITY_SEED, DENSITY_POWER)),
    }


def full_reconstruction(k: Samples) -> NDArray[np.float32]:
    """Root of the sum of squares (N, n) of the coils' images of full k-space (coils, N, n)."""
    return np.asarray(np.sqrt((np.abs(centred_ifft(k, (-2, -1))) ** 2).sum(axis=0)), dtype=np.float32)


def _only_measured(sets: dict[str, Trajectory], raw: RawKspace) -> list[str]:
    """Take lines that a padded scan did not measure out of the fixed sets, and say so."""
    notes = []
    for name, one in sets.items():
        kept = np.intersect1d(one.acquired, raw.lines)
        if len(kept) < len(one.acquired):
            sets[name] = replace(one, acquired=kept)
            notes.append(f"{name}: {len(kept)} lines, as the other {len(one.acquired) - len(kept)} were not measured")
    return notes


def _reference(raw: RawKspace, stored: StoredKspaceCalibration, use: str) -> tuple[NDArray[np.float32] | None, str]:
    """The magnitude to compare with, as it was scanned, in units of the training images, and what it is."""
    calibration = stored.calibration
    if raw.truth is not None and raw.gain is not None:
        truth = np.abs(raw.truth) * raw.gain * calibration.scale
        if stored.record.orientation_shown:
            truth = as_acquired(truth, *vars(calibration.orientation).values())
        return truth.astype(np.float32), "truth (simulated)"
    if raw.complete:
        return full_reconstruction(calibration.coil_kspace(raw)), "own full reconstruction"
    if use == "retrospective":
        what = f"own zero-filled reconstruction of {len(raw.lines)} lines"
        return full_reconstruction(calibration.coil_kspace(raw)), what
    return None, ""


def _results(
    run: MriRun, raw: RawKspace, stored: StoredKspaceCalibration, sets: dict[str, Trajectory]
) -> tuple[list[Result], Image, list[str]]:
    """All images, the scatter (N, n) of the student's magnitude with its own lines, and notes."""
    from cidesign.modalities.mri.solve import prior_power, reconstructions, student_magnitudes
    from cidesign.reconstruct.fine_tuned import load_decoder_for

    calibration = stored.calibration
    system, notes = load_decoder_for(run, stored.path)
    k = calibration.measurements(raw)
    results = [
        Result(lines, name, np.abs(image).astype(np.float32), residual, design)
        for lines, design in sets.items()
        for name, (image, residual) in reconstructions(system, k, design, calibration).items()
    ]
    scans = redrawn(k, calibration.noise_deviation)
    scatter = deviation_of(student_magnitudes(system, scans, run.design, calibration))
    if raw.coils != run.settings.coils:
        notes.append(
            f"the student was trained with {run.settings.coils} simulated coil(s), the capture has {raw.coils}: its "
            "decoder is given the measured operator of all of them"
        )
    power = float((np.abs(results[0].magnitude) ** 2).mean()) / prior_power(system)
    if not ENERGY_RATIO[0] <= power <= ENERGY_RATIO[1]:
        notes.append(
            f"the image has {power:.2g} times the energy of the student's training images; it may be less accurate"
        )
    ratio = calibration.noise_deviation / run.settings.noise
    notes.append(
        f"noise is {ratio:.2g} times that of the training ({calibration.noise_deviation:.3g} of a full scale of 1)"
    )
    return results, scatter, notes


def _diagnosis(
    results: list[Result],
    scatter: Image,
    turn: Orientation,
    peak: float,
    truth: Image | None,
    mask: NDArray[np.bool_] | None,
) -> Diagnosis:
    """What the maps of the student's lines say, as the pictures are turned and scaled; the truth as it was scanned."""
    magnitudes = {result.method: result.magnitude for result in results if result.lines == "student"}
    over = None
    if truth is not None and mask is not None:
        # Without maps there is no image, and nothing that scatters.
        seen = mask & (scatter > 0)
        over = error_over((magnitudes["student"] - truth)[seen], scatter[seen])
    student, baseline, turned = (
        turn.apply(image / np.float32(peak)) for image in (magnitudes["student"], magnitudes["cg_sense"], scatter)
    )
    return diagnose(student, baseline, turned, over)


def _scale(reference: NDArray[np.float32] | None, results: list[Result]) -> tuple[float, NDArray[np.bool_] | None]:
    """What pictures are divided by, and the object."""
    if reference is None:
        smooth = next(result.magnitude for result in results if result.method == "cg_sense")
        return float(np.percentile(smooth, DISPLAY_PERCENTILE)), None
    mask = object_mask(reference)
    return float(reference[mask].max()), mask


def _entries(
    results: list[Result], reference: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None
) -> list[dict[str, Any]]:
    entries = []
    for result in results:
        entry: dict[str, Any] = {
            "lines": result.lines,
            "reconstruction": result.method,
            "residual": result.residual.relative,
            "chi_square_reduced": result.residual.chi_square,
        }
        if reference is not None and mask is not None:
            entry |= score_mri(result.magnitude, reference, mask)._asdict()
        entries.append(entry)
    return entries


def _outcome(
    run: MriRun,
    raw: RawKspace,
    stored: StoredKspaceCalibration,
    use: str,
    results: list[Result],
    reference: NDArray[np.float32] | None,
    of_what: str,
    peak: float,
    entries: list[dict[str, Any]],
    notes: list[str],
) -> Outcome:
    design, turn = run.design, stored.calibration.orientation
    oriented = [result._replace(magnitude=turn.apply(result.magnitude / np.float32(peak))) for result in results]
    shown_reference = None if reference is None else turn.apply(reference / np.float32(peak))
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": "mri",
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": str(run.path),
        "design_digest": design.design_digest,
        "capture": str(raw.path),
        "capture_source": raw.source,
        "simulated": raw.truth is not None,
        "sampling": use,
        "reference": of_what or None,
        "calibration": str(stored.path),
        "units": UNITS,
        "acquired_lines": len(design.acquired),
        "acceleration": design.acceleration,
        "coils": raw.coils,
        "orientation": vars(turn),
        "notes": notes,
        "images": entries,
    }
    captions = [_caption(entry) for entry in entries]
    panels, columns = comparison(oriented, shown_reference, of_what, captions)
    return Outcome(
        images=images_of(oriented, shown_reference, of_what),
        panels=panels,
        columns=columns,
        heading=f"{len(design.acquired)} of {design.lines} lines (R = {design.acceleration:.3g}), {raw.coils} coil(s), "
        f"{use}; grey: 0 to 1, {UNITS.split(';')[0]}",
        record=record,
        rows=[_row(entry) for entry in entries],
        header=HEADER,
        remarks=notes,
    )


def _caption(entry: dict[str, Any]) -> str:
    if "psnr_db" not in entry:
        return f"chi² {entry['chi_square_reduced']:.2f}"
    return (
        f"{shown(entry['psnr_db'], '.2f')} dB, HFEN {entry['hfen_db']:.1f} dB, chi² {entry['chi_square_reduced']:.2f}"
    )


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["lines"],
        METHODS[entry["reconstruction"]],
        shown(entry.get("psnr_db"), ".2f"),
        shown(entry.get("ssim"), ".3f"),
        shown(entry.get("hfen_db"), ".2f"),
        f"{entry['residual']:.4f}",
        f"{entry['chi_square_reduced']:.2f}",
    )
