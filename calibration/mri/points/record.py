"""The calibration folder of a 3-D scan: `calibration.json`, `arrays.npz` and a preview of the coil maps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.folder import (
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.mri.capture import Size
from cidesign.calibration.mri.kspace import Samples, centred_fft, centred_ifft, require_coils
from cidesign.calibration.mri.points.capture import MODALITY
from cidesign.calibration.mri.points.response import VolumeCalibration
from cidesign.calibration.mri.points.verify import verify_stored_volume
from cidesign.calibration.mri.points.volume import RawVolume, require_points
from cidesign.calibration.mri.record import draw_coil_maps
from cidesign.calibration.mri.response import Corrections
from cidesign.calibration.mri.stored import PREVIEW_FILE, CartesianScanRecord, coil_arrays, read_coils, said_of_coils
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.files import write_bytes
from cidesign.pattern import CartesianPoints
from cidesign.records import gathered


class PointsCalibrationRecord(CartesianScanRecord):
    """The content of `calibration.json`; see `VolumeCalibration`.  `coils` are those of the capture."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri-points"]
    matrix_partitions: Size
    acs: tuple[Size, Size]


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

        found = verify_stored_volume(self.calibration, capture)
        verification = self.record.verified(capture.readouts, design, found)

        def measure() -> tuple[Samples, list[Check]]:
            return self.calibration.slices(capture), []

        return Examined(verification, measure, tuple(notes), same)

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
    arrays = coil_arrays(calibration.maps, noise, wrong, virtual)
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
            design_digest=design.design_digest,
            profile_digest=design.profile_digest,
            verification=verification,
            matrix_lines=design.lines,
            matrix_partitions=design.partitions,
            readout_samples=design.readout,
            simulated_scanner=scan.scanner,
            **said_of_coils(scan, noise, wrong, virtual),
        )
        read_points_calibration(temporary)
    return StoredPointsCalibration(place, record, calibration)


def read_points_calibration(folder: Path) -> StoredPointsCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    record, arrays = read_record(folder, PointsCalibrationRecord, MODALITY)
    shape = (record.readout_samples, len(record.active), record.matrix_lines, record.matrix_partitions)
    found = read_coils(folder, record, arrays, shape, coil_axis=1)
    calibration = gathered(
        VolumeCalibration,
        record,
        virtual=found.virtual,
        noise=found.noise,
        maps=found.maps,
        corrections=Corrections(record.active if record.excluded_coils else None, found.offset),
    )
    return StoredPointsCalibration(folder, record, calibration)
