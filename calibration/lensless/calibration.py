"""What a calibration of a lensless camera gives: the operator, the detector, the scale, and how sure they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.errors import FileError
from cidesign.orientation import Orientation


@dataclass(frozen=True)
class LenslessCalibration:
    """The calibrated camera.

    `operator`: that of the upright image, PSFs in units of the irradiance without a mask; `readout`: what the
    read-out does to
    images, undone before all else, so that `dark_counts` (C, h, w) and `usable` (h, w) are upright.  `scale_counts`
    (C,): counts above dark of one unit of the operator's y; `read_noise_counts` of a sample in one frame;
    `gain_counts_per_photoelectron`: 0 where the frames did not resolve it; `measured` (h + H - 1, w + W - 1): where
    the PSF was
    measured, elsewhere it is that of the drawing; `psf_noise`: the standard error of a sample of it;
    `pixel_uncertainty_px`: that of where the second point lies.
    """

    operator: LenslessOperator
    readout: Orientation
    dark_counts: NDArray[np.float64]
    usable: NDArray[np.bool_]
    scale_counts: NDArray[np.float64]
    read_noise_counts: float
    gain_counts_per_photoelectron: float
    measured: NDArray[np.bool_]
    psf_noise: float
    pixel_uncertainty_px: float
    notes: tuple[str, ...]
    saturation_counts: float | None = None

    def measurements(
        self, frames: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Measurements y (C, h, w), their variances, and where they hold, from raw counts (M, C, h, w), upright.

            y = mean(frames - dark) / scale,   variance = (gain (frames - dark) + read^2) / (M scale^2)

        Not valid are samples in which any reading is saturated or hot.  Raises `FileError` for another size.
        """
        frames = self.readout.inverse.apply(frames)
        if frames.ndim != 4 or frames.shape[1:] != self.dark_counts.shape:
            raise FileError(
                f"images of {frames.shape[1:]} channels, rows and columns were captured, but {self.dark_counts.shape} "
                "were calibrated; capture with the region and binning of the calibration"
            )
        valid = np.broadcast_to(self.usable, self.dark_counts.shape).copy()
        if self.saturation_counts is not None:
            valid &= (frames < self.saturation_counts).all(axis=0)
        signal = frames.mean(axis=0) - self.dark_counts
        spread = self.gain_counts_per_photoelectron * np.maximum(signal, 0.0) + self.read_noise_counts**2
        unit = self.scale_counts[:, None, None]
        return signal / unit, spread / len(frames) / unit**2, valid
