"""Simulated scanners of a small design with its phantom, and what their calibration finds."""

from pathlib import Path
from typing import Any

import numpy as np

from cidesign.calibration.mri.capture import read_kspace_capture, write_kspace_capture
from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.phantom import (
    draw_phantom,
)
from cidesign.calibration.mri.response import KspaceCalibration
from cidesign.calibration.mri.twin import capture_record, scanner_settings, simulate_kspace
from cidesign.calibration.mri.verify import calibrate_and_verify
from cidesign.calibration.verify import Verification
from cidesign.checks import Check, FaultName
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianLines, centre_block

SIDE, COILS, NOISE = 32, 4, 0.01
QUIET = {"passed", "not checked"}
Faults = dict[FaultName, float]


def design(calibration: int = 12) -> CartesianLines:
    lines = sorted({*centre_block(SIDE, calibration), 1, 4, SIDE - 3})
    return CartesianLines(SIDE, SIDE, np.array(lines, dtype=np.int64), calibration, "some", "0" * 64)


def scanned(
    folder: Path, faults: Faults | None = None, coils: int = COILS, phantom: bool = True, **changes: Any
) -> RawKspace:
    """A capture of the design's lines, or of all lines with `all_lines`."""
    seed, all_lines = changes.pop("seed", 1), changes.pop("all_lines", False)
    real, imaginary = phantom_slices(1, SIDE, 2**33 + seed)[0].astype(np.float32)
    values = {"gain": 1e-3, "noise": NOISE, "correlation": 0.3, "echo_shift_samples": 0.3, "oversampling": 2, **changes}
    scanner = scanner_settings(coils=coils, seed=seed, scene="test", faults=faults, **values)
    maps = np.ones((1, SIDE, SIDE), np.complex64) if coils == 1 else coil_maps(coils, SIDE, seed)
    lines = np.arange(SIDE) if all_lines else design().acquired
    image = (real + 1j * imaginary).astype(np.complex64)
    drawing = draw_phantom(SIDE, SIDE) if phantom else None
    arrays = simulate_kspace(lines, image, maps, scanner, drawing)
    write_kspace_capture(folder, capture_record(design(), scanner, "2026-01-01T00:00:00+00:00"), arrays, force=True)
    return read_kspace_capture(folder)


def verified(raw: RawKspace, turn: Orientation | None = None) -> tuple[KspaceCalibration, Verification]:
    calibration, verification, _ = calibrate_and_verify(raw, design(), turn)
    return calibration, verification


def check(verification: Verification, name: str) -> Check:
    (found,) = [one for one in verification.checks if one.name == name]
    return found


def raised(verification: Verification) -> dict[str, str]:
    return {one.name: one.status for one in verification.checks if one.status not in QUIET}
