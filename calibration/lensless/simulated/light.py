"""How a mask that stands crooked throws its light, from every direction: the finer optics of the twin.

Nothing here is shared with `optics.shadow`, which calibration and design use: the mask has other and more points, more
wavelengths, light that comes aslant is propagated aslant, and the shadow of each direction is drawn for itself.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq, ifft2, irfft2, next_fast_len, rfft2
from scipy.ndimage import map_coordinates

from cidesign.calibration.lensless.optics import Array, Geometry, Lines

# Points of the mask along a code pixel at least, and places along a sensor sample.
LEAST_POINTS, LEAST_PLACES = 5, 3
# Directions along each axis of the field whose shadows are drawn; between them they are blended.
DIRECTIONS = 3
LINES = 5
MOST_SPREAD = 0.3
# Of benches, over the designed one.
MOST_DISTANCE = 1.35


@dataclass(frozen=True)
class Stand:
    """How the mask stands: turned clockwise, tilted (its lower edge away from the sensor), moved, in samples, and at
    which distance."""

    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    distance_um: float = 0.0


@dataclass(frozen=True)
class Caster:
    """Throws the light of one made plate (n, m), an amplitude for each code pixel, onto a sensor."""

    plate: NDArray[np.float64]
    geometry: Geometry
    bands: tuple[Lines, ...]
    _kept: dict[tuple[float, float, float], list[Array]] = field(default_factory=dict, repr=False)

    @property
    def points(self) -> int:
        """Points along a code pixel: an odd number, so that none lies on an edge."""
        least = max(LEAST_POINTS, math.ceil(2.5 * self.geometry.code_pitch_um / self.geometry.sample_um))
        return least + 1 - least % 2

    @property
    def places(self) -> int:
        """Places along a sensor sample at which light is read: no fewer than there are points."""
        return max(LEAST_PLACES, math.ceil(self.geometry.sample_um * self.points / self.geometry.code_pitch_um))

    def shadow(self, stand: Stand, tangent: tuple[float, float], size: tuple[int, int]) -> Array:
        """The shadow (C, *size) of a direction, about where the direction's central ray meets the sensor."""
        lights, places_each = self._lights(stand.distance_um, tangent), self.places
        geometry = self.geometry
        scale = 1 + stand.distance_um / (geometry.scene_distance_um or math.inf)
        turn, tilt = math.radians(stand.rotation_deg), math.radians(stand.tilt_deg)
        spun = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        # A part of the mask that is v further down is v sin(tilt) further away from the sensor.
        leaning = np.array([[math.cos(tilt) + math.sin(tilt) * tangent[0], 0.0], [math.sin(tilt) * tangent[1], 1.0]])
        back = np.linalg.inv(leaning @ spun) * geometry.sample_um * self.points / geometry.code_pitch_um
        rows, columns = (
            (np.arange(count * places_each) + 0.5) / places_each - count / 2 - shift
            for count, shift in zip(size, stand.shift_px, strict=True)
        )
        shadows = []
        for light in lights:
            middle = (np.array(light.shape) - 1) / 2
            places = [back[axis, 0] * rows[:, None] + back[axis, 1] * columns[None] + middle[axis] for axis in (0, 1)]
            fine = map_coordinates(light, places, order=1, mode="grid-constant", cval=0.0)
            shadows.append(fine.reshape(size[0], places_each, size[1], places_each).mean(axis=(1, 3)))
        return np.stack(shadows)

    def _lights(self, distance_um: float, tangent: tuple[float, float]) -> list[Array]:
        key = (distance_um, *tangent)
        if key not in self._kept:
            scale = 1 + distance_um / (self.geometry.scene_distance_um or math.inf)
            step_um, spectrum = self.geometry.code_pitch_um / self.points, self._spectrum
            lights = []
            for band in self.bands:
                total = np.zeros(spectrum.shape)
                for wavelength_um, weight in zip(band.wavelengths_um, band.weights, strict=True):
                    slant = _aslant(spectrum.shape, step_um, float(wavelength_um), distance_um / scale, tangent)
                    total += weight * np.abs(ifft2(spectrum * slant)) ** 2
                lights.append(total)
            self._kept[key] = lights
        return self._kept[key]

    @cached_property
    def _spectrum(self) -> NDArray[np.complex64]:
        """The transform of the plate, in the middle of a plane that also holds the light that it spreads."""
        fine = np.repeat(np.repeat(self.plate, self.points, axis=0), self.points, axis=1)
        step_um = self.geometry.code_pitch_um / self.points
        longest_um = max(float(band.wavelengths_um.max()) for band in self.bands)
        # As far as the points of the plate can send light, from any distance that a bench has.
        spread = math.ceil(
            MOST_DISTANCE * self.geometry.distance_um * min(longest_um / (2 * step_um), MOST_SPREAD) / step_um
        )
        rows, columns = (next_fast_len(size + 2 * spread) for size in fine.shape)
        # Of the parity of the plate, so that its middle stays the middle.
        rows, columns = rows + (rows - fine.shape[0]) % 2, columns + (columns - fine.shape[1]) % 2
        top, left = (rows - fine.shape[0]) // 2, (columns - fine.shape[1]) // 2
        field = np.zeros((rows, columns), dtype=np.float32)
        field[top : top + fine.shape[0], left : left + fine.shape[1]] = fine
        found: NDArray[np.complex64] = fft2(field)
        return found


