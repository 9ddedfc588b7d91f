"""The calibration folder: `calibration.json`, `arrays.npz` and a preview of the photon transfer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign import __version__
from cidesign.calibration.capture import (
    Capture,
    Digest,
    Finite,
    NotNegative,
    Positive,
    SimulatedBench,
)
from cidesign.calibration.preview import draw_photon_transfer
from cidesign.calibration.response import Estimate, Response, WhiteLevels
from cidesign.errors import FileError
from cidesign.files import load_npz, read_json, replacing_folder, save_npz, sha256_file, write_json
from cidesign.records import first_problem

SCHEMA_VERSION = 1
ARRAYS_FILE = "arrays.npz"
PREVIEW_FILE = "photon_transfer.png"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StoredEstimate(_Strict):
    value: Finite
    standard_error: NotNegative


class _PositiveEstimate(_StoredEstimate):
    value: Positive


class _NotNegativeEstimate(_StoredEstimate):
    value: NotNegative


class CalibrationRecord(_Strict):
    """The content of `calibration.json`; every estimate in the unit its name ends with."""

    schema_version: Literal[1]
    kind: Literal["calibration"]
    modality: Literal["single-pixel"]
    cidesign_version: Annotated[str, Field(max_length=64)]
    created_utc: Annotated[str, Field(max_length=64)]
    capture: Annotated[str, Field(max_length=4096)]
    capture_utc: Annotated[str, Field(max_length=64)]
    design_digest: Digest
    profile_digest: Digest
    exposure_us: Positive
    dark_counts: _StoredEstimate
    read_noise_counts: _NotNegativeEstimate
    gain_counts_per_photoelectron: _StoredEstimate
    scale_counts: _PositiveEstimate
    photon_transfer_intercept_counts2: _StoredEstimate
    linearity_percent: NotNegative
    step_counts: NotNegative
    notes: list[Annotated[str, Field(max_length=1000)]]
    simulated_bench: SimulatedBench | None
    arrays_sha256: Digest


@dataclass(frozen=True)
class Calibration:
    """A calibration folder that was read."""

    path: Path
    record: CalibrationRecord
    response: Response


def write_calibration(
    folder: Path, capture: Capture, response: Response, levels: WhiteLevels, created_utc: str, force: bool
) -> Calibration:
    """Write a calibration folder in one step, and read it back.

    Raises `FileError` when `folder` exists and `force` is not set; what was there stays when writing fails.
    """
    if capture.record is None:
        raise FileError(f"{capture.path}: a bare array says nothing of the bench; calibrate from a capture folder")
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / ARRAYS_FILE, _arrays(levels, response))
        (temporary / PREVIEW_FILE).write_bytes(draw_photon_transfer(levels, response))
        record = CalibrationRecord(
            schema_version=1,
            kind="calibration",
            modality="single-pixel",
            cidesign_version=__version__,
            created_utc=created_utc,
            capture=str(capture.path),
            capture_utc=capture.record.created_utc,
            design_digest=capture.record.design_digest,
            profile_digest=capture.record.profile_digest,
            exposure_us=capture.record.exposure_us,
            dark_counts=_StoredEstimate(**response.dark_counts._asdict()),
            read_noise_counts=_NotNegativeEstimate(**response.read_noise_counts._asdict()),
            gain_counts_per_photoelectron=_StoredEstimate(**response.gain_counts_per_photoelectron._asdict()),
            scale_counts=_PositiveEstimate(**response.scale_counts._asdict()),
            photon_transfer_intercept_counts2=_StoredEstimate(**response.intercept_counts2._asdict()),
            linearity_percent=response.linearity_percent,
            step_counts=response.step_counts,
            notes=list(response.notes),
            simulated_bench=capture.bench,
            arrays_sha256=sha256_file(temporary / ARRAYS_FILE),
        )
        write_json(temporary / "calibration.json", record.model_dump(mode="json"))
        read_calibration(temporary)
    return Calibration(folder, record, response)


def read_calibration(folder: Path) -> Calibration:
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
    try:
        record = CalibrationRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: calibration.json: {first_problem(error)}") from error
    load_npz(folder / ARRAYS_FILE, "calibration array file")
    if sha256_file(folder / ARRAYS_FILE) != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that calibration.json names; calibrate again")
    return Calibration(folder, record, _response(record))


def require_fitting(calibration: Calibration, capture: Capture, profile_digest: str, design_digest: str) -> list[str]:
    """Refuse a calibration of another device or exposure, field by field; returns what can only be remarked."""
    record, notes = calibration.record, []
    if record.profile_digest != profile_digest:
        raise FileError(
            f"{calibration.path}: profile {record.profile_digest[:12]} was calibrated, the run is for profile "
            f"{profile_digest[:12]}; calibrate with a capture of this device"
        )
    if capture.record is None:
        notes.append(
            f"{capture.path.name} is a bare array: design, device and exposure ({record.exposure_us:g} us calibrated) "
            "could not be checked; only the number of readings fits"
        )
    elif capture.record.exposure_us != record.exposure_us:
        raise FileError(
            f"{calibration.path}: exposure {record.exposure_us:g} us was calibrated, the capture was taken with "
            f"{capture.record.exposure_us:g} us; calibrate at the exposure of the capture"
        )
    if record.design_digest != design_digest:
        notes.append("the calibration was taken with another design; dark, gain and scale do not depend on it")
    return notes


def _arrays(levels: WhiteLevels, response: Response) -> dict[str, NDArray[np.float64]]:
    signal = levels.mean_counts - response.dark_counts.value
    return {
        "light_fraction": levels.light_fraction,
        "mean_counts": levels.mean_counts,
        "variance_counts2": levels.variance_counts2,
        "linearity_residual_counts": signal - response.scale_counts.value * levels.light_fraction,
        "transfer_residual_counts2": levels.variance_counts2
        - (response.gain_counts_per_photoelectron.value * signal + response.intercept_counts2.value),
        "repeats": np.array(levels.repeats),
    }


def _response(record: CalibrationRecord) -> Response:
    def estimate(stored: _StoredEstimate) -> Estimate:
        return Estimate(stored.value, stored.standard_error)

    return Response(
        dark_counts=estimate(record.dark_counts),
        read_noise_counts=estimate(record.read_noise_counts),
        gain_counts_per_photoelectron=estimate(record.gain_counts_per_photoelectron),
        scale_counts=estimate(record.scale_counts),
        intercept_counts2=estimate(record.photon_transfer_intercept_counts2),
        linearity_percent=record.linearity_percent,
        step_counts=record.step_counts,
        notes=tuple(record.notes),
    )
