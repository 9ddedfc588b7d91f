"""The calibration folder of a lensless camera: `calibration.json`, `arrays.npz` and a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.base import Calibration, Examined
from cidesign.calibration.circumstances import circumstances_checks
from cidesign.calibration.converter import bits_check, converter_step
from cidesign.calibration.folder import (
    ARRAYS_FILE,
    RECORD_FILE,
    CommonRecord,
    read_record,
    replacing_calibration,
    write_record,
)
from cidesign.calibration.lensless.calibrate import LenslessOutcome, not_captured, upright
from cidesign.calibration.lensless.calibration import LenslessCalibration
from cidesign.calibration.lensless.capture import Channel, LenslessCapture, SimulatedCamera
from cidesign.calibration.lensless.detector import saturation_check
from cidesign.calibration.lensless.operator import ChannelOperator, LenslessOperator
from cidesign.calibration.lensless.preview import draw_psf
from cidesign.calibration.lensless.verify import Light, check_target, scene_check
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import write_bytes
from cidesign.orientation import StoredOrientation
from cidesign.pattern import ApertureMask
from cidesign.records import Finite, NotNegative, Positive, gathered, shown

PSF_PREVIEW = "psf.png"
ARRAYS = {
    "psf": (3, "f"), "response": (2, "f"), "dark_counts": (3, "f"), "usable": (2, "b"), "scale_counts": (1, "f"),
    "measured": (2, "b"),
}  # fmt: skip
Side = Annotated[int, Field(ge=1, le=100_000)]
# With fewer readings left than this part, an image is no longer worth its name.
LEAST_USED = 0.5


class LenslessCalibrationRecord(CommonRecord):
    """The content of `calibration.json`; see `LenslessCalibration`."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["lensless"]
    channels: Annotated[list[Channel], Field(min_length=1, max_length=16)]
    sensor_size: tuple[Side, Side]
    image_size: tuple[Side, Side]
    code_size: tuple[Side, Side]
    readout: StoredOrientation
    mask_orientation: StoredOrientation
    mask_rotation_deg: Finite
    mask_shift_px: tuple[Finite, Finite]
    mask_distance_percent: Finite | None
    read_noise_counts: NotNegative
    gain_counts_per_photoelectron: NotNegative
    psf_noise: NotNegative
    pixel_uncertainty_px: NotNegative
    saturation_counts: Finite | None
    mean_scale_counts: Positive
    simulated_bench: SimulatedCamera | None


@dataclass(frozen=True)
class LenslessReadings:
    """A scene in units of the operator's y, (C, h, w): values, variances, and which of them hold."""

    y: NDArray[np.float64]
    variance: NDArray[np.float64]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class StoredLenslessCalibration(
    Calibration[LenslessCalibrationRecord, LenslessCapture, ApertureMask, LenslessReadings]
):
    """The calibrated camera, in its folder."""

    calibration: LenslessCalibration

    @property
    def notes(self) -> tuple[str, ...]:
        """Where scale, colours and the rim of the PSF come from."""
        return self.calibration.notes

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels (H, W) of the calibrated code."""
        return self.record.code_size

    def size_of(self, design: ApertureMask) -> tuple[int, ...]:
        """Pixels (H, W) of the mask."""
        height, width = design.levels.shape
        return height, width

    def examine(self, capture: LenslessCapture, design: ApertureMask) -> Examined[LenslessReadings]:
        """Circumstances, converter, a known target where there is one, and whether the PSF explains the scene."""
        capture.require_design(design)
        self.require_fitting(design)
        found = self.calibration
        if capture.record.channels != self.record.channels:
            raise FileError(
                f"{capture.path}: holds the channels {', '.join(capture.record.channels)}, and "
                f"{', '.join(self.record.channels)} were calibrated; order and name them so"
            )
        y, variance, valid = found.measurements(capture.scene)
        if valid.mean() < LEAST_USED:
            raise FileError(
                f"{capture.path}: {100 * (1 - valid.mean()):.0f} % of the readings of the scene are saturated or hot; "
                "expose for less and capture again"
            )
        readings = LenslessReadings(y, variance, valid)
        checks = [
            *circumstances_checks(self.circumstances, capture.record.circumstances, design_matters=True),
            saturation_check(capture),
            bits_check(converter_step(capture.scene.ravel()), found.read_noise_counts),
            scene_check(found.operator, y, variance, valid),
            *self._target_checks(capture),
        ]
        meaning = "the calibration against the capture of the scene"
        return Examined(Verification(score=None, score_meaning=meaning, checks=checks), lambda: (readings, []))

    def _target_checks(self, capture: LenslessCapture) -> list[Check]:
        """A target shows a mask that moved since; without one, the scene has to."""
        if "target" not in capture.arrays:
            return [not_captured("second point", "second")]
        seen, found = upright(capture, self.calibration.readout), self.calibration
        image = seen.arrays["target"].mean(axis=0) - found.dark_counts
        spread = found.gain_counts_per_photoelectron * np.maximum(image, 0.0) + found.read_noise_counts**2
        light = Light(image, spread / len(seen.arrays["target"]))
        return check_target(found.operator, light, seen.arrays["target_picture"], found.scale_counts)[0]

    def operator_for(self, design: ApertureMask) -> ChannelOperator:
        """The measured PSFs; the design's own mask is not needed."""
        return ChannelOperator(self.calibration.operator)


