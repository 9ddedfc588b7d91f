"""Raw k-space of the designed lines, or of all lines to sample them from, with a calibration: images and scores."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import NO_REFERENCE, RawKspace, Samples, Use, centred_ifft, require_design
from cidesign.calibration.mri.phantom import as_acquired
from cidesign.calibration.mri.record import StoredKspaceCalibration
from cidesign.checks import Check
from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.mri import solve
from cidesign.modalities.mri.diagnostics import DRAWS, Diagnosis, diagnose, redrawn
from cidesign.modalities.mri.fixed_designs import DENSITY_POWER, centre_lines, variable_density_lines
from cidesign.modalities.mri.lines_words import lines_words
from cidesign.modalities.mri.panels import METHODS, Result, comparison, images_of
from cidesign.modalities.mri.record import HeldOut, LinesEntry, MriRecord, ScoredEntry, Verifications
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianLines
from cidesign.reconstruct.outcome import COMPARISON, draw_panels, shown
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.uncertainty import Image, deviation_of, error_over, followed

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

UNITS = "magnitude as root of the sum of squares over the coils; 1 is the brightest pixel of the object"
HEADER = ("lines", "reconstruction", "PSNR dB", "SSIM", "HFEN dB", "residual", "chi2")
# What the lines of a run are called: learnt, or given.
OWN_LINES, GIVEN_LINES = "student", "design"
# Without a reference, pictures are scaled to this percentile of the conjugate-gradient image.
DISPLAY_PERCENTILE = 99.9
# Outside this range of energies the student sees images unlike those it was trained on.
ENERGY_RATIO = (0.25, 4.0)
MEANING = (
    "residual: |A x - y| / |y| over the samples measured; chi2: its square over that of the noise, about 1 where an "
    "image explains the readings, which proves nothing about those that were not measured"
)

KspaceScene = Scene[MriRun, RawKspace, StoredKspaceCalibration, Samples]


@dataclass(frozen=True)
class Solved:
    """All images, and the scatter (N, n) of the student's magnitude with its own lines; `notes` on the lines."""

    results: list[Result]
    scatter: Image
    use: Use
    notes: list[str]


class MriReconstructor(Reconstructor[MriRun, RawKspace, StoredKspaceCalibration, Samples, Solved]):
    """The student's decoder, zero-filled, CG-SENSE and total variation.

    A capture of the designed lines is reconstructed as it is, and scored only against the truth of a simulation.  From
    a fully sampled one the lines of the design, a centre block and variable-density lines are taken, and scored
    against its own full reconstruction.
    """

    record = MriRecord

    def __init__(self, of_stack: bool = False) -> None:
        """`of_stack`: the slice is one of several, whose place is that of the stack."""
        self.of_stack = of_stack

    def solve(self, scene: KspaceScene, system: "ImagingSystem") -> tuple[Solved, list[Check]]:
        """All images of all sets of lines."""
        design, calibration, k = scene.run.design, scene.calibration.calibration, scene.measured
        corrected = calibration.corrections.apply(scene.capture)
        use, notes = require_design(scene.capture, design), list[str]()
        above = calibration.corrections.offset_lines
        if above and use == "retrospective":
            notes.append(f"all lines are moved by {-above:+d}: the centre of k-space was calibrated off the middle one")
        own = OWN_LINES if scene.run.settings.design is None else GIVEN_LINES
        sets = {own: design}
        if use == "retrospective":
            sets = line_sets(design, own, scene.run.settings.seed)
            notes += _only_measured(sets, corrected)
        results = [
            Result(lines, name, np.abs(image).astype(np.float32), residual, one, lines == own)
            for lines, one in sets.items()
            for name, (image, residual) in solve.reconstructions(system, k, one, calibration).items()
        ]
        scans = redrawn(k, calibration.noise_deviation)
        scatter = deviation_of(followed(solve.student_magnitudes(system, scans, design, calibration), DRAWS))
        return Solved(results, scatter, use, notes), []

    def diagnose(self, scene: KspaceScene, system: "ImagingSystem", solved: Solved) -> Findings:
        """Scores against a reference, disagreement and scatter."""
        raw, stored, results, use = scene.capture, scene.calibration, solved.results, solved.use
        orientation = stored.calibration.orientation
        reference, of_what = _reference(raw, stored, use)
        peak, mask = _scale(reference, results)
        entries = _entries(results, reference, mask)
        # A scan's own full reconstruction shares the noise of the lines, so only a truth shows the error.
        truth = None if raw.truth is None else reference
        found = _diagnosis(results, system.decoder.column, solved.scatter, orientation, peak, truth, mask)
        notes = [*solved.notes, *_training_notes(scene, system, results), MEANING]
        learnt = scene.run.settings.design is None
        own, known = (OWN_LINES, scene.run.known_as) if learnt else (GIVEN_LINES, None)
        notes += lines_words(entries, own, known)
        notes += [*_reference_notes(scene, use, reference, peak), *found.notes]
        oriented = [
            result._replace(magnitude=orientation.apply(result.magnitude / np.float32(peak))) for result in results
        ]
        shown_reference = None if reference is None else orientation.apply(reference / np.float32(peak))
        panels, columns = comparison(oriented, shown_reference, of_what, [_caption(entry) for entry in entries])
        heading = _heading(scene, use)
        affine, virtual = _affine(raw, orientation), stored.calibration.virtual
        if affine is None and not self.of_stack:
            notes.append("the NIfTI files hold no place in the patient: the capture does not say it, or it is turned")
        return Findings(
            leaves=images_of(oriented, shown_reference, of_what, affine),
            heading=heading,
            rows=[_row(entry) for entry in entries],
            header=HEADER,
            entries=_record(scene, use, of_what)
            | {"images": entries, "full_scale": peak / stored.calibration.scale}
            | ({} if virtual is None else {"virtual_coils": len(virtual.matrix)})
            | found.trust.entries,
            notes=notes,
            pictures={COMPARISON: lambda: draw_panels(panels, columns, heading, found.maps)},
            map_leaves=found.maps,
        )