def _aslant(
    size: tuple[int, ...], step_um: float, wavelength_um: float, distance_um: float, tangent: tuple[float, float]
) -> NDArray[np.complex64]:
    """What happens on the way to a plane wave that comes in at `tangent`, as seen from where its central ray ends.

    H(f) = exp(2 pi i d (k(f + f0) - k(f0) - f . grad k(f0))) with k(f) = sqrt(1 / lambda^2 - f^2): without its phase
    and its slope, which only displace the light.
    """
    slope = 1 / math.sqrt(1 + tangent[0] ** 2 + tangent[1] ** 2) / wavelength_um
    first = np.array(tangent) * slope
    down, across = fftfreq(size[0], step_um)[:, None], fftfreq(size[1], step_um)[None]
    inner = 1 / wavelength_um**2 - (down + first[0]) ** 2 - (across + first[1]) ** 2
    straight = down * first[0] + across * first[1]
    phase = np.sqrt(np.maximum(inner, 0.0)) - slope + straight / slope
    limit = [1 / (wavelength_um * math.hypot(2 * distance_um / (count * step_um), 1)) for count in size]
    seen = (inner > 0) & (np.abs(down) <= limit[0]) & (np.abs(across) <= limit[1])
    # Whole turns are taken off in double precision.
    turns = distance_um * phase
    angle = (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    return np.where(seen, np.cos(angle) + 1j * np.sin(angle), 0).astype(np.complex64)


def scene_light(caster: Caster, stand: Stand, scene: Array, sensor: tuple[int, int]) -> Array:
    """What a scene (C, H, W) of light from every image pixel's direction throws on a sensor, (C, h, w).

    The shadows of a few directions are blended between them, each for the part of the scene around it.
    """
    image = (scene.shape[1], scene.shape[2])
    size = (sensor[0] + image[0] - 1, sensor[1] + image[1] - 1)
    plane = tuple(next_fast_len(count, real=True) for count in size)
    rows, columns = (np.linspace(0, count - 1, DIRECTIONS) for count in image)
    total = np.zeros((len(scene), *plane))
    for row in rows:
        for column in columns:
            weight = _hat(image[0], row)[:, None] * _hat(image[1], column)[None]
            psf = caster.shadow(stand, tangent_of(caster.geometry, image, (row, column)), size)
            total += irfft2(rfft2(psf, plane) * rfft2(weight * scene, plane), plane)
    light: Array = total[:, image[0] - 1 : size[0], image[1] - 1 : size[1]]
    return light


def tangent_of(geometry: Geometry, image: tuple[int, int], place: tuple[float, float]) -> tuple[float, float]:
    """The direction of a place in the image."""
    scale = geometry.sample_um / geometry.distance_um
    return (place[0] - (image[0] - 1) / 2) * scale, (place[1] - (image[1] - 1) / 2) * scale


def _hat(count: int, middle: float) -> Array:
    """Weights (count,) that fall from 1 at `middle` to 0 at the next direction."""
    step = max((count - 1) / (DIRECTIONS - 1), 1e-9)
    hat: Array = np.maximum(1 - np.abs(np.arange(count) - middle) / step, 0.0)
    return hat
