"""The PSF from the images of several point sources, and what the drawing still has to stand in for.

A point o pixels from the middle shows the part of the PSF that it throws on the sensor; points at the rim of the field
show what the one in the middle does not.  Where a point stands is found from its shadow, and not to a whole pixel: from
there to the grid its image is carried by what the drawing changes on that way.

    psf(grid) = image / light + seen(M, t - d) - seen(M, t),      d: from the nearest whole pixel to where it stands
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.drawing import DrawnLight, start_px, window_of
from cidesign.calibration.lensless.fit import PointFit, fit_point, found_shift
from cidesign.calibration.lensless.optics import Array


@dataclass(frozen=True)
class Point:
    """The image (C, h, w) of a point source above dark, with the variance of its noise; `known_px`: where it is said to
    stand, in image pixels from the first."""

    image: Array
    variance: Array
    known_px: tuple[float, float] | None = None


# A smaller shadow is too small to show that it was turned or scaled: it is displaced alone.
LEAST_EXTENT_PX = 3.0


@dataclass(frozen=True)
class Placed:
    """A point whose shadow was found: the fit of the drawing, and its place in whole pixels from the first.

    `share`: of as much of the drawing's light as the sensor takes of the first.
    """

    point: Point
    fit: PointFit
    offset_px: tuple[int, int]
    share: float = 1.0

    @property
    def residual(self) -> float:
        """What the drawing leaves of its structure."""
        return self.fit.relative_residual(self.point.image, self.point.variance)


def placed(point: Point, drawn: DrawnLight, first: PointFit, psf: Array, camera: Camera) -> Placed:
    """Find the shadow of another point; `psf`: the drawing's as the mask stands, that of the first fit."""
    start = first.shift_px + about_px(point.image, psf, camera)
    fit = fit_point(point.image, drawn, start, affine=extent_px(psf) >= LEAST_EXTENT_PX, matrix=first.matrix)
    seen, of_first = (drawn.seen(one.matrix, one.shift_px, camera.geometry.sensor).sum() for one in (fit, first))
    return Placed(point, fit, _whole(fit.shift_px - first.shift_px), float(seen / of_first))


def extent_px(psf: Array) -> float:
    """How far the light of a PSF (C, H, W) lies from its middle, root of the mean square along an axis, in samples."""
    light = np.abs(psf).sum(axis=0)
    places = np.indices(light.shape).reshape(2, -1)
    weights = light.ravel() / light.sum()
    middle = places @ weights
    return float((((places - middle[:, None]) ** 2) @ weights).mean() ** 0.5)


def about_px(image: Array, psf: Array, camera: Camera) -> Array:
    """Where a point stands from the first, to a whole pixel."""
    shift, _ = found_shift(image.mean(axis=0, keepdims=True), psf.mean(axis=0, keepdims=True))
    return shift - start_px(camera)


def _whole(place: Array) -> tuple[int, int]:
    down, right = np.rint(place).astype(int)
    return int(down), int(right)


@dataclass(frozen=True)
class Stitched:
    """`psf` (C, h + H - 1, w + W - 1) in units of the irradiance without a mask: measured where `measured` is, and the
    drawing's elsewhere; `drawn` is the latter's light, and `first` how the mask stands."""

    psf: Array
    measured: NDArray[np.bool_]
    drawn: DrawnLight
    first: PointFit
    camera: Camera

    @cached_property
    def measured_share(self) -> float:
        """Of the PSF's light."""
        light = np.abs(self.psf).sum(axis=0)
        return float(light[self.measured].sum() / light.sum())

    def around(self, place_px: Array) -> "MeasuredShadow":
        """What is known of the shadows of points near a place, in samples from the first."""
        offset = _whole(place_px)
        height, width = self.camera.geometry.sensor
        cut = np.zeros((len(self.psf), height, width))
        where, inside = window_of(self.camera, offset), _inside(self.camera, offset)
        cut[(slice(None), *inside)] = self.psf[(slice(None), *where)]
        at = self.first.shift_px + np.array(offset)
        return MeasuredShadow(self.drawn, cut - self.drawn.seen(self.first.matrix, at, (height, width)))


@dataclass(frozen=True)
class MeasuredShadow:
    """A drawing's shadow, and how that which was measured differs from it, (C, h, w)."""

    drawn: DrawnLight
    difference: Array

    def seen(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """What samples (C, h, w) collect."""
        return self.drawn.seen(matrix, shift_px, size) + self.difference

    def seen_slopes(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """The drawing's."""
        return self.drawn.seen_slopes(matrix, shift_px, size)


def stitched(points: list[Placed], drawn: DrawnLight, psf: Array, camera: Camera) -> Stitched:
    """The PSF from points, the first of which stands in the middle; where several show a part it is their mean.

    Each counts most in the middle of its own image: where that lies, it lies for what stands in its direction.
    """
    first = points[0].fit
    size = camera.geometry.sensor
    total, weights = np.zeros_like(psf), np.zeros(psf.shape[1:])
    hat = np.minimum.outer(_hat(size[0]), _hat(size[1]))
    for one in points:
        where = window_of(camera, one.offset_px)
        on_grid = first.shift_px + np.array(one.offset_px)
        fit = one.fit
        carried = drawn.seen(fit.matrix, on_grid, size) - drawn.seen(fit.matrix, fit.shift_px, size)
        image = one.point.image / fit.light[:, None, None] + carried
        inside = _inside(camera, one.offset_px)
        total[(slice(None), *where)] += (hat * image)[(slice(None), *inside)]
        weights[where] += hat[inside]
    measured = weights > 0
    found = np.where(measured, total / np.where(measured, weights, 1), psf)
    return Stitched(found, measured, drawn, first, camera)


def _inside(camera: Camera, offset_px: tuple[int, int]) -> tuple[slice, slice]:
    """The samples whose part of the PSF lies within it."""
    found = []
    for sensor, image, offset in zip(camera.geometry.sensor, camera.geometry.image, offset_px, strict=True):
        first = image - 1 - image // 2 - offset
        found.append(slice(max(-first, 0), max(min(sensor, sensor + image - 1 - first), 0)))
    return found[0], found[1]


def _hat(count: int) -> Array:
    """Weights (count,) from 1 in the middle to little at both ends."""
    middle = (count - 1) / 2
    weights: Array = 1 - np.abs(np.arange(count) - middle) / (middle + 1)
    return weights
