"""What the calibration folders of all scans hold alike: the capture, its noise, coil maps, and how these are read."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.circumstances import BenchState, Circumstances, circumstances_checks
from cidesign.calibration.folder import ARRAYS_FILE, CommonRecord
from cidesign.calibration.mri.capture import SimulatedScanner, Size
from cidesign.calibration.mri.kspace import RawKspace, Samples
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.response import Corrections
from cidesign.calibration.mri.virtual_coils import VirtualCoils
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError
from cidesign.records import Digest, Finite, Positive

PREVIEW_FILE = "coil_maps.png"
# Maps of unit norm, 0 where there is no object.
NORM_TOLERANCE = 1e-3
Arrays = dict[str, NDArray[np.generic]]


class Captured(Protocol):
    """A scan as it was read."""

    @property
    def path(self) -> Path:
        """Where it was read from."""

    @property
    def source(self) -> str:
        """What wrote it."""

    @property
    def digest(self) -> str:
        """SHA-256 of its arrays."""

    @property
    def design_digest(self) -> str | None:
        """That of the design it was made with, where it says so."""

    @property
    def profile_digest(self) -> str | None:
        """That of the scanner's profile, where it says so."""

    @property
    def created_utc(self) -> str:
        """When it was recorded."""

    @property
    def bench(self) -> BenchState:
        """What was set."""


class Designed(Protocol):
    """A trajectory."""

    @property
    def design_digest(self) -> str:
        """Its own."""

    @property
    def profile_digest(self) -> str:
        """That of the scanner's profile."""


class ScanRecord(CommonRecord):
    """The fields of `calibration.json` of every scan: the capture, its noise, its scale."""

    capture_sha256: Digest
    capture_source: Annotated[str, Field(max_length=200)]
    scale: Positive
    noise_variance: Positive
    noise_source: Annotated[str, Field(max_length=500)]
    noise_from_scan: bool
    kernel: Annotated[int, Field(ge=2, le=12)] | None

    def verified(self, raw: Captured, design: Designed, found: Verification) -> Verification:
        """What was `found` in a capture, and whether its circumstances are those of the calibration."""
        captured = Circumstances(
            design_digest=raw.design_digest or design.design_digest,
            profile_digest=raw.profile_digest or design.profile_digest,
            exposure_us=None,
            created_utc=raw.created_utc,
            bench=raw.bench,
        )
        checks = circumstances_checks(self.circumstances, captured, design_matters=False)
        return Verification(score=found.score, score_meaning=found.score_meaning, checks=[*checks, *found.checks])


class CartesianScanRecord(ScanRecord):
    """Those of lines and points.  `coils` are those of the capture; `excluded_coils` receive nothing."""

    coils: Annotated[int, Field(ge=1, le=1024)]
    excluded_coils: list[Annotated[int, Field(ge=0, lt=1024)]]
    matrix_lines: Size
    readout_samples: Size
    largest_noise_correlation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    echo_shift_samples: Finite
    support: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    virtual_coils: Annotated[int, Field(ge=1, le=1024)] | None = None
    virtual_kept: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    simulated_scanner: SimulatedScanner | None

    @property
    def active(self) -> tuple[int, ...]:
        """The coils that receive."""
        return tuple(coil for coil in range(self.coils) if coil not in set(self.excluded_coils))


def said_of_scan(raw: Captured, noise: CoilNoise) -> dict[str, Any]:
    """The fields of `ScanRecord` that a capture and its noise give."""
    return {
        "capture": str(raw.path),
        "capture_utc": raw.created_utc,
        "capture_sha256": raw.digest,
        "capture_source": raw.source,
        "exposure_us": None,
        "bench": raw.bench,
        "noise_variance": noise.variance,
        "noise_source": noise.source,
        "noise_from_scan": noise.from_scan,
    }


def said_of_coils(
    raw: RawKspace, noise: CoilNoise, corrections: Corrections, virtual: VirtualCoils | None
) -> dict[str, Any]:
    """The fields of `CartesianScanRecord` that are about coils, and those of `said_of_scan`."""
    return {
        **said_of_scan(raw, noise),
        "coils": raw.coils,
        "excluded_coils": corrections.excluded_coils(raw.coils),
        "largest_noise_correlation": noise.largest_correlation,
        "virtual_coils": None if virtual is None else len(virtual.matrix),
        "virtual_kept": None if virtual is None else min(virtual.kept, 1.0),
    }


def coil_arrays(
    maps: Samples, noise: CoilNoise, corrections: Corrections | None = None, virtual: VirtualCoils | None = None
) -> Arrays:
    """The arrays of a calibration folder; `read_coils` reads them."""
    arrays: Arrays = {"maps": maps, "noise_covariance": noise.covariance}
    if virtual is not None:
        arrays["virtual"] = virtual.matrix
    if corrections is not None and corrections.offset is not None:
        arrays["offset"] = corrections.offset
    return arrays


class StoredCoils(NamedTuple):
    """What a folder holds of coils: their noise and maps, virtual ones, and the offset of each."""

    noise: CoilNoise
    maps: Samples
    virtual: VirtualCoils | None
    offset: NDArray[np.complex128] | None


def read_maps(
    folder: Path, record: ScanRecord, arrays: Arrays, shape: tuple[int, ...], coil_axis: int = 0
) -> tuple[Samples, CoilNoise]:
    """Maps of a shape with the coils along an axis, and the noise; raises `FileError` where they are not there."""
    maps, covariance, coils = arrays.get("maps"), arrays.get("noise_covariance"), shape[coil_axis]
    if maps is None or covariance is None or maps.shape != shape or covariance.shape != (coils, coils):
        raise FileError(f"{folder}: {ARRAYS_FILE} does not hold coil maps {shape} and a noise covariance")
    _require_sound(folder, np.moveaxis(maps, coil_axis, 0), covariance)
    noise = CoilNoise(covariance.astype(np.complex128), record.noise_source, record.noise_from_scan)
    return maps.astype(np.complex64), noise


def read_coils(
    folder: Path, record: CartesianScanRecord, arrays: Arrays, shape: tuple[int, ...], coil_axis: int = 0
) -> StoredCoils:
    """The same with virtual coils and offsets; raises `FileError` for other ones than the record says."""
    maps, noise = read_maps(folder, record, arrays, shape, coil_axis)
    offset = arrays.get("offset")
    if offset is not None and (offset.shape != (record.coils,) or not np.isfinite(offset).all()):
        raise FileError(
            f"{folder}: {ARRAYS_FILE} holds an offset that is none of {record.coils} coils; calibrate again"
        )
    virtual = _stored_virtual(folder, record, arrays)
    return StoredCoils(noise, maps, virtual, None if offset is None else offset.astype(np.complex128))


def _stored_virtual(folder: Path, record: CartesianScanRecord, arrays: Arrays) -> VirtualCoils | None:
    count, kept, coils = record.virtual_coils, record.virtual_kept, len(record.active)
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


def _require_sound(folder: Path, maps: NDArray[np.generic], covariance: NDArray[np.generic]) -> None:
    """Raise `FileError` unless maps (coils, ...) have unit norm, or none, and the covariance is one."""
    norm = (np.abs(maps.astype(np.complex128)) ** 2).sum(axis=0)
    sound = bool(np.isfinite(norm).all() and np.all((norm < NORM_TOLERANCE) | (np.abs(norm - 1) < NORM_TOLERANCE)))
    try:
        np.linalg.cholesky(covariance.astype(np.complex128))
    except np.linalg.LinAlgError:
        sound = False
    if not sound:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds maps that have no unit norm, or no covariance; calibrate again")
