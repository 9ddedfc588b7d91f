"""The shadow that a mask throws on a bare sensor: geometry, propagation, and what a sensor sample collects.

A point of the scene in the direction of image pixel (i, j) throws the point-spread function (PSF) of the mask,
shifted by

    (i - (H - 1) / 2, j - (W - 1) / 2) samples,      tan(theta) = shift * sample / distance,

so that an image pixel is one sensor sample in angle.  Row 0 is the top and column 0 the left of the *image*; the
sensor's
rows and columns run as the image's do (a camera's read-out turns what hangs upside down).  PSFs are counted over
(h + H - 1, w + W - 1) samples, all that any direction can throw on a sensor of (h, w): the valid part of their
convolution with an image (H, W) is what the sensor reads.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq, ifft2, next_fast_len

from cidesign.errors import LimitError

Array = NDArray[np.float64]
Model = Literal["shadow", "waves"]
# Above this Fresnel number of the smallest feature, PSFs of rays and of waves differ by less than a tenth on samples of
# 6 um, and by 4 % on those of 12 um (random masks, root mean square over that of the PSF); at 1 it is half of the PSF.
RAY_FRESNEL_NUMBER = 500.0
# Points of the mask's plane along a sensor sample, and along a code pixel, at least.
LEAST_POINTS = 2
# Of the padded plane that is propagated; more does not fit into the memory of a small computer.
MOST_POINTS = 12_000


@dataclass(frozen=True)
class Geometry:
    """Where mask, sensor and scene stand.

    `code` (rows, columns): code pixels of `code_pitch_um`; `distance_um` from the mask to the sensor; `sample_um`:
    the side of
    a sensor sample; `sensor` (h, w) samples; `image` (H, W) pixels; `scene_distance_um` from the scene to the mask,
    None at
    infinity.
    """

    code: tuple[int, int]
    code_pitch_um: float
    distance_um: float
    sample_um: float
    sensor: tuple[int, int]
    image: tuple[int, int]
    scene_distance_um: float | None = None

    @property
    def psf_size(self) -> tuple[int, int]:
        """Samples (h + H - 1, w + W - 1) of a PSF."""
        return self.sensor[0] + self.image[0] - 1, self.sensor[1] + self.image[1] - 1

    @property
    def magnification(self) -> float:
        """Size of the shadow over that of the mask: 1 + d / z."""
        return 1.0 if self.scene_distance_um is None else 1 + self.distance_um / self.scene_distance_um

    @property
    def shadow(self) -> tuple[float, float]:
        """Rows and columns of the mask's shadow, in samples."""
        scale = self.code_pitch_um * self.magnification / self.sample_um
        return self.code[0] * scale, self.code[1] * scale

    @property
    def field_deg(self) -> tuple[float, float]:
        """The whole field of view, down and across."""
        down, across = (
            2 * math.degrees(math.atan(0.5 * pixels * self.sample_um / self.distance_um)) for pixels in self.image
        )
        return down, across

    def tangents(self) -> tuple[Array, Array]:
        """tan(theta) of the image's rows (H,) and columns (W,)."""
        step = self.sample_um / self.distance_um
        rows, columns = (step * (np.arange(pixels, dtype=np.float64) - (pixels - 1) / 2) for pixels in self.image)
        return rows, columns


@dataclass(frozen=True)
class Lines:
    """The light of a colour channel: wavelengths (n,) with relative weights (n,), which sum to 1."""

    wavelengths_um: Array
    weights: Array


def fresnel_number(feature_um: float, wavelength_um: float, distance_um: float) -> float:
    """a^2 / (lambda d): far above 1 a feature throws a sharp shadow, far below 1 its light spreads over others."""
    return feature_um**2 / (wavelength_um * distance_um)


def model_for(feature_um: float, wavelength_um: float, distance_um: float) -> Model:
    """Rays where diffraction changes nothing that a sensor sample sees, else waves."""
    return "shadow" if fresnel_number(feature_um, wavelength_um, distance_um) >= RAY_FRESNEL_NUMBER else "waves"


def overlap(points: int, point_um: float, samples: int, sample_um: float, shift_um: float = 0.0) -> Array:
    """The part of each sample (samples,) that each point (points,) of a line covers, (samples, points).

    Both lines are centred, the points moved by `shift_um`; multiplied from both sides it averages over sample areas.
    """
    low = (np.arange(samples) - samples / 2)[:, None] * sample_um
    start = (np.arange(points) - points / 2)[None] * point_um + shift_um
    shared = np.minimum(low + sample_um, start + point_um) - np.maximum(low, start)
    parts: Array = np.maximum(shared, 0.0) / sample_um
    return parts


