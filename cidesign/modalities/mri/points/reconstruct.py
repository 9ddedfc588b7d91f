"""Raw data of a 3-D scan with a calibration: after the readout's transform, slice by slice, volumes and scores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign import progress
from cidesign.calibration.mri.kspace import NO_REFERENCE, Samples, Use, centred_ifft
from cidesign.calibration.mri.points.record import StoredPointsCalibration
from cidesign.calibration.mri.points.volume import RawVolume, require_points
from cidesign.checks import Check
from cidesign.modalities.mri import solve
from cidesign.modalities.mri.diagnostics import DRAWS, MAPS, redrawn
from cidesign.modalities.mri.panels import METHODS
from cidesign.modalities.mri.points.fixed_designs import fixed_designs
from cidesign.modalities.mri.points.record import PointsEntry, PointsReconstructionRecord
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.reconstruct import GIVEN_LINES, MEANING, OWN_LINES, figures_of
from cidesign.modalities.mri.record import HeldOut, Verifications
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.modalities.mri.stack import NamedMaps, NamedStack
from cidesign.pattern import CartesianPoints
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, NamedMap, draw_panels, shown
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.record import Disagreement, Trust, Uncertainty
from cidesign.reconstruct.uncertainty import deviation_of, disagreement, error_over

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

UNITS = "magnitude as root of the sum of squares over the coils; 1 is the brightest voxel of the object"
HEADER = ("points", "reconstruction", "PSNR dB", "SSIM", "HFEN dB", "residual", "chi2")
# Without a reference, pictures are scaled to this percentile of the conjugate-gradient volume.
DISPLAY_PERCENTILE = 99.9
# Slices that are darker than this part of the brightest one are not scored: there is nothing to see.
SCORED_PART = 0.1
# Beside the run's own points, those of this fixed design are taken out of a full scan.
COMPARED_WITH = "Poisson disc"

Volume = NDArray[np.float32]
VolumeScene = Scene[PointsRun, RawVolume, StoredPointsCalibration, Samples]


class Result(NamedTuple):
    """Magnitudes (n, N, M) of `method` from a set of points; the residuals are those of all slices together."""

    points: str
    method: str
    magnitude: Volume
    residual: solve.Residual
    own: bool


@dataclass(frozen=True)
class SolvedVolume:
    """All volumes, and the scatter (n, N, M) of the student's magnitude with its own points."""

    results: list[Result]
    scatter: Volume
    use: Use


class PointsReconstructor(Reconstructor[PointsRun, RawVolume, StoredPointsCalibration, Samples, SolvedVolume]):
    """The student's decoder, zero-filled, CG-SENSE and total variation, of every slice.

    A capture of the designed points is reconstructed as it is.  From a fully sampled one the points of the design and
    of a Poisson disc are taken, and scored against its own full reconstruction.
    """

    record = PointsReconstructionRecord

    def solve(self, scene: VolumeScene, system: "ImagingSystem") -> tuple[SolvedVolume, list[Check]]:
        """All volumes of all sets of points."""
        run, slices, calibration = scene.run, scene.measured, scene.calibration.calibration
        use = require_points(scene.capture, run.design)
        own = OWN_LINES if run.settings.design is None else GIVEN_LINES
        sets: dict[str, CartesianPoints] = {own: run.design}
        if use == "retrospective":
            sets |= {
                name: one
                for name, one in fixed_designs(run.settings, run.profile).items()
                if name == COMPARED_WITH and isinstance(one, CartesianPoints)
            }
        results: list[Result] = []
        for name, design in sets.items():
            found = [
                solve.reconstructions(system, k, design, calibration.slice(number))
                for number, k in enumerate(progress.steps("slices", slices))
            ]
            for method in found[0]:
                magnitude = np.abs(np.stack([one[method][0] for one in found])).astype(np.float32)
                residual = _together([one[method][1] for one in found], slices, design)
                results.append(Result(name, method, magnitude, residual, name == own))
        scatter = np.stack(
            [
                deviation_of(
                    solve.student_magnitudes(
                        system, redrawn(k, calibration.noise_deviation), run.design, calibration.slice(number)
                    )
                )
                for number, k in enumerate(progress.steps("scatter of the slices", slices))
            ]
        )
        return SolvedVolume(results, scatter, use), []

    def diagnose(self, scene: VolumeScene, system: "ImagingSystem", solved: SolvedVolume) -> Findings:
        """Scores against a reference, disagreement and scatter."""
        raw, stored, results = scene.capture, scene.calibration, solved.results
        reference, of_what = _reference(raw, stored)
        own = {result.method: result.magnitude for result in results if result.own}
        peak = float(np.percentile(own["cg_sense"], DISPLAY_PERCENTILE) if reference is None else reference.max())
        scored = [] if reference is None else _scored(reference)
        entries = [_entry(result, reference, scored) for result in results]
        column = system.decoder.column
        truth = reference if raw.truth is not None else None
        maps, trust, said = _trust(own[column], own["cg_sense"], solved.scatter, peak, truth, METHODS[column])
        notes = [*_notes(scene, system, solved, reference, scored), MEANING, *said]
        heading = _heading(scene, solved.use)
        virtual = stored.calibration.virtual
        leaves = [] if reference is None else [_stack("reference", reference, peak)]
        for result in results:
            stem = result.method if result.own else f"{result.points.replace(' ', '_')}_{result.method}"
            leaves.append(_stack(stem, result.magnitude, peak))
        middle = raw.samples // 2
        panels, columns = _panels(results, reference, of_what, peak, middle, entries)
        return Findings(
            leaves=leaves,
            heading=heading,
            rows=[_row(entry) for entry in entries],
            header=HEADER,
            entries={
                "capture_source": raw.readouts.source,
                "simulated": raw.truth is not None,
                "sampling": solved.use,
                "reference": of_what or None,
                "units": UNITS,
                "slices": raw.samples,
                "acquired_points": len(scene.run.design.acquired),
                "acceleration": scene.run.design.acceleration,
                "coils": raw.coils,
                "verification": Verifications(calibration=stored.verification, capture=scene.verification),
                "held_out": HeldOut(
                    relative_residual=scene.verification.score, meaning=scene.verification.score_meaning
                ),
                "images": entries,
                "full_scale": peak / stored.calibration.scale,
                **({} if virtual is None else {"virtual_coils": len(virtual.matrix)}),
                **trust.entries,
            },
            notes=notes,
            pictures={
                COMPARISON: lambda: draw_panels(panels, columns, f"{heading}; slice {middle} of {raw.samples}", [])
            },
            map_leaves=maps,
        )


