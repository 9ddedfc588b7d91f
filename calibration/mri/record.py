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
from cidesign.calibration.folder import (
    RECORD_FILE,
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
from cidesign.calibration.mri.response import Corrections, KspaceCalibration
from cidesign.calibration.mri.stored import PREVIEW_FILE, CartesianScanRecord, coil_arrays, read_coils, said_of_coils
from cidesign.calibration.mri.verify import verify_stored
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import read_json, write_bytes
from cidesign.orientation import StoredOrientation
from cidesign.pattern import CartesianLines
from cidesign.records import Finite, gathered


class KspaceCalibrationRecord(CartesianScanRecord):
    """The content of `calibration.json`; see `KspaceCalibration` and `Corrections`.

    `coils` are those of the capture; `excluded_coils` receive nothing.  `orientation_shown`: the orientation is that in
    which a phantom looks like its drawing, so that it holds for the scene as well.
    """

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri"]
    phantom_echo_samples: Finite | None
    shift_px: Annotated[Finite, Field(validation_alias=AliasChoices("shift_px", "displacement_px"))]
    drift_rad_per_readout: Finite
    offset_lines: Annotated[int, Field(ge=-100_000, le=100_000)] = 0
    acs_lines: Annotated[int, Field(ge=1, le=100_000)]
    orientation: StoredOrientation
    orientation_shown: bool


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
            coil_arrays(calibration.maps, noise, wrong, calibration.virtual),
            calibration,
            wrong,
            design,
            modality="mri",
            created_utc=created_utc,
            verification=verification,
            matrix_lines=design.lines,
            readout_samples=design.readout,
            phantom_echo_samples=phantom_echo_samples,
            orientation_shown=phantom_echo_samples is not None,
            simulated_scanner=scanner,
            **said_of_coils(raw, noise, wrong, calibration.virtual),
        )
        read_kspace_calibration(temporary)
    return StoredKspaceCalibration(place, record, calibration)


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
    shape = (len(record.active), record.matrix_lines, record.readout_samples)
    found = read_coils(folder, record, arrays, shape)
    corrections = gathered(
        Corrections,
        record,
        coils=record.active if record.excluded_coils else None,
        offset=found.offset,
    )
    calibration = gathered(
        KspaceCalibration,
        record,
        virtual=found.virtual,
        noise=found.noise,
        maps=found.maps,
        corrections=corrections,
    )
    return StoredKspaceCalibration(folder, record, calibration)


def verify_capture(stored: StoredKspaceCalibration, raw: RawKspace, design: CartesianLines) -> Verification:
    """Whether a calibration still describes the scanner that a capture comes from: its circumstances, and its own data.

    A capture of the fitting matrix and coils is needed (`require_fitting_kspace`).
    """
    found = verify_stored(stored.calibration, raw, stored.record.phantom_echo_samples)
    return stored.record.verified(raw, design, found)


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
