"""The calibration folder of an SD-CASSI bench: `calibration.json`, `arrays.npz` and three pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field, model_validator

from cidesign.calibration.base import Calibration, Examined
from cidesign.calibration.cassi.calibrate import CassiOutcome
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture, PixelPair, SimulatedCassiBench, WavelengthNm
from cidesign.calibration.cassi.operator import BandOperator, CassiOperator
from cidesign.calibration.cassi.preview import draw_dispersion, draw_mask, draw_white
from cidesign.calibration.cassi.readings import CassiReadings, readings_of
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    RECORD_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import write_bytes
from cidesign.orientation import StoredOrientation, in_one_field
from cidesign.pattern import ApertureMask
from cidesign.records import Finite, NotNegative, Positive, Strict, gathered, shown

MASK_PREVIEW, DISPERSION_PREVIEW, WHITE_PREVIEW = "mask.png", "dispersion.png", "white_target.png"
ARRAYS = {
    "masks": (3, "f"), "to_code": (3, "f"), "response": (1, "f"), "shift_px": (1, "f"), "dark_counts": (2, "f"),
    "flat": (2, "f"), "usable": (2, "b"),
}  # fmt: skip
# Above any detector; what declares more is damaged.
MAX_SIDE = 100_000
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class PlacementRecord(Strict):
    """How the mask stands in the bench; see `Placement`."""

    orientation: StoredOrientation
    inverted: bool
    rotation_deg: Finite
    scale: Positive
    offset_px: Annotated[PixelPair | None, Field(validation_alias=AliasChoices("offset_px", "displaced_px"))]
    edge_um: Finite
    blur_px: Positive

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, raw: Any) -> Any:
        return in_one_field(raw, ("transposed", "rows_reversed", "columns_reversed"))


class CassiCalibrationRecord(CommonRecord):
    """The content of `calibration.json`; see `CassiCalibration`."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["cassi"]
    detector_px_per_code_px: Annotated[int, Field(ge=1, le=32)]
    detector_size: tuple[Side, Side]
    code_size: tuple[Side, Side]
    wavelengths_nm: Annotated[list[WavelengthNm], Field(min_length=1, max_length=1000)]
    lines_nm: Annotated[list[WavelengthNm], Field(max_length=1000)]
    scale_counts: Positive
    read_noise_counts: NotNegative
    gain_counts_per_photoelectron: NotNegative
    gain_error_counts_per_photoelectron: NotNegative
    saturation_counts: Finite | None
    pixel_uncertainty_px: NotNegative
    placement: PlacementRecord
    simulated_bench: SimulatedCassiBench | None


@dataclass(frozen=True)
class StoredCassiCalibration(Calibration[CassiCalibrationRecord, CassiCapture, ApertureMask, CassiReadings]):
    """The calibrated bench, in its folder."""

    calibration: CassiCalibration

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the light of the bands, the scale and the flat come from."""
        return self.calibration.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels (H, W) of the calibrated code."""
        return self.record.code_size

    def size_of(self, design: ApertureMask) -> tuple[int, ...]:
        """Pixels (H, W) of the mask."""
        height, width = design.levels.shape
        return height, width

    def examine(self, capture: CassiCapture, design: ApertureMask) -> Examined[CassiReadings]:
        """Circumstances, the white target, and the scene where there is none."""
        capture.require_design(design)
        self.require_fitting(design)
        found = self.calibration
        if capture.truth is not None and capture.truth.shape != found.operator.masks.shape:
            raise FileError(
                f"{capture.path}: truth has shape {capture.truth.shape}, not {found.operator.masks.shape}; simulate it "
                "again"
            )
        checks = circumstances_checks(self.circumstances, capture.record.circumstances, design_matters=True)
        checks += verify_against(found, capture, design)

        def measure() -> tuple[CassiReadings, list[Check]]:
            return readings_of(capture, found, self.verification.score or 0.0), []

        meaning = "the calibration against the capture of the scene"
        return Examined(Verification(score=None, score_meaning=meaning, checks=checks), measure)

    def operator_for(self, design: ApertureMask) -> BandOperator:
        """The measured masks in their place; the design's own are not needed."""
        return BandOperator(self.calibration.operator)


