"""The rules of gradients that a scanner can play, checked in NumPy, and the projection of shots onto them.

Gradients are straight between the edges of the raster, so k-space is a quadratic spline with knots there: with control
points p (in 1/FOV) and h the raster, a gradient is (p_i - p_i-1) / h and a slew rate (p_i+1 - 2 p_i + p_i-1) / h^2.
What is checked on gradients is what is projected on, exactly: |p_i - p_i-1| <= a and |p_i+1 - 2 p_i + p_i-1| <= b, as
vectors, ends at rest included (Chauffert, Weiss, Kahn, Ciuciu, IEEE Trans. Med. Imaging 35, 2026, 2016).  Limits of one
axis bound the vector, so that a slice may lie at any angle.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, exceeds
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import GAMMA_HZ_PER_T, NS_PER_S

Values = NDArray[np.float64]
# Rounding of double precision in what is compared with a limit.
ROUNDING = 1e-9
# Designs keep so much below each limit: device files round to six digits.
MARGIN = 1e-4
# Of the alternating directions: weights of gradients and slew rates, and over-relaxation.  Of those tried on 16 shots
# of 130 edges these came within 2e-4 of 1/FOV of the projection in 50 steps.
GRADIENT_WEIGHT, SLEW_WEIGHT, RELAXATION = 1.0, 10.0, 1.6
MOST_STEPS, LOOKED_EVERY = 400, 10
# Shots have arrived where no limit is broken by more than this share of it, and no point moves by this much of 1/FOV.
CLOSE, STILL = 1e-4, 1e-4


@dataclass(frozen=True)
class GradientRule:
    """What shots may be: the largest gradient and slew rate as vectors, and the grids of gradients and samples.

    `most_samples` of a readout and their divisor are None where the profile does not say.
    """

    gradient_mt_per_m: float
    slew_t_per_m_per_s: float
    raster_ns: int
    adc_raster_ns: float
    most_samples: int | None = None
    samples_divisor: int | None = None

    @classmethod
    def of(cls, profile: MriProfile) -> Self:
        """The design limits of a scanner."""
        design, rasters = profile.design, profile.rasters
        most, divisor = profile.max_adc_samples, profile.adc_samples_divisor
        return cls(
            design.max_gradient_mt_per_m.value,
            design.max_slew_t_per_m_per_s.value,
            round(rasters.gradient_us.value * 1000),
            rasters.adc_ns.value,
            None if most is None else most.value,
            None if divisor is None else divisor.value,
        )

    def with_slew(self, times: float) -> Self:
        """The same with so many times the slew rate: what a teacher may do."""
        return replace(self, slew_t_per_m_per_s=times * self.slew_t_per_m_per_s)

    def per_raster(self, fov_mm: float) -> float:
        """1/FOV that 1 mT/m plays in a raster time."""
        return 1e-6 * GAMMA_HZ_PER_T * fov_mm * self.raster_ns / NS_PER_S

    def bounds(self, fov_mm: float) -> "Bounds":
        """The largest first and second differences of control points, in 1/FOV, less the margin."""
        step = (1 - MARGIN) * self.per_raster(fov_mm)
        # mT/m per raster: 1 T/m/s is 1000 mT/m per second.
        return Bounds(step * self.gradient_mt_per_m, step * self.slew_t_per_m_per_s * 1000 * self.raster_ns / NS_PER_S)

    def check(self, found: NonCartesian) -> list[Check]:
        """Where shots break the rule: the raster, the samples, and the worst gradient and slew rate of each kind."""
        broken = self._check_times(found)
        if found.raster_ns != self.raster_ns:
            return broken
        fix = "take more time (a longer dwell time or readout) or a larger field of view, or a scanner that can"
        for name, unit, values, limit in (
            ("gradient", "mT/m", gradient_sizes(found), self.gradient_mt_per_m),
            ("slew rate", "T/m/s", slew_sizes(found), self.slew_t_per_m_per_s),
        ):
            shot, place = np.unravel_index(int(values.argmax()), values.shape)
            if values[shot, place] > limit * (1 + ROUNDING):
                where = f"shot {shot}, {1e-6 * int(place) * found.raster_ns:.3f} ms after its start"
                broken.append(exceeds(name, where, f"{values[shot, place]:.6g} {unit}", f"{limit:g} {unit}", fix))
        return broken

    def _check_times(self, found: NonCartesian) -> list[Check]:
        broken = []
        if found.raster_ns != self.raster_ns:
            fix = "design it for this scanner"
            broken.append(
                exceeds("gradient raster", "trajectory", f"{found.raster_ns} ns", f"{self.raster_ns} ns", fix)
            )
        steps = found.dwell_ns / self.adc_raster_ns
        if abs(steps - round(steps)) > ROUNDING * steps:
            limit = f"a multiple of {self.adc_raster_ns:g} ns"
            broken.append(exceeds("dwell time", "trajectory", f"{found.dwell_ns} ns", limit, "choose another"))
        count = found.samples_per_shot
        if self.most_samples is not None and count > self.most_samples:
            broken.append(exceeds("samples of a shot", "trajectory", f"{count}", f"{self.most_samples}", "take fewer"))
        if self.samples_divisor is not None and count % self.samples_divisor:
            limit = f"a multiple of {self.samples_divisor}"
            broken.append(exceeds("samples of a shot", "trajectory", f"{count}", limit, "take another number"))
        return broken


class Bounds(NamedTuple):
    """The largest first (`step`) and second (`bend`) differences of control points, in 1/FOV."""

    step: float
    bend: float

    def coarser(self, rasters: int) -> "Bounds":
        """Those of control points whose knots are so many raster times apart."""
        return Bounds(rasters * self.step, rasters**2 * self.bend)


def gradient_sizes(found: NonCartesian) -> Values:
    """|g| (shots, corners) in mT/m."""
    return np.asarray(np.linalg.norm(found.gradients_mt_per_m, axis=2))


def slew_sizes(found: NonCartesian) -> Values:
    """|dg/dt| (shots, corners - 1) in T/m/s."""
    change = np.diff(found.gradients_mt_per_m, axis=1) * 1e-3 / (found.raster_ns / NS_PER_S)
    return np.asarray(np.linalg.norm(change, axis=2))


def control_points(found: NonCartesian) -> Values:
    """(shots, corners - 1, 2), the control points of shots, in 1/FOV."""
    steps = found.gradients_mt_per_m[:, 1:-1] * (1e-6 * GAMMA_HZ_PER_T * found.fov_mm * found.raster_ns / NS_PER_S)
    return np.concatenate([found.starts[:, None], found.starts[:, None] + np.cumsum(steps, axis=1)], axis=1)


def gradients_of(points: Values, per_raster: float) -> Values:
    """(shots, n + 1, 2) in mT/m of control points (shots, n, 2), at rest at both ends."""
    return np.pad(np.diff(points, axis=1) / per_raster, ((0, 0), (1, 1), (0, 0)))


def refinement(count: int, rasters: int) -> Values:
    """(rasters count, count): the control points on the raster of a spline with `count` points and fewer knots.

    Knots are `rasters` raster times apart, and gradients straight between them, so that limits of the coarse points
    (`Bounds.coarser`) are those of the fine ones.
    """
    at_knots = np.zeros((count + 1, count))
    at_knots[1:-1] = np.diff(np.eye(count), axis=0) / rasters
    place = np.arange(1, rasters * count) / rasters
    before = place.astype(np.int64)
    part = (place - before)[:, None]
    steps = (1 - part) * at_knots[before] + part * at_knots[before + 1]
    start = np.eye(count)[:1]
    return np.concatenate([start, start + np.cumsum(steps, axis=0)])


def project(points: Values, bounds: Bounds) -> Values:
    """The control points (shots, n, 2) nearest to others among all that can be played; those that can stay as they are.

    Alternating directions come close to the projection; what is left of a broken limit is taken away by shrinking a
    shot towards its mean, so that the result never breaks one.
    """
    return projected(points, bounds).points


class Projected(NamedTuple):
    """What `projected` found: the points, how far each shot was shrunk, and what its derivative needs."""

    points: Values
    shrunk: Values
    derivative: Callable[[Values], Values]


def projected(points: Values, bounds: Bounds) -> Projected:
    """`project`, with its derivative: a symmetric map of changes (shots, n, 2) of the points."""
    moving = _broken(points, bounds) > 1 + ROUNDING
    if not moving.any():
        return Projected(points, np.ones(len(points)), lambda change: change)
    z = np.ascontiguousarray(points[moving].transpose(1, 0, 2))
    p, steps, at = _alternate(z, lambda v: _cut(v, bounds.step), lambda v: _cut(v, bounds.bend), bounds)
    near = p.transpose(1, 0, 2)
    shrunk = np.ones(len(points))
    shrunk[moving] = 1 / np.maximum(_broken(near, bounds), 1.0)
    middle = near.mean(axis=1, keepdims=True)
    found = points.copy()
    found[moving] = middle + shrunk[moving, None, None] * (near - middle)

    def derivative(change: Values) -> Values:
        """The derivative's part of each step is linear, and its limit is the derivative of the limit."""
        moved = np.ascontiguousarray(change[moving].transpose(1, 0, 2))
        part, _, _ = _alternate(
            moved, lambda v: _cut_slope(at[0], v, bounds.step), lambda v: _cut_slope(at[1], v, bounds.bend), None, steps
        )
        result = change.copy()
        result[moving] = part.transpose(1, 0, 2)
        return result

    return Projected(found, shrunk, derivative)


