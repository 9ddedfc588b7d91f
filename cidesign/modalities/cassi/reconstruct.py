"""A capture of a scene through the designed mask, with a calibration: cubes, baselines, diagnostics."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture
from cidesign.calibration.cassi.record import StoredCassiCalibration, read_cassi_calibration
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.verify import Check, Judgement, Status, Verification, require_passed
from cidesign.errors import FileError
from cidesign.modalities.cassi.diagnostics import diagnose, redrawn
from cidesign.modalities.cassi.outcome import CubeOutcome
from cidesign.modalities.cassi.pictures import NamedCube
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.score import CubeResidual, residual_of, score_cube
from cidesign.reconstruct.outcome import cut_off, shown
from cidesign.reconstruct.uncertainty import deviation_of
from cidesign.records import now_utc

SCHEMA_VERSION = 1
UNITS = "reflectance of the white target in each band (0 no light, 1 white)"
# Outside this range of light the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
# With fewer readings left than this part, a cube is no longer worth its name.
LEAST_USED = 0.5
# Detector pixels with less of the code's squared light than this part of the best lit ones lie at its rim, where blur
# counts for more than the operator says.
LIT_PART = 1e-2
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
HEADER = ("cube", "chi2", "neighbours", "range", "PSNR dB", "SSIM", "angle deg")


@dataclass(frozen=True)
class Readings:
    """The detector image of a scene in units of the operator's y, its variance, and which readings hold, (h, w).

    `variance` is that of the detector and of what the operator does not foretell.  `lit` (h, w) are the pixels that
    light can reach through the code; `saturated_raw` counts raw readings at the converter's end, in all repeats.
    """

    y: NDArray[np.float64]
    variance: NDArray[np.float64]
    valid: NDArray[np.bool_]
    lit: NDArray[np.bool_]
    saturated_raw: int

    @property
    def used(self) -> NDArray[np.bool_]:
        """The readings (h, w) that say anything about the scene."""
        return self.valid & self.lit

    @property
    def not_used(self) -> int:
        """How many lit pixels are dead or saturated."""
        return int(np.count_nonzero(self.lit & ~self.valid))


def reconstruct_cassi(
    run: CassiRun, capture_path: Path, calibration_path: Path, accept_failed: bool = False
) -> CubeOutcome:
    """Reconstruct the scene of a capture with the student, told the calibrated operator, and with baselines.

    Raises `FileError` for a capture or a calibration that does not fit the run, and `LimitError` where the calibration
    failed its verification, or no longer describes the bench; `accept_failed` turns the latter into remarks.
    """
    from cidesign.modalities.cassi.solve import encoder_of, reconstruct_with, student_cubes
    from cidesign.reconstruct.fine_tuned import load_decoder_for

    stored = read_cassi_calibration(calibration_path)
    capture = read_cassi_capture(capture_path)
    notes, checks = gate(run, capture, stored, accept_failed)
    calibration = stored.calibration
    _require_shapes(run, capture, calibration)
    operator_error = stored.record.verification.score or 0.0
    readings = readings_of(capture, calibration, operator_error)
    encoder = encoder_of(calibration.operator, readings.used, readings.variance)
    system, remarks = load_decoder_for(run, calibration_path)
    cubes = reconstruct_with(system, readings.y, readings.variance, encoder)
    residuals = {
        name: residual_of(calibration.operator.predict(cube), readings.y, readings.variance, readings.used)
        for name, cube in cubes.items()
    }
    checks.append(fit_check(residuals, stored.record.verification.score, white=capture.white is not None))
    judgement = Judgement(stored.record.verification, _against_capture(checks))
    notes += require_passed(capture.path, _against_capture(checks[-1:]), accept_failed)
    ratio = light_ratio(system.decoder.prior.mean.numpy(), calibration, readings)
    notes += [*remarks, *calibration.notes, *_lost_notes(readings), *_light_notes(ratio)]
    student, uncertainty_px = cubes["student"], calibration.pixel_uncertainty_px
    drawn = redrawn(readings.y, readings.variance, calibration.operator, student, uncertainty_px)
    deviation = deviation_of(student_cubes(system, drawn, encoder))
    truth = None if capture.truth is None else capture.truth.astype(np.float32)
    found = diagnose(student, cubes["gap_tv"], deviation, truth, _bands_nm(run))
    notes += [CHI_SQUARE_MEANING, PROVES_NOTHING, *found.notes]
    outcome = _outcome(run, capture, stored, readings, cubes, residuals, ratio, notes, judgement)
    return replace(outcome, record=outcome.record | found.entries, maps=found.maps)


def _bands_nm(run: CassiRun) -> list[float]:
    return [float(nm) for nm in run.profile.spectrograph.wavelengths_nm.value]


def gate(
    run: CassiRun, capture: CassiCapture, stored: StoredCassiCalibration, accept_failed: bool
) -> tuple[list[str], list[Check]]:
    """Refuse a calibration that failed, is of other circumstances, or does not predict the capture's white target, or
    its scene where there is none.

    Returns remarks on warnings and on failures that were accepted, and the checks of the capture.
    """
    design = run.design
    capture.require_design(design)
    notes = require_passed(stored.path, stored.record.verification, accept_failed)
    checks = circumstances_checks(stored.record.circumstances, capture.record.circumstances, design_matters=True)
    checks += verify_against(stored.calibration, capture, design)
    notes += require_passed(capture.path, _against_capture(checks), accept_failed)
    # A check that could not be made is no reason to refuse, but one to say so.
    notes += [f"{check.name}: not checked: {check.text}" for check in checks if check.status == "not checked"]
    return notes, checks


def _against_capture(checks: list[Check]) -> Verification:
    return Verification(score=None, score_meaning="the calibration against the capture of the scene", checks=checks)


def fit_check(residuals: dict[str, CubeResidual], operator_error: float | None, white: bool) -> Check:
    """Whether a cube that is like the training's explains the readings to the noise and the error of the operator.

    `operator_error`: the part of the readings that the operator does not foretell, None where no white target told it;
    `white`: whether this capture's white target was looked at, so that a misfit is only one of the scene.
    """
    if operator_error is None:
        text = "without a white target at the calibration the operator's error is not known"
        return Check(name=FIT, status="not checked", text=text)
    least = min(residuals[name].chi_square_reduced for name in LIKE_TRAINING)
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


def _require_shapes(run: CassiRun, capture: CassiCapture, calibration: CassiCalibration) -> None:
    bands, side = len(run.profile.spectrograph.wavelengths_nm.value), run.settings.side
    found = calibration.operator.masks.shape
    if found != (bands, side, side):
        raise FileError(
            f"the calibration holds masks of shape {found}, the run has {(bands, side, side)}; calibrate with this run"
        )
    if capture.truth is not None and capture.truth.shape != found:
        raise FileError(f"{capture.path}: truth has shape {capture.truth.shape}, not {found}; simulate it again")


def readings_of(capture: CassiCapture, calibration: CassiCalibration, operator_error: float) -> Readings:
    """The scene of a capture; `operator_error` is the part of y that the operator does not foretell.

    Raises `FileError` where most of the readings are lost.
    """
    from cidesign.modalities.cassi.solve import encoder_of

    energy = encoder_of(calibration.operator).row_energy().numpy()
    limit = calibration.saturation_counts
    saturated = 0 if limit is None else int(np.count_nonzero(capture.scene >= limit))
    lit = energy > LIT_PART * energy.max()
    y, variance, valid = calibration.measurements(capture.scene)
    readings = Readings(y, variance + (operator_error * np.maximum(y, 0)) ** 2, valid, lit, saturated)
    pixels = np.count_nonzero(lit)
    if not pixels or readings.not_used > (1 - LEAST_USED) * pixels:
        raise FileError(
            f"{capture.path}: {readings.not_used} of {pixels} lit detector pixels of the scene are dead or saturated "
            f"({saturated} raw readings at the converter's end); expose for less and capture again"
        )
    return readings


def _lost_notes(readings: Readings) -> list[str]:
    if not readings.not_used:
        return []
    return [
        f"{readings.not_used} of {np.count_nonzero(readings.lit)} lit detector pixels take no part, because they are "
        f"dead or saturated ({readings.saturated_raw} raw readings at the converter's end)"
    ]


def light_ratio(spectrum: NDArray[np.float32], calibration: CassiCalibration, readings: Readings) -> float:
    """The light of the scene over that of the student's mean training scene, of the spectrum (L,)."""
    flat = np.broadcast_to(spectrum[:, None, None], calibration.operator.masks.shape).astype(np.float32)
    wanted = float(calibration.operator.predict(flat)[readings.used].mean())
    return float(readings.y[readings.used].mean()) / wanted


