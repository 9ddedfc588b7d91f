"""A capture of a scene through the designed mask, with a calibration: cubes, baselines, diagnostics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cidesign import progress
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.readings import CassiReadings
from cidesign.calibration.cassi.record import StoredCassiCalibration
from cidesign.checks import Check, Status
from cidesign.modalities.cassi import solve
from cidesign.modalities.cassi.diagnostics import WORDS, Compared, diagnose, redrawn
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.cassi.outcome import CubeImage
from cidesign.modalities.cassi.pictures import NamedCube, draw_cubes, draw_residuals, draw_spectra
from cidesign.modalities.cassi.record import CassiRecord, CubeEntry
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.score import CubeResidual, residual_of, score_cube
from cidesign.modalities.cassi.solve import METHODS
from cidesign.reconstruct.outcome import COMPARISON, cut_off, shown
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.uncertainty import deviation_of, followed

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

UNITS = "reflectance of the white target in each band (0 no light, 1 white)"
# Outside this range of light the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
PROVES_NOTHING = (
    "a low residual proves nothing for SD-CASSI: there are several times more unknowns than readings, so a wrong mask "
    "fits as well as the right one; only the white target and the lines check the operator"
)
CHI_SQUARE_MEANING = (
    "chi2 is 1 where a cube leaves of the readings what the noise of the detector and the error of the operator would "
    "leave; below 1 it is fitted to them as well, as usual here; far above 1 something is wrong"
)
FIT = "fit of the scene"
# Methods that know what scenes are like; others fit whatever they are told.
LIKE_TRAINING = ("student", "linear")
MOST_CHI_SQUARE = 1.2
# A larger cube takes seconds (linear) or a minute (a decoder that was trained), and its scatter as many times more as
# there are draws.
MOST_DRAWN, MOST_DRAWN_TRAINED = 2**19, 2**22
HEADER = ("cube", "chi2", "neighbours", "range", "PSNR dB", "SSIM", "angle deg")
PICTURES = {
    "spectra": "Spectra of some pixels in all cubes",
    "residuals": (
        "What the cubes leave of the detector image, in units of its noise. Healthy is noise without shapes; shapes of "
        "the scene or the mask mean a wrong operator, but their absence proves nothing"
    ),
}

CassiScene = Scene[CassiRun, CassiCapture, StoredCassiCalibration, CassiReadings]


@dataclass(frozen=True)
class Solved:
    """The cubes (L, H, W) by method, what they leave of the readings, and the operator they were made with.

    `own` is the method of the decoder.
    """

    own: str
    cubes: dict[str, NDArray[np.float32]]
    residuals: dict[str, CubeResidual]
    encoder: MeasuredCassiEncoder


class CassiReconstructor(Reconstructor[CassiRun, CassiCapture, StoredCassiCalibration, CassiReadings, Solved]):
    """The student, where there is one, the best linear estimate, GAP-TV and least squares."""

    record = CassiRecord
    # A check that could not be made is no reason to refuse, but one to say so.
    remarked = ("not checked",)

    def solve(self, scene: CassiScene, system: "ImagingSystem") -> tuple[Solved, list[Check]]:
        """All cubes from the measured operator, and whether one of them explains the readings."""
        operator, readings = scene.calibration.calibration.operator, scene.measured
        encoder = solve.encoder_of(operator, readings.used, readings.variance)
        cubes = solve.reconstruct_with(system, readings.y, readings.variance, encoder)
        left = {
            name: residual_of(operator.predict(cube), readings.y, readings.variance, readings.used)
            for name, cube in cubes.items()
        }
        score = scene.calibration.verification.score
        return Solved(system.decoder.column, cubes, left, encoder), [
            fit_check(left, score, white=scene.capture.white is not None)
        ]

    def diagnose(self, scene: CassiScene, system: "ImagingSystem", solved: Solved) -> Findings:
        """Disagreement and scatter of the decoder's cube."""
        readings, calibration, cubes = scene.measured, scene.calibration.calibration, solved.cubes
        bands_nm = [float(nm) for nm in scene.run.profile.spectrograph.wavelengths_nm.value]
        ratio = light_ratio(system.decoder.prior.mean.numpy(), calibration, readings)
        own, uncertainty_px = cubes[solved.own], calibration.pixel_uncertainty_px
        deviation = None
        if own.size <= (MOST_DRAWN_TRAINED if system.decoder.learns else MOST_DRAWN):
            drawn = redrawn(readings.y, readings.variance, calibration.operator, own, uncertainty_px)
            deviation = deviation_of(followed(solve.student_cubes(system, drawn, solved.encoder), len(drawn)))
        truth = None if scene.capture.truth is None else scene.capture.truth.astype(np.float32)
        found = diagnose(
            Compared(WORDS.get(solved.own, f"the {solved.own}"), own, cubes["gap_tv"], deviation, truth), bands_nm
        )
        entries = {
            name: _entry(METHODS.get(name, name), cubes[name], solved.residuals[name], truth)
            for name in progress.steps("scores", list(cubes))
        }
        named = [
            NamedCube(name, METHODS.get(name, name), cube, _caption(entries[name])) for name, cube in cubes.items()
        ]
        if truth is not None:
            named.insert(0, NamedCube("truth", "truth (simulated)", truth))
        heading = _heading(scene, bands_nm)
        left = {METHODS.get(name, name): solved.residuals[name].normalised for name in (solved.own, "gap_tv")}
        return Findings(
            leaves=[CubeImage(one, bands_nm) for one in named],
            heading=heading,
            rows=[_row(entry) for entry in entries.values()],
            header=HEADER,
            entries=_record(scene, bands_nm, ratio) | {"images": entries} | found.trust.entries,
            notes=[
                *_lost_notes(readings),
                *_light_notes(ratio),
                CHI_SQUARE_MEANING,
                PROVES_NOTHING,
                *found.notes,
            ],
            pictures={
                COMPARISON: lambda: draw_cubes(named, bands_nm, heading),
                "spectra": lambda: draw_spectra(named, bands_nm),
                "residuals": lambda: draw_residuals(readings.y, left, readings.used),
            },
            map_leaves=found.maps,
        )


