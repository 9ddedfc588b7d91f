"""The detector behind an SD-CASSI mask: dark level, noise, dead pixels, flat field, wrong counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from cidesign.calibration.cassi.calibration import bin_mean
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.optics import Array, corner_weight
from cidesign.calibration.converter import AVERAGE_ROUNDING_COUNTS, bits_check, converter_step, range_check
from cidesign.calibration.estimate import RESOLVED_SIGMA
from cidesign.checks import Check
from cidesign.errors import FileError

# Flat fields and lines are compared with dark frames of their own exposure, which clocks keep to this much.
EXPOSURE_TOLERANCE = 1e-3
HOT_SIGMA, HOT_SHARE_OF_FLAT = 12.0, 0.02
DEAD_RESPONSE = 0.5
SATURATED_PERCENT = 0.1
CORNER_LOSS_PERCENT = 15.0
UNUSABLE_PERCENT = 1.0
CHECKED_FOR_SATURATION = ("flat", "lines", "flat_lines", "check_line", "white", "scene")


@dataclass(frozen=True)
class Detector:
    """Raw-pixel maps (h_raw, w_raw): `dark_counts`, `response` (mean 1) and `usable`; one `read_noise_counts` for all.

    `flat_counts`: the mean of the flat above dark; `gain` in counts per photoelectron, with its standard error, 0 where
    repeats did not resolve it; `step_counts`: the converter's smallest step, 0 for readings that are no whole numbers.
    """

    dark_counts: Array
    response: Array
    usable: NDArray[np.bool_]
    read_noise_counts: float
    gain: float
    gain_error: float
    flat_counts: float
    step_counts: float

    def model_flat(self, binning: int) -> Array:
        """The response (h, w) of the model's pixels, mean 1; 0 where no raw pixel is usable."""
        share = bin_mean(self.usable.astype(np.float64), binning)
        summed = bin_mean(np.where(self.usable, self.response, 0.0), binning)
        flat = np.divide(summed, share, out=np.zeros_like(summed), where=share > 0)
        return np.asarray(flat / flat[share > 0].mean())


def dark_of(capture: CassiCapture, name: str) -> Array:
    """Dark frames (M, h, w) with the exposure of the array `name`; raises `FileError` where there are none."""
    exposure_us = capture.known.exposure_of(name)
    found = []
    for dark in ("dark", "dark_lines"):
        if dark in capture.arrays:
            own_us = capture.known.exposure_of(dark)
            if abs(own_us - exposure_us) <= EXPOSURE_TOLERANCE * exposure_us:
                return capture.frames(dark)
            found.append(f"{dark} {own_us:g} us")
    if not found:
        raise FileError(f"{capture.path}: no dark frames; block the light and capture some with the same exposure")
    raise FileError(
        f"{capture.path}: {name} was exposed {exposure_us:g} us, but the dark frames are of another exposure "
        f"({', '.join(found)}); capture dark frames of {exposure_us:g} us"
    )


def estimate_detector(capture: CassiCapture) -> Detector:
    """Dark, noise, gain, flat field and dead pixels from the arrays `dark` and `flat`.

    Gain: temporal variance of the flat above that of the dark, over its mean above dark.  Raises `FileError` where
    frames are missing, of another exposure, too few, or brighter in the dark than in the light.
    """
    flat = capture.frames("flat")
    dark = dark_of(capture, "flat")
    if len(dark) < 2:
        raise FileError(f"{capture.path}: {len(dark)} dark frame; noise is seen in 2 or more, 16 are advised")
    dark_counts = dark.mean(axis=0)
    dark_variance = _temporal_variance(dark)
    step = converter_step(np.concatenate([dark.ravel(), flat.ravel()]))
    # A converter's rounding is the least noise that there can be, also where all readings are equal.
    read_noise = max(float(np.median(dark_variance) ** 0.5), step / 12**0.5)
    signal = flat.mean(axis=0) - dark_counts
    level = float(np.median(signal))
    if not level > 5 * max(read_noise, 1e-12) / len(dark) ** 0.5:
        raise FileError(
            f"{capture.path}: the flat reads {level:.4g} counts above dark; are the two exchanged, or was the shutter "
            "closed?"
        )
    usable = _usable(dark_counts, signal, read_noise / len(dark) ** 0.5)
    read_noise = max(float(dark_variance[usable].mean() ** 0.5), step / 12**0.5)
    flat_counts = float(signal[usable].mean())
    gain, gain_error = 0.0, 0.0
    if len(flat) >= 2:
        excess = (_temporal_variance(flat) - read_noise**2)[usable]
        gain = float(excess.mean() / flat_counts)
        gain_error = float(excess.std() / excess.size**0.5 / flat_counts)
        gain = gain if gain > RESOLVED_SIGMA * gain_error else 0.0
    response = np.where(usable, signal / flat_counts, 1.0)
    return Detector(dark_counts, response, usable, read_noise, gain, gain_error, flat_counts, step)


