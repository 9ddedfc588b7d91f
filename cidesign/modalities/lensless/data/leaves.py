"""Dead leaves in colour: the shapes of `cidesign.data.procedural`, each with a colour of its own."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.procedural import (
    BLUR_SIGMA_PX,
    BLURRED_PART,
    CANVAS_SIDE,
    CROPS_PER_CANVAS,
    LEAVES,
    TEXTURES,
    leaf_labels,
    texture,
)

# Of the two opponent colours, in logarithms.  Red less blue then varies 0.85 times as much as grey; in crops of twelve
# photographs of the Kodak set it is 0.91 times.
CHROMA = 0.17


def colour_leaves(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """`count` images (count, 3, side, side), 0..255, red first, the same ones for the same seed.

    Crops of 1x to 4x the side are taken from the canvases and averaged down; half of them are blurred, as by a lens.
    """
    images = np.empty((count, 3, side, side), dtype=np.uint8)
    filled = canvas_number = 0
    while filled < count:
        rng = np.random.default_rng([seed, side, canvas_number, 3])
        canvas = _canvas(rng, max(CANVAS_SIDE, 2 * side))
        for _ in range(min(CROPS_PER_CANVAS, count - filled)):
            width = min(int(side * 4.0 ** rng.random()), canvas.shape[0])
            top, left = rng.integers(0, canvas.shape[0] - width + 1, size=2)
            crop = canvas[top : top + width, left : left + width]
            sigma_px = rng.uniform(*BLUR_SIGMA_PX) * width / side
            seen = cv2.GaussianBlur(crop, (0, 0), sigmaX=sigma_px) if rng.random() < BLURRED_PART else crop
            images[filled] = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
            filled += 1
        canvas_number += 1
    # Crops of one canvas are alike; mixed, any part of the array is a fair sample.
    return images[np.random.default_rng([seed, side, 2**31]).permutation(count)]


def _canvas(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """One canvas (size, size, 3): which leaf is on top at each pixel, then every leaf's shade and colour at once."""
    labels = leaf_labels(rng, size)
    leaves = LEAVES + 1
    across = np.arange(size, dtype=np.float32) / size - 0.5
    x, y = across.reshape(1, -1), across.reshape(-1, 1)
    level = rng.beta(1.6, 1.6, leaves).astype(np.float32)
    gradient = rng.normal(0, 0.25, (2, leaves)).astype(np.float32)
    strength = (0.05 * rng.exponential(1.0, leaves) * (rng.random(leaves) < 0.5)).astype(np.float32)
    kind = rng.integers(0, TEXTURES, leaves)
    textures = np.stack([texture(rng, size, 2.0**octave) for octave in range(TEXTURES)])
    rows = np.arange(size).reshape(-1, 1)
    shade = level[labels] + gradient[0][labels] * x + gradient[1][labels] * y
    shade += strength[labels] * textures[kind[labels], rows, rows.reshape(1, -1)]
    # Yellow to blue, and red to green, around grey.
    tints = CHROMA * rng.normal(0, 1, (leaves, 2)).astype(np.float32)
    factors = np.exp(tints @ np.array([[0.5, 0.5, -1.0], [0.7, -0.7, 0.0]], dtype=np.float32))
    colour = shade[..., None] * factors[labels]
    illumination = 1 + rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * y
    exposure = rng.uniform(0.6, 1.1)
    result: NDArray[np.uint8] = np.clip(255 * exposure * colour * illumination[..., None], 0, 255).astype(np.uint8)
    return result
