"""Image quality: the same definition everywhere (data range 1, per image, averaged over images)."""

import torch
from torch import Tensor


def psnr_db(x_hat: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, 10 log10(1 / MSE) in dB; both (B, C, H, W) in [0, 1]; returns (B,)."""
    error = (x_hat - x).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error.clamp_min(1e-12))


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004, Gaussian window), data range 1; returns (B,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(x_hat, x, data_range=1.0, reduction="none")
    if not isinstance(values, Tensor):
        raise TypeError("torchmetrics returned more than the similarity")
    return values
