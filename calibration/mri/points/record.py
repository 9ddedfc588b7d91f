"""The calibration folder of a 3-D scan: `calibration.json`, `arrays.npz` and a preview of the coil maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.circumstances import Circumstances, circumstances_checks
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.mri.capture import SimulatedScanner, Size
from cidesign.calibration.mri.kspace import Samples, centred_fft, centred_ifft, require_coils
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.points.capture import MODALITY
from cidesign.calibration.mri.points.response import VolumeCalibration
from cidesign.calibration.mri.points.verify import verify_stored_volume
from cidesign.calibration.mri.points.volume import RawVolume, require_points
from cidesign.calibration.mri.record import PREVIEW_FILE, draw_coil_maps, require_sound, stored_virtual
from cidesign.calibration.mri.response import Corrections
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import write_bytes
from cidesign.pattern import CartesianPoints
from cidesign.records import Digest, Finite, Positive, gathered


class PointsCalibrationRecord(CommonRecord):
    """The content of `calibration.json`; see `VolumeCalibration`.  `coils` are those of the capture."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri-points"]
    capture_sha256: Digest
    capture_source: Annotated[str, Field(max_length=200)]
    coils: Annotated[int, Field(ge=1, le=1024)]
    excluded_coils: list[Annotated[int, Field(ge=0, lt=1024)]]
    matrix_lines: Size
    matrix_partitions: Size
    readout_samples: Size
    scale: Positive
    noise_variance: Positive
    noise_source: Annotated[str, Field(max_length=500)]
    noise_from_scan: bool
    largest_noise_correlation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    echo_shift_samples: Finite
    acs: tuple[Size, Size]
    kernel: Annotated[int, Field(ge=2, le=12)] | None
    support: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    virtual_coils: Annotated[int, Field(ge=1, le=1024)] | None = None
    virtual_kept: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    simulated_scanner: SimulatedScanner | None


@dataclass(frozen=True)
class StoredPointsCalibration(Calibration[PointsCalibrationRecord, RawVolume, CartesianPoints, Samples]):
    """The calibrated scanner, in its folder; what is measured of a capture are its slices."""

    calibration: VolumeCalibration

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the noise comes from."""
        return self.calibration.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Samples, lines and partitions of the calibrated matrix."""
        return self.record.readout_samples, self.record.matrix_lines, self.record.matrix_partitions

    def size_of(self, design: CartesianPoints) -> tuple[int, ...]:
        """The same of a design."""
        return design.readout, design.lines, design.partitions

    def examine(self, capture: RawVolume, design: CartesianPoints) -> Examined[Samples]:
        """Coils and matrix, circumstances, and what the capture itself says: its noise, its points."""
        require_points(capture, design)
        self.require_fitting(design)
        require_coils(capture.readouts, self.record.coils)
        same = self.record.capture_sha256 == capture.readouts.digest
        notes = []
        if not same:
            notes.append(
                "coil maps, noise and scale are those of another capture; subject, coils and receiver must not have "
                "changed"
            )
        if self.record.design_digest != design.design_digest:
            notes.append("the calibration was taken with the points of another design")

        def measure() -> tuple[Samples, list[Check]]:
            return self.calibration.slices(capture), []

        return Examined(_verified(self, capture, design), measure, tuple(notes), same)

    def operator_for(self, design: CartesianPoints) -> "PointsOperator":
        """The design's points with the measured, whitened maps of unit norm."""
        maps = np.stack([self.calibration.slice(number).operator()[0] for number in range(design.readout)])
        return PointsOperator(design.mask, maps)