def _broken(points: Values, bounds: Bounds) -> Values:
    """(shots,), the largest difference of a shot over its limit."""
    steps = np.diff(points, axis=1, prepend=points[:, :1], append=points[:, -1:])
    first = np.linalg.norm(steps, axis=2).max(axis=1) / bounds.step
    second = np.linalg.norm(np.diff(steps, axis=1), axis=2).max(axis=1) / bounds.bend
    return np.asarray(np.maximum(first, second))


Cut = Callable[[Values], Values]


def _alternate(
    z: Values, cut_steps: Cut, cut_bends: Cut, bounds: Bounds | None, steps: int = MOST_STEPS
) -> tuple[Values, int, tuple[Values, Values]]:
    """min |p - z|^2 / 2 with cut differences, for points (n, shots, 2): the points, steps taken, and what was cut.

    With `bounds` it ends when all are kept and the points stay where they are, else after `steps`.
    """
    inverse = _inverse(len(z))
    p, held = z, z
    first, second = _steps(z), _bends(z)
    cut_first, cut_second = cut_steps(first), cut_bends(second)
    price_first, price_second = np.zeros_like(first), np.zeros_like(second)
    taken = 0
    for number in range(1, steps + 1):
        right = (
            z
            + GRADIENT_WEIGHT * _steps_back(cut_first - price_first)
            + SLEW_WEIGHT * _bends_back(cut_second - price_second)
        )
        p = (inverse @ right.reshape(len(z), -1)).reshape(z.shape)
        first = RELAXATION * _steps(p) + (1 - RELAXATION) * cut_first + price_first
        second = RELAXATION * _bends(p) + (1 - RELAXATION) * cut_second + price_second
        cut_first, cut_second = cut_steps(first), cut_bends(second)
        price_first, price_second = first - cut_first, second - cut_second
        taken = number
        if bounds is not None and number % LOOKED_EVERY == 0:
            if np.abs(p - held).max() <= STILL and (_broken(p.transpose(1, 0, 2), bounds) <= 1 + CLOSE).all():
                break
            held = p
    return p, taken, (first, second)


