"""How close an image is to a known one: data range 1, nothing rescaled, shifted or clipped first."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.physics.metrics import psnr_db, ssim

# Below this side the 11 x 11 window of SSIM does not fit.
SSIM_MIN_SIDE = 11


class Score(NamedTuple):
    """PSNR in dB (None for equal images), SSIM (None below 11 x 11), Pearson correlation (None for flat images)."""

    psnr_db: float | None
    ssim: float | None
    correlation: float | None


def score(image: NDArray[np.floating], truth: NDArray[np.floating]) -> Score:
    """Compare an image with the truth, both (n, n), by the metrics of `cidesign.physics.metrics`."""
    x_hat, x = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))[None, None] for array in (image, truth))
    return Score(
        psnr_db=float(psnr_db(x_hat, x)) if not torch.equal(x_hat, x) else None,
        ssim=float(ssim(x_hat, x)) if min(image.shape) >= SSIM_MIN_SIDE else None,
        correlation=_correlation(image, truth),
    )


def _correlation(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float | None:
    first, second = (array.astype(np.float64).reshape(-1) - array.mean() for array in (image, truth))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else None