class PointsOperator(LinearOperator):
    """y = M F (S_x z_x): complex volumes z (..., n, N, M) to whitened k-space (..., n, coils, N, M) of their slices."""

    def __init__(self, mask: NDArray[np.generic], maps: Samples) -> None:
        self.image_shape, self.reading_shape = (len(maps), *maps.shape[2:]), maps.shape
        self.mask, self.maps = np.asarray(mask, dtype=np.float32), maps

    def _forward(self, x: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        return self.mask * centred_fft(self.maps * x[:, :, None], (-2, -1))

    def _adjoint(self, y: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        return np.asarray((self.maps.conj() * centred_ifft(self.mask * y, (-2, -1))).sum(axis=2))


def write_points_calibration(
    folder: Path,
    raw: RawVolume,
    design: CartesianPoints,
    calibration: VolumeCalibration,
    verification: Verification,
    created_utc: str,
    force: bool,
) -> StoredPointsCalibration:
    """Write a calibration folder in one step, and read it back.

    One that failed never replaces another; raises `FileError` as `replacing_calibration` does.
    """
    noise, wrong, scan, virtual = calibration.noise, calibration.corrections, raw.readouts, calibration.virtual
    arrays: dict[str, NDArray[np.generic]] = {"maps": calibration.maps, "noise_covariance": noise.covariance}
    if virtual is not None:
        arrays["virtual"] = virtual.matrix
    if wrong.offset is not None:
        arrays["offset"] = wrong.offset
    with replacing_calibration(folder, verification, force) as (temporary, place):
        middle = calibration.slice(raw.samples // 2)
        write_bytes(temporary / PREVIEW_FILE, draw_coil_maps(middle))
        record = write_record(
            temporary,
            PointsCalibrationRecord,
            arrays,
            calibration,
            modality=MODALITY,
            created_utc=created_utc,
            capture=str(raw.path),
            capture_utc=scan.created_utc,
            capture_sha256=scan.digest,
            capture_source=scan.source,
            design_digest=design.design_digest,
            profile_digest=design.profile_digest,
            exposure_us=None,
            bench=scan.bench,
            verification=verification,
            coils=raw.coils,
            excluded_coils=wrong.excluded_coils(raw.coils),
            matrix_lines=design.lines,
            matrix_partitions=design.partitions,
            readout_samples=design.readout,
            noise_variance=noise.variance,
            noise_source=noise.source,
            noise_from_scan=noise.from_scan,
            largest_noise_correlation=noise.largest_correlation,
            simulated_scanner=scan.scanner,
            virtual_coils=None if virtual is None else len(virtual.matrix),
            virtual_kept=None if virtual is None else min(virtual.kept, 1.0),
        )
        read_points_calibration(temporary)
    return StoredPointsCalibration(place, record, calibration)


def read_points_calibration(folder: Path) -> StoredPointsCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    record, arrays = read_record(folder, PointsCalibrationRecord, MODALITY)
    left_out = set(record.excluded_coils)
    active = tuple(coil for coil in range(record.coils) if coil not in left_out)
    shape = (record.readout_samples, len(active), record.matrix_lines, record.matrix_partitions)
    maps, covariance, offset = arrays.get("maps"), arrays.get("noise_covariance"), arrays.get("offset")
    if maps is None or covariance is None or maps.shape != shape or covariance.shape != (shape[1], shape[1]):
        raise FileError(f"{folder}: {ARRAYS_FILE} does not hold coil maps {shape} and a noise covariance")
    require_sound(folder, maps.swapaxes(0, 1), covariance)
    if offset is not None and (offset.shape != (record.coils,) or not np.isfinite(offset).all()):
        raise FileError(
            f"{folder}: {ARRAYS_FILE} holds an offset that is none of {record.coils} coils; calibrate again"
        )
    calibration = gathered(
        VolumeCalibration,
        record,
        virtual=stored_virtual(folder, record.virtual_coils, record.virtual_kept, arrays, len(active)),
        noise=CoilNoise(covariance.astype(np.complex128), record.noise_source, record.noise_from_scan),
        maps=maps.astype(np.complex64),
        corrections=Corrections(active if left_out else None, None if offset is None else offset.astype(np.complex128)),
    )
    return StoredPointsCalibration(folder, record, calibration)


def _verified(stored: StoredPointsCalibration, raw: RawVolume, design: CartesianPoints) -> Verification:
    """The circumstances of a capture, and what its own data say of the calibration."""
    scan = raw.readouts
    captured = Circumstances(
        design_digest=scan.design_digest or design.design_digest,
        profile_digest=scan.profile_digest or design.profile_digest,
        exposure_us=None,
        created_utc=scan.created_utc,
        bench=scan.bench,
    )
    checks = circumstances_checks(stored.record.circumstances, captured, design_matters=False)
    found = verify_stored_volume(stored.calibration, raw)
    return Verification(score=found.score, score_meaning=found.score_meaning, checks=[*checks, *found.checks])
