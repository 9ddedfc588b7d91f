"""How close an image is to a known one: data range 1, nothing rescaled, shifted or clipped first."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Below this side the 11 x 11 window of SSIM does not fit.
SSIM_MIN_SIDE = 11


class Score(NamedTuple):
    """PSNR in dB (None for equal images), SSIM (None below 11 x 11), Pearson correlation (None for flat images)."""

    psnr_db: float | None
    ssim: float | None
    correlation: float | None


def score(image: NDArray[np.floating], truth: NDArray[np.floating]) -> Score:
    """Compare an image with the truth, both (n, n).

    PSNR = 10 log10(1 / mean((image - truth)^2)); SSIM of Wang et al. (2004), Gaussian window of 1.5 px,
    mirrored at the rim.
    """
    error = float(np.mean((image.astype(np.float64) - truth.astype(np.float64)) ** 2))
    return Score(
        psnr_db=-10 * float(np.log10(error)) if error > 0 else None,
        ssim=_ssim(image, truth) if min(image.shape) >= SSIM_MIN_SIDE else None,
        correlation=_correlation(image, truth),
    )


def _correlation(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float | None:
    first, second = (array.astype(np.float64).reshape(-1) - array.mean() for array in (image, truth))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else None


def _ssim(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in (image, truth))
    value = structural_similarity_index_measure(first[None, None], second[None, None], data_range=1.0)
    return float(value)  # type: ignore[arg-type]  # a tuple only with return_full_image