def _light_notes(ratio: float) -> list[str]:
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene sends {ratio:.2f} times the light of the mean training scene; the student may be less accurate, "
        "adjust the light or the white target"
    ]


def _outcome(
    run: CassiRun,
    capture: CassiCapture,
    stored: StoredCassiCalibration,
    readings: Readings,
    cubes: dict[str, NDArray[np.float32]],
    residuals: dict[str, CubeResidual],
    ratio: float,
    notes: list[str],
    judgement: Judgement,
) -> CubeOutcome:
    from cidesign.modalities.cassi.solve import METHODS

    bands_nm = _bands_nm(run)
    truth = None if capture.truth is None else capture.truth.astype(np.float32)
    entries = {name: _entry(METHODS[name], cube, residuals[name], truth) for name, cube in cubes.items()}
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": "cassi",
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": str(run.path),
        "design_digest": run.design.design_digest,
        "capture": str(capture.path),
        "simulated": capture.bench is not None,
        "calibration": str(stored.path),
        "units": UNITS,
        "wavelengths_nm": bands_nm,
        "repeats": len(capture.scene),
        "readings_used": int(np.count_nonzero(readings.used)),
        "readings_dead_or_saturated": readings.not_used,
        "raw_readings_saturated": readings.saturated_raw,
        "verification": stored.record.verification.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in judgement.capture.checks],
        **judgement.entry,
        "operator_error": stored.record.verification.score,
        "light_over_training": ratio,
        "notes": notes,
        "images": entries,
    }
    named = [NamedCube(name, METHODS[name], cube, _caption(entries[name])) for name, cube in cubes.items()]
    if truth is not None:
        named.insert(0, NamedCube("truth", "truth (simulated)", truth))
    height, width = readings.y.shape
    side = run.settings.side
    return CubeOutcome(
        cubes=named,
        bands_nm=bands_nm,
        y=readings.y,
        residuals={METHODS[name]: residuals[name].normalised for name in ("student", "gap_tv")},
        used=readings.used,
        heading=f"{len(bands_nm)} bands of {side} x {side} from one image of {height} x {width}; 0 to 1, "
        f"{UNITS.split(' (')[0]}",
        record=record,
        rows=[_row(entry) for entry in entries.values()],
        header=HEADER,
        remarks=notes,
        judgement=judgement,
    )


def _entry(
    title: str, cube: NDArray[np.float32], residual: CubeResidual, truth: NDArray[np.float32] | None
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "title": title,
        "chi_square_reduced": residual.chi_square_reduced,
        "residual_neighbour_correlation": residual.neighbour_correlation,
        **cut_off(cube),
    }
    return entry if truth is None else entry | score_cube(cube, truth)._asdict()


def _caption(entry: dict[str, Any]) -> str:
    scored = f"{shown(entry['psnr_db'], '.2f')} dB, " if "psnr_db" in entry else ""
    return f"{scored}chi² {entry['chi_square_reduced']:.2f}"


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["title"],
        f"{entry['chi_square_reduced']:.2f}",
        f"{entry['residual_neighbour_correlation']:+.2f}",
        f"{entry['minimum']:.2f} .. {entry['maximum']:.2f}",
        shown(entry.get("psnr_db"), ".2f"),
        shown(entry.get("ssim"), ".3f"),
        shown(entry.get("spectral_angle_degrees"), ".1f"),
    )
