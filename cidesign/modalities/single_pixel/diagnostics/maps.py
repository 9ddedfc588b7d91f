"""What can be said of a single-pixel image beyond itself: held-out readings, scatter, and what patterns cannot see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cidesign import progress
from cidesign.calibration.single_pixel.fit import predicted as read_on
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.response import Response
from cidesign.modalities.single_pixel.diagnostics.residuals import HeldOut, folds, predicted
from cidesign.modalities.single_pixel.linear_model import LinearModel
from cidesign.pattern import PatternStack
from cidesign.reconstruct.uncertainty import Disagreement, Image, deviation_of, disagreement, followed, generators

Vector = NDArray[np.float64]
# Student: images (B, n, n) from measurements y (B, K) taken with patterns (K, n, n).
Decode = Callable[[Vector, NDArray[np.float32]], Image]

DRAWS, SEED = 32, 0
FEWEST = 4
# One measurement in ten is held out of the image, each in its turn.
FOLDS = 10
# A lost trigger moves readings by one pattern; more of them by more.
MOVED = (1, 2, 3)
# K^2 N of K measurements and N pixels: some seconds for each image that is made without a part of the measurements.
FOLD_OPERATIONS = 5e10
# Beyond this, minutes; without a student the linear estimate is there at once, and should be.
MAX_OPERATIONS, MAX_OPERATIONS_AT_ONCE = 4e11, 2e10
# Pixels of the images that are decoded at once.
PIXELS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Prior:
    """Second-order statistics of the student's training images: mean level, variance (n, n) of each DCT coefficient."""

    level: float
    variance: Vector


@dataclass(frozen=True)
class Bench:
    """What readings can be drawn again from: the design, the calibration, and the measurements of the scene."""

    design: PatternStack
    response: Response
    operator: SpcOperator
    measurements: Measurements

    def drawn(self, scene: Image, rng: np.random.Generator) -> tuple[Vector, float]:
        """Measurements (K,) and the light level of a known scene (n, n), as they could have come out.

        Noise from its covariance; place of the patterns, illumination and scale from their standard errors, while
        whoever decodes is told the calibrated ones.
        """
        found, calibrated = self.measurements, self.operator
        bench = calibrated.draw(rng)
        scale = self.response.scale_counts
        relative = scale.standard_error / scale.value
        # The scale is the light of an all-on frame; what the calibration takes for it is off by its error.
        unit = (1 + relative * rng.normal()) / (bench.all_on.mean() * calibrated.peak_over_mean)
        own = np.sqrt(found.own_variance) * rng.normal(size=found.y.size)
        shared = found.shared_variance**0.5 * rng.normal()
        signed, image = self.signed, scene.astype(np.float64)
        level_error = max(found.light_level.standard_error**2 - (relative * found.light_level.value) ** 2, 0.0) ** 0.5
        level = float(np.mean(bench.all_on * image)) * unit + level_error * rng.normal()
        return read_on(bench, signed, self.design.encoding, image) * unit + own + shared, level

    @cached_property
    def signed(self) -> Vector:
        """The designed patterns (K, n, n) that were kept."""
        return self.design.signed()[self.measurements.kept].astype(np.float64)


@dataclass(frozen=True)
class SpcMaps:
    """`scatter`: of each image when noise and calibration are redrawn; `posterior` (n, n): of the linear estimate.

    The scatter says nothing of what the patterns cannot see, and is much smaller than the error where there are fewer
    patterns than pixels.  `posterior` holds noise and what is not seen, for scenes with the statistics of the training
    images, and takes the operator as exact.  `disagreement` is None where nothing was learnt.  `linear`: the
    name of the best linear estimate.  `folds`: how many of `FOLDS` parts were held out.  `order`: the error of the
    linear estimate on held-out readings, over its error when they are moved by a few patterns against them.
    """

    disagreement: Disagreement | None
    scatter: dict[str, Image]
    posterior: Image
    held_out: dict[str, HeldOut]
    folds: int
    order: float
    linear: str = "lmmse"

    @property
    def first(self) -> str:
        """The name of the image that the decoder made."""
        return next(iter(self.held_out))


