"""The calibration folder of a scanner: `calibration.json`, `arrays.npz` and a preview of the coil maps."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.circumstances import Circumstances, circumstances_checks
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    RECORD_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.mri.capture import SimulatedScanner, slice_folder
from cidesign.calibration.mri.kspace import (
    RawKspace,
    Samples,
    centred_fft,
    centred_ifft,
    require_coils,
    require_design,
)
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.response import Corrections, KspaceCalibration
from cidesign.calibration.mri.verify import verify_stored
from cidesign.calibration.mri.virtual_coils import VirtualCoils
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import read_json, write_bytes
from cidesign.orientation import StoredOrientation
from cidesign.pattern import CartesianLines
from cidesign.records import Digest, Finite, Positive, gathered

PREVIEW_FILE = "coil_maps.png"
# Maps of unit norm, 0 where there is no object.
NORM_TOLERANCE = 1e-3


class KspaceCalibrationRecord(CommonRecord):
    """The content of `calibration.json`; see `KspaceCalibration` and `Corrections`.

    `coils` are those of the capture; `excluded_coils` receive nothing.  `orientation_shown`: the orientation is that in
    which a phantom looks like its drawing, so that it holds for the scene as well.
    """

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri"]
    capture_sha256: Digest
    capture_source: Annotated[str, Field(max_length=200)]
    coils: Annotated[int, Field(ge=1, le=1024)]
    excluded_coils: list[Annotated[int, Field(ge=0, lt=1024)]]
    matrix_lines: Annotated[int, Field(ge=1, le=100_000)]
    readout_samples: Annotated[int, Field(ge=1, le=100_000)]
    scale: Positive
    noise_variance: Positive
    noise_source: Annotated[str, Field(max_length=500)]
    noise_from_scan: bool
    largest_noise_correlation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    echo_shift_samples: Finite
    phantom_echo_samples: Finite | None
    shift_px: Annotated[Finite, Field(validation_alias=AliasChoices("shift_px", "displacement_px"))]
    drift_rad_per_readout: Finite
    offset_lines: Annotated[int, Field(ge=-100_000, le=100_000)] = 0
    acs_lines: Annotated[int, Field(ge=1, le=100_000)]
    kernel: Annotated[int, Field(ge=2, le=12)] | None
    support: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    virtual_coils: Annotated[int, Field(ge=1, le=1024)] | None = None
    virtual_kept: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    orientation: StoredOrientation
    orientation_shown: bool
    simulated_scanner: SimulatedScanner | None


@dataclass(frozen=True)
class StoredKspaceCalibration(Calibration[KspaceCalibrationRecord, RawKspace, CartesianLines, Samples]):
    """The calibrated scanner, in its folder."""

    calibration: KspaceCalibration

    @property
    def notes(self) -> tuple[str, ...]:
        """Where noise and lines come from."""
        return self.calibration.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Lines and samples (N, n) of the calibrated matrix."""
        return self.record.matrix_lines, self.record.readout_samples

    def size_of(self, design: CartesianLines) -> tuple[int, ...]:
        """Lines and samples (N, n) of the design's matrix."""
        return design.lines, design.readout

    def examine(self, capture: RawKspace, design: CartesianLines) -> Examined[Samples]:
        """Coils and matrix, circumstances, and what the capture itself says: its noise, its phantom, its lines."""
        require_design(capture, design)
        notes = require_fitting_kspace(self, capture, design)
        found = verify_capture(self, capture, design)

        def measure() -> tuple[Samples, list[Check]]:
            require_design(self.calibration.corrections.apply(capture), design)
            return self.calibration.measurements(capture), []

        return Examined(found, measure, tuple(notes), self.record.capture_sha256 == capture.digest)

    def operator_for(self, design: CartesianLines) -> "LineOperator":
        """The design's lines with the measured, whitened maps of unit norm."""
        return LineOperator(design.mask, self.calibration.operator()[0])


