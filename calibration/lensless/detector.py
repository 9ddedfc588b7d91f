"""The sensor of a lensless camera: dark level, noise, gain, samples that cannot be used, wrong counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from cidesign.calibration.converter import bits_check, converter_step, range_check
from cidesign.calibration.estimate import RESOLVED_SIGMA
from cidesign.calibration.lensless.capture import LenslessCapture
from cidesign.calibration.lensless.optics import Array
from cidesign.checks import Check
from cidesign.errors import FileError

HOT_SIGMA, HOT_SHARE = 12.0, 0.02
SATURATED_PERCENT, UNUSABLE_PERCENT, DARK_PERCENT = 0.01, 1.0, 0.5
LIT = ("point", "around", "second", "target", "scene")


@dataclass(frozen=True)
class Detector:
    """`dark_counts` (C, h, w) and `usable` (h, w), False at hot samples; one `read_noise_counts` for all.

    `gain` in counts per photoelectron with its standard error, 0 where repeats did not resolve it; `step_counts`: the
    converter's smallest step, 0 for readings that are no whole numbers.
    """

    dark_counts: Array
    usable: NDArray[np.bool_]
    read_noise_counts: float
    gain: float
    gain_error: float
    step_counts: float

    def variance(self, signal: Array, frames: int) -> Array:
        """Of a mean over `frames` with a signal above dark, in counts^2."""
        spread: Array = (self.gain * np.maximum(signal, 0.0) + self.read_noise_counts**2) / frames
        return spread


def estimate_detector(capture: LenslessCapture) -> Detector:
    """Dark level, noise and gain from dark frames and those of the point source.

    Gain: temporal variance of the point's frames above that of the dark, over their mean above dark.  Raises
    `FileError`
    where frames are missing, of another exposure, too few, or brighter in the dark than in the light.
    """
    point, dark = capture.frames("point"), capture.dark_of("point")
    if len(dark) < 2:
        raise FileError(f"{capture.path}: {len(dark)} dark frame; noise is seen in 2 or more, 16 are advised")
    level = dark.mean(axis=0)
    variance = _temporal_variance(dark)
    step = converter_step(np.concatenate([dark.ravel(), point.ravel()]))
    # A converter's rounding is the least noise that there can be, also where all readings are equal.
    read_noise = max(float(np.median(variance) ** 0.5), step / 12**0.5)
    signal = point.mean(axis=0) - level
    brightest = float(np.percentile(signal, 99))
    if not brightest > 10 * max(read_noise, 1e-12) / len(point) ** 0.5:
        raise FileError(
            f"{capture.path}: the point source reads {brightest:.4g} counts above dark, and the noise is "
            f"{read_noise:.3g}; was it switched on, and are `point` and `dark` not exchanged?"
        )
    middle = float(np.median(level))
    spread = max(1.4826 * float(np.median(np.abs(level - middle))), read_noise / len(dark) ** 0.5)
    usable = ~(level - middle > max(HOT_SIGMA * spread, HOT_SHARE * brightest)).any(axis=0)
    gain, gain_error = 0.0, 0.0
    if len(point) >= 2:
        lit = usable & (signal > 0.05 * brightest)
        excess = _temporal_variance(point)[lit] - read_noise**2
        gain = float(excess.sum() / signal[lit].sum())
        gain_error = float(excess.std() / excess.size**0.5 / signal[lit].mean())
        gain = gain if gain > RESOLVED_SIGMA * gain_error else 0.0
    return Detector(level, usable, read_noise, gain, gain_error, step)


def _temporal_variance(frames: Array) -> Array:
    """Variance of every sample from successive differences, which a slow drift of the light does not enter."""
    variance: Array = 0.5 * np.mean(np.diff(frames, axis=0) ** 2, axis=0)
    return variance


def above_dark(frames: Array, dark: Array, detector: Detector) -> Array:
    """The mean (C, h, w) of frames above that of dark ones; samples that cannot be used are as those around them."""
    signal = frames.mean(axis=0) - dark.mean(axis=0)
    if detector.usable.all():
        return np.asarray(signal)
    around = np.stack([median_filter(plane, size=3, mode="nearest") for plane in signal])
    return np.where(detector.usable, signal, around)


def detector_checks(capture: LenslessCapture, detector: Detector) -> list[Check]:
    """What the frames say about the sensor."""
    return [
        _dark_check(capture, detector),
        saturation_check(capture),
        bits_check(detector.step_counts, detector.read_noise_counts),
        _unusable_check(detector),
    ]


def _dark_check(capture: LenslessCapture, detector: Detector) -> Check:
    """Dark frames among themselves: their levels must not differ by more than noise lets them."""
    levels = capture.dark_of("point")[:, :, detector.usable].mean(axis=(1, 2))
    brightest = float(np.percentile(capture.frames("point").mean(axis=0) - detector.dark_counts, 99))
    apart = 100 * float(np.ptp(levels)) / brightest
    failed = apart > DARK_PERCENT
    return Check(
        name="dark frames",
        status="failed" if failed else "passed",
        text=f"the levels of {len(levels)} frames differ by {np.ptp(levels):.3g} counts"
        + ("; light came in during some of them: capture them again" if failed else ""),
        value=apart,
        limit=DARK_PERCENT,
        unit="% of the point's light",
        fault="dark" if failed else None,
    )


def saturation_check(capture: LenslessCapture) -> Check:
    """The share of saturated readings in the worst of the arrays that hold light.

    One saturated sample of a PSF is wrong in every pixel of the image, so there is room for hot ones alone.
    """
    lit = {name: capture.arrays[name] for name in LIT if name in capture.arrays}
    return range_check(lit, capture.record.saturation_counts, SATURATED_PERCENT)


def _unusable_check(detector: Detector) -> Check:
    count = int((~detector.usable).sum())
    percent = 100 * count / detector.usable.size
    failed = percent > UNUSABLE_PERCENT
    return Check(
        name="hot samples",
        status="failed" if failed else "passed",
        text=f"{count} of {detector.usable.size} samples are taken from those around them"
        + ("; is the sensor warm, or light in the dark frames?" if failed else ""),
        value=percent,
        limit=UNUSABLE_PERCENT,
        unit="%",
    )
