"""Procedural training images: dead leaves, whose statistics are close to those of photographs.

Occluding shapes with sizes distributed as 1/r^3 give scale invariance and the 1/f spectrum of natural images
(Lee, Mumford, Huang, "Occlusion models for natural images", IJCV 2001).  Each leaf has a grey level, a gradient
and a texture; the whole canvas has a smooth illumination.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

CANVAS_SIDE = 384
LEAVES = 700
SMALLEST_RADIUS_PX = 5.0
LARGEST_RADIUS_PX = 200.0
CROPS_PER_CANVAS = 128
# The optics of a bench are seldom as sharp as its super-pixels: half of the images are out of focus.
BLURRED_PART = 0.5
BLUR_SIGMA_PX = (0.3, 1.2)
TEXTURES = 4


def dead_leaves(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """`count` grey images (count, side, side), 0..255, the same ones for the same seed.

    Crops of 1x to 4x the side are taken from the canvases and averaged down; half of them are blurred, as by a lens.
    """
    images = np.empty((count, side, side), dtype=np.uint8)
    filled = 0
    canvas_number = 0
    while filled < count:
        rng = np.random.default_rng([seed, side, canvas_number])
        canvas = _canvas(rng, max(CANVAS_SIDE, 2 * side))
        for _ in range(min(CROPS_PER_CANVAS, count - filled)):
            width = int(side * 4.0 ** rng.random())
            width = min(width, canvas.shape[0])
            top, left = rng.integers(0, canvas.shape[0] - width + 1, size=2)
            crop = canvas[top : top + width, left : left + width]
            sigma_px = rng.uniform(*BLUR_SIGMA_PX) * width / side
            seen = cv2.GaussianBlur(crop, (0, 0), sigmaX=sigma_px) if rng.random() < BLURRED_PART else crop
            images[filled] = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)
            filled += 1
        canvas_number += 1
    # Crops of one canvas are alike; mixed, any part of the array is a fair sample.
    return images[np.random.default_rng([seed, side, 2**31]).permutation(count)]


def _canvas(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """One canvas (size, size): which leaf is on top at each pixel, then every leaf's shade at once."""
    labels = leaf_labels(rng, size)
    count = LEAVES + 1
    across = np.arange(size, dtype=np.float32) / size - 0.5
    x = across.reshape(1, -1)
    y = across.reshape(-1, 1)
    level = rng.beta(1.6, 1.6, count).astype(np.float32)
    gradient = rng.normal(0, 0.25, (2, count)).astype(np.float32)
    strength = (0.05 * rng.exponential(1.0, count) * (rng.random(count) < 0.5)).astype(np.float32)
    kind = rng.integers(0, TEXTURES, count)
    textures = np.stack([texture(rng, size, 2.0**octave) for octave in range(TEXTURES)])
    rows = np.arange(size).reshape(-1, 1)
    columns = rows.reshape(1, -1)
    shade = level[labels] + gradient[0][labels] * x + gradient[1][labels] * y
    shade += strength[labels] * textures[kind[labels], rows, columns]
    illumination = 1 + rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * y
    exposure = rng.uniform(0.6, 1.1)
    result: NDArray[np.uint8] = np.clip(255 * exposure * shade * illumination, 0, 255).astype(np.uint8)
    return result


def leaf_labels(rng: np.random.Generator, size: int) -> NDArray[np.int32]:
    """The number of the visible leaf at each pixel; leaves fall one on another, 1/r^3 in size."""
    # Inverse transform of p(r) ~ r^-3 between the smallest and the largest radius.
    low, high = SMALLEST_RADIUS_PX**-2, LARGEST_RADIUS_PX**-2
    radius = (low + rng.random(LEAVES) * (high - low)) ** -0.5
    # Large leaves first, or they would hide all others at this number of leaves; half the order is left random.
    order = np.argsort(-radius * np.exp(rng.normal(0, 0.7, LEAVES)))
    centre = rng.uniform(-0.1, 1.1, (LEAVES, 2)) * size
    corners = rng.integers(3, 9, LEAVES)
    labels = np.zeros((size, size), dtype=np.int32)
    for number, leaf in enumerate(order, start=1):
        if corners[leaf] > 6:
            axes = radius[leaf] * rng.uniform(0.4, 1.0, 2)
            box = (
                (float(centre[leaf, 0]), float(centre[leaf, 1])),
                (2 * float(axes[0]), 2 * float(axes[1])),
                float(rng.uniform(0, 180)),
            )
            cv2.ellipse(labels, box, number, thickness=-1)
        else:
            angle = np.sort(rng.uniform(0, 2 * np.pi, corners[leaf]))
            reach = radius[leaf] * rng.uniform(0.6, 1.0, corners[leaf])
            points = centre[leaf] + np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
            cv2.fillPoly(labels, [np.round(points).astype(np.int32)], number)
    return labels


def texture(rng: np.random.Generator, size: int, sigma_px: float) -> NDArray[np.float32]:
    """Noise of unit variance with a grain of about `sigma_px`, stretched along one direction."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma_px, sigmaY=sigma_px * rng.uniform(1, 4))
    grain = blurred if rng.random() < 0.5 else blurred.T
    result: NDArray[np.float32] = (grain / grain.std()).astype(np.float32)
    return result
