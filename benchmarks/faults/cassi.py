"""The SD-CASSI rows of the fault table."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.calibration.cassi.calibrate import calibrate_bench
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.operator import code_coordinates
from cidesign.calibration.cassi.readings import readings_of
from cidesign.calibration.cassi.twin import CassiTwin, TwinSettings
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.verify import Judgement, Verification
from cidesign.checks import FaultName
from cidesign.errors import FileError
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.solve import designed_operator, encoder_of
from cidesign.models.system import ImagingSystem, load_student
from faults.common import Missing, Result, findings, named_by, psnr_db

SCENE_SEED = 2**34
# Impulses this far apart do not meet on the detector, so one picture shows the way of many code pixels.
COMB_PX = 8
ENOUGH = 1e-9


def cassi_missing(run: CassiRun, seed: int) -> Missing:
    """Verdicts without a white target: at the calibration, and of a later scene alone whose bench has changed."""
    whole = _bench(run, {}, seed)[0]
    left = replace(whole, arrays={name: array for name, array in whole.arrays.items() if name != "white"})
    found: Missing = [("no white", {}, calibrate_bench(left, run.design, run.profile).verification.verdict)]
    outcome = calibrate_bench(whole, run.design, run.profile)
    changes: list[dict[FaultName, float]] = [
        {"mirror": 1}, {"inversion": 1}, {"shift": 0.7}, {"wrong-step": 20}, {"wrong-step": -20}
    ]  # fmt: skip
    for faults in changes:
        later = _bench(run, faults, seed)[0]
        alone = replace(later, arrays={"scene": later.arrays["scene"]})
        again = Verification(
            score=None, score_meaning="", checks=verify_against(outcome.calibration, alone, run.design)
        )
        found.append(("a later scene alone", faults, Judgement(outcome.verification, again).verdict))
    return found


@cache
def _system(path: Path) -> ImagingSystem:
    return load_student(CassiRun(path))


def cassi_case(run: CassiRun, faults: dict[FaultName, float], seed: int, images: bool) -> Result:
    """Simulate, calibrate and, where `images`, reconstruct one bench, all in memory."""
    capture, twin, scene = _bench(run, faults, seed)
    record = capture.known
    try:
        outcome = calibrate_bench(capture, run.design, run.profile)
    except FileError as error:
        return Result((str(error),), named_by(error), None, None, None)
    calibration, verification = outcome.calibration, outcome.verification
    if not images:
        return Result(findings(verification), verification.faults, None, None, None)
    readings = readings_of(capture, calibration, verification.score or 0.0)
    system = _system(run.path)
    plain = designed_operator(run.design, run.profile, twin.size, record.code_origin_px)
    exact = calibration.measurements(capture.arrays["scene"])[1]
    told = {
        "designed": (encoder_of(plain, readings.valid, readings.variance), readings.variance),
        "calibrated": (encoder_of(calibration.operator, readings.used, readings.variance), readings.variance),
        "true": (_true_encoder(twin, calibration, readings.valid, exact), exact),
    }
    psnr = {name: psnr_db(_decode(system, readings.y, *pair), scene) for name, pair in told.items()}
    calibrated = None if verification.verdict == "failed" else psnr["calibrated"]
    # Clipped or offset readings are no better for knowing the operator.
    oracle = None if {"saturation", "dark"} & set(faults) else psnr["true"]
    return Result(findings(verification), verification.faults, psnr["designed"], calibrated, oracle)


def _bench(
    run: CassiRun, faults: dict[FaultName, float], seed: int
) -> tuple[CassiCapture, CassiTwin, NDArray[np.float64]]:
    """A capture, its twin, and its scene."""
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    cubes = spectral_dead_leaves(8, run.settings.side, bands_nm, SCENE_SEED + seed) / 255.0
    scene = cubes[cubes.std(axis=(1, 2, 3)).argmax()]
    own = run.settings
    settings = TwinSettings(
        photoelectrons_full_scale=own.photoelectrons_full_scale,
        read_noise_photoelectrons=own.read_noise_photoelectrons,
        seed=seed,
    )
    twin = CassiTwin(run.design, run.profile, settings, faults)
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in twin.arrays(scene).items()}
    record = twin.record("2026-01-01T00:00:00+00:00", "procedural")
    return CassiCapture(Path("bench"), record, arrays), twin, scene


@torch.no_grad()
def _decode(
    system: ImagingSystem, y: NDArray[np.float64], encoder: MeasuredCassiEncoder, variance: NDArray[np.float64]
) -> NDArray[np.float32]:
    readings = torch.from_numpy(np.where(encoder.valid.numpy(), y, 0.0).astype(np.float32))[None]
    cube: NDArray[np.float32] = system.decoder(readings, encoder).prediction[0].numpy()
    return cube


class TrueEncoder(MeasuredCassiEncoder):
    """The twin's own way from cubes to the detector, as a matrix: what no calibration can be better than."""

    matrix: Tensor

    def A(self, x: Tensor) -> Tensor:
        """Cubes (B, L, H, W) -> detector images (B, h, w)."""
        seen = self.valid.flatten().to(x)
        return (x.flatten(1) @ self.matrix.T * seen).reshape(len(x), *self.detector)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Detector images -> cubes."""
        seen = self.valid.flatten().to(y)
        return ((y.flatten(1) * seen) @ self.matrix).reshape(len(y), *self.weight.shape)

    def row_energy(self) -> Tensor:
        """The diagonal of A A^T."""
        return (self.matrix.square().sum(dim=1) * self.valid.flatten()).reshape(self.detector)

    def row_sums(self) -> Tensor:
        """Row sums of A A^T."""
        return self.A(self.A_adjoint(torch.ones(1, *self.detector)))[0]


def _true_encoder(
    twin: CassiTwin, calibration: CassiCalibration, valid: NDArray[np.bool_], variance: NDArray[np.float64]
) -> TrueEncoder:
    operator = calibration.operator
    encoder = TrueEncoder(
        torch.from_numpy(operator.masks),
        torch.from_numpy(operator.to_code),
        torch.from_numpy(operator.response),
        operator.size,
        torch.from_numpy(valid),
        None,
        thorough=True,
        variance=torch.from_numpy(np.where(valid, variance, 1.0).astype(np.float32)),
    )
    encoder.matrix = torch.from_numpy(_matrix(twin))
    return encoder.eval()


_MATRICES: dict[str, NDArray[np.float32]] = {}


def _matrix(twin: CassiTwin) -> NDArray[np.float32]:
    """A (h w, L H W) of the twin, from pictures of combs of impulses; the same for all seeds of one bench."""
    key = repr(sorted(twin.faults.items()))
    if key not in _MATRICES:
        _MATRICES.clear()
        _MATRICES[key] = _rendered(twin)
    return _MATRICES[key]


def _rendered(twin: CassiTwin) -> NDArray[np.float32]:
    bands_nm = twin.layout.wavelengths_nm
    bands, (rows, columns), (height, width) = len(bands_nm), twin.design.levels.shape, twin.size
    binning = twin.settings.binning
    matrix = np.zeros((height * width, bands * rows * columns), dtype=np.float32)
    for band, to_detector in enumerate(twin.matrices(bands_nm)):
        linear = np.linalg.inv(to_detector[:, :2])
        to_code = np.column_stack([linear, -linear @ to_detector[:, 2]])
        at_row, at_column = code_coordinates(to_code, twin.size)
        for i, j in np.ndindex(COMB_PX, COMB_PX):
            cube = np.zeros((bands, rows, columns))
            cube[band, i::COMB_PX, j::COMB_PX] = 1
            picture = bands * twin.light(cube).reshape(height, binning, width, binning).mean(axis=(1, 3))
            row = np.rint((at_row - i) / COMB_PX).astype(int) * COMB_PX + i
            column = np.rint((at_column - j) / COMB_PX).astype(int) * COMB_PX + j
            own = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (picture > ENOUGH)
            pixel = np.flatnonzero(own)
            source = (band * rows * columns + row * columns + column).reshape(-1)[pixel]
            matrix[pixel, source] += picture.reshape(-1)[pixel].astype(np.float32)
    return matrix