class LineOperator(LinearOperator):
    """y = M F (S z): complex images z (..., N, n) to whitened k-space (..., coils, N, n), 0 on lines not measured."""

    def __init__(self, mask: NDArray[np.generic], maps: Samples) -> None:
        self.image_shape, self.reading_shape = maps.shape[1:], maps.shape
        self.mask, self.maps = np.asarray(mask, dtype=np.float32)[:, None], maps

    def _forward(self, x: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        return self.mask * centred_fft(self.maps * x[:, None], (-2, -1))

    def _adjoint(self, y: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        return np.asarray((self.maps.conj() * centred_ifft(self.mask * y, (-2, -1))).sum(axis=1))


def write_kspace_calibration(
    folder: Path,
    raw: RawKspace,
    design: CartesianLines,
    calibration: KspaceCalibration,
    verification: Verification,
    phantom_echo_samples: float | None,
    scanner: SimulatedScanner | None,
    created_utc: str,
    force: bool,
) -> StoredKspaceCalibration:
    """Write a calibration folder in one step, and read it back; `scanner` is that of a simulated capture.

    One that failed never replaces another; raises `FileError` as `replacing_calibration` does.
    """
    noise, wrong = calibration.noise, calibration.corrections
    with replacing_calibration(folder, verification, force) as (temporary, place):
        write_bytes(temporary / PREVIEW_FILE, draw_coil_maps(calibration))
        record = write_record(
            temporary,
            KspaceCalibrationRecord,
            _arrays(calibration),
            calibration,
            wrong,
            design,
            modality="mri",
            created_utc=created_utc,
            capture=str(raw.path),
            capture_utc=raw.created_utc,
            capture_sha256=raw.digest,
            capture_source=raw.source,
            exposure_us=None,
            bench=raw.bench,
            verification=verification,
            coils=raw.coils,
            excluded_coils=wrong.excluded_coils(raw.coils),
            matrix_lines=design.lines,
            readout_samples=design.readout,
            noise_variance=noise.variance,
            noise_source=noise.source,
            noise_from_scan=noise.from_scan,
            largest_noise_correlation=noise.largest_correlation,
            phantom_echo_samples=phantom_echo_samples,
            orientation_shown=phantom_echo_samples is not None,
            simulated_scanner=scanner,
            virtual_coils=None if calibration.virtual is None else len(calibration.virtual.matrix),
            virtual_kept=None if calibration.virtual is None else min(calibration.virtual.kept, 1.0),
        )
        read_kspace_calibration(temporary)
    return StoredKspaceCalibration(place, record, calibration)


def _arrays(calibration: KspaceCalibration) -> dict[str, NDArray[np.generic]]:
    offset = calibration.corrections.offset
    arrays: dict[str, NDArray[np.generic]] = {
        "maps": calibration.maps,
        "noise_covariance": calibration.noise.covariance,
    }
    if calibration.virtual is not None:
        arrays["virtual"] = calibration.virtual.matrix
    return arrays if offset is None else {**arrays, "offset": offset}


def of_slices(folder: Path) -> bool:
    """Whether a folder holds the calibrations of several slices, each in a folder of its own."""
    record = folder / RECORD_FILE
    return record.is_file() and "slices" in read_json(record, "calibration record")


def read_kspace_calibration(folder: Path) -> StoredKspaceCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    if of_slices(folder):
        raise FileError(
            f"{folder}: holds the calibrations of several slices, one is needed here; name that of a slice, such as "
            f"{slice_folder(folder, 0)}"
        )
    record, arrays = read_record(folder, KspaceCalibrationRecord, "mri")
    left_out = set(record.excluded_coils)
    active = tuple(coil for coil in range(record.coils) if coil not in left_out)
    shape = (len(active), record.matrix_lines, record.readout_samples)
    maps, covariance, offset = arrays.get("maps"), arrays.get("noise_covariance"), arrays.get("offset")
    if maps is None or covariance is None or maps.shape != shape or covariance.shape != (shape[0], shape[0]):
        raise FileError(f"{folder}: {ARRAYS_FILE} does not hold coil maps {shape} and a noise covariance")
    require_sound(folder, maps, covariance)
    if offset is not None and (offset.shape != (record.coils,) or not np.isfinite(offset).all()):
        raise FileError(
            f"{folder}: {ARRAYS_FILE} holds an offset that is none of {record.coils} coils; calibrate again"
        )
    corrections = gathered(
        Corrections,
        record,
        coils=active if left_out else None,
        offset=None if offset is None else offset.astype(np.complex128),
    )
    calibration = gathered(
        KspaceCalibration,
        record,
        virtual=stored_virtual(folder, record.virtual_coils, record.virtual_kept, arrays, len(active)),
        noise=CoilNoise(covariance.astype(np.complex128), record.noise_source, record.noise_from_scan),
        maps=maps.astype(np.complex64),
        corrections=corrections,
    )
    return StoredKspaceCalibration(folder, record, calibration)


def stored_virtual(
    folder: Path, count: int | None, kept: float | None, arrays: dict[str, NDArray[np.generic]], coils: int
) -> VirtualCoils | None:
    """The combinations of coils that a calibration folder holds; raises `FileError` for other ones than it says."""
    if count is None or kept is None:
        return None
    matrix = arrays.get("virtual")
    sound = matrix is not None and matrix.shape == (count, coils) and bool(np.isfinite(matrix).all())
    if matrix is None or not sound or not _orthonormal(matrix.astype(np.complex128)):
        raise FileError(
            f"{folder}: {ARRAYS_FILE} does not hold {count} orthonormal combinations of {coils} coils; calibrate again"
        )
    return VirtualCoils(matrix.astype(np.complex128), kept)


def _orthonormal(rows: NDArray[np.complex128]) -> bool:
    return bool(np.abs(rows @ rows.conj().T - np.eye(len(rows))).max() < NORM_TOLERANCE)


def require_sound(folder: Path, maps: NDArray[np.generic], covariance: NDArray[np.generic]) -> None:
    """Raise `FileError` unless maps (coils, ...) have unit norm, or none, and the covariance is one."""
    norm = (np.abs(maps.astype(np.complex128)) ** 2).sum(axis=0)
    sound = bool(np.isfinite(norm).all() and np.all((norm < NORM_TOLERANCE) | (np.abs(norm - 1) < NORM_TOLERANCE)))
    try:
        np.linalg.cholesky(covariance.astype(np.complex128))
    except np.linalg.LinAlgError:
        sound = False
    if not sound:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds maps that have no unit norm, or no covariance; calibrate again")


def verify_capture(stored: StoredKspaceCalibration, raw: RawKspace, design: CartesianLines) -> Verification:
    """Whether a calibration still describes the scanner that a capture comes from: its circumstances, and its own data.

    A capture of the fitting matrix and coils is needed (`require_fitting_kspace`).
    """
    captured = Circumstances(
        design_digest=raw.design_digest or design.design_digest,
        profile_digest=raw.profile_digest or design.profile_digest,
        exposure_us=None,
        created_utc=raw.created_utc,
        bench=raw.bench,
    )
    checks: list[Check] = circumstances_checks(stored.record.circumstances, captured, design_matters=False)
    found = verify_stored(stored.calibration, raw, stored.record.phantom_echo_samples)
    return Verification(score=found.score, score_meaning=found.score_meaning, checks=[*checks, *found.checks])


def require_fitting_kspace(stored: StoredKspaceCalibration, raw: RawKspace, design: CartesianLines) -> list[str]:
    """Refuse a calibration of another scanner, matrix or number of coils; returns what can only be remarked."""
    record = stored.record
    stored.require_fitting(design)
    require_coils(raw, record.coils)
    notes = []
    if record.capture_sha256 != raw.digest:
        notes.append(
            "coil maps, noise and scale are those of another capture; subject, coils and receiver must not have changed"
        )
    if record.design_digest != design.design_digest:
        notes.append("the calibration was taken with the lines of another design")
    return notes


def draw_coil_maps(calibration: KspaceCalibration) -> bytes:
    """A PNG: magnitude of each coil's map, oriented as the pictures, and the noise covariance."""
    shown = min(calibration.coils, 7)
    figure = Figure(figsize=(1.9 * (shown + 1), 2.4), layout="constrained")
    axes = figure.subplots(1, shown + 1, squeeze=False)[0]
    for number, axis in enumerate(axes[:-1]):
        magnitude = np.abs(calibration.maps[number]).astype(np.float32)
        axis.imshow(calibration.orientation.apply(magnitude), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(f"coil {number}", fontsize=8)
        axis.set_axis_off()
    axes[-1].imshow(np.abs(calibration.noise.covariance), cmap="gray", vmin=0)
    axes[-1].set_title("noise covariance", fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()