def _cut(v: Values, limit: float) -> Values:
    """The nearest vectors (..., 2) that are no longer than the limit."""
    length = np.sqrt((v * v).sum(axis=-1, keepdims=True))
    return np.asarray(v * np.minimum(1.0, limit / np.maximum(length, limit)))


def _cut_slope(v: Values, change: Values, limit: float) -> Values:
    """The derivative of `_cut` at v, along a change."""
    length = np.sqrt((v * v).sum(axis=-1, keepdims=True))
    unit = v / np.maximum(length, limit)
    across = change - unit * (unit * change).sum(axis=-1, keepdims=True)
    return np.where(length > limit, limit / np.maximum(length, limit) * across, change)


def _steps(p: Values) -> Values:
    """First differences (n - 1, ...) of points (n, ...)."""
    return np.diff(p, axis=0)


def _steps_back(u: Values) -> Values:
    """The transpose of `_steps`."""
    out = np.zeros((len(u) + 1, *u.shape[1:]))
    out[1:] += u
    out[:-1] -= u
    return out


def _bends(p: Values) -> Values:
    """Second differences (n, ...) of points (n, ...) that rest before and after."""
    out = np.zeros_like(p)
    steps = np.diff(p, axis=0)
    out[:-1] += steps
    out[1:] -= steps
    return out


def _bends_back(u: Values) -> Values:
    """The transpose of `_bends`."""
    return _steps_back(u[:-1] - u[1:])


@lru_cache(maxsize=8)
def _inverse(count: int) -> Values:
    """(1 + weights of the differences' squares)^-1 for so many points."""
    unit = np.eye(count)
    return np.asarray(
        np.linalg.inv(unit + GRADIENT_WEIGHT * _steps_back(_steps(unit)) + SLEW_WEIGHT * _bends_back(_bends(unit)))
    )
