"""The calibration folder of a single-pixel bench: `calibration.json`, `arrays.npz` and previews."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.camera.checks import RegistrationRecord, registration_record
from cidesign.calibration.camera.preview import draw_registration
from cidesign.calibration.camera.registration import Registration
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.estimate import Estimate, NotNegativeEstimate, PositiveEstimate
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
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
from cidesign.files import write_bytes
from cidesign.orientation import NAMES, StoredOrientation, in_one_field
from cidesign.pattern import PatternStack
from cidesign.records import Finite, NotNegative, Positive, Strict, gathered

TRANSFER_FILE = "photon_transfer.png"
OPERATOR_FILE = "operator.png"
REGISTRATION_FILE = "registration.png"
MODALITY = "single-pixel"


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
    dark_counts: Estimate
    read_noise_counts: NotNegativeEstimate
    gain_counts_per_photoelectron: Estimate
    scale_counts: PositiveEstimate
    photon_transfer_intercept_counts2: Estimate
    stray_counts: Finite
    linearity_percent: NotNegative
    step_counts: Annotated[float, Field(ge=0, le=2**52)]
    operator: StoredOperator
    registration: RegistrationRecord | None = None
    simulated_bench: SimulatedBench | None


_Record = TypeVar("_Record", bound=CommonRecord)


@dataclass(frozen=True)
class PatternCalibration(Calibration[_Record, Capture, PatternStack, Measurements], Generic[_Record]):
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

    def operator_for(self, design: PatternStack) -> "PatternOperator":
        """The patterns as they lie on the scene, within [-1, 1]."""
        return PatternOperator(self.optics.signed(design))


@dataclass(frozen=True)
class SinglePixelCalibration(PatternCalibration[CalibrationRecord]):
    """A calibration that was made from a capture."""

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
    response, operator = found.response, found.operator
    with replacing_calibration(folder, found.verification, force) as (temporary, place):
        write_bytes(temporary / TRANSFER_FILE, draw_photon_transfer(found.levels, response))
        card = capture.arrays.get("card_picture")
        write_bytes(temporary / OPERATOR_FILE, draw_operator(operator, found.fit, card))
        if registration is not None:
            write_bytes(temporary / REGISTRATION_FILE, draw_registration(registration))
        lie = operator.placement
        write_record(
            temporary,
            CalibrationRecord,
            _arrays(found.levels, response, operator),
            response,
            capture.record,
            modality=MODALITY,
            created_utc=created_utc,
            capture=str(capture.path),
            capture_utc=capture.record.created_utc,
            bench=capture.record.bench_state,
            operator=gathered(StoredOperator, operator, lie),
            registration=None if registration is None else registration_record(registration),
            verification=found.verification,
            simulated_bench=capture.bench,
        )
        again = read_calibration(temporary)
    return replace(again, path=place)


def read_calibration(folder: Path) -> SinglePixelCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of another version."""
    record, arrays = read_record(folder, CalibrationRecord, MODALITY)
    light = arrays.get("illumination", arrays.get("light_map"))  # the latter as it was called once
    if light is None or light.ndim != 2 or light.shape[0] != light.shape[1] or light.dtype != np.float64:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds no square illumination; calibrate again")
    if not np.isfinite(light).all() or light.min() <= 0:
        raise FileError(f"{folder}: {ARRAYS_FILE} holds an illumination with values that are no light; calibrate again")
    lie = gathered(Placement, record.operator)
    optics = gathered(SpcOperator, record.operator, placement=lie, illumination=light.astype(np.float64))
    return SinglePixelCalibration(folder, record, gathered(Response, record), optics)


def _arrays(levels: WhiteLevels, response: Response, operator: SpcOperator) -> dict[str, NDArray[np.generic]]:
    signal = levels.mean_counts - response.dark_counts.value
    return {
        "light_fraction": levels.light_fraction,
        "mean_counts": levels.mean_counts,
        "variance_counts2": levels.variance_counts2,
        "linearity_residual_counts": signal - response.scale_counts.value * levels.light_fraction,
        "transfer_residual_counts2": levels.variance_counts2
        - (response.gain_counts_per_photoelectron.value * signal + response.photon_transfer_intercept_counts2.value),
        "repeats": np.array(levels.repeats),
        "illumination": operator.illumination,
    }
