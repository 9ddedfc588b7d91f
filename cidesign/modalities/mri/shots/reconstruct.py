"""Samples of shots with a calibration: images and scores."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import NO_REFERENCE, Samples
from cidesign.calibration.mri.shots.capture import RawShots
from cidesign.calibration.mri.shots.record import StoredShotsCalibration
from cidesign.checks import Check
from cidesign.modalities.mri.diagnostics import DRAWS, Diagnosis, diagnose, redrawn
from cidesign.modalities.mri.panels import ERROR_GAIN, METHODS
from cidesign.modalities.mri.reconstruct import DISPLAY_PERCENTILE, UNITS, figures_of
from cidesign.modalities.mri.record import ScoredEntry, Verifications
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.modalities.mri.shots.record import ShotsRecord
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.modalities.mri.shots.solve import reconstructions, student_magnitudes
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, draw_panels
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.uncertainty import Image, deviation_of, error_over, followed

if TYPE_CHECKING:
    from cidesign.modalities.mri.solve import Residual
    from cidesign.models.system import ImagingSystem

HEADER = ("reconstruction", "PSNR dB", "SSIM", "HFEN dB", "residual", "chi2")
TITLES = {**METHODS, "gridding": "gridding"}
MEANING = (
    "residual: |A x - y| / |y| over all samples; chi2: its square over that of the noise, about 1 where an image "
    "explains the readings; gridding weights samples by how thinly they lie, so that its own says little"
)
ShotsScene = Scene[ShotsRun, RawShots, StoredShotsCalibration, Samples]


class SolvedShots(NamedTuple):
    """All images and how they fit, and the scatter (H, W) of the student's magnitude."""

    images: "dict[str, tuple[Samples, Residual]]"
    scatter: Image


class ShotsReconstructor(Reconstructor[ShotsRun, RawShots, StoredShotsCalibration, Samples, SolvedShots]):
    """The student's decoder, gridding, CG-SENSE and total variation, scored against the truth of a simulation."""

    record = ShotsRecord

    def solve(self, scene: ShotsScene, system: "ImagingSystem") -> tuple[SolvedShots, list[Check]]:
        """All images, and the student's of redrawn noise."""
        design, calibration, y = scene.run.design, scene.calibration.calibration, scene.measured
        scans = redrawn(y, calibration.noise_deviation)
        scatter = deviation_of(followed(student_magnitudes(system, scans, design, calibration), DRAWS))
        return SolvedShots(reconstructions(system, y, design, calibration), scatter), []

    def diagnose(self, scene: ShotsScene, system: "ImagingSystem", solved: SolvedShots) -> Findings:
        """Scores against a reference, disagreement and scatter."""
        raw, calibration, design = scene.capture, scene.calibration.calibration, scene.run.design
        magnitudes = {name: np.abs(image).astype(np.float32) for name, (image, _) in solved.images.items()}
        reference = _reference(raw, calibration.scale)
        mask = None if reference is None else object_mask(reference)
        peak = float(
            np.percentile(magnitudes["cg_sense"], DISPLAY_PERCENTILE) if reference is None else reference.max()
        )
        entries = [_entry(name, magnitudes[name], fit, reference, mask) for name, (_, fit) in solved.images.items()]
        column = system.decoder.column
        found = _diagnosis(magnitudes, column, solved.scatter, peak, reference, mask)
        images = {name: one / np.float32(peak) for name, one in magnitudes.items()}
        leaves = [
            NamedImage(name, TITLES[name], one, _caption(entry))
            for (name, one), entry in zip(images.items(), entries, strict=True)
        ]
        panels = list(leaves)
        if reference is not None:
            known = reference / np.float32(peak)
            leaves.insert(0, NamedImage("reference", "truth (simulated)", known))
            panels = [*panels, *(
                NamedImage(name, f"error x {ERROR_GAIN:g}", np.asarray(ERROR_GAIN * np.abs(one - known)))
                for name, one in images.items()
            )]  # fmt: skip
        heading = _heading(scene)
        notes = [MEANING, *found.notes, *([] if reference is not None else [NO_REFERENCE])]
        if raw.coils != scene.run.settings.coils and system.decoder.learns:
            notes.append(
                f"the student was trained with {scene.run.settings.coils} simulated coil(s), the capture has "
                f"{raw.coils}: its decoder is given the measured operator of all of them"
            )
        columns = len(images)
        return Findings(
            leaves=leaves,
            heading=heading,
            rows=[_row(entry) for entry in entries],
            header=HEADER,
            entries={
                "capture_source": raw.source,
                "simulated": raw.scanner is not None,
                "reference": None if reference is None else "truth (simulated)",
                "units": UNITS,
                "shots": design.shots,
                "acceleration": design.acceleration,
                "coils": raw.coils,
                "delays_us": tuple(delay / 1e3 for delay in calibration.delays_ns),
                "verification": Verifications(calibration=scene.calibration.verification, capture=scene.verification),
                "images": entries,
                "full_scale": peak / calibration.scale,
                **found.trust.entries,
            },
            notes=notes,
            pictures={COMPARISON: lambda: draw_panels(panels, columns, heading, found.maps)},
            map_leaves=found.maps,
        )


def _reference(raw: RawShots, scale: float) -> Image | None:
    """The magnitude of a simulated scan's truth, in units of the training images."""
    if raw.truth is None or raw.scanner is None:
        return None
    return np.asarray(np.abs(raw.truth) * raw.scanner.gain * scale, dtype=np.float32)


def _heading(scene: ShotsScene) -> str:
    design = scene.run.design
    return (
        f"{design.shots} shots (R = {design.acceleration:.3g}), {scene.capture.coils} coil(s); grey: 0 to 1, "
        f"{UNITS.split(';')[0]}"
    )


def _diagnosis(
    magnitudes: dict[str, Image],
    column: str,
    scatter: Image,
    peak: float,
    reference: Image | None,
    mask: NDArray[np.bool_] | None,
) -> Diagnosis:
    """Where the student leaves CG-SENSE, and how noise makes it scatter."""
    over = None
    if reference is not None and mask is not None:
        # Without maps there is no image, and nothing that scatters.
        seen = mask & (scatter > 0)
        over = error_over((magnitudes[column] - reference)[seen], scatter[seen])
    scale = np.float32(peak)
    student, baseline = magnitudes[column] / scale, magnitudes["cg_sense"] / scale
    return diagnose(student, baseline, scatter / scale, over, METHODS[column], "shots")


def _entry(
    name: str,
    magnitude: NDArray[np.float32],
    residual: "Residual",
    reference: NDArray[np.float32] | None,
    mask: NDArray[np.bool_] | None,
) -> ScoredEntry:
    scored = {} if reference is None or mask is None else score_mri(magnitude, reference, mask)._asdict()
    return ScoredEntry(
        reconstruction=name, residual=residual.relative, chi_square_reduced=residual.chi_square, **scored
    )


def _caption(entry: ScoredEntry) -> str:
    chi_square = f"chi² {entry.chi_square_reduced:.2f}"
    return chi_square if entry.psnr_db is None else f"{entry.psnr_db:.2f} dB, {chi_square}"


def _row(entry: ScoredEntry) -> tuple[str, ...]:
    return TITLES[entry.reconstruction], *figures_of(entry)
