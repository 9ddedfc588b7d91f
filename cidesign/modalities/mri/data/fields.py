"""Periodic random fields, and windows of them: what textures, folds, bends and phases of procedural slices are made of.

Frequencies are in cycles per field of view; a canvas holds four fields of view in each direction.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, size: int) -> Plane:
    """A field (size, size) of unit variance that changes over a field of view and more."""
    return noise_field(rng, size, lambda f: np.exp(-((f / 1.6) ** 2)))


def noise_field(
    rng: np.random.Generator, size: int, amplitude: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Plane:
    """A field (size, size) of unit variance whose spectrum is white noise times `amplitude` of the frequency."""
    white = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) * (size / 4)
    filtered = amplitude(frequency)
    filtered[0, 0] = 0
    field = np.fft.irfft2(white * filtered, s=(size, size)).astype(np.float32)
    unit: Plane = field / field.std()
    return unit


def window(rng: np.random.Generator, field: Plane, side: int, zoom: tuple[float, float] = (1.0, 1.0)) -> Plane:
    """A random window of `field`, turned and mirrored at random, a field of view times `zoom` wide."""
    width = round(side * rng.uniform(*zoom))
    top, left = rng.integers(0, field.shape[0] - width + 1, size=2)
    found = field[top : top + width, left : left + width]
    if width != side:
        found = cv2.resize(found, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    turned: Plane = np.rot90(found, int(rng.integers(0, 4)))
    return turned.T if rng.random() < 0.5 else turned
