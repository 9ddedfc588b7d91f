"""The calibration folder of a single-pixel bench: `calibration.json`, `arrays.npz` and previews."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cidesign import __version__
from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.camera.checks import RegistrationRecord, registration_record
from cidesign.calibration.camera.preview import draw_registration
from cidesign.calibration.camera.registration import Registration
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.estimate import Estimate
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    RECORD_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
)
from cidesign.calibration.single_pixel.calibrate import SpcCalibration, place_unseen, verify_on
from cidesign.calibration.single_pixel.capture import Capture, SimulatedBench
from cidesign.calibration.single_pixel.checks import sequence_checks
from cidesign.calibration.single_pixel.frames import reference_of
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator
from cidesign.calibration.single_pixel.preview import draw_operator, draw_photon_transfer
from cidesign.calibration.single_pixel.response import Response, WhiteLevels
from cidesign.calibration.single_pixel.scene_order import scene_in_order
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import save_npz, sha256_file, write_bytes, write_json
from cidesign.orientation import NAMES, StoredOrientation, in_one_field
from cidesign.pattern import PatternStack
from cidesign.records import Finite, NotNegative, Positive, Strict

TRANSFER_FILE = "photon_transfer.png"
OPERATOR_FILE = "operator.png"
REGISTRATION_FILE = "registration.png"
MODALITY = "single-pixel"


class _StoredEstimate(Strict):
    value: Finite
    standard_error: NotNegative


class _PositiveEstimate(_StoredEstimate):
    value: Positive


class _NotNegativeEstimate(_StoredEstimate):
    value: NotNegative


class StoredOperator(Strict):
    """How the patterns lie on the scene, see `SpcOperator`; its illumination is in the arrays."""

    rotation_deg: Finite
    down_px: Finite
    right_px: Finite
    orientation: StoredOrientation
    polarity: Literal[1, -1]
    rotation_error_deg: NotNegative
    shift_error_px: NotNegative
    light_error: NotNegative
    fitted: bool

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, raw: Any) -> Any:
        return in_one_field(raw, NAMES)


class CalibrationRecord(CommonRecord):
    """The content of `calibration.json`; every estimate in the unit its name ends with."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["single-pixel"]
    exposure_us: Positive
    dark_counts: _StoredEstimate
    read_noise_counts: _NotNegativeEstimate
    gain_counts_per_photoelectron: _StoredEstimate
    scale_counts: _PositiveEstimate
    photon_transfer_intercept_counts2: _StoredEstimate
    stray_counts: Finite
    linearity_percent: NotNegative
    step_counts: Annotated[float, Field(ge=0, le=2**52)]
    operator: StoredOperator
    registration: RegistrationRecord | None = None
    simulated_bench: SimulatedBench | None


