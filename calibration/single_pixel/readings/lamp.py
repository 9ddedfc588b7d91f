"""The lamp's brightness during a sequence: slow drift and mains flicker, seen in readings that let all light pass.

A pattern and its complement together let all light pass, so c+ + c- - 2 dark = S mean(x) for every pair of a
static scene, and so does a frame with all mirrors on; what varies in them is the lamp.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.polynomials import over_span

Vector = NDArray[np.float64]
MAX_DEGREE = 16
OBSERVATIONS_PER_DEGREE = 8
FIT_ROUNDS = 8
# Shares of a pair's light that change by less than this change no lamp.
SETTLED = 1e-9
# A lamp on the mains flickers at twice their frequency; at once the frequency where half of it is broken.
MAINS_HZ = (100.0, 120.0, 50.0, 60.0)
# Fewer periods in a record cannot be told from a drift: of a known frequency, of any.
FEWEST_PERIODS = {True: 3.0, False: 4.0}
# Above this part of the frame rate, the two frames of a pair hide a wave from their sum.
HIGHEST_PART = 0.45
# Mains keep their frequency to this part.
MAINS_TOLERANCE = 0.005
SEARCH_DEGREE = 3
# No lamp explains stronger ones.  Lamps on the mains: incandescent ones flicker by some per cent, discharge lamps with
# magnetic ballasts by up to about 40 % (IEEE Std 1789-2015, section 6); what is beyond, some LED lamps, leaves no light
# to divide by in part of the frames.  Away from the mains, lamps and lasers ripple by a few per cent.  While a sequence
# runs, a supply that sags by 15 % dims an incandescent lamp by 42 % (light grows as the voltage to the power of 3.4).
MOST_MAINS_PERCENT, MOST_WAVE_PERCENT, MOST_DRIFT_PERCENT = 50.0, 20.0, 50.0
# By how much the Bayesian information criterion must fall for a wave to be believed: of a known frequency, of any.
WAVE_EVIDENCE = {True: 20.0, False: 40.0}


@dataclass(frozen=True)
class Flicker:
    """A wave in the lamp's light: `amplitude_percent` of its mean; `frequency_hz` None where times are not known."""

    frequency_hz: float | None
    amplitude_percent: float

    @property
    def most_percent(self) -> float:
        """The strongest flicker that a lamp could have at this frequency; unknown ones may be those of the mains."""
        hertz = self.frequency_hz
        mains = hertz is None or any(abs(hertz - one) <= MAINS_TOLERANCE * one for one in MAINS_HZ)
        return MOST_MAINS_PERCENT if mains else MOST_WAVE_PERCENT

    @property
    def words(self) -> str:
        """Frequency and amplitude for people."""
        hertz = self.frequency_hz
        at = "unknown frequency (the frames' times were not recorded)" if hertz is None else f"{hertz:.1f} Hz"
        return f"{self.amplitude_percent:.2f} % at {at}"


@dataclass(frozen=True)
class LampFit:
    """The lamp's relative brightness at each frame, `factor` (frames,), mean 1 over its drift at the first frame.

    `drift_percent`: peak to peak of the slow part; `degree` of its polynomial, 0 when no drift stands out of the
    noise.  `level_counts`: what all light gives at the first frame's slow brightness, with the standard error of the
    curve there; `scatter_percent`: standard deviation of the observations around the curve, of their level.
    """

    factor: Vector
    degree: int
    drift_percent: float
    flicker: Flicker | None
    level_counts: Estimate
    scatter_percent: float


@dataclass(frozen=True)
class Observations:
    """Readings less dark that together let all light pass: `first` and `second` (M,), at frames `at` (M, 2).

    A frame with all mirrors on is an observation with `second` 0 and the same frame twice.  `times` (frames,): when
    each frame of the record began, in us from the first, or as its number in the sequence where nobody wrote that
    down (`timed` False).
    """

    first: Vector
    second: Vector
    at: NDArray[np.int64]
    times: Vector
    timed: bool

    @property
    def sums(self) -> Vector:
        """All light, (M,)."""
        return self.first + self.second

    @property
    def span(self) -> float:
        """From the first frame to the last."""
        return max(float(self.times.max()), 1e-9)

    @cached_property
    def polynomials(self) -> Vector:
        """Of time, up to the highest degree (frames, MAX_DEGREE + 1): those of every candidate."""
        return over_span(self.times, self.span, MAX_DEGREE)


@dataclass(frozen=True)
class _Candidate:
    criterion: float
    degree: int
    wave: float | None
    coefficients: Vector
    rest: Vector


