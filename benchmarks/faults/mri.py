"""The MRI rows of the fault table."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.benchwork import simulate
from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.phantom import as_acquired
from cidesign.calibration.mri.response import KspaceCalibration
from cidesign.calibration.mri.twin import noise_covariance
from cidesign.calibration.mri.verify import calibrate_and_verify
from cidesign.calibration.verify import Verification
from cidesign.checks import FaultName
from cidesign.errors import CidesignError
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.modalities.mri.solve import reconstructions
from cidesign.models.system import ImagingSystem, load_student
from faults.common import Missing, Result, findings, named_by


def mri_missing(run: MriRun, seed: int) -> Missing:
    """Verdicts of mirrored scanners without a phantom, with the run's coils and with one."""
    faults: dict[FaultName, float] = {"mirror": 1}
    found: Missing = []
    for coils in sorted({run.settings.coils, 1}):
        raw = simulate(run, faults=_by_text(faults), seed=seed, coils=coils, phantom=False).capture
        _, verification, _ = calibrate_and_verify(raw, run.design, None)
        found.append((f"no phantom, {coils} coil(s)", faults, verification.verdict))
    return found


@cache
def _system(path: Path) -> ImagingSystem:
    return load_student(MriRun(path))


def mri_case(run: MriRun, faults: dict[FaultName, float], seed: int, images: bool) -> Result:
    """Simulate, calibrate and, where `images`, reconstruct one scan.

    Uncalibrated: what the same scanner calibrates to without the fault, applied to the faulty scan.  Oracle: true coil
    maps and noise, on the scan without the fault.
    """
    raw, _ = _scan(run, faults, seed)
    try:
        calibration, verification, _ = calibrate_and_verify(raw, run.design, None)
    except CidesignError as error:
        return Result((str(error),), named_by(error), None, None, None)
    if not images:
        return Result(findings(verification), verification.faults, None, None, None)
    clean, truth = _scan(run, {}, seed)
    sound, _, _ = calibrate_and_verify(clean, run.design, None)
    calibrated = _psnr(run, raw, calibration, truth) if _passed(verification) else None
    oracle = _psnr(run, clean, _true(run, sound, seed), truth)
    return Result(findings(verification), verification.faults, _psnr(run, raw, sound, truth), calibrated, oracle)


def _passed(verification: Verification) -> bool:
    return verification.verdict == "passed"


def _scan(run: MriRun, faults: dict[FaultName, float], seed: int) -> tuple[RawKspace, NDArray[np.float32]]:
    raw = simulate(run, faults=_by_text(faults), seed=seed).capture
    return raw, (np.abs(raw.truth) * raw.gain).astype(np.float32)


def _by_text(faults: dict[FaultName, float]) -> dict[str, float]:
    return {str(name): strength for name, strength in faults.items()}


def _true(run: MriRun, sound: KspaceCalibration, seed: int) -> KspaceCalibration:
    """The calibration that knows: true maps of unit norm, true noise."""
    coils, side = sound.coils, run.design.lines
    maps = np.ones((1, side, side), np.complex64) if coils == 1 else coil_maps(coils, side, seed + 1)
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    scanner = simulate(run, seed=seed).capture.scanner
    covariance = noise_covariance(scanner) * scanner.gain**2
    noise = CoilNoise(covariance, sound.noise.source, sound.noise.from_scan)
    return replace(sound, maps=(maps / norm).astype(np.complex64), noise=noise)


def _psnr(run: MriRun, raw: RawKspace, calibration: KspaceCalibration, truth: NDArray[np.float32]) -> float | None:
    """PSNR of the student's magnitude over the object, with the truth turned as the calibration says it was scanned."""
    if raw.coils != len(calibration.noise.covariance) and calibration.corrections.coils is None:
        return None
    k = calibration.measurements(raw)
    image, _ = reconstructions(_system(run.path), k, run.design, calibration)["student"]
    turned = as_acquired(truth, calibration.orientation)
    reference = (turned * calibration.scale).astype(np.float32)
    return score_mri(np.abs(image).astype(np.float32), reference, object_mask(reference)).psnr_db
