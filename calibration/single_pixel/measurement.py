"""From detector counts to measurements y = phi x / n, with the noise that the calibration predicts."""

from dataclasses import dataclass, replace
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.frames import Frames
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.readings.lamp import LampFit, Observations, fit_lamp
from cidesign.calibration.single_pixel.response import Response
from cidesign.errors import FileError
from cidesign.pattern import PatternStack

FloatType = TypeVar("FloatType", np.float32, np.float64)

# Pair sums that scatter this many times more than photon and read noise: something moved, or flickered otherwise.
SCATTER_NOTE_RATIO = 2.0
# Third differences of a reference's readings are nearly all noise: of flicker, a fraction (2 pi f T)^3 is in them.
REFERENCE_DIFFERENCES = 3
# A lamp that changes more than this during a sequence is no slow drift.
MIN_LAMP_RATIO = 0.2


@dataclass(frozen=True)
class Measurements:
    """Calibrated measurements of one scene and the covariance diag(own_variance) + shared_variance.

    `y` (K,), y_k = sum(phi_k x) / n with x in reflectance of the white reference and phi = `signed` (K, n, n) as it
    lies on the scene; mean of `repeats` sequences.  `kept` (K,): the number of each pattern in the design, as some can
    be lost.  `light_level`: sum(w x) / n^2 with w = `light_weights` (n, n), from the pair sums (complementary) or the
    all-on frame (offset), or the readings themselves, which then leave it open (as-shown).  `lamp` is None where
    nothing shows it (offset and as-shown without sync frames); `scatter_ratio` compares the pair sums' scatter with the
    noise predicted, 1 when all is well.
    """

    y: NDArray[np.float64]
    own_variance: NDArray[np.float64]
    shared_variance: float
    signed: NDArray[np.float32]
    kept: NDArray[np.int64]
    light_level: Estimate
    light_weights: NDArray[np.float64]
    repeats: int
    lamp: LampFit | None
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


def measurements_from_counts(
    frames: Frames,
    design: PatternStack,
    response: Response,
    operator: SpcOperator,
    reference: NDArray[np.float64] | None = None,
) -> Measurements:
    """Convert the readings (R, F) of a sequence.

    With n x n super-pixels, S = scale_counts of a scene that is lit everywhere as its brightest pixel is:
    complementary: y_k = n (c+ - c-) / S, each reading first divided by the lamp's brightness;
    offset:        y_k = n (2 (c_k - dark) - (c_on - dark)) / S;
    as-shown:      y_k = n (c_k - dark) / S.
    Variances: gain * light + read noise^2 for each reading.  `reference` (R, F): a lamp monitor, which divides the
    readings first.  Raises `FileError` when the readings are not above dark.
    """
    peak = response.with_peak(operator.peak_over_mean)
    light = frames.readings - response.dark_counts.value
    per_reading = response.gain_for_noise * np.maximum(light, 0) + response.noise_variance_counts2
    _require_light(light, per_reading, response)
    notes: tuple[str, ...] = ()
    if reference is not None:
        light, per_reading = _referred(light, per_reading, reference)
        # The reference shows the lamp at every frame; the sync frames were not divided by it.
        count = frames.readings.shape[1]
        frames = replace(frames, on=frames.on[:, :0], times=frames.times[:count], sequences=frames.sequence[:count])
        notes = ("each reading was divided by that of the lamp's reference detector",)
    if design.encoding == "complementary":
        return _from_pairs(light, per_reading, frames, design, peak, operator, notes)
    if design.encoding == "as-shown":
        return _from_shown(light, per_reading, frames, design, peak, operator, notes)
    return _from_offset(light, per_reading, frames, design, peak, operator, notes)


def _require_light(light: NDArray[np.float64], per_reading: NDArray[np.float64], response: Response) -> None:
    total, count = float(np.nansum(light)), int(np.isfinite(light).sum())
    error = float(np.hypot(np.nansum(per_reading) ** 0.5, count * response.dark_counts.standard_error))
    if total < 5 * error:
        raise FileError(
            f"scene: the readings are {total / count:.4g} +- {error / count:.2g} counts above the calibrated "
            f"dark level of {response.dark_counts.value:.4g}; no light reached the detector, or the calibration is of "
            "another detector setting"
        )