def _together(parts: list[solve.Residual], slices: Samples, design: CartesianPoints) -> solve.Residual:
    """The residual of all slices: energies add, and chi-squares are means over slices of as many samples."""
    total = np.array([(np.abs(k[:, design.mask == 1]) ** 2).sum() for k in slices], dtype=np.float64)
    left = sum(part.relative**2 * energy for part, energy in zip(parts, total.tolist(), strict=True) if energy > 0)
    return solve.Residual(
        float((left / max(float(total.sum()), 1e-30)) ** 0.5), float(np.mean([part.chi_square for part in parts]))
    )


def _reference(raw: RawVolume, stored: StoredPointsCalibration) -> tuple[Volume | None, str]:
    """The magnitude to compare with, in units of the training images, and what it is."""
    calibration = stored.calibration
    if raw.truth is not None and raw.readouts.gain is not None:
        magnitude = np.abs(raw.truth) * raw.readouts.gain * calibration.scale
        return magnitude.astype(np.float32), "truth (simulated)"
    if raw.complete:
        images = centred_ifft(calibration.coil_slices(raw), (-2, -1))
        return np.sqrt((np.abs(images) ** 2).sum(axis=1)).astype(np.float32), "own full reconstruction"
    return None, ""


def _scored(reference: Volume) -> list[int]:
    """The slices with something to see."""
    peaks = reference.max(axis=(1, 2))
    return [int(number) for number in np.flatnonzero(peaks > SCORED_PART * peaks.max())]


def _entry(result: Result, reference: Volume | None, scored: list[int]) -> PointsEntry:
    values: dict[str, float] = {}
    if reference is not None:
        scores = [
            score_mri(result.magnitude[number], reference[number], object_mask(reference[number]))._asdict()
            for number in scored
        ]
        for name in ("psnr_db", "ssim", "hfen_db"):
            known = [score[name] for score in scores if score[name] is not None]
            if known:
                values[name] = float(np.mean(known))
    return PointsEntry(
        points=result.points,
        reconstruction=result.method,
        residual=result.residual.relative,
        chi_square_reduced=result.residual.chi_square,
        **values,
    )