def points_per_pixel(geometry: Geometry) -> int:
    """How many points a code pixel is sampled with along its side."""
    return max(LEAST_POINTS, math.ceil(LEAST_POINTS * geometry.code_pitch_um / geometry.sample_um))


def irradiance(levels: Array, step_um: float, lines: Lines, distance_um: float) -> Array:
    """The mean of |h_d * t|^2 over `lines`, on the points of `levels` (n, m), padded by as much as light spreads; 1
    behind an open plane.

    The transfer function of free space, exp(2 pi i d sqrt(1 / lambda^2 - f^2)), is cut off where the padded plane would
    no longer sample it (Matsushima and Shimobaba, Opt. Express 17, 19662 (2009)).  `levels` are transmissions of the
    amplitude.  Raises `LimitError` for a plane of more points than fit into memory.
    """
    longest_um = float(lines.wavelengths_um.max())
    spread = math.ceil(distance_um * min(longest_um / (2 * step_um), 0.7) / step_um)
    shape = tuple(next_fast_len(size + 2 * spread) for size in levels.shape)
    if max(shape) > MOST_POINTS:
        raise LimitError(
            f"mask: {max(shape)} points of {step_um:g} um along a side are to be propagated, at most {MOST_POINTS} "
            "are; take a smaller mask, or larger code pixels"
        )
    before = [(whole - size) // 2 for whole, size in zip(shape, levels.shape, strict=True)]
    field = np.zeros(shape)
    field[before[0] : before[0] + levels.shape[0], before[1] : before[1] + levels.shape[1]] = levels
    spectrum, total = fft2(field), np.zeros(shape)
    for wavelength_um, weight in zip(lines.wavelengths_um, lines.weights, strict=True):
        transfer = _free_space(shape, step_um, float(wavelength_um), distance_um)
        total += weight * np.abs(ifft2(spectrum * transfer)) ** 2
    # Whole padding on both sides, so that what is centred stays so.
    extra = [whole - size - 2 * first for whole, size, first in zip(shape, levels.shape, before, strict=True)]
    return total[: shape[0] - extra[0], : shape[1] - extra[1]]


def _free_space(
    shape: tuple[int, ...], step_um: float, wavelength_um: float, distance_um: float
) -> NDArray[np.complex128]:
    squared, sampled = np.zeros(shape), np.ones(shape, dtype=bool)
    for axis, size in enumerate(shape):
        f = fftfreq(size, step_um).reshape((-1, 1) if axis == 0 else (1, -1))
        squared = squared + f**2
        sampled &= np.abs(f) <= 1 / (wavelength_um * math.hypot(2 * distance_um / (size * step_um), 1))
    inner = 1 / wavelength_um**2 - squared
    phase = 2 * np.pi * distance_um * np.sqrt(np.maximum(inner, 0.0))
    return np.where(sampled & (inner > 0), np.exp(1j * phase), 0)


def shadow(
    levels: NDArray[np.generic], geometry: Geometry, lines: Lines, model: Model, shift_um: tuple[float, float] = (0, 0)
) -> Array:
    """The PSF (h + H - 1, w + W - 1) of a mask (rows, columns) for the light of `lines`: the irradiance in a sample
    over
    that without a mask.

    A near scene makes a shadow larger by M = 1 + d / z and as sharp as at the distance d / M (Goodman, Introduction
    to Fourier Optics, problem 4.18).  `shift_um` moves the shadow down and to the right.
    """
    points = points_per_pixel(geometry)
    light = fine_light(levels, geometry, lines, model, points)
    return _collected(light, geometry.code_pitch_um * geometry.magnification / points, geometry, shift_um)


def fine_light(levels: NDArray[np.generic], geometry: Geometry, lines: Lines, model: Model, points: int) -> Array:
    """The irradiance over that without a mask, in the shadow, on centred points; a code pixel has `points` x `points`.

    Waves are padded by as much as light spreads.
    """
    fine = np.repeat(np.repeat(levels.astype(np.float64), points, axis=0), points, axis=1)
    if model == "shadow":
        return fine**2
    return irradiance(fine, geometry.code_pitch_um / points, lines, geometry.distance_um / geometry.magnification)


def _collected(light: Array, step_um: float, geometry: Geometry, shift_um: tuple[float, float]) -> Array:
    """The mean of `light` over each sample of a PSF."""
    down, across = (
        overlap(points, step_um, samples, geometry.sample_um, shift)
        for points, samples, shift in zip(light.shape, geometry.psf_size, shift_um, strict=True)
    )
    collected: Array = down @ light @ across.T
    return collected