def _referred(
    light: NDArray[np.float64], per_reading: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Readings divided by the reference, whose own noise is seen in differences that leave little of the lamp."""
    rows = np.atleast_2d(reference)
    if rows.shape != light.shape:
        raise FileError(
            f"reference: {rows.shape[1]} readings for {light.shape[1]} frames; one for each reading of the scene is "
            "needed, from the same triggers",
            fault="lost-trigger",
        )
    if rows.min() <= 0:
        raise FileError(
            f"reference: its lowest reading is {rows.min():g}; the monitor's readings must be above its dark level"
        )
    brightness = rows / rows.mean()
    order = min(REFERENCE_DIFFERENCES, rows.shape[1] - 1)
    relative = float(np.mean(np.diff(brightness, order, axis=1) ** 2)) / comb(2 * order, order)
    divided = light / brightness
    return divided, per_reading / brightness**2 + divided**2 * relative


def _from_pairs(
    light: NDArray[np.float64],
    per_reading: NDArray[np.float64],
    frames: Frames,
    design: PatternStack,
    response: Response,
    operator: SpcOperator,
    notes: tuple[str, ...],
) -> Measurements:
    scale, side = response.scale_counts, design.side
    repeats = len(light)
    pair = np.isfinite(light[:, 0::2] + light[:, 1::2])
    kept = np.flatnonzero(pair.any(axis=0))
    seen = zip(light, pair, _on(frames, response), strict=True)
    lamp = _lamp([_pairs_and_on(row, good, on, frames) for row, good, on in seen], frames.sequence)
    factor = lamp.factor.reshape(repeats, -1)[:, : light.shape[1]]
    dimmest = float(factor.min() / factor.max())
    if dimmest < MIN_LAMP_RATIO:
        raise FileError(
            f"scene: the pair sums fall to {dimmest:.0%} of their highest level; the lamp was switched or a shutter "
            "moved while the sequence ran, record again"
        )
    steady, variance = light / factor, per_reading / factor**2
    count = pair.sum(axis=0)[kept]

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.where(pair, values, 0.0).sum(axis=0)[kept]
        return total

    y = side * summed(steady[:, 0::2] - steady[:, 1::2]) / count / scale.value
    own = (side / scale.value) ** 2 * summed(variance[:, 0::2] + variance[:, 1::2]) / count**2
    counts = lamp.level_counts
    level = counts.value / scale.value
    errors = (counts.standard_error, 2 * response.dark_counts.standard_error, level * scale.standard_error)
    expected_counts = float(np.mean((per_reading[:, 0::2] + per_reading[:, 1::2])[pair])) ** 0.5
    ratio = lamp.scatter_percent / 100 * counts.value / expected_counts
    return Measurements(
        y=y,
        own_variance=own,
        shared_variance=0.0,
        signed=operator.signed(design)[kept],
        kept=kept,
        light_level=Estimate(level, float(np.linalg.norm(errors)) / scale.value),
        light_weights=operator.all_on / operator.all_on.max(),
        repeats=repeats,
        lamp=lamp,
        scatter_ratio=ratio,
        notes=(*notes, *_pair_notes(lamp, ratio)),
    )


def _on(frames: Frames, response: Response) -> NDArray[np.float64]:
    """Light of the sync frames with all mirrors on, (R, M)."""
    return frames.on - response.dark_counts.value


def _pairs_and_on(
    row: NDArray[np.float64], good: NDArray[np.bool_], on: NDArray[np.float64], frames: Frames
) -> Observations:
    """What shows the lamp in one repeat: its pairs, and its frames with all mirrors on."""
    numbers = np.flatnonzero(good)
    lit = row.size + np.arange(on.size)
    at = np.concatenate([np.stack([2 * numbers, 2 * numbers + 1], axis=1), np.stack([lit, lit], axis=1)])
    first = np.concatenate([row[2 * numbers], on])
    second = np.concatenate([row[2 * numbers + 1], np.zeros(on.size)])
    return Observations(first, second, at, frames.times - frames.times.min(), frames.timed)


def _lamp(seen: list[Observations], sequence: NDArray[np.intp]) -> LampFit:
    """The lamp during all repeats: each sequence of each is fitted alone, as nobody knows the time between them.

    Brightness is that of the first frame of the first repeat; the largest drift and the strongest flicker are told.
    """
    fits: list[LampFit] = []
    factors = []
    for one in seen:
        counts = np.ones(one.times.size)
        for number in range(int(sequence.max()) + 1):
            part, inside = _of_sequence(one, sequence, number)
            # A short last sequence without any pair or frame that is all on is taken to be as bright as the one before.
            if part.sums.size or not fits:
                fits.append(fit_lamp(part))
                counts[inside] = fits[-1].factor * fits[-1].level_counts.value
            else:
                counts[inside] = fits[-1].factor[-1] * fits[-1].level_counts.value
        factors.append(counts)
    first = fits[0].level_counts
    factor = np.concatenate(factors) / first.value
    worst = max(fits, key=lambda fit: fit.drift_percent)
    waves = [fit.flicker for fit in fits if fit.flicker is not None]
    levels = [fit.level_counts.value for fit in fits]
    return LampFit(
        factor=factor,
        degree=worst.degree,
        drift_percent=max(worst.drift_percent, 100 * float(np.ptp(levels)) / first.value),
        flicker=max(waves, key=lambda wave: wave.amplitude_percent, default=None),
        level_counts=first,
        scatter_percent=float(np.mean([fit.scatter_percent**2 for fit in fits])) ** 0.5,
    )


def _of_sequence(seen: Observations, sequence: NDArray[np.intp], number: int) -> tuple[Observations, NDArray[np.intp]]:
    """What shows the lamp in one sequence, and which frames are of it; times count from its first frame."""
    inside = np.flatnonzero(sequence == number)
    if inside.size == sequence.size:
        return seen, inside
    chosen = sequence[seen.at[:, 0]] == number
    at = np.searchsorted(inside, seen.at[chosen]).astype(np.int64)
    times = seen.times[inside] - seen.times[inside].min()
    return Observations(seen.first[chosen], seen.second[chosen], at, times, seen.timed), inside


def _pair_notes(lamp: LampFit, ratio: float) -> tuple[str, ...]:
    notes = list(_lamp_notes(lamp, "pair sums"))
    if ratio > SCATTER_NOTE_RATIO:
        notes.append(
            f"the pair sums scatter {ratio:.1f} times more than photon and read noise explain; look for lamp flicker, "
            "a moving scene, or a lost or doubled trigger"
        )
    return tuple(notes)


def _lamp_notes(lamp: LampFit, where: str) -> tuple[str, ...]:
    drift = f"lamp drift: none stands out of the noise of the {where}; nothing was corrected"
    if lamp.degree > 0:
        drift = (
            f"lamp drift: {lamp.drift_percent:.2f} % peak to peak found in the {where} and divided out "
            f"(polynomial of degree {lamp.degree}; brightness referred to the first frame)"
        )
    if lamp.flicker is None:
        return (drift,)
    return (drift, f"lamp flicker: {lamp.flicker.words} found in the {where} and divided out")


def _from_offset(
    light: NDArray[np.float64],
    per_reading: NDArray[np.float64],
    frames: Frames,
    design: PatternStack,
    response: Response,
    operator: SpcOperator,
    notes: tuple[str, ...],
) -> Measurements:
    scale, side = response.scale_counts, design.side
    repeats = light.shape[0]
    _require_all_on(light, per_reading)
    light, per_reading, lamp, notes = _steadied(light, per_reading, frames, response, notes, own_on=True)
    mean, variance = light.mean(axis=0), per_reading.mean(axis=0) / repeats
    per_count = side / scale.value
    level = float(mean[-1]) / scale.value
    errors = (float(variance[-1]) ** 0.5, response.dark_counts.standard_error, level * scale.standard_error)
    return Measurements(
        y=per_count * (2 * mean[:-1] - mean[-1]),
        own_variance=per_count**2 * 4 * variance[:-1],
        shared_variance=float(per_count**2 * variance[-1]),
        signed=operator.signed(design),
        kept=np.arange(design.count),
        light_level=Estimate(level, float(np.linalg.norm(errors)) / scale.value),
        light_weights=operator.all_on / operator.all_on.max(),
        repeats=repeats,
        lamp=lamp,
        scatter_ratio=None,
        notes=notes,
    )


def _from_shown(
    light: NDArray[np.float64],
    per_reading: NDArray[np.float64],
    frames: Frames,
    design: PatternStack,
    response: Response,
    operator: SpcOperator,
    notes: tuple[str, ...],
) -> Measurements:
    """Nothing is subtracted but the dark level, whose error is common to all readings."""
    scale, side = response.scale_counts, design.side
    repeats = light.shape[0]
    light, per_reading, lamp, notes = _steadied(light, per_reading, frames, response, notes, own_on=False)
    mean, variance = light.mean(axis=0), per_reading.mean(axis=0) / repeats
    per_count = side / scale.value
    signed, weights = operator.signed(design), operator.all_on / operator.all_on.max()
    # The level of an even scene that would read like this; readings know it, so it tells them nothing more.
    shares = signed.mean(axis=(1, 2), dtype=np.float64)
    level = float(mean @ shares / max(float(shares @ shares), 1e-30)) / scale.value * float(weights.mean())
    return Measurements(
        y=per_count * mean,
        own_variance=per_count**2 * variance,
        shared_variance=float((per_count * response.dark_counts.standard_error) ** 2),
        signed=signed,
        kept=np.arange(design.count),
        light_level=Estimate(level, abs(level) + 1.0),
        light_weights=weights,
        repeats=repeats,
        lamp=lamp,
        scatter_ratio=None,
        notes=notes,
    )


def _steadied(
    light: NDArray[np.float64],
    per_reading: NDArray[np.float64],
    frames: Frames,
    response: Response,
    notes: tuple[str, ...],
    own_on: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], LampFit | None, tuple[str, ...]]:
    """Readings and their variances divided by the lamp, where frames with all mirrors on show it."""
    lamp = _lamp_from_on(light, _on(frames, response), frames, own_on)
    if lamp is None:
        unseen = "lamp drift: patterns shown once have no pair sums to see it in; nothing was corrected"
        return light, per_reading, None, notes or (unseen,)
    factor = lamp.factor.reshape(light.shape[0], -1)[:, : light.shape[1]]
    told = (*notes, *_lamp_notes(lamp, "frames with all mirrors on"))
    return light / factor, per_reading / factor**2, lamp, told


def _require_all_on(light: NDArray[np.float64], per_reading: NDArray[np.float64]) -> None:
    """All mirrors on give more light than any pattern; where they give less than the mean one, on and off changed."""
    on, patterns = float(light[:, -1].mean()), float(light[:, :-1].mean())
    if on + 5 * float(per_reading[:, -1].mean() / len(light)) ** 0.5 < patterns:
        raise FileError(
            f"scene: the all-on frame reads {on:.4g} counts above dark, the patterns {patterns:.4g} on average: on and "
            "off mirrors are exchanged (inversion), or the last frame is another one; put the device's inversion right "
            "and record again",
            fault="inversion",
        )


def _lamp_from_on(light: NDArray[np.float64], on: NDArray[np.float64], frames: Frames, own_on: bool) -> LampFit | None:
    """The lamp from sync frames and, with `own_on`, the design's own all-on frame, its last; None without sync."""
    if on.shape[1] == 0:
        return None
    seen = []
    for row, lit in zip(light, on, strict=True):
        own = np.array([row.size - 1] if own_on else [], dtype=np.int64)
        number = np.concatenate([own, row.size + np.arange(lit.size)])
        first = np.concatenate([row[own], lit])
        at = np.stack([number, number], axis=1)
        seen.append(Observations(first, np.zeros(first.size), at, frames.times - frames.times.min(), frames.timed))
    return _lamp(seen, frames.sequence)