def make_maps(
    bench: Bench, prior: Prior, decode: Decode | None, images: dict[str, Image], linear_name: str = "lmmse"
) -> SpcMaps | None:
    """The maps for the images `student`, of the name `linear_name`, and `tikhonov`; None where they would take minutes.

    `decode` is None where there is no student.
    """
    found = bench.measurements
    count, side = found.y.size, found.signed.shape[-1]
    operations = float(count) ** 2 * side**2
    if operations > (MAX_OPERATIONS if decode else MAX_OPERATIONS_AT_ONCE) or count < FEWEST:
        return None
    linear = lmmse_model(found, prior)
    draws = [bench.drawn(images["student" if decode else linear_name], rng) for rng in generators(DRAWS, SEED)]
    y = np.stack([reading for reading, _ in draws])
    with_level = np.column_stack([y, [side * level for _, level in draws]])
    used = int(np.clip(FOLD_OPERATIONS / operations, 1, FOLDS))
    scatter = {} if decode is None else {"student": deviation_of(followed(_decoded(decode, y, found.signed), DRAWS))}
    scatter[linear_name] = deviation_of(linear.estimate(with_level)).reshape(side, side)
    return SpcMaps(
        disagreement=disagreement(images["student"], images[linear_name]) if decode else None,
        scatter=scatter,
        posterior=linear.posterior_deviation().reshape(side, side).astype(np.float32),
        held_out=held_out(found, prior, linear, decode, used, linear_name),
        folds=used,
        order=order_ratio(found, linear),
        linear=linear_name,
    )


def lmmse_model(found: Measurements, prior: Prior) -> LinearModel:
    """The best linear estimate of `solve.best_linear_calibrated`: its last measurement is the light level, n m."""
    count, side = found.y.size, found.signed.shape[-1]
    level_row = found.light_weights.reshape(1, -1) / side
    noise = np.zeros((count + 1, count + 1))
    noise[:count, :count] = found.covariance()
    noise[count, count] = (max(found.light_level.standard_error, 1e-9) * side) ** 2
    return LinearModel(np.concatenate([_rows(found), level_row]), noise, prior.level, prior.variance)


def held_out(
    found: Measurements, prior: Prior, linear: LinearModel, decode: Decode | None, used: int, linear_name: str = "lmmse"
) -> dict[str, HeldOut]:
    """The errors of all measurements in the first `used` of `FOLDS` parts, each from an image made without its part.

    The light level is held out of all of them, since the student does not get it.
    """
    count, side = found.y.size, found.signed.shape[-1]
    level = found.light_level.value
    even = level / float(found.light_weights.mean())
    plain = LinearModel(_rows(found), found.covariance(), even, np.full((side, side), float(prior.variance.mean())))
    names = (linear_name, "tikhonov") if decode is None else ("student", linear_name, "tikhonov")
    errors: dict[str, list[Vector]] = {name: [] for name in names}
    parts, expected = folds(count, FOLDS)[:used], []
    for part in progress.steps("held-out readings", parts):
        error, deviation = linear.held_out(np.append(found.y, side * level), np.append(part, count))
        expected.append(deviation[:-1])
        errors[linear_name].append(error[:-1])
        errors["tikhonov"].append(plain.held_out(found.y, part)[0])
        if decode is None:
            continue
        rest = np.setdiff1d(np.arange(count), part)
        image = decode(found.y[rest][None], found.signed[rest])[0]
        errors["student"].append(predicted(image, found.signed[part]) - found.y[part])
    order = np.concatenate(parts)
    sort = np.argsort(order)
    noise = np.sqrt(found.own_variance + found.shared_variance)[order][sort]
    wanted, variation = np.concatenate(expected)[sort], float(np.std(found.y))
    return {name: HeldOut(np.concatenate(one)[sort], noise, wanted, variation) for name, one in errors.items()}


def order_ratio(found: Measurements, linear: LinearModel) -> float:
    """Error on held-out readings in their order over that in wrong orders, whatever the contrast of the scene.

    Far below 1 where the order is right; near 1 where it is wrong, and where the patterns say nothing of one another.
    """
    right = _linear_error(found, linear, 0)
    wrong = np.mean([_linear_error(found, linear, moved) for moved in MOVED])
    return right / max(float(wrong), 1e-30)


def _linear_error(found: Measurements, linear: LinearModel, moved: int) -> float:
    """Root mean square error of the linear estimate on held-out readings that were moved by some patterns."""
    count, side = found.y.size, found.signed.shape[-1]
    y = np.append(np.roll(found.y, moved), side * found.light_level.value)
    errors = [linear.held_out(y, np.append(part, count))[0][:-1] for part in folds(count, FOLDS)]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def _rows(found: Measurements) -> Vector:
    """A (K, n*n)."""
    rows: Vector = found.signed.reshape(len(found.signed), -1).astype(np.float64) / found.signed.shape[-1]
    return rows


def _decoded(decode: Decode, y: Vector, signed: NDArray[np.float32]) -> Iterator[Image]:
    step = max(PIXELS_AT_ONCE // signed[0].size, 1)
    for first in range(0, len(y), step):
        yield from decode(y[first : first + step], signed)