def _trust(
    student: Volume, baseline: Volume, scatter: Volume, peak: float, truth: Volume | None, who: str
) -> tuple[list[NamedMaps], Trust, list[str]]:
    """Maps of disagreement and scatter, their numbers, and what they say."""
    apart = disagreement(student / np.float32(peak), baseline / np.float32(peak))
    number, row, column = apart.place
    turned = scatter / np.float32(peak)
    rms = float(np.sqrt(np.mean(turned.astype(np.float64) ** 2)))
    over = None
    if truth is not None and (scatter > 0).any():
        seen = (scatter > 0) & (truth > SCORED_PART * truth.max())
        over = error_over((student - truth)[seen], scatter[seen])
    images = {"disagreement": apart.difference, "uncertainty": turned}
    captions = {"disagreement": f"r.m.s. {apart.rms:.3f}", "uncertainty": f"r.m.s. {rms:.4f}"}
    maps = [
        NamedMaps(
            NamedMap(
                name,
                title.format(who=who),
                images[name][number],
                text.format(who=who, what="points"),
                captions[name],
                signed=name == "disagreement",
            ),
            images[name],
        )
        for name, (title, text) in MAPS.items()
    ]
    trust = Trust(
        Disagreement(baseline="CG-SENSE", rms=apart.rms, row=row, column=column, largest=apart.largest),
        Uncertainty(draws=DRAWS, student_rms=rms),
        {name: text.format(who=who, what="points") for name, (_, text) in MAPS.items()},
        None if over is None else {"student": over},
    )
    known = "" if over is None else f"; the true error of this simulated scan is {over:.1f} times the scatter"
    return (
        maps,
        trust,
        [
            f"the {who} and CG-SENSE differ by {apart.rms:.3f} (root mean square; 1 is the brightest voxel), most in "
            f"slice {number}, at line {row} and partition {column} (counted from 0), by {apart.largest:+.3f}: detail "
            "there is not given by the readings alone; treat it with care",
            f"uncertainty: noise alone makes the {who} scatter by {rms:.4f} (root mean square, {DRAWS} draws of the "
            "receiver's noise). This holds neither what the points cannot see nor errors of the coil maps, so the "
            f"error is larger{known}",
        ],
    )


def _notes(
    scene: VolumeScene, system: "ImagingSystem", solved: SolvedVolume, reference: Volume | None, scored: list[int]
) -> list[str]:
    raw, settings, calibration = scene.capture, scene.run.settings, scene.calibration.calibration
    notes = [
        f"slices are the {raw.samples} positions along the readout; rows are lines (ky), columns partitions (kz); one "
        "scale for all of them, so darker slices are noisier than those of the training"
    ]
    if solved.use == "retrospective":
        notes.append(
            "points were taken out of a fully sampled capture: contrast and motion of a real scan of these differ"
        )
    if reference is None:
        notes.append(NO_REFERENCE)
    else:
        notes.append(f"scores are means over the {len(scored)} slices that are brighter than a tenth of the brightest")
    if raw.coils != settings.coils and system.decoder.learns:
        notes.append(
            f"the student was trained with {settings.coils} simulated coil(s), the capture has {raw.coils}: its "
            "decoder is given the measured operator of all of them"
        )
    if system.decoder.learns:
        ratio = calibration.noise_deviation / settings.noise
        notes.append(
            f"noise is {ratio:.2g} times that of the training ({calibration.noise_deviation:.3g} of a full scale of 1)"
        )
    return notes


def _heading(scene: VolumeScene, use: Use) -> str:
    design = scene.run.design
    return (
        f"{len(design.acquired)} of {design.lines} x {design.partitions} points (R = {design.acceleration:.3g}), "
        f"{scene.capture.coils} coil(s), {use}; grey: 0 to 1, {UNITS.split(';')[0]}"
    )


def _stack(name: str, volume: Volume, peak: float) -> NamedStack:
    return NamedStack(name, volume / np.float32(peak), None)


def _panels(
    results: list[Result],
    reference: Volume | None,
    of_what: str,
    peak: float,
    middle: int,
    entries: list[PointsEntry],
) -> tuple[list[NamedImage], int]:
    """One slice of every volume, set by set, with the reference first in each row."""
    panels = []
    for name in dict.fromkeys(result.points for result in results):
        if reference is not None:
            panels.append(NamedImage("reference", of_what, reference[middle] / np.float32(peak)))
        panels += [
            NamedImage(
                one.method,
                f"{METHODS[one.method]}, {name}",
                one.magnitude[middle] / np.float32(peak),
                f"{shown(entry.psnr_db, '.2f')} dB, chi² {entry.chi_square_reduced:.2f}",
            )
            for one, entry in zip(results, entries, strict=True)
            if one.points == name
        ]
    methods = len(dict.fromkeys(result.method for result in results))
    return panels, methods + (reference is not None)


def _row(entry: PointsEntry) -> tuple[str, ...]:
    return entry.points, METHODS[entry.reconstruction], *figures_of(entry)