def _temporal_variance(frames: Array) -> Array:
    """Variance of every pixel from successive differences, which a slow drift of the lamp does not enter."""
    variance: Array = 0.5 * np.mean(np.diff(frames, axis=0) ** 2, axis=0)
    return variance


def _usable(dark: Array, signal: Array, dark_error: float) -> NDArray[np.bool_]:
    """Pixels that are neither hot (far above the dark level of the others) nor dead (far below their neighbours)."""
    middle = float(np.median(dark))
    spread = max(1.4826 * float(np.median(np.abs(dark - middle))), dark_error)
    hot = dark - middle > max(HOT_SIGMA * spread, HOT_SHARE_OF_FLAT * float(np.median(signal)))
    around = median_filter(signal, size=7, mode="nearest")
    dead = signal < DEAD_RESPONSE * around
    usable: NDArray[np.bool_] = ~(hot | dead)
    return usable


def detector_checks(capture: CassiCapture, detector: Detector, binning: int) -> list[Check]:
    """What the frames say about the detector, worst things by their names."""
    return [
        _dark_check(capture, detector),
        *saturation_checks(capture, CHECKED_FOR_SATURATION),
        bits_check(detector.step_counts, detector.read_noise_counts),
        _rows_check(capture, detector),
        _unusable_check(detector),
        _corner_check(detector, binning),
    ]


def _dark_check(capture: CassiCapture, detector: Detector) -> Check:
    """Dark frames among themselves: their levels must not differ by more than noise lets them."""
    levels = capture.frames("dark")[:, detector.usable].mean(axis=1)
    apart = 100 * float(np.ptp(levels)) / detector.flat_counts
    failed = apart > 0.5
    return Check(
        name="dark frames",
        status="failed" if failed else "passed",
        text=f"the levels of {len(levels)} frames differ by {np.ptp(levels):.3g} counts"
        + ("; light came in during some of them: capture them again" if failed else ""),
        value=apart,
        limit=0.5,
        unit="% of the flat",
        fault="dark" if failed else None,
    )


def saturation_checks(capture: CassiCapture, names: tuple[str, ...]) -> list[Check]:
    """The share of saturated readings in the worst of the arrays `names` that were captured."""
    taken = {name: capture.arrays[name] for name in names if name in capture.arrays}
    if capture.saturation_counts is not None and not taken:
        return []
    return [range_check(taken, capture.saturation_counts, SATURATED_PERCENT)]


def _rows_check(capture: CassiCapture, detector: Detector) -> Check:
    """Rows or columns in which every reading is the same, and not saturated, were not read out.

    Where the converter's step is larger than the noise, readings without light are rightly the same.
    """
    stuck = 0
    noisy = detector.read_noise_counts > 0.5 * detector.step_counts
    names = ("flat", "lines", "white", "scene") if noisy else ("flat",)
    saturated = capture.saturation_counts
    for name in names:
        if name in capture.arrays:
            frames = capture.frames(name)
            for axis in (1, 2):
                same = np.ptp(frames, axis=axis) == 0
                if saturated is not None:
                    same &= frames.max(axis=axis) < saturated - AVERAGE_ROUNDING_COUNTS
                stuck += int(same.sum())
    return Check(
        name="rows and columns",
        status="failed" if stuck else "passed",
        text=f"{stuck} rows or columns of equal readings in {', '.join(names)}; they were not read out: look at the "
        "camera's connection and capture again"
        if stuck
        else f"none of {', '.join(names)} is stuck at one value",
        value=float(stuck),
        limit=0.0,
    )


def _unusable_check(detector: Detector) -> Check:
    count = int((~detector.usable).sum())
    percent = 100 * count / detector.usable.size
    failed = percent > UNUSABLE_PERCENT
    return Check(
        name="dead and hot pixels",
        status="failed" if failed else "passed",
        text=f"{count} of {detector.usable.size} raw pixels are left out"
        + ("; is something in front of the detector?" if failed else ""),
        value=percent,
        limit=UNUSABLE_PERCENT,
        unit="%",
    )


def _corner_check(detector: Detector, binning: int) -> Check:
    """Light that is missing in the corners: the slope of the flat over the squared distance from the middle."""
    flat = detector.model_flat(binning)
    weight = corner_weight((flat.shape[0], flat.shape[1]))
    seen = flat > 0
    slope, level = np.polyfit(weight[seen], flat[seen], 1)
    loss = -100 * float(slope / level)
    large = abs(loss) > CORNER_LOSS_PERCENT
    return Check(
        name="evenness of the field",
        status="corrected" if large else "passed",
        text=f"the corners get {abs(loss):.1f} % {'less' if loss > 0 else 'more'} light than the middle"
        + ("; the flat field allows for it" if large else ""),
        value=loss,
        limit=CORNER_LOSS_PERCENT,
        unit="%",
        fault="gain-map" if large else None,
    )
