"""The detector image of a scene in units of the operator's y, with its noise and the readings that hold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.errors import FileError

# With fewer readings left than this part, a cube is no longer worth its name.
LEAST_USED = 0.5
# Detector pixels with less of the code's squared light than this part of the best lit ones lie at its rim, where blur
# counts for more than the operator says.
LIT_PART = 1e-2


@dataclass(frozen=True)
class CassiReadings:
    """The detector image of a scene in units of the operator's y, its variance, and which readings hold, (h, w).

    `variance` is that of the detector and of what the operator does not predict.  `lit` (h, w) are the pixels that
    light can reach through the code; `saturated_raw` counts raw readings at the converter's end, in all repeats.
    """

    y: NDArray[np.float64]
    variance: NDArray[np.float64]
    valid: NDArray[np.bool_]
    lit: NDArray[np.bool_]
    saturated_raw: int

    @property
    def used(self) -> NDArray[np.bool_]:
        """The readings (h, w) that say anything about the scene."""
        return self.valid & self.lit

    @property
    def not_used(self) -> int:
        """How many lit pixels are dead or saturated."""
        return int(np.count_nonzero(self.lit & ~self.valid))


def readings_of(capture: CassiCapture, calibration: CassiCalibration, operator_error: float) -> CassiReadings:
    """The scene of a capture; `operator_error` is the part of y that the operator does not predict.

    Raises `FileError` where most of the readings are lost.
    """
    energy = calibration.operator.row_energy()
    limit = calibration.saturation_counts
    saturated = 0 if limit is None else int(np.count_nonzero(capture.scene >= limit))
    lit = energy > LIT_PART * energy.max()
    y, variance, valid = calibration.measurements(capture.scene)
    readings = CassiReadings(y, variance + (operator_error * np.maximum(y, 0)) ** 2, valid, lit, saturated)
    pixels = np.count_nonzero(lit)
    if not pixels or readings.not_used > (1 - LEAST_USED) * pixels:
        raise FileError(
            f"{capture.path}: {readings.not_used} of {pixels} lit detector pixels of the scene are dead or saturated "
            f"({saturated} raw readings at the converter's end); expose for less and capture again"
        )
    return readings