def write_cassi_calibration(
    folder: Path, capture: CassiCapture, outcome: CassiOutcome, created_utc: str, force: bool
) -> StoredCassiCalibration:
    """Write a calibration folder in one step, and read it back; its `path` is where it went.

    One that failed its verification never takes the place of an earlier one.  Raises `FileError` when `folder` exists
    and `force` is not set; what was there stays when writing fails.
    """
    calibration, placement = outcome.calibration, outcome.placement
    with replacing_calibration(folder, outcome.verification, force) as (temporary, place):
        write_bytes(temporary / MASK_PREVIEW, draw_mask(outcome))
        write_bytes(temporary / DISPERSION_PREVIEW, draw_dispersion(outcome))
        if outcome.white is not None:
            write_bytes(temporary / WHITE_PREVIEW, draw_white(outcome.white))
        blur_px = float(np.mean([fit.blur_px for fit in outcome.lines.fits]))
        record = write_record(
            temporary,
            CassiCalibrationRecord,
            _arrays(calibration),
            calibration,
            capture.record,
            modality="cassi",
            created_utc=created_utc,
            capture=str(capture.path),
            capture_utc=capture.record.created_utc,
            bench=capture.record.bench_state,
            verification=outcome.verification,
            detector_px_per_code_px=calibration.binning,
            detector_size=calibration.operator.size,
            code_size=outcome.layout.code,
            wavelengths_nm=outcome.layout.wavelengths_nm.tolist(),
            lines_nm=outcome.lines.lines_nm.tolist(),
            gain_error_counts_per_photoelectron=outcome.detector.gain_error,
            placement=gathered(PlacementRecord, placement, placement.mounting, blur_px=blur_px),
            simulated_bench=capture.bench,
        )
        read_cassi_calibration(temporary)
    return StoredCassiCalibration(place, record, calibration)


def _arrays(calibration: CassiCalibration) -> dict[str, NDArray[np.generic]]:
    operator = calibration.operator
    usable = calibration.usable
    return {
        "masks": operator.masks,
        "to_code": operator.to_code,
        "response": operator.response,
        "shift_px": calibration.shift_px,
        "dark_counts": calibration.dark_counts,
        "flat": calibration.flat,
        "usable": np.ones(calibration.dark_counts.shape, dtype=bool) if usable is None else usable,
    }


def read_cassi_calibration(folder: Path) -> StoredCassiCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of another version."""
    record, arrays = read_record(folder, CassiCalibrationRecord, "cassi")
    if set(arrays) != set(ARRAYS) or any(
        arrays[name].ndim != ndim or arrays[name].dtype.kind != kind for name, (ndim, kind) in ARRAYS.items()
    ):
        raise FileError(f"{folder}: {ARRAYS_FILE} should hold {', '.join(ARRAYS)}, not {shown(sorted(arrays))}")
    bands, binning = len(record.wavelengths_nm), record.detector_px_per_code_px
    raw = tuple(side * binning for side in record.detector_size)
    wanted = {
        "masks": (bands, *record.code_size), "to_code": (bands, 2, 3), "response": (bands,), "shift_px": (bands,),
        "dark_counts": raw, "flat": record.detector_size, "usable": raw,
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise FileError(f"{folder}: {name} has shape {arrays[name].shape}, {RECORD_FILE} says {shape}")
        if not np.isfinite(arrays[name].astype(np.float64)).all():
            raise FileError(f"{folder}: {name} holds numbers that are not finite; calibrate again")
    numbers = {name: array.astype(np.float64) for name, array in arrays.items() if name not in ("masks", "usable")}
    if not (numbers["response"] > 0).all() or not (numbers["flat"] >= 0).all():
        raise FileError(f"{folder}: {ARRAYS_FILE} holds bands or pixels with less than no light; calibrate again")
    operator = gathered(CassiOperator, numbers, masks=arrays["masks"].astype(np.float32), size=record.detector_size)
    usable = arrays["usable"].astype(np.bool_)
    calibration = gathered(CassiCalibration, record, numbers, operator=operator, usable=usable)
    return StoredCassiCalibration(folder, record, calibration)