def fit_lamp(seen: Observations) -> LampFit:
    """Fit a polynomial in time, and a wave where one stands out, to the observations, whose mean must be above zero.

    The degree (0 to 16, at most one per 8 observations) and the wave are those of lowest Bayesian information
    criterion.
    Within a pair the lamp changes too: each reading is weighed with the curve at its own time,
    s_k = d(t+) p+ + d(t-) p-, with the shares p+ and p- from the round before.
    """
    waves = _waves(seen)
    best: dict[float | None, _Candidate] = {}
    for wave in (None, *waves):
        for degree in range(min(MAX_DEGREE, seen.sums.size // OBSERVATIONS_PER_DEGREE) + 1):
            found = _candidate(seen, degree, wave)
            if found is not None and (wave not in best or found.criterion < best[wave].criterion):
                best[wave] = found
    chosen = best[None]
    for wave, known in waves.items():
        if wave in best and best[wave].criterion < best[None].criterion - WAVE_EVIDENCE[known]:
            chosen = best[wave] if chosen.wave is None or best[wave].criterion < chosen.criterion else chosen
    return _lamp_fit(seen, chosen)


def _lamp_fit(seen: Observations, chosen: _Candidate) -> LampFit:
    slow: Vector = _basis(seen, chosen.degree, None) @ chosen.coefficients[: chosen.degree + 1]
    curve: Vector = _basis(seen, chosen.degree, chosen.wave) @ chosen.coefficients
    level = float(slow[0])
    flicker = None
    if chosen.wave is not None:
        amplitude = float(np.hypot(*chosen.coefficients[-2:])) / float(slow.mean())
        flicker = Flicker(chosen.wave * 1e6 if seen.timed else None, 100 * amplitude)
    count = chosen.coefficients.size
    deviation = float(np.sum(chosen.rest**2) / max(chosen.rest.size - count, 1)) ** 0.5
    # At the end of its range a polynomial of degree d fitted to m points has (d + 1)^2 / m of one point's variance.
    error = deviation * (chosen.degree + 1) / chosen.rest.size**0.5
    return LampFit(
        factor=curve / level,
        degree=chosen.degree,
        drift_percent=float(100 * np.ptp(slow) / level),
        flicker=flicker,
        level_counts=Estimate(level, error),
        scatter_percent=100 * deviation / level,
    )


def _basis(seen: Observations, degree: int, wave: float | None) -> Vector:
    """(frames, degree + 1) or (frames, degree + 3): polynomials of time, cosine and sine of the wave."""
    slow = seen.polynomials[:, : degree + 1]
    if wave is None:
        return slow
    phase = 2 * np.pi * wave * seen.times
    return np.column_stack([slow, np.cos(phase), np.sin(phase)])


def _candidate(seen: Observations, degree: int, wave: float | None) -> _Candidate | None:
    """The fit of one model; None where its lamp would give negative light."""
    everywhere = _basis(seen, degree, wave)
    first, second = (everywhere[seen.at[:, side]] for side in (0, 1))
    sums, share = seen.sums, np.full(seen.sums.size, 0.5)
    for _ in range(FIT_ROUNDS):
        mixed = share[:, None] * first + (1 - share)[:, None] * second
        coefficients = np.linalg.lstsq(mixed, sums, rcond=None)[0]
        if (everywhere @ coefficients).min() <= 0:
            # The mean of the sums is above zero, so a constant lamp always remains.
            return None
        one, other = seen.first / (first @ coefficients), seen.second / (second @ coefficients)
        total = one + other
        before, share = share, np.divide(one, total, out=np.full_like(sums, 0.5), where=total > 0)
        if np.abs(share - before).max() < SETTLED:
            break
    rest: Vector = sums - mixed @ coefficients
    # The floor keeps a noise-free simulation from preferring one rounding error to another.
    misfit = float(np.mean(rest**2)) + (1e-9 * float(np.abs(sums).mean())) ** 2
    criterion = sums.size * np.log(misfit) + coefficients.size * np.log(sums.size)
    return _Candidate(float(criterion), degree, wave, coefficients.astype(np.float64), rest)


def _waves(seen: Observations) -> dict[float, bool]:
    """Frequencies to try, in cycles a unit of time: those of the mains (True), and what explains most (False)."""
    lowest = FEWEST_PERIODS[False] / seen.span
    highest = HIGHEST_PART / float(np.median(np.diff(np.sort(seen.times)))) if seen.times.size > 1 else 0.0
    if seen.sums.size < OBSERVATIONS_PER_DEGREE * (SEARCH_DEGREE + 3):
        return {}
    slow = over_span(seen.times[seen.at].mean(axis=1), seen.span, SEARCH_DEGREE)
    drift, _ = np.linalg.qr(slow)
    found: dict[float, bool] = {}
    if seen.timed:
        # Sampled by frames, mains above the frame rate look like a slower wave; only what looks like drift is hopeless.
        mains = [hertz * 1e-6 for hertz in MAINS_HZ if hertz * 1e-6 * seen.span >= FEWEST_PERIODS[True]]
        visible = [wave for wave in mains if _beside_drift(seen, wave, drift) > 0.5]
        found = {_refined(seen, wave, MAINS_TOLERANCE * wave): True for wave in visible}
    grid = np.arange(lowest, highest, 0.25 / seen.span)
    if grid.size > 1:
        found.setdefault(_refined(seen, _strongest(seen, drift, grid), float(grid[1] - grid[0])), False)
    return found


def _beside_drift(seen: Observations, wave: float, drift: Vector) -> float:
    """The part of a wave, as the observations see it, that no slow drift could be."""
    both = np.exp(2j * np.pi * wave * seen.times[seen.at]).mean(axis=1)
    left = both - drift @ (drift.T @ both)
    return float(np.linalg.norm(left) / seen.sums.size**0.5)


def _strongest(seen: Observations, drift: Vector, grid: Vector) -> float:
    """The frequency of the grid with the highest Lomb-Scargle power in what a slow drift leaves."""
    from scipy.signal import lombscargle

    rest = seen.sums - drift @ (drift.T @ seen.sums)
    return float(grid[np.argmax(lombscargle(seen.times[seen.at].mean(axis=1), rest, 2 * np.pi * grid))])


def _refined(seen: Observations, start: float, reach: float) -> float:
    """The frequency within `reach` of the start whose model fits best."""

    def criterion(wave: float) -> float:
        found = _candidate(seen, SEARCH_DEGREE, float(wave))
        return np.inf if found is None else found.criterion

    # Three pieces: around the start the criterion has one valley, over the whole reach it may have several.
    edges = np.linspace(start - reach, start + reach, 4).tolist()
    options = {"xatol": 1e-4 * reach}
    tries = [minimize_scalar(criterion, bounds=piece, method="bounded", options=options) for piece in pairwise(edges)]
    best = min(tries, key=lambda one: float(one.fun))
    return float(best.x) if np.isfinite(best.fun) else start
