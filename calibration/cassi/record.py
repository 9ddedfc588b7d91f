"""The calibration folder of an SD-CASSI bench: `calibration.json`, `arrays.npz` and pictures."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field, model_validator

from cidesign import __version__
from cidesign.calibration.base import Calibration, Examined
from cidesign.calibration.cassi.calibrate import CassiOutcome
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture, PixelPair, SimulatedCassiBench, WavelengthNm
from cidesign.calibration.cassi.detector import saturation_checks
from cidesign.calibration.cassi.instrument.check import described_verification, seen_checks
from cidesign.calibration.cassi.instrument.described import Instrument
from cidesign.calibration.cassi.operator import BandOperator, CassiOperator
from cidesign.calibration.cassi.preview import draw_dispersion, draw_instrument, draw_mask, draw_white
from cidesign.calibration.cassi.readings import CassiReadings, readings_of
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.circumstances import BenchState, circumstances_checks
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    RECORD_FILE,
    SCHEMA_VERSION,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import sha256_bytes, write_bytes
from cidesign.orientation import StoredOrientation, in_one_field
from cidesign.pattern import ApertureMask
from cidesign.records import Finite, NotNegative, Positive, Strict, gathered, shown

MASK_PREVIEW, DISPERSION_PREVIEW, WHITE_PREVIEW = "mask.png", "dispersion.png", "white_target.png"
INSTRUMENT_PREVIEW = "instrument.png"
# What stands in the place of the folder of a calibration that was never written.
DESCRIBED, MEASURED = Path("(as designed)"), Path("(of this capture)")
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
    """The content of `calibration.json`; see `CassiCalibration`.

    `source`: whether the bench was measured, or its instrument described; then nobody measured the `placement`.
    """

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
    placement: PlacementRecord | None
    source: Literal["bench", "description"] = "bench"
    simulated_bench: SimulatedCassiBench | None


@dataclass(frozen=True)
class StoredCassiCalibration(Calibration[CassiCalibrationRecord, CassiCapture, ApertureMask, CassiReadings]):
    """The calibrated bench, in its folder.

    `made_from`: the capture that it was held against when it was made, where it was never written.
    """

    calibration: CassiCalibration
    made_from: CassiCapture | None = field(default=None, kw_only=True)

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
        require_size(found, capture)
        if capture.truth is not None and capture.truth.shape != found.operator.masks.shape:
            raise FileError(
                f"{capture.path}: truth has shape {capture.truth.shape}, not {found.operator.masks.shape}; simulate it "
                "again"
            )
        same = self.made_from is capture
        if same:
            checks = []
        elif self.record.source == "description":
            checks = [*saturation_checks(capture, ("white", "scene")), *seen_checks(found, capture).checks]
        else:
            checks = [*self._circumstances(capture), *verify_against(found, capture, design)]

        def measure() -> tuple[CassiReadings, list[Check]]:
            return readings_of(capture, found, self.verification.score or 0.0), []

        meaning = "the calibration against the capture of the scene"
        return Examined(Verification(score=None, score_meaning=meaning, checks=checks), measure, capture.notes, same)

    def _circumstances(self, capture: CassiCapture) -> list[Check]:
        if capture.record is not None:
            return circumstances_checks(self.circumstances, capture.record.circumstances, design_matters=True)
        text = (
            f"{capture.path.name} holds images alone: mask, device and exposure could not be checked against those of "
            "the calibration; only their size fits"
        )
        return [Check(name="circumstances", status="warning", text=text)]

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
    calibration = outcome.calibration
    with replacing_calibration(folder, outcome.verification, force) as (temporary, place):
        write_bytes(temporary / MASK_PREVIEW, draw_mask(outcome))
        write_bytes(temporary / DISPERSION_PREVIEW, draw_dispersion(outcome))
        if outcome.white is not None:
            write_bytes(temporary / WHITE_PREVIEW, draw_white(outcome.white))
        said = _measured(capture, outcome, created_utc)
        record = write_record(
            temporary, CassiCalibrationRecord, _arrays(calibration), calibration, capture.known, **said
        )
        read_cassi_calibration(temporary)
    return StoredCassiCalibration(place, record, calibration)


def measured_calibration(capture: CassiCapture, outcome: CassiOutcome, created_utc: str) -> StoredCassiCalibration:
    """The calibration of a bench, in memory; what it was calibrated with is `capture`."""
    note = ("calibrated with the frames of this capture; `cidesign calibrate` keeps that for others",)
    calibration = replace(outcome.calibration, notes=note + outcome.calibration.notes)
    record = _in_memory(calibration, capture.known, _measured(capture, outcome, created_utc))
    return StoredCassiCalibration(MEASURED, record, calibration, made_from=capture)


def write_described_calibration(
    folder: Path, instrument: Instrument, created_utc: str, force: bool
) -> StoredCassiCalibration:
    """Write the calibration folder of an instrument that was described, as `write_cassi_calibration` does."""
    calibration = instrument.calibration()
    said = _described(instrument, described_verification(instrument, calibration), created_utc)
    with replacing_calibration(folder, said["verification"], force) as (temporary, place):
        write_bytes(temporary / INSTRUMENT_PREVIEW, draw_instrument(calibration, instrument.capture))
        record = write_record(temporary, CassiCalibrationRecord, _arrays(calibration), calibration, **said)
        read_cassi_calibration(temporary)
    return StoredCassiCalibration(place, record, calibration)


def described_calibration(instrument: Instrument, created_utc: str) -> StoredCassiCalibration:
    """The calibration of an instrument that was described, in memory, held against its capture."""
    calibration = instrument.calibration()
    said = _described(instrument, described_verification(instrument, calibration), created_utc)
    record = _in_memory(calibration, None, said)
    return StoredCassiCalibration(DESCRIBED, record, calibration, made_from=instrument.capture)


def _measured(capture: CassiCapture, outcome: CassiOutcome, created_utc: str) -> dict[str, Any]:
    """What the record of a bench that was measured says beside its calibration and its capture."""
    calibration, placement = outcome.calibration, outcome.placement
    blur_px = float(np.mean([fit.blur_px for fit in outcome.lines.fits]))
    return {
        "modality": "cassi",
        "created_utc": created_utc,
        "capture": str(capture.path),
        "capture_utc": capture.known.created_utc,
        "bench": capture.known.bench_state,
        "verification": outcome.verification,
        "detector_px_per_code_px": calibration.binning,
        "detector_size": calibration.operator.size,
        "code_size": outcome.layout.code,
        "wavelengths_nm": outcome.layout.wavelengths_nm.tolist(),
        "lines_nm": outcome.lines.lines_nm.tolist(),
        "gain_error_counts_per_photoelectron": outcome.detector.gain_error,
        "placement": gathered(PlacementRecord, placement, placement.mounting, blur_px=blur_px),
        "source": "bench",
        "simulated_bench": capture.bench,
    }


def _described(instrument: Instrument, verification: Verification, created_utc: str) -> dict[str, Any]:
    """What the record of an instrument that was described says beside its calibration."""
    told, capture = instrument.told, instrument.capture
    recorded = None if capture is None else capture.record
    return {
        "modality": "cassi",
        "created_utc": created_utc,
        "capture": told.where if capture is None else str(capture.path),
        "capture_utc": created_utc if recorded is None else recorded.created_utc,
        "design_digest": told.design.design_digest,
        "profile_digest": told.profile.digest,
        "exposure_us": None if recorded is None else recorded.exposure_us,
        "bench": BenchState() if recorded is None else recorded.bench_state,
        "verification": verification,
        "detector_px_per_code_px": instrument.binning,
        "detector_size": instrument.operator.size,
        "code_size": told.design.levels.shape,
        "wavelengths_nm": instrument.bands.wavelengths_nm.tolist(),
        "lines_nm": [],
        "gain_error_counts_per_photoelectron": 0.0,
        "placement": None,
        "source": "description",
        "simulated_bench": None if capture is None else capture.bench,
    }


def _in_memory(calibration: CassiCalibration, recorded: object, said: dict[str, Any]) -> CassiCalibrationRecord:
    """The record of a calibration that is never written."""
    return gathered(
        CassiCalibrationRecord,
        calibration,
        recorded,
        schema_version=SCHEMA_VERSION,
        kind="calibration",
        cidesign_version=__version__,
        arrays_sha256=sha256_bytes(*(one.tobytes() for one in _arrays(calibration).values())),
        **said,
    )


def require_size(calibration: CassiCalibration, capture: CassiCapture) -> None:
    """Raise `FileError` for a capture of another size than was calibrated."""
    for name, array in capture.arrays.items():
        if name != "truth" and array.shape[-2:] != calibration.dark_counts.shape:
            raise FileError(
                f"{capture.path}: {name} of {array.shape[-2]} x {array.shape[-1]} pixels, and "
                f"{' x '.join(map(str, calibration.dark_counts.shape))} were calibrated; capture with the region and "
                "binning of the calibration"
            )


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
