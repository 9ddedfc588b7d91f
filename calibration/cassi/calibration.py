"""What a calibration of an SD-CASSI bench gives: the operator, the detector, the scale, and how sure they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.errors import FileError


@dataclass(frozen=True)
class CassiCalibration:
    """The calibrated bench.

    Raw images (h_raw, w_raw) are in detector pixels, the model's (h, w) in pixels of the code's size, the mean of
    `binning` x `binning` raw ones.  `dark_counts` (h_raw, w_raw): the level without light; `scale_counts`: counts above
    dark of one unit of the operator's y, that of the mean band through an open code; `read_noise_counts` of one raw
    pixel in one frame; `gain_counts_per_photoelectron`: 0 where the frames did not resolve it; `flat` (h, w): the
    response of the detector and its vignetting, mean 1; `pixel_uncertainty_px`: the standard error of where a code
    pixel lies on the detector, in code pixels; `shift_px` (L,): the fitted dispersion, in code pixels, to be compared
    with the profile's; `saturation_counts`: where the converter clips; `usable` (h_raw, w_raw): False at dead and hot
    pixels and at the rim of the code's image, which the operator does not predict (None: all are usable).
    """

    operator: CassiOperator
    dark_counts: NDArray[np.float64]
    scale_counts: float
    read_noise_counts: float
    gain_counts_per_photoelectron: float
    flat: NDArray[np.float64]
    pixel_uncertainty_px: float
    shift_px: NDArray[np.float64]
    notes: tuple[str, ...]
    saturation_counts: float | None = None
    usable: NDArray[np.bool_] | None = None

    @property
    def binning(self) -> int:
        """Raw pixels along one side of a pixel of the model."""
        return int(self.dark_counts.shape[0] // self.operator.size[0])

    def measurements(
        self, raw: NDArray[np.generic]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Measurements y (h, w), their variances (h, w), and where they hold (h, w), from raw counts.

            y = mean(raw - dark) / (flat scale),   variance = mean(gain (raw - dark) + read^2) / (n (flat scale)^2)

        `raw`: (h_raw, w_raw), or (R, h_raw, w_raw) for R repeats, which are averaged; n: raw readings in a pixel.
        Not valid are pixels in which any reading is saturated or any raw pixel is dead.  Raises `FileError` for an
        image of another size.
        """
        frames = np.asarray(raw, dtype=np.float64)
        frames = frames[None] if frames.ndim == 2 else frames
        if frames.ndim != 3 or not len(frames) or frames.shape[1:] != self.dark_counts.shape:
            raise FileError(
                f"images of shape {np.shape(raw)} were captured, but {self.dark_counts.shape} was calibrated; capture "
                "with the region and binning of the calibration"
            )
        usable = np.ones(self.dark_counts.shape, dtype=bool) if self.usable is None else self.usable.copy()
        if self.saturation_counts is not None:
            usable &= (frames < self.saturation_counts).all(axis=0)
        signal = frames.mean(axis=0) - self.dark_counts
        count = len(frames) * self.binning**2
        level = bin_mean(signal, self.binning)
        spread = self.gain_counts_per_photoelectron * np.maximum(level, 0.0) + self.read_noise_counts**2
        valid = bin_mean(usable.astype(np.float64), self.binning) == 1
        valid &= self.flat > 0
        unit = np.where(self.flat > 0, self.flat, 1.0) * self.scale_counts
        return level / unit, spread / count / unit**2, valid


def bin_mean(image: NDArray[np.float64], binning: int) -> NDArray[np.float64]:
    """The means (h, w) of blocks of `binning` x `binning` pixels of an image (h binning, w binning)."""
    height, width = image.shape[0] // binning, image.shape[1] // binning
    means: NDArray[np.float64] = image.reshape(height, binning, width, binning).mean(axis=(1, 3))
    return means