def _affine(raw: RawKspace, orientation: Orientation) -> NDArray[np.float64] | None:
    """From pixels of the oriented images to the patient; with rows and columns exchanged no direction is known."""
    if raw.place is None or orientation.transpose:
        return None
    flips = orientation.flip_vertical, orientation.flip_horizontal
    return raw.place.affine(raw.matrix_lines, raw.k.shape[2], *flips)


def _heading(scene: KspaceScene, use: Use) -> str:
    design = scene.run.design
    return (
        f"{len(design.acquired)} of {design.lines} lines (R = {design.acceleration:.3g}), {scene.capture.coils} "
        f"coil(s), {use}; grey: 0 to 1, {UNITS.split(';')[0]}"
    )


def _record(scene: KspaceScene, use: Use, of_what: str) -> dict[str, object]:
    """What the record says of the capture, its lines, and what it was checked against."""
    design, raw, stored = scene.run.design, scene.capture, scene.calibration
    checked = scene.verification
    return {
        "capture_source": raw.source,
        "simulated": raw.truth is not None,
        "sampling": use,
        "reference": of_what or None,
        "units": UNITS,
        "acquired_lines": len(design.acquired),
        "acceleration": design.acceleration,
        "coils": raw.coils,
        "orientation": vars(stored.calibration.orientation),
        "verification": Verifications(calibration=stored.verification, capture=checked),
        "held_out": HeldOut(relative_residual=checked.score, meaning=checked.score_meaning),
    }


def _training_notes(scene: KspaceScene, system: "ImagingSystem", results: list[Result]) -> list[str]:
    """Where the scan differs from what the student was trained on."""
    settings, calibration, notes = scene.run.settings, scene.calibration.calibration, list[str]()
    if scene.capture.coils != settings.coils and system.decoder.learns:
        notes.append(
            f"the student was trained with {settings.coils} simulated coil(s), the capture has {scene.capture.coils}: "
            "its decoder is given the measured operator of all of them"
        )
    power = float((np.abs(results[0].magnitude) ** 2).mean()) / solve.prior_power(system)
    if not ENERGY_RATIO[0] <= power <= ENERGY_RATIO[1]:
        notes.append(
            f"the image has {power:.2g} times the energy of the images that the {METHODS[system.decoder.column]} was "
            "made for; it may be less accurate"
        )
    ratio = calibration.noise_deviation / settings.noise
    if system.decoder.learns:
        notes.append(
            f"noise is {ratio:.2g} times that of the training ({calibration.noise_deviation:.3g} of a full scale of 1)"
        )
    return notes


def _reference_notes(scene: KspaceScene, use: Use, reference: Image | None, peak: float) -> list[str]:
    """What the reference is worth."""
    raw, notes = scene.capture, list[str]()
    if use == "retrospective":
        notes.append(
            "lines were taken out of a fully sampled capture: contrast and motion of a real scan of these lines differ"
        )
    if reference is None:
        notes.append(NO_REFERENCE)
    elif raw.truth is None and not raw.complete:
        notes.append(f"{raw.padding_note()}: the reference is the zero-filled image of these lines")
    if reference is not None and raw.truth is None:
        part = scene.calibration.calibration.noise_deviation / peak
        notes.append(
            f"the full reconstruction is itself noisy ({part:.3f} of its brightest pixel): an image without that noise "
            f"scores about {-20 * np.log10(part):.1f} dB at best"
        )
    return notes