@dataclass(frozen=True)
class SinglePixelCalibration(Calibration[CalibrationRecord, Capture, PatternStack, Measurements]):
    """The detector's response, and how patterns lie on the scene."""

    response: Response
    optics: SpcOperator

    @property
    def notes(self) -> tuple[str, ...]:
        """What the detector's response says."""
        return self.response.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Super-pixels (n, n) of the calibrated field."""
        height, width = self.optics.illumination.shape
        return height, width

    def size_of(self, design: PatternStack) -> tuple[int, ...]:
        """Super-pixels (n, n) of the patterns."""
        return design.side, design.side

    def examine(self, capture: Capture, design: PatternStack) -> Examined[Measurements]:
        """Circumstances, the known card, and the order of the readings."""
        # Nothing is measured from readings in a wrong order: what that raises would name something else.  What a card
        # in this capture shows comes before: exchanged mirrors exchange the two readings of each pair.
        scene = scene_in_order(capture, design, self.response, self.optics)
        self.require_fitting(design)
        checks = [*self._circumstances(capture), *self._place(capture, design), scene.check]

        def measure() -> tuple[Measurements, list[Check]]:
            found = measurements_from_counts(
                scene.frames, design, self.response, self.optics, reference_of(capture, design)
            )
            return found, sequence_checks("scene", scene.frames, found)

        return Examined(Verification(score=None, score_meaning="checks of this capture", checks=checks), measure)

    def _circumstances(self, capture: Capture) -> list[Check]:
        if capture.record is not None:
            return circumstances_checks(self.circumstances, capture.record.circumstances, design_matters=False)
        text = (
            f"{capture.path.name} is a bare array: design, device and exposure ({self.record.exposure_us:g} us "
            "calibrated) could not be checked; only the number of readings fits"
        )
        return [Check(name="circumstances", status="warning", text=text)]

    def _place(self, capture: Capture, design: PatternStack) -> list[Check]:
        return verify_on(self.response, self.optics, capture, design) or [place_unseen()]

    def operator_for(self, design: PatternStack) -> "PatternOperator":
        """The patterns as they lie on the scene, within [-1, 1]."""
        return PatternOperator(self.optics.signed(design))


class PatternOperator(LinearOperator):
    """y_k = sum(phi_k x) / n for patterns phi (K, n, n) and images (..., n, n)."""

    def __init__(self, signed: NDArray[np.float32]) -> None:
        count, side, _ = signed.shape
        self.image_shape, self.reading_shape = (side, side), (count,)
        self.matrix = signed.reshape(count, -1) / side

    def _forward(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(x.reshape(len(x), -1) @ self.matrix.T)

    def _adjoint(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(y @ self.matrix)


def write_calibration(
    folder: Path,
    capture: Capture,
    found: SpcCalibration,
    created_utc: str,
    force: bool,
    registration: Registration | None = None,
) -> SinglePixelCalibration:
    """Write a calibration folder in one step, and read it back.

    Raises `FileError` when `folder` exists and `force` is not set; what was there stays when writing fails, and when
    the calibration did not pass its verification.
    """
    if capture.record is None:
        raise FileError(f"{capture.path}: a bare array says nothing of the bench; calibrate from a capture folder")
    with replacing_calibration(folder, found.verification, force) as (temporary, place):
        save_npz(temporary / ARRAYS_FILE, _arrays(found.levels, found.response, found.operator))
        write_bytes(temporary / TRANSFER_FILE, draw_photon_transfer(found.levels, found.response))
        card = capture.arrays.get("card_picture")
        write_bytes(temporary / OPERATOR_FILE, draw_operator(found.operator, found.fit, card))
        seen = None
        if registration is not None:
            write_bytes(temporary / REGISTRATION_FILE, draw_registration(registration))
            seen = registration_record(registration)
        record = _record(capture, found, created_utc, sha256_file(temporary / ARRAYS_FILE), seen)
        write_json(temporary / RECORD_FILE, record.model_dump(mode="json"))
        again = read_calibration(temporary)
    return replace(again, path=place)


def _record(
    capture: Capture,
    found: SpcCalibration,
    created_utc: str,
    arrays_sha256: str,
    registration: RegistrationRecord | None,
) -> CalibrationRecord:
    if capture.record is None:
        raise FileError(f"{capture.path}: a bare array says nothing of the bench; calibrate from a capture folder")
    response, operator = found.response, found.operator
    place = operator.placement
    return CalibrationRecord(
        schema_version=2,
        kind="calibration",
        modality="single-pixel",
        cidesign_version=__version__,
        created_utc=created_utc,
        capture=str(capture.path),
        capture_utc=capture.record.created_utc,
        design_digest=capture.record.design_digest,
        profile_digest=capture.record.profile_digest,
        exposure_us=capture.record.exposure_us,
        bench=capture.record.bench_state,
        dark_counts=_StoredEstimate(**response.dark_counts._asdict()),
        read_noise_counts=_NotNegativeEstimate(**response.read_noise_counts._asdict()),
        gain_counts_per_photoelectron=_StoredEstimate(**response.gain_counts_per_photoelectron._asdict()),
        scale_counts=_PositiveEstimate(**response.scale_counts._asdict()),
        photon_transfer_intercept_counts2=_StoredEstimate(**response.intercept_counts2._asdict()),
        stray_counts=response.stray_counts,
        linearity_percent=response.linearity_percent,
        step_counts=response.step_counts,
        operator=StoredOperator(
            rotation_deg=place.rotation_deg,
            down_px=place.down_px,
            right_px=place.right_px,
            orientation=place.orientation,
            polarity=1 if operator.polarity > 0 else -1,
            rotation_error_deg=operator.rotation_error_deg,
            shift_error_px=operator.shift_error_px,
            light_error=operator.light_error,
            fitted=operator.fitted,
        ),
        registration=registration,
        notes=list(response.notes),
        verification=found.verification,
        simulated_bench=capture.bench,
        arrays_sha256=arrays_sha256,
    )


def read_calibration(folder: Path) -> SinglePixelCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of another version."""
    record, arrays = read_record(folder, CalibrationRecord, MODALITY)
    light = arrays.get("illumination", arrays.get("light_map"))  # the latter as it was called once
    if light is None or light.ndim != 2 or light.shape[0] != light.shape[1] or light.dtype != np.float64:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds no square illumination; calibrate again")
    if not np.isfinite(light).all() or light.min() <= 0:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds an illumination with values that are no light; calibrate again")
    optics = _operator(record.operator, light.astype(np.float64))
    return SinglePixelCalibration(folder, record, _response(record), optics)


def _arrays(levels: WhiteLevels, response: Response, operator: SpcOperator) -> dict[str, NDArray[np.float64]]:
    signal = levels.mean_counts - response.dark_counts.value
    return {
        "light_fraction": levels.light_fraction,
        "mean_counts": levels.mean_counts,
        "variance_counts2": levels.variance_counts2,
        "linearity_residual_counts": signal - response.scale_counts.value * levels.light_fraction,
        "transfer_residual_counts2": levels.variance_counts2
        - (response.gain_counts_per_photoelectron.value * signal + response.intercept_counts2.value),
        "repeats": np.array(levels.repeats),
        "illumination": operator.illumination,
    }


def _operator(stored: StoredOperator, light: NDArray[np.float64]) -> SpcOperator:
    return SpcOperator(
        placement=Placement(stored.rotation_deg, stored.down_px, stored.right_px, stored.orientation),
        polarity=stored.polarity,
        illumination=light,
        rotation_error_deg=stored.rotation_error_deg,
        shift_error_px=stored.shift_error_px,
        light_error=stored.light_error,
        fitted=stored.fitted,
    )


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
        stray_counts=record.stray_counts,
    )
