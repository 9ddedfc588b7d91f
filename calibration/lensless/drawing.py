"""The light that a drawn mask throws, known between the samples of a sensor.

    seen_c(s; M, t) = mean over the sample s of light_c(M^-1 (u - t))

u, t in samples (down, right) from the middle of the sensor; M turns, scales and shears about the middle of the mask.
The light is moved before samples average it: where a sample covers several code pixels, an average that is moved
afterwards is another one.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.optics import Array, fine_light, points_per_pixel
from cidesign.orientation import Orientation

# Points along a code pixel; with 2 a shadow on large samples is wrong by 6 % of its structure, with 3 by 4 %.
LEAST_POINTS = 3


@dataclass(frozen=True)
class DrawnLight:
    """`light` (C, n, m): the irradiance over that without a mask, on centred points that are `step_px` apart."""

    light: Array
    step_px: float

    @classmethod
    def of(cls, levels: NDArray[np.generic], camera: Camera) -> "DrawnLight":
        """The light behind a mask (rows, columns) of a camera, for each of its channels."""
        geometry = camera.geometry
        points = max(LEAST_POINTS, points_per_pixel(geometry))
        lights = [fine_light(levels, geometry, lines, camera.model, points) for lines in camera.channels.values()]
        # Red light spreads further.
        largest = np.max([light.shape for light in lights], axis=0)
        light = [
            np.pad(one, [((most - count) // 2,) * 2 for most, count in zip(largest, one.shape, strict=True)])
            for one in lights
        ]
        step_um = geometry.code_pitch_um * geometry.magnification / points
        return cls(np.stack(light), step_um / geometry.sample_um)

    @cached_property
    def slopes(self) -> Array:
        """Slopes (C, 2, n, m) of the light, per sample, along rows and columns."""
        return np.stack([np.gradient(plane) for plane in self.light]) / self.step_px

    @property
    def grey(self) -> "DrawnLight":
        """All channels together."""
        return replace(self, light=self.light.mean(axis=0, keepdims=True))

    @property
    def reversed_channels(self) -> "DrawnLight":
        """The last channel first."""
        return replace(self, light=self.light[::-1])

    def turned_over(self, orientation: Orientation) -> "DrawnLight":
        """The light behind the mask when it is turned over."""
        return replace(self, light=orientation.apply(self.light))

    def seen(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """What samples (C, h, w) collect."""
        places = self._places(matrix, shift_px, size)
        return np.stack([self._collected(plane, places, size) for plane in self.light])

    def seen_slopes(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """The slopes (C, 2, h, w) of the light before M, averaged over samples."""
        places = self._places(matrix, shift_px, size)
        return np.stack([[self._collected(plane, places, size) for plane in both] for both in self.slopes])

    def _within(self) -> int:
        """Places along a sample at which the light is read."""
        return max(1, math.ceil(1 / self.step_px))

    def _places(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        within = self._within()
        rows, columns = (
            (np.arange(count * within) + 0.5) / within - count / 2 - float(shift)
            for count, shift in zip(size, shift_px, strict=True)
        )
        back = np.linalg.inv(matrix) / self.step_px
        middle = (np.array(self.light.shape[1:]) - 1) / 2
        return np.stack(
            [back[axis, 0] * rows[:, None] + back[axis, 1] * columns[None] + middle[axis] for axis in (0, 1)]
        )

    def _collected(self, plane: Array, places: Array, size: tuple[int, int]) -> Array:
        within = self._within()
        fine = map_coordinates(plane, places, order=1, mode="grid-constant", cval=0.0)
        collected: Array = fine.reshape(size[0], within, size[1], within).mean(axis=(1, 3))
        return collected


def turned(degrees: float) -> Array:
    """The matrix of a turn, clockwise as seen on the image."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def start_px(camera: Camera) -> Array:
    """Where a point of the image's middle pixel throws the middle of its shadow, from the middle of the sensor."""
    return np.array([count // 2 - (count - 1) / 2 for count in camera.geometry.image])


def window_of(camera: Camera, offset_px: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
    """The part of a PSF that a point throws on the sensor, `offset_px` pixels down and right of the middle pixel.

    Cut to the PSF where the point stands outside the image.
    """
    found = []
    for sensor, image, offset in zip(camera.geometry.sensor, camera.geometry.image, offset_px, strict=True):
        first = image - 1 - image // 2 - offset
        found.append(slice(max(first, 0), max(min(first + sensor, sensor + image - 1), 0)))
    return found[0], found[1]