def _heading(scene: CassiScene, bands_nm: list[float]) -> str:
    height, width = scene.measured.y.shape
    rows, columns = scene.run.design.levels.shape
    units = UNITS.split(" (")[0]
    return f"{len(bands_nm)} bands of {rows} x {columns} from one image of {height} x {width}; 0 to 1, {units}"


def _record(scene: CassiScene, bands_nm: list[float], ratio: float) -> dict[str, object]:
    """What the record says of the capture and of its readings."""
    readings = scene.measured
    return {
        "simulated": scene.capture.bench is not None,
        "units": UNITS,
        "wavelengths_nm": bands_nm,
        "repeats": len(scene.capture.scene),
        "readings_used": int(np.count_nonzero(readings.used)),
        "readings_dead_or_saturated": readings.not_used,
        "raw_readings_saturated": readings.saturated_raw,
        "operator_error": scene.calibration.verification.score,
        "light_over_training": ratio,
        "pictures": PICTURES,
    }


def fit_check(residuals: dict[str, CubeResidual], operator_error: float | None, white: bool) -> Check:
    """Whether a cube that is like the training's explains the readings to the noise and the error of the operator.

    `operator_error`: the part of the readings that the operator does not predict, None where no white target told it;
    `white`: whether this capture's white target was looked at, so that a misfit is only one of the scene.
    """
    if operator_error is None:
        text = "without a white target at the calibration the operator's error is not known"
        return Check(name=FIT, status="not checked", text=text)
    least = min(residuals[name].chi_square_reduced for name in LIKE_TRAINING if name in residuals)
    status: Status = "passed"
    text = "a cube like those of the training explains the readings"
    if least > MOST_CHI_SQUARE:
        status = "warning" if white else "not checked"
        text = (
            f"no cube like those of the training explains the readings, the best leaves {least:.1f} times what noise "
            f"and operator would; sound benches left at most {MOST_CHI_SQUARE:g} times on scenes tried: a scene of "
            "another kind, or an operator that is not the bench's"
        )
    return Check(name=FIT, status=status, text=text, value=least, limit=MOST_CHI_SQUARE, unit="chi2")


def _lost_notes(readings: CassiReadings) -> list[str]:
    if not readings.not_used:
        return []
    return [
        f"{readings.not_used} of {np.count_nonzero(readings.lit)} lit detector pixels take no part, because they are "
        f"dead or saturated ({readings.saturated_raw} raw readings at the converter's end)"
    ]


def light_ratio(spectrum: NDArray[np.float32], calibration: CassiCalibration, readings: CassiReadings) -> float:
    """The light of the scene over that of the student's mean training scene, of the spectrum (L,)."""
    flat = np.broadcast_to(spectrum[:, None, None], calibration.operator.masks.shape).astype(np.float32)
    wanted = float(calibration.operator.predict(flat)[readings.used].mean())
    return float(readings.y[readings.used].mean()) / wanted


def _light_notes(ratio: float) -> list[str]:
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene sends {ratio:.2f} times the light of the mean training scene; what knows scenes by those may be "
        "less accurate, adjust the light or the white target"
    ]


def _entry(
    title: str, cube: NDArray[np.float32], residual: CubeResidual, truth: NDArray[np.float32] | None
) -> CubeEntry:
    return CubeEntry(
        **dict(cut_off(cube)),
        title=title,
        chi_square_reduced=residual.chi_square_reduced,
        residual_neighbour_correlation=residual.neighbour_correlation,
        **({} if truth is None else score_cube(cube, truth)._asdict()),
    )


def _caption(entry: CubeEntry) -> str:
    scored = f"{shown(entry.psnr_db, '.2f')} dB, " if "psnr_db" in entry.model_fields_set else ""
    return f"{scored}chi² {entry.chi_square_reduced:.2f}"


def _row(entry: CubeEntry) -> tuple[str, ...]:
    return (
        entry.title,
        f"{entry.chi_square_reduced:.2f}",
        f"{entry.residual_neighbour_correlation:+.2f}",
        f"{entry.minimum:.2f} .. {entry.maximum:.2f}",
        shown(entry.psnr_db, ".2f"),
        shown(entry.ssim, ".3f"),
        shown(entry.spectral_angle_degrees, ".1f"),
    )
