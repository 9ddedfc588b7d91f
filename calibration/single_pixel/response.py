"""The detector's response from dark and white frames: dark level, read noise, gain, scale, linearity.

Photon transfer: the variance of repeated readings grows with their mean, v = gain (mean - dark) + read noise^2
(Janesick, "Photon Transfer", SPIE Press 2007; EMVA Standard 1288).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.converter import converter_step
from cidesign.calibration.estimate import RESOLVED_SIGMA, Estimate
from cidesign.calibration.single_pixel.capture import Capture, check_not_saturated
from cidesign.errors import FileError

MIN_REPEATS = 16
MIN_LEVELS = 3
FIT_ROUNDS = 20
CLIPPED_DARK_SHARE = 0.01
LINEARITY_NOTE_PERCENT = 1.0
# Stray light is believed beyond this many standard errors, and this part of full white.
STRAY_SIGMA, STRAY_LEAST = 6.0, 0.002


@dataclass(frozen=True)
class Response:
    """What was estimated from a calibration capture; counts are the detector's.

    `scale_counts`: an all-on frame of the white reference, less dark.  `step_counts`: the converter's step, a power of
    two for whole-number readings, 0 for others.  `linearity_percent`: largest departure of a white level from the
    straight line, of full white.  `photon_transfer_intercept_counts2`: the photon-transfer line at no light, to compare
    with the squared read noise.  `stray_counts`: light that reached the detector in all captures but the dark frames, 0
    when none stands out; it is part of `dark_counts`.
    """

    dark_counts: Estimate
    read_noise_counts: Estimate
    gain_counts_per_photoelectron: Estimate
    scale_counts: Estimate
    photon_transfer_intercept_counts2: Estimate
    linearity_percent: float
    step_counts: float
    notes: tuple[str, ...]
    stray_counts: float = 0.0

    def with_peak(self, peak_over_mean: float) -> "Response":
        """The same detector with the scale of a scene lit everywhere as its brightest pixel is."""
        scale = self.scale_counts
        brighter = Estimate(scale.value * peak_over_mean, scale.standard_error * peak_over_mean)
        return replace(self, scale_counts=brighter)

    @property
    def noise_variance_counts2(self) -> float:
        """Variance of a dark reading; never below the rounding noise step^2 / 12 of the converter."""
        return float(max(self.read_noise_counts.value**2, self.step_counts**2 / 12))

    @property
    def gain_for_noise(self) -> float:
        """The gain to predict photon noise with; a gain below 0 (never resolved, see the notes) predicts none."""
        return max(self.gain_counts_per_photoelectron.value, 0.0)

    @property
    def photoelectrons_per_frame(self) -> Estimate | None:
        """scale / gain, the photoelectrons of an all-on white frame; None while the gain is not resolved."""
        gain, scale = self.gain_counts_per_photoelectron, self.scale_counts
        if gain.value < RESOLVED_SIGMA * gain.standard_error:
            return None
        value = scale.value / gain.value
        relative = np.hypot(gain.standard_error / gain.value, scale.standard_error / scale.value)
        return Estimate(value, float(value * relative))


class WhiteLevels(NamedTuple):
    """Statistics of the white frames, one entry per light level (L,): what the fits and the preview use."""

    light_fraction: NDArray[np.float64]
    mean_counts: NDArray[np.float64]
    variance_counts2: NDArray[np.float64]
    repeats: int


def white_levels(white: NDArray[np.float64], fractions: list[float]) -> WhiteLevels:
    """Mean and variance of each row of `white` (L, M).

    The variance is half the mean square of successive differences (von Neumann 1941): a slow drift of the lamp
    would enter the ordinary variance in full.
    """
    variance = 0.5 * np.mean(np.diff(white, axis=1) ** 2, axis=1)
    return WhiteLevels(np.array(fractions), white.mean(axis=1), variance, white.shape[1])


def estimate_response(capture: Capture) -> tuple[Response, WhiteLevels]:
    """Estimate the response from a capture's `dark` and `white` arrays.

    Raises `FileError` when they are missing, too few, saturated, or contradict each other.
    """
    dark, white, fractions = _calibration_arrays(capture)
    notes = []
    clipped = float(np.mean(dark == 0))
    if clipped > CLIPPED_DARK_SHARE:
        notes.append(
            f"{clipped:.0%} of the dark readings are exactly 0: the converter cuts them off, so dark level and read "
            "noise are wrong; raise the detector's offset"
        )
    levels = white_levels(white, fractions)
    count = dark.size
    dark_value, noise = float(dark.mean()), float(dark.std(ddof=1))
    step = converter_step(np.concatenate([dark.ravel(), white.ravel()]))
    if max(noise, step) == 0:
        raise FileError(f"{capture.path}: all {count} dark readings are {dark_value:g}; record the detector's own dark")
    if noise < step / 12**0.5:
        notes.append(
            f"read noise {noise:.2f} counts is below the converter's rounding; "
            f"{step / 12**0.5:.2f} counts are used instead in the noise model"
        )
    dark_estimate = Estimate(dark_value, max(noise, step / 12**0.5) / count**0.5)
    read_noise = Estimate(noise, noise / (2 * (count - 1)) ** 0.5)
    stray = _stray_light(levels, dark_estimate)
    if stray is not None:
        notes.append(
            f"the white levels extrapolate to {dark_value + stray.value:.6g} counts at no light, the dark frames read "
            f"{dark_value:.6g}: stray light, or dark frames taken otherwise; the extrapolated level is used"
        )
        dark_estimate = Estimate(
            dark_value + stray.value, float(np.hypot(stray.standard_error, dark_estimate.standard_error))
        )
    scale, linearity = _scale(levels, dark_estimate, capture)
    gain, intercept = _photon_transfer(levels, dark_estimate, max(noise**2, step**2 / 12), count)
    if gain.value < RESOLVED_SIGMA * gain.standard_error:
        notes.append(
            f"gain {gain.value:.3g} +- {gain.standard_error:.2g} counts per photoelectron is not resolved: the white "
            "frames' noise does not grow with the light; more light or more repeats would show it"
        )
    if linearity > LINEARITY_NOTE_PERCENT:
        notes.append(
            f"the white levels depart {linearity:.1f} % from a straight line; check the light fractions, and whether "
            "the detector saturates"
        )
    found = stray.value if stray is not None else 0.0
    return Response(dark_estimate, read_noise, gain, scale, intercept, linearity, step, tuple(notes), found), levels


def _calibration_arrays(capture: Capture) -> tuple[NDArray[np.float64], NDArray[np.float64], list[float]]:
    missing = [name for name in ("dark", "white") if name not in capture.arrays]
    if missing or capture.record is None:
        raise FileError(
            f"{capture.path}: {' and '.join(missing) or 'capture.json'} missing; record `dark` (light blocked, "
            f"at least {MIN_REPEATS} frames) and `white` (all mirrors on, white reference, at least {MIN_LEVELS} light "
            f"levels x {MIN_REPEATS} frames, with their light_fractions in capture.json) at the scene's exposure"
        )
    for name in ("dark", "white"):
        own = capture.record.arrays[name].exposure_us
        if own is not None and own != capture.record.exposure_us:
            raise FileError(
                f"{capture.path}: {name} was recorded at {own:g} us, the scene at {capture.record.exposure_us:g} us; "
                "dark level and scale grow with the exposure, record it again at the scene's"
            )
    dark, white = capture.arrays["dark"], capture.arrays["white"]
    fractions = list(capture.record.arrays["white"].light_fractions or [])
    if dark.size < MIN_REPEATS or white.shape[1] < MIN_REPEATS:
        raise FileError(
            f"{capture.path}: {dark.size} dark and {white.shape[1]} white readings per level; "
            f"at least {MIN_REPEATS} of each are needed to estimate noise"
        )
    if len(set(fractions)) < MIN_LEVELS:
        raise FileError(
            f"{capture.path}: white holds {len(set(fractions))} different light levels; "
            f"at least {MIN_LEVELS} are needed to tell gain from read noise"
        )
    for row, fraction in zip(white, fractions, strict=True):
        check_not_saturated(row, capture.saturation_counts, f"{capture.path}: white at light {fraction:g}")
    return dark, white, fractions


def _photon_transfer(
    levels: WhiteLevels, dark: Estimate, dark_variance: float, dark_count: int
) -> tuple[Estimate, Estimate]:
    """Gain and intercept of variance against mean - dark, the dark frames being one more point at no light.

    Weights come from the fitted variances and are iterated: weights from the sample variances themselves favour
    levels that happen to scatter little, and bias the gain low.
    """
    signal = np.append(levels.mean_counts - dark.value, 0.0)
    variance = np.append(levels.variance_counts2, dark_variance)
    # Relative variance of each variance: 3/M for successive differences, 2/(M-1) for an ordinary variance.
    relative = np.append(np.full(levels.mean_counts.size, 3.0 / levels.repeats), 2.0 / (dark_count - 1))
    basis = np.stack([signal, np.ones_like(signal)], axis=1)
    fitted = np.maximum(variance, dark_variance)
    for _ in range(FIT_ROUNDS):
        weight = 1.0 / (relative * fitted**2)
        covariance = np.linalg.inv(basis.T @ (weight[:, None] * basis))
        gain, intercept = covariance @ (basis.T @ (weight * variance))
        fitted = np.maximum(gain * signal + intercept, 0.1 * dark_variance)
    errors = np.sqrt(np.diag(covariance))
    return Estimate(float(gain), float(errors[0])), Estimate(float(intercept), float(errors[1]))


def _stray_light(levels: WhiteLevels, dark: Estimate) -> Estimate | None:
    """What a straight line through the white levels reads at no light, less dark; None where it is noise or little."""
    variance = np.maximum(levels.variance_counts2, 1e-12) / levels.repeats
    basis = np.stack([np.ones_like(levels.light_fraction), levels.light_fraction], axis=1) / np.sqrt(variance)[:, None]
    signal = (levels.mean_counts - dark.value) / np.sqrt(variance)
    covariance = np.linalg.inv(basis.T @ basis)
    offset, slope = covariance @ (basis.T @ signal)
    freedom = max(signal.size - 2, 1)
    birge = max(1.0, float(np.sum((signal - basis @ [offset, slope]) ** 2)) / freedom)
    error = float(np.hypot((birge * covariance[0, 0]) ** 0.5, dark.standard_error))
    if abs(offset) < max(STRAY_SIGMA * error, STRAY_LEAST * abs(slope)):
        return None
    return Estimate(float(offset), error)


def _scale(levels: WhiteLevels, dark: Estimate, capture: Capture) -> tuple[Estimate, float]:
    """Slope of (mean - dark) against light fraction through the origin, and the largest departure in percent.

    The standard error counts the dark level's, and grows by the Birge ratio where levels depart more than their noise.
    """
    signal = levels.mean_counts - dark.value
    variance = np.maximum(levels.variance_counts2, 1e-12) / levels.repeats
    weight = 1.0 / variance
    norm = float(np.sum(weight * levels.light_fraction**2))
    slope = float(np.sum(weight * levels.light_fraction * signal)) / norm
    departure = signal - slope * levels.light_fraction
    birge = max(1.0, float(np.sum(weight * departure**2)) / (signal.size - 1))
    from_dark = dark.standard_error * float(np.sum(weight * levels.light_fraction)) / norm
    error = float(np.hypot((birge / norm) ** 0.5, from_dark))
    if slope < 5 * error:
        raise FileError(
            f"{capture.path}: the white reference reads {slope:.4g} +- {error:.2g} counts above dark; "
            + (
                "does the detector invert (more light, fewer counts)? Then change the sign of all readings, dark ones "
                "too; or are dark and white swapped?"
                if slope < -5 * error
                else "are dark and white swapped, or was the shutter closed?"
            )
        )
    return Estimate(slope, error), float(100 * np.abs(departure).max() / slope)
