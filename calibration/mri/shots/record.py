"""The calibration folder of a scanner of shots: `calibration.json` and `arrays.npz`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.circumstances import Circumstances, circumstances_checks
from cidesign.calibration.folder import ARRAYS_FILE, CommonRecord, read_record, replacing_calibration, write_record
from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.noise import CoilNoise
from cidesign.calibration.mri.record import require_sound
from cidesign.calibration.mri.shots.capture import MODALITY, RawShots, SimulatedShots
from cidesign.calibration.mri.shots.nufft import ShotSums
from cidesign.calibration.mri.shots.response import ShotsCalibration
from cidesign.calibration.mri.shots.verify import verify_stored_shots
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.pattern import NonCartesian
from cidesign.records import Digest, Finite, Positive, gathered

Count = Annotated[int, Field(ge=1, le=100_000)]
Coil = Annotated[int, Field(ge=0, lt=1024)]


class ShotsCalibrationRecord(CommonRecord):
    """The content of `calibration.json`; see `ShotsCalibration`.

    `capture_coils` are those of the capture, `coils` the ones that receive.
    """

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri-shots"]
    capture_sha256: Digest
    capture_source: Annotated[str, Field(max_length=200)]
    capture_coils: Annotated[int, Field(ge=1, le=1024)]
    coils: tuple[Coil, ...]
    height: Count
    width: Count
    scale: Positive
    noise_variance: Positive
    noise_source: Annotated[str, Field(max_length=500)]
    noise_from_scan: bool
    delays_ns: tuple[Finite, Finite]
    radius: Annotated[int, Field(ge=0, le=10_000)]
    kernel: Annotated[int, Field(ge=2, le=12)] | None
    simulated_scanner: SimulatedShots | None


@dataclass(frozen=True)
class StoredShotsCalibration(Calibration[ShotsCalibrationRecord, RawShots, NonCartesian, Samples]):
    """The calibrated scanner, in its folder."""

    calibration: ShotsCalibration

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the noise comes from."""
        return self.calibration.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Of the image that was calibrated."""
        return self.record.height, self.record.width

    def size_of(self, design: NonCartesian) -> tuple[int, ...]:
        """Of the design's image."""
        return design.size

    def examine(self, capture: RawShots, design: NonCartesian) -> Examined[Samples]:
        """Coils and image, circumstances, and what the capture itself says: noise, delay, its centre, its phantom."""
        capture.require_design(design)
        self.require_fitting(design)
        if capture.coils != self.record.capture_coils:
            raise FileError(
                f"{capture.path}: {capture.coils} coils, {self.record.capture_coils} were calibrated; calibrate with a "
                "capture of the same coils"
            )
        captured = Circumstances(
            design_digest=capture.design_digest,
            profile_digest=capture.profile_digest,
            exposure_us=None,
            created_utc=capture.created_utc,
            bench=capture.bench,
        )
        checks: list[Check] = circumstances_checks(self.record.circumstances, captured, design_matters=False)
        found = verify_stored_shots(self.calibration, capture, design)
        verification = Verification(
            score=found.score, score_meaning=found.score_meaning, checks=[*checks, *found.checks]
        )
        same = self.record.capture_sha256 == capture.digest
        other = "coil maps, noise, delays and scale are those of another capture; subject and coils must not have moved"
        return Examined(
            verification, lambda: (self.calibration.measurements(capture), []), () if same else (other,), same
        )

    def operator_for(self, design: NonCartesian) -> "ShotOperator":
        """The design's shots, placed with the delays, with the measured, whitened maps of unit norm."""
        return ShotOperator(self.calibration.points(design), self.calibration.operator[0])


class ShotOperator(LinearOperator):
    """y = A (S z): complex images z (..., H, W) to whitened samples (..., coils, shots, samples)."""

    def __init__(self, points: NDArray[np.float64], maps: Samples) -> None:
        self.image_shape, self.reading_shape = maps.shape[1:], (len(maps), *points.shape[:2])
        self.maps, self.sums = maps, ShotSums(points, (maps.shape[1], maps.shape[2]))

    def _forward(self, x: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        return np.stack([self.sums.forward(self.maps * one) for one in x]).astype(np.complex64)

    def _adjoint(self, y: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
        images = [(self.maps.conj() * self.sums.adjoint(one)).sum(axis=0) for one in y]
        return np.stack(images).astype(np.complex64)


def write_shots_calibration(
    folder: Path,
    raw: RawShots,
    design: NonCartesian,
    calibration: ShotsCalibration,
    verification: Verification,
    created_utc: str,
    force: bool,
) -> StoredShotsCalibration:
    """Write a calibration folder in one step, and read it back; one that failed never replaces another."""
    noise = calibration.noise
    arrays: dict[str, NDArray[np.generic]] = {"maps": calibration.maps, "noise_covariance": noise.covariance}
    with replacing_calibration(folder, verification, force) as (temporary, place):
        record = write_record(
            temporary,
            ShotsCalibrationRecord,
            arrays,
            calibration,
            design,
            modality=MODALITY,
            created_utc=created_utc,
            capture=str(raw.path),
            capture_utc=raw.created_utc,
            capture_sha256=raw.digest,
            capture_source=raw.source,
            capture_coils=raw.coils,
            exposure_us=None,
            bench=raw.bench,
            verification=verification,
            height=design.size[0],
            width=design.size[1],
            noise_variance=noise.variance,
            noise_source=noise.source,
            noise_from_scan=noise.from_scan,
            simulated_scanner=raw.scanner,
        )
        read_shots_calibration(temporary)
    return StoredShotsCalibration(place, record, calibration)


def read_shots_calibration(folder: Path) -> StoredShotsCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    record, arrays = read_record(folder, ShotsCalibrationRecord, MODALITY)
    shape = (len(record.coils), record.height, record.width)
    maps, covariance = arrays.get("maps"), arrays.get("noise_covariance")
    if maps is None or covariance is None or maps.shape != shape or covariance.shape != (shape[0], shape[0]):
        raise FileError(f"{folder}: {ARRAYS_FILE} does not hold coil maps {shape} and a noise covariance")
    require_sound(folder, maps, covariance)
    calibration = gathered(
        ShotsCalibration,
        record,
        noise=CoilNoise(covariance.astype(np.complex128), record.noise_source, record.noise_from_scan),
        maps=maps.astype(np.complex64),
    )
    return StoredShotsCalibration(folder, record, calibration)
