"""Procedural spectral images: dead leaves whose leaves are materials with smooth, physical reflectances.

Reflectances of solids in the visible and near infrared are smooth: electronic absorption edges (yellow, orange and
red pigments), broad bands (green, blue), the red edge of chlorophyll at 715 nm, and near-flat greys; a few smooth
bases explain almost all of measured sets (Parkkinen, Hallikainen, Jaaskelainen, JOSA A 6(2), 1989).  Every leaf mixes
two materials; its gradient and texture change the mixture and the shading, so that bands differ as materials do.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.procedural import (
    BLUR_SIGMA_PX,
    BLURRED_PART,
    CANVAS_SIDE,
    LEAVES,
    TEXTURES,
    leaf_labels,
    texture,
)
from cidesign.errors import InputError

# Colours differ more than grey levels: fewer crops of one canvas than in grey images.
CROPS_PER_CANVAS = 48
# Widths of absorption edges and bands: narrower ones are lines of gases or rare earths, not of scenes.
EDGE_WIDTH_NM = (6.0, 45.0)
BAND_WIDTH_NM = (18.0, 90.0)
CHLOROPHYLL_EDGE_NM = 715.0
# How often a leaf is an edge, a band, a leaf of a plant, a wave of several broad bands; the rest are greys.
EDGE_PART, BAND_PART, PLANT_PART, WAVE_PART = 0.25, 0.2, 0.1, 0.15


def spectral_dead_leaves(count: int, side: int, wavelengths_nm: Sequence[float], seed: int) -> NDArray[np.uint8]:
    """`count` reflectance cubes (count, L, side, side), 255 = reflectance 1, the same ones for the same seed.

    `wavelengths_nm` are the L band centres.  Crops of 1x to 4x the side are averaged down; half of them are blurred,
    all bands alike, as by a lens.  Raises `InputError` for wavelengths that are not positive numbers.
    """
    bands_nm = np.asarray(wavelengths_nm, dtype=np.float64)
    if bands_nm.ndim != 1 or not bands_nm.size or not (np.isfinite(bands_nm) & (bands_nm > 0)).all():
        raise InputError(f"band centres {list(wavelengths_nm)} nm: positive numbers are needed, one per band")
    cubes = np.empty((count, bands_nm.size, side, side), dtype=np.uint8)
    filled = 0
    canvas_number = 0
    while filled < count:
        rng = np.random.default_rng([seed, side, canvas_number])
        canvas = _canvas(rng, max(CANVAS_SIDE, 2 * side), bands_nm)
        for _ in range(min(CROPS_PER_CANVAS, count - filled)):
            width = min(int(side * 4.0 ** rng.random()), canvas.shape[1])
            top, left = rng.integers(0, canvas.shape[1] - width + 1, size=2)
            sigma_px = rng.uniform(*BLUR_SIGMA_PX) * width / side
            blurred = rng.random() < BLURRED_PART
            turns = int(rng.integers(0, 4))
            for band, plane in enumerate(canvas):
                crop = plane[top : top + width, left : left + width]
                seen = cv2.GaussianBlur(crop, (0, 0), sigmaX=sigma_px) if blurred else crop
                small = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)
                cubes[filled, band] = np.rot90(small, turns)
            filled += 1
        canvas_number += 1
    # Crops of one canvas are alike; mixed, any part of the array is a fair sample.
    return cubes[np.random.default_rng([seed, side, 2**31]).permutation(count)]


def reflectances(count: int, wavelengths_nm: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Random smooth reflectances (count, L) in [0, 1] at `wavelengths_nm`, with edges and bands in their range."""
    low, high = float(wavelengths_nm.min()), float(wavelengths_nm.max())
    l_nm = wavelengths_nm[None, :]
    dark = rng.beta(1.2, 8, (count, 1))
    bright = dark + (1 - dark) * rng.beta(2.2, 1.8, (count, 1))
    centre_nm = rng.uniform(low - 60, high + 60, (count, 1))
    edge_nm = _log_uniform(rng, EDGE_WIDTH_NM, (count, 1))
    # Pigments absorb the short waves and reflect the long ones (yellow, orange, red, brown); a few do the opposite.
    rising = np.where(rng.random((count, 1)) < 0.8, 1.0, -1.0)
    edge = 1 / (1 + np.exp(np.clip(-rising * (l_nm - centre_nm) / edge_nm, -60, 60)))
    # Infrared bands are as much wider as their range is.
    widest_nm = max(BAND_WIDTH_NM[1], (high - low) / 4)
    band_nm = _log_uniform(rng, (BAND_WIDTH_NM[0], widest_nm), (count, 1))
    band = np.exp(-0.5 * ((l_nm - centre_nm) / band_nm) ** 2)
    band = np.where(rng.random((count, 1)) < 0.75, band, 1 - band)
    grey = np.clip(0.5 + rng.normal(0, 0.12, (count, 1)) * (l_nm - (low + high) / 2) / max(high - low, 100.0), 0, 1)
    plant = _chlorophyll(l_nm, rng, count)
    wave = _waves(l_nm, rng, count)
    parts = np.cumsum([EDGE_PART, BAND_PART, PLANT_PART, WAVE_PART])
    kind = np.searchsorted(parts, rng.random(count))
    shape = np.choose(kind[:, None], [edge, band, plant, wave, grey])
    # Few things are as colourful as a pure pigment; all others are mixtures with something grey.
    saturation = rng.beta(1.2, 1.6, (count, 1))
    shape = saturation * shape + (1 - saturation) * shape.mean(axis=1, keepdims=True)
    curves: NDArray[np.float32] = (dark + (bright - dark) * shape).astype(np.float32)
    return curves


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], shape: tuple[int, ...]) -> NDArray[np.float64]:
    low, high = np.log(limits)
    return np.exp(rng.uniform(low, high, shape))


