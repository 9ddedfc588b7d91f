"""Slow drift of the lamp, seen in the sums of complementary pairs.

A pattern and its complement together let all light pass, so c+ + c- - 2 dark = S mean(x) for every pair of a
static scene; what varies in the sums is the lamp.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from cidesign.calibration.response import Estimate

MAX_DEGREE = 8
PAIRS_PER_DEGREE = 8
FIT_ROUNDS = 4


@dataclass(frozen=True)
class LampDrift:
    """The lamp's relative brightness at each frame, `factor` (R, F), 1 at the first frame.

    `peak_to_peak_percent` of the fitted curve; `degree` of its polynomial, 0 when no drift stands out of the noise;
    `level_counts`: the pair sums at the first frame's brightness, with the standard error of the curve there;
    `scatter_percent`: standard deviation of the pair sums around the curve, of their level.
    """

    factor: NDArray[np.float64]
    degree: int
    peak_to_peak_percent: float
    level_counts: Estimate
    scatter_percent: float


def fit_lamp_drift(light_counts: NDArray[np.float64]) -> LampDrift:
    """Fit a polynomial in time to the pair sums of readings less dark, (R, 2 K) in display order.

    Their mean must be above zero.  The degree (0 to 8, at most one per 8 pairs) is the one of lowest Bayesian
    information criterion.  Within a pair the lamp changes too: each reading is weighed with the curve at its own
    time, s_k = d(t+) p+ + d(t-) p-, with the shares p+ and p- from the round before.
    """
    repeats, frames = light_counts.shape
    plus, minus = light_counts[:, 0::2].reshape(-1), light_counts[:, 1::2].reshape(-1)
    time = np.linspace(-1, 1, repeats * frames)
    sums = plus + minus
    lowest = np.inf
    for degree in range(min(MAX_DEGREE, sums.size // PAIRS_PER_DEGREE) + 1):
        trial, remains = _fit(plus, minus, time, degree)
        if trial.min() <= 0:
            continue  # a lamp gives no negative light; the mean of the sums (degree 0) is above zero
        # The floor keeps a noise-free simulation from preferring one rounding error to another.
        misfit = float(np.mean(remains**2)) + (1e-9 * float(np.abs(sums).mean())) ** 2
        criterion = sums.size * np.log(misfit) + (degree + 1) * np.log(sums.size)
        if criterion < lowest:
            lowest, chosen, curve, rest = criterion, degree, trial, remains
    level = float(curve[0])
    freedom = max(sums.size - chosen - 1, 1)
    deviation = float(np.sum(rest**2) / freedom) ** 0.5
    # At the end of its range a polynomial of degree d fitted to m points has (d + 1)^2 / m of one point's variance.
    error = deviation * (chosen + 1) / sums.size**0.5
    relative = curve / level
    return LampDrift(
        factor=relative.reshape(repeats, frames),
        degree=chosen,
        peak_to_peak_percent=float(100 * np.ptp(relative)),
        level_counts=Estimate(level, error),
        scatter_percent=100 * deviation / level,
    )


def _fit(
    plus: NDArray[np.float64], minus: NDArray[np.float64], time: NDArray[np.float64], degree: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve at every frame, in counts of a pair sum, and what remains of each pair sum."""
    basis = legendre.legvander(time, degree)
    at_plus, at_minus = basis[0::2], basis[1::2]
    sums = plus + minus
    share = np.full_like(sums, 0.5)
    for _ in range(FIT_ROUNDS):
        mixed = share[:, None] * at_plus + (1 - share)[:, None] * at_minus
        coefficients = np.linalg.lstsq(mixed, sums, rcond=None)[0]
        curve = basis @ coefficients
        if curve.min() <= 0:
            break
        first, second = plus / curve[0::2], minus / curve[1::2]
        total = first + second
        share = np.divide(first, total, out=np.full_like(sums, 0.5), where=total > 0)
    return curve, sums - mixed @ coefficients