def line_sets(design: CartesianLines, own: str = OWN_LINES, seed: int = 0) -> dict[str, CartesianLines]:
    """The design and the fixed sets of as many lines that `evaluate` has too: a centre block and a variable density."""
    rule = LineBudget(design.lines, len(design.acquired), design.calibration_lines)

    def like(lines: NDArray[np.int64]) -> CartesianLines:
        return CartesianLines(
            design.lines, design.readout, lines, design.calibration_lines, design.profile_id, design.profile_digest
        )

    return {
        own: design,
        "centre block": like(centre_lines(rule)),
        "variable density": like(variable_density_lines(rule, seed, DENSITY_POWER)),
    }


def full_reconstruction(k: Samples) -> NDArray[np.float32]:
    """Root of the sum of squares (N, n) of the coils' images of full k-space (coils, N, n)."""
    return np.asarray(np.sqrt((np.abs(centred_ifft(k, (-2, -1))) ** 2).sum(axis=0)), dtype=np.float32)


def _only_measured(sets: dict[str, CartesianLines], raw: RawKspace) -> list[str]:
    """Take lines that a padded scan did not measure out of the fixed sets, and say so."""
    notes = []
    for name, one in sets.items():
        kept = np.intersect1d(one.acquired, raw.lines)
        if len(kept) < len(one.acquired):
            sets[name] = replace(one, acquired=kept)
            notes.append(f"{name}: {len(kept)} lines, as the other {len(one.acquired) - len(kept)} were not measured")
    return notes


def _reference(raw: RawKspace, stored: StoredKspaceCalibration, use: Use) -> tuple[NDArray[np.float32] | None, str]:
    """The magnitude to compare with, as it was scanned, in units of the training images, and what it is."""
    calibration = stored.calibration
    if raw.truth is not None and raw.gain is not None:
        truth = np.abs(raw.truth) * raw.gain * calibration.scale
        if stored.record.orientation_shown:
            truth = as_acquired(truth, calibration.orientation)
        return truth.astype(np.float32), "truth (simulated)"
    if raw.complete:
        return full_reconstruction(calibration.coil_kspace(raw)), "own full reconstruction"
    if use == "retrospective":
        what = f"own zero-filled reconstruction of {len(raw.lines)} lines"
        return full_reconstruction(calibration.coil_kspace(raw)), what
    return None, ""


def _diagnosis(
    results: list[Result],
    column: str,
    scatter: Image,
    orientation: Orientation,
    peak: float,
    truth: Image | None,
    mask: NDArray[np.bool_] | None,
) -> Diagnosis:
    """What the maps of the student's lines say, as the pictures are turned and scaled; the truth as it was scanned."""
    magnitudes = {result.method: result.magnitude for result in results if result.own}
    decoded = magnitudes[column]
    over = None
    if truth is not None and mask is not None:
        # Without maps there is no image, and nothing that scatters.
        seen = mask & (scatter > 0)
        over = error_over((decoded - truth)[seen], scatter[seen])
    student, baseline, turned = (
        orientation.apply(image / np.float32(peak)) for image in (decoded, magnitudes["cg_sense"], scatter)
    )
    return diagnose(student, baseline, turned, over, METHODS[column])


def _scale(reference: NDArray[np.float32] | None, results: list[Result]) -> tuple[float, NDArray[np.bool_] | None]:
    """What pictures are divided by, and the object."""
    if reference is None:
        smooth = next(result.magnitude for result in results if result.method == "cg_sense")
        return float(np.percentile(smooth, DISPLAY_PERCENTILE)), None
    mask = object_mask(reference)
    return float(reference[mask].max()), mask


def _entries(
    results: list[Result], reference: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None
) -> list[LinesEntry]:
    return [
        LinesEntry(
            lines=result.lines,
            reconstruction=result.method,
            residual=result.residual.relative,
            chi_square_reduced=result.residual.chi_square,
            **({} if reference is None or mask is None else score_mri(result.magnitude, reference, mask)._asdict()),
        )
        for result in results
    ]


def _caption(entry: LinesEntry) -> str:
    chi_square = f"chi² {entry.chi_square_reduced:.2f}"
    if "psnr_db" not in entry.model_fields_set:
        return chi_square
    return f"{shown(entry.psnr_db, '.2f')} dB, HFEN {shown(entry.hfen_db, '.1f')} dB, {chi_square}"


def _row(entry: LinesEntry) -> tuple[str, ...]:
    return entry.lines, METHODS[entry.reconstruction], *figures_of(entry)


def figures_of(entry: ScoredEntry) -> tuple[str, ...]:
    """PSNR / dB, SSIM, HFEN / dB, residual and chi-square, for a row of a table."""
    return (
        shown(entry.psnr_db, ".2f"),
        shown(entry.ssim, ".3f"),
        shown(entry.hfen_db, ".2f"),
        f"{entry.residual:.4f}",
        f"{entry.chi_square_reduced:.2f}",
    )
