"""The calibration folder of a scanner of shots: `calibration.json` and `arrays.npz`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.folder import read_record, replacing_calibration, write_record
from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.shots.capture import MODALITY, RawShots, SimulatedShots
from cidesign.calibration.mri.shots.nufft import ShotSums
from cidesign.calibration.mri.shots.response import ShotsCalibration
from cidesign.calibration.mri.shots.verify import verify_stored_shots
from cidesign.calibration.mri.stored import ScanRecord, coil_arrays, read_maps, said_of_scan
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError
from cidesign.pattern import NonCartesian
from cidesign.records import Finite, gathered

Count = Annotated[int, Field(ge=1, le=100_000)]
Coil = Annotated[int, Field(ge=0, lt=1024)]


class ShotsCalibrationRecord(ScanRecord):
    """The content of `calibration.json`; see `ShotsCalibration`.

    `capture_coils` are those of the capture, `coils` the ones that receive.
    """

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri-shots"]
    capture_coils: Annotated[int, Field(ge=1, le=1024)]
    coils: tuple[Coil, ...]
    height: Count
    width: Count
    delays_ns: tuple[Finite, Finite]
    radius: Annotated[int, Field(ge=0, le=10_000)]
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
        found = verify_stored_shots(self.calibration, capture, design)
        verification = self.record.verified(capture, design, found)
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
    with replacing_calibration(folder, verification, force) as (temporary, place):
        record = write_record(
            temporary,
            ShotsCalibrationRecord,
            coil_arrays(calibration.maps, calibration.noise),
            calibration,
            design,
            modality=MODALITY,
            created_utc=created_utc,
            capture_coils=raw.coils,
            verification=verification,
            height=design.size[0],
            width=design.size[1],
            simulated_scanner=raw.scanner,
            **said_of_scan(raw, calibration.noise),
        )
        read_shots_calibration(temporary)
    return StoredShotsCalibration(place, record, calibration)


def read_shots_calibration(folder: Path) -> StoredShotsCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    record, arrays = read_record(folder, ShotsCalibrationRecord, MODALITY)
    shape = (len(record.coils), record.height, record.width)
    maps, noise = read_maps(folder, record, arrays, shape)
    calibration = gathered(
        ShotsCalibration,
        record,
        noise=noise,
        maps=maps,
    )
    return StoredShotsCalibration(folder, record, calibration)