def _chlorophyll(l_nm: NDArray[np.float64], rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """A plant's leaf: a green bump, absorption at 670 nm, the red edge, and water bands in the infrared."""
    green = rng.uniform(0.08, 0.4, (count, 1)) * np.exp(-0.5 * ((l_nm - 553) / 28) ** 2)
    yellowing = rng.uniform(0, 0.25, (count, 1)) / (1 + np.exp(np.clip(-(l_nm - 530) / 15, -60, 60)))
    absorbed = 1 - 0.8 * np.exp(-0.5 * ((l_nm - 672) / 14) ** 2)
    edge_nm = CHLOROPHYLL_EDGE_NM + rng.normal(0, 5, (count, 1))
    red_edge = 1 / (1 + np.exp(np.clip(-(l_nm - edge_nm) / 12, -60, 60)))
    water = 1 - 0.6 * np.exp(-0.5 * ((l_nm - 1450) / 50) ** 2) - 0.7 * np.exp(-0.5 * ((l_nm - 1940) / 60) ** 2)
    visible = 0.04 + (green + yellowing) * absorbed
    leaf: NDArray[np.float64] = np.clip(np.maximum(visible * (1 - red_edge), red_edge) * water, 0, 1)
    return leaf


def _waves(l_nm: NDArray[np.float64], rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Dyes and minerals with several broad bands: a squashed sum of slow waves, the shortest 120 nm long."""
    total = np.zeros((count, l_nm.shape[1]))
    for _ in range(3):
        period_nm = _log_uniform(rng, (120.0, 600.0), (count, 1))
        total += rng.normal(0, 1, (count, 1)) * np.sin(2 * np.pi * (l_nm / period_nm + rng.random((count, 1))))
    return 1 / (1 + np.exp(-1.5 * total))


def _canvas(rng: np.random.Generator, size: int, bands_nm: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One canvas (L, size, size): the visible leaf at each pixel, its two materials, mixture and shade."""
    labels = leaf_labels(rng, size)
    count = LEAVES + 1
    across = np.arange(size, dtype=np.float32) / size - 0.5
    x = across.reshape(1, -1)
    y = across.reshape(-1, 1)
    first = reflectances(count, bands_nm, rng)
    # The second material is a tint of the first in most leaves, something else in the others.
    other = reflectances(count, bands_nm, rng)
    second = np.where(rng.random((count, 1)) < 0.7, 0.6 * first + 0.4 * other, other).astype(np.float32)
    grains = np.stack([texture(rng, size, 2.0**octave) for octave in range(TEXTURES)])
    rows = np.arange(size).reshape(-1, 1)
    columns = rows.reshape(1, -1)

    def varying(level: NDArray[np.float64], tilt: float, grain: float) -> NDArray[np.float32]:
        gradient = rng.normal(0, tilt, (2, count)).astype(np.float32)
        strength = (grain * rng.exponential(1.0, count) * (rng.random(count) < 0.75)).astype(np.float32)
        kind = rng.integers(0, TEXTURES, count)
        plane = level.astype(np.float32)[labels] + gradient[0][labels] * x + gradient[1][labels] * y
        varied: NDArray[np.float32] = plane + strength[labels] * grains[kind[labels], rows, columns]
        return varied

    mixture = np.clip(varying(rng.beta(0.8, 0.8, count), 0.4, 0.2), 0, 1)
    shade = np.maximum(varying(rng.uniform(0.6, 1.0, count), 0.35, 0.1), 0)
    shade *= rng.uniform(0.8, 1.3) * (1 + rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * y)
    canvas = np.empty((bands_nm.size, size, size), dtype=np.uint8)
    for band, plane in enumerate(canvas):
        here = first[:, band][labels]
        here += mixture * (second[:, band] - first[:, band])[labels]
        plane[:] = np.clip(255 * shade * here, 0, 255)
    return canvas