def write_lensless_calibration(
    folder: Path, capture: LenslessCapture, outcome: LenslessOutcome, created_utc: str, force: bool
) -> StoredLenslessCalibration:
    """Write a calibration folder in one step, and read it back; its `path` is where it went.

    One that failed its verification never takes the place of an earlier one.  Raises `FileError` when `folder` exists
    and `force` is not set; what was there stays when writing fails.
    """
    calibration, found = outcome.calibration, outcome.registration
    with replacing_calibration(folder, outcome.verification, force) as (temporary, place):
        write_bytes(temporary / PSF_PREVIEW, draw_psf(outcome))
        record = write_record(
            temporary,
            LenslessCalibrationRecord,
            arrays_of(calibration),
            calibration,
            capture.record,
            modality="lensless",
            created_utc=created_utc,
            capture=str(capture.path),
            capture_utc=capture.record.created_utc,
            bench=capture.record.bench_state,
            verification=outcome.verification,
            sensor_size=calibration.operator.sensor,
            image_size=calibration.operator.image,
            code_size=outcome.code_size,
            mask_orientation=found.orientation,
            mask_rotation_deg=found.fit.rotation_deg,
            mask_shift_px=outcome.shift_px,
            mask_distance_percent=found.distance_percent,
            mean_scale_counts=float(calibration.scale_counts.mean()),
            simulated_bench=capture.bench,
        )
        read_lensless_calibration(temporary)
    return StoredLenslessCalibration(place, record, calibration)


def arrays_of(calibration: LenslessCalibration) -> dict[str, NDArray[np.generic]]:
    """What of a calibration is stored as arrays."""
    return {
        "psf": calibration.operator.psf,
        "response": calibration.operator.response,
        "dark_counts": calibration.dark_counts,
        "usable": calibration.usable,
        "scale_counts": calibration.scale_counts,
        "measured": calibration.measured,
    }


def read_lensless_calibration(folder: Path) -> StoredLenslessCalibration:
    """Read a calibration folder; raises `FileError` when it is missing, damaged, changed or of another version."""
    record, arrays = read_record(folder, LenslessCalibrationRecord, "lensless")
    if set(arrays) != set(ARRAYS) or any(
        arrays[name].ndim != ndim or arrays[name].dtype.kind != kind for name, (ndim, kind) in ARRAYS.items()
    ):
        raise FileError(f"{folder}: {ARRAYS_FILE} should hold {', '.join(ARRAYS)}, not {shown(sorted(arrays))}")
    count, sensor, image = len(record.channels), record.sensor_size, record.image_size
    whole = (sensor[0] + image[0] - 1, sensor[1] + image[1] - 1)
    wanted = {
        "psf": (count, *whole), "response": image, "dark_counts": (count, *sensor), "usable": sensor,
        "scale_counts": (count,), "measured": whole,
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise FileError(f"{folder}: {name} has shape {arrays[name].shape}, {RECORD_FILE} says {shape}")
        if not np.isfinite(arrays[name].astype(np.float64)).all():
            raise FileError(f"{folder}: {name} holds numbers that are not finite; calibrate again")
    numbers = {name: array.astype(np.float64) for name, array in arrays.items() if ARRAYS[name][1] == "f"}
    if not (numbers["scale_counts"] > 0).all():
        raise FileError(f"{folder}: {ARRAYS_FILE} holds channels without light; calibrate again")
    operator = LenslessOperator(numbers["psf"], numbers["response"])
    flags = {name: arrays[name].astype(np.bool_) for name in ("usable", "measured")}
    calibration = gathered(LenslessCalibration, flags, numbers, record, operator=operator)
    return StoredLenslessCalibration(folder, record, calibration)
