"""From detector counts to measurements y = phi x / n, with the noise that the calibration predicts."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.drift import LampDrift, fit_lamp_drift
from cidesign.calibration.response import Estimate, Response
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

FloatType = TypeVar("FloatType", np.float32, np.float64)

# Pair sums that scatter this many times more than photon and read noise: flicker, or a lost or doubled trigger.
SCATTER_NOTE_RATIO = 2.0
# A lamp that changes more than this during a sequence is no slow drift.
MIN_LAMP_RATIO = 0.2


@dataclass(frozen=True)
class Measurements:
    """Calibrated measurements of one scene and the covariance diag(own_variance) + shared_variance.

    `y` (K,), y_k = sum(phi_k x) / n with x in reflectance of the white reference; mean of `repeats` sequences.
    `light_level`: mean(x), from the pair sums (complementary) or the all-on frame (offset).
    `drift` is None for offset encoding, which shows nothing of the lamp; `scatter_ratio` compares the pair sums'
    scatter with the noise predicted, 1 when all is well.
    """

    y: NDArray[np.float64]
    own_variance: NDArray[np.float64]
    shared_variance: float
    light_level: Estimate
    repeats: int
    drift: LampDrift | None
    scatter_ratio: float | None
    notes: tuple[str, ...]

    def covariance(self) -> NDArray[np.float64]:
        """The covariance of y, (K, K)."""
        return np.diag(self.own_variance) + self.shared_variance

    def whiten(self, rows: NDArray[FloatType]) -> NDArray[FloatType]:
        """covariance^(-1/2) rows: (K,) or (K, M) in units of y -> unit, independent noise; the type is kept.

        With D = diag(own_variance) and v = D^(-1/2) 1 sqrt(shared_variance), the factor is
        (I + v v^T)^(-1/2) D^(-1/2) = (I - (1 - (1 + |v|^2)^(-1/2)) v v^T / |v|^2) D^(-1/2): no K x K array is made.
        """
        deviation = np.sqrt(self.own_variance).astype(rows.dtype)
        scaled = (rows.T / deviation).T
        if self.shared_variance == 0:
            return scaled
        shared = (self.shared_variance / self.own_variance) ** 0.5
        square = float(shared @ shared)
        part = ((1 - (1 + square) ** -0.5) / square * shared).astype(rows.dtype)
        whitened: NDArray[FloatType] = scaled - np.multiply.outer(part, shared.astype(rows.dtype) @ scaled)
        return whitened


def measurements_from_counts(readings: NDArray[np.float64], design: PatternStack, response: Response) -> Measurements:
    """Convert readings (R, F) in display order.

    With S = scale_counts and n x n super-pixels:
    complementary: y_k = n (c+ - c-) / S, each reading first divided by the lamp's drift;
    offset:        y_k = n (2 (c_k - dark) - (c_on - dark)) / S.
    Variances: gain * light + read noise^2 for each reading.  Raises `FileError` when the readings are not above dark.
    """
    light = readings - response.dark_counts.value
    per_reading = response.gain_for_noise * np.maximum(light, 0) + response.noise_variance_counts2
    _require_light(light, per_reading, response)
    if design.encoding == "complementary":
        return _from_pairs(light, per_reading, design.side, response)
    return _from_offset(light, per_reading, design.side, response)


def _require_light(light: NDArray[np.float64], per_reading: NDArray[np.float64], response: Response) -> None:
    total = float(light.sum())
    error = float(np.hypot(per_reading.sum() ** 0.5, light.size * response.dark_counts.standard_error))
    if total < 5 * error:
        raise FileError(
            f"scene: the readings are {total / light.size:.4g} +- {error / light.size:.2g} counts above the calibrated "
            f"dark level of {response.dark_counts.value:.4g}; no light reached the detector, or the calibration is of "
            "another detector setting"
        )


def _from_pairs(
    light: NDArray[np.float64], per_reading: NDArray[np.float64], side: int, response: Response
) -> Measurements:
    scale = response.scale_counts
    repeats = light.shape[0]
    drift = fit_lamp_drift(light)
    dimmest = float(drift.factor.min() / drift.factor.max())
    if dimmest < MIN_LAMP_RATIO:
        raise FileError(
            f"scene: the pair sums fall to {dimmest:.0%} of their highest level; the lamp was switched or a shutter "
            "moved while the sequence ran, record again"
        )
    steady, variance = light / drift.factor, per_reading / drift.factor**2
    y = side * (steady[:, 0::2] - steady[:, 1::2]).mean(axis=0) / scale.value
    own = (side / scale.value) ** 2 * (variance[:, 0::2] + variance[:, 1::2]).mean(axis=0) / repeats
    counts = drift.level_counts
    level = counts.value / scale.value
    errors = (counts.standard_error, 2 * response.dark_counts.standard_error, level * scale.standard_error)
    level_error = float(np.linalg.norm(errors)) / scale.value
    expected_counts = float(np.mean(per_reading[:, 0::2] + per_reading[:, 1::2])) ** 0.5
    ratio = drift.scatter_percent / 100 * counts.value / expected_counts
    return Measurements(y, own, 0.0, Estimate(level, level_error), repeats, drift, ratio, _pair_notes(drift, ratio))


def _pair_notes(drift: LampDrift, ratio: float) -> tuple[str, ...]:
    notes = []
    if drift.degree == 0:
        notes.append("lamp drift: none stands out of the noise of the pair sums; nothing was corrected")
    else:
        notes.append(
            f"lamp drift: {drift.peak_to_peak_percent:.2f} % peak to peak found in the pair sums and divided out "
            f"(polynomial of degree {drift.degree}; brightness referred to the first frame)"
        )
    if ratio > SCATTER_NOTE_RATIO:
        notes.append(
            f"the pair sums scatter {ratio:.1f} times more than photon and read noise explain; look for lamp flicker, "
            "a moving scene, or a lost or doubled trigger"
        )
    return tuple(notes)


def _from_offset(
    light: NDArray[np.float64], per_reading: NDArray[np.float64], side: int, response: Response
) -> Measurements:
    scale = response.scale_counts
    repeats = light.shape[0]
    mean, variance = light.mean(axis=0), per_reading.mean(axis=0) / repeats
    per_count = side / scale.value
    y = per_count * (2 * mean[:-1] - mean[-1])
    level = float(mean[-1]) / scale.value
    errors = (float(variance[-1]) ** 0.5, response.dark_counts.standard_error, level * scale.standard_error)
    error = float(np.linalg.norm(errors)) / scale.value
    return Measurements(
        y=y,
        own_variance=per_count**2 * 4 * variance[:-1],
        shared_variance=float(per_count**2 * variance[-1]),
        light_level=Estimate(level, error),
        repeats=repeats,
        drift=None,
        scatter_ratio=None,
        notes=("lamp drift: offset encoding has no pair sums to see it in; nothing was corrected",),
    )
