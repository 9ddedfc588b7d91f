"""The calibration folder of a scanner: `calibration.json`, `arrays.npz` and a preview of the coil maps."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign import __version__
from cidesign.calibration.capture import Digest, Finite, Positive
from cidesign.calibration.kspace import RawKspace, require_coils
from cidesign.calibration.kspace_capture import SimulatedScanner
from cidesign.calibration.kspace_noise import CoilNoise
from cidesign.calibration.kspace_response import KspaceCalibration, Orientation
from cidesign.errors import FileError
from cidesign.files import load_npz, read_json, replacing_folder, save_npz, sha256_file, write_bytes, write_json
from cidesign.pattern import Trajectory
from cidesign.records import first_problem

SCHEMA_VERSION = 1
ARRAYS_FILE = "arrays.npz"
PREVIEW_FILE = "coil_maps.png"
# Maps of unit norm, 0 where there is no object.
NORM_TOLERANCE = 1e-3


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Orientation(_Strict):
    transpose: bool
    flip_vertical: bool
    flip_horizontal: bool


class KspaceCalibrationRecord(_Strict):
    """The content of `calibration.json`; see `KspaceCalibration`."""

    schema_version: Literal[1]
    kind: Literal["calibration"]
    modality: Literal["mri"]
    cidesign_version: Annotated[str, Field(max_length=64)]
    created_utc: Annotated[str, Field(max_length=64)]
    capture: Annotated[str, Field(max_length=4096)]
    capture_sha256: Digest
    capture_source: Annotated[str, Field(max_length=200)]
    design_digest: Digest
    profile_digest: Digest
    coils: Annotated[int, Field(ge=1, le=1024)]
    matrix_lines: Annotated[int, Field(ge=1, le=100_000)]
    readout_samples: Annotated[int, Field(ge=1, le=100_000)]
    scale: Positive
    noise_variance: Positive
    noise_source: Annotated[str, Field(max_length=500)]
    noise_from_scan: bool
    largest_noise_correlation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    echo_shift_samples: Finite
    acs_lines: Annotated[int, Field(ge=1, le=100_000)]
    kernel: Annotated[int, Field(ge=2, le=12)] | None
    support: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    orientation: _Orientation
    notes: list[Annotated[str, Field(max_length=1000)]]
    simulated_scanner: SimulatedScanner | None
    arrays_sha256: Digest


@dataclass(frozen=True)
class StoredKspaceCalibration:
    """A calibration folder that was read."""

    path: Path
    record: KspaceCalibrationRecord
    calibration: KspaceCalibration


def write_kspace_calibration(
    folder: Path,
    raw: RawKspace,
    design: Trajectory,
    calibration: KspaceCalibration,
    scanner: SimulatedScanner | None,
    created_utc: str,
    force: bool,
) -> StoredKspaceCalibration:
    """Write a calibration folder in one step, and read it back; `scanner` is that of a simulated capture.

    Raises `FileError` when `folder` exists and `force` is not set; what was there stays when writing fails.
    """
    noise = calibration.noise
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / ARRAYS_FILE, {"maps": calibration.maps, "noise_covariance": noise.covariance})
        write_bytes(temporary / PREVIEW_FILE, draw_coil_maps(calibration))
        record = KspaceCalibrationRecord(
            schema_version=1,
            kind="calibration",
            modality="mri",
            cidesign_version=__version__,
            created_utc=created_utc,
            capture=str(raw.path),
            capture_sha256=raw.digest,
            capture_source=raw.source,
            design_digest=design.design_digest,
            profile_digest=design.profile_digest,
            coils=raw.coils,
            matrix_lines=design.lines,
            readout_samples=design.readout,
            scale=calibration.scale,
            noise_variance=noise.variance,
            noise_source=noise.source,
            noise_from_scan=noise.from_scan,
            largest_noise_correlation=noise.largest_correlation,
            echo_shift_samples=calibration.echo_shift_samples,
            acs_lines=calibration.acs_lines,
            kernel=calibration.kernel,
            support=calibration.support,
            orientation=_Orientation(**vars(calibration.orientation)),
            notes=list(calibration.notes),
            simulated_scanner=scanner,
            arrays_sha256=sha256_file(temporary / ARRAYS_FILE),
        )
        write_json(temporary / "calibration.json", record.model_dump(mode="json"))
        read_kspace_calibration(temporary)
    return StoredKspaceCalibration(folder, record, calibration)


def read_kspace_calibration(folder: Path) -> StoredKspaceCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of a newer version."""
    if not folder.is_dir():
        raise FileError(f"{folder}: no such calibration; make one with `cidesign calibrate CAPTURE --out {folder}`")
    raw = read_json(folder / "calibration.json", "calibration record")
    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{folder}: calibration.json has schema version {version}, this program reads {SCHEMA_VERSION}; "
            "update cidesign"
        )
    if raw.get("modality") != "mri":
        raise FileError(f"{folder}: a calibration of the modality {raw.get('modality')!r}; an MRI run takes one of mri")
    try:
        record = KspaceCalibrationRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: calibration.json: {first_problem(error)}") from error
    arrays = load_npz(folder / ARRAYS_FILE, "calibration array file")
    if sha256_file(folder / ARRAYS_FILE) != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that calibration.json names; calibrate again")
    shape = (record.coils, record.matrix_lines, record.readout_samples)
    maps, covariance = arrays.get("maps"), arrays.get("noise_covariance")
    if maps is None or covariance is None or maps.shape != shape or covariance.shape != (record.coils, record.coils):
        raise FileError(f"{folder}: {ARRAYS_FILE} does not hold coil maps {shape} and a noise covariance")
    norm = (np.abs(maps) ** 2).sum(axis=0)
    sound = np.isfinite(maps).all() and bool(np.all((norm < NORM_TOLERANCE) | (np.abs(norm - 1) < NORM_TOLERANCE)))
    try:
        np.linalg.cholesky(covariance.astype(np.complex128))
    except np.linalg.LinAlgError:
        sound = False
    if not sound:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds maps that have no unit norm, or no covariance; calibrate again")
    calibration = KspaceCalibration(
        noise=CoilNoise(covariance.astype(np.complex128), record.noise_source, record.noise_from_scan),
        maps=maps.astype(np.complex64),
        scale=record.scale,
        echo_shift_samples=record.echo_shift_samples,
        acs_lines=record.acs_lines,
        kernel=record.kernel,
        orientation=Orientation(**record.orientation.model_dump()),
        notes=tuple(record.notes),
    )
    return StoredKspaceCalibration(folder, record, calibration)


def require_fitting_kspace(stored: StoredKspaceCalibration, raw: RawKspace, design: Trajectory) -> list[str]:
    """Refuse a calibration of another scanner, matrix or number of coils; returns what can only be remarked."""
    record = stored.record
    if record.profile_digest != design.profile_digest:
        raise FileError(
            f"{stored.path}: profile {record.profile_digest[:12]} was calibrated, the run is for profile "
            f"{design.profile_digest[:12]}; calibrate with a capture of this scanner"
        )
    if (record.matrix_lines, record.readout_samples) != (design.lines, design.readout):
        raise FileError(
            f"{stored.path}: a matrix of {record.matrix_lines} x {record.readout_samples} was calibrated, the run has "
            f"{design.lines} x {design.readout}; calibrate again"
        )
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
    from matplotlib.figure import Figure

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
