"""Image quality: the same definition everywhere (data range 1, per image, averaged over images)."""

import torch
from torch import Tensor
from torch.nn import functional

# Pixels whose true spectrum has a root mean square over the bands below this are too dark to have an angle.
DARK_LEVEL = 0.01
LOG_SIGMA_PX = 1.5
LOG_WINDOW_PX = 15


def psnr_db(x_hat: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, 10 log10(1 / MSE) in dB; both (B, C, H, W) in [0, 1]; returns (B,).

    The mean is over all channels and pixels.  Complex images are compared by `magnitude`.
    """
    error = (x_hat - x).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error.clamp_min(1e-12))


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004, Gaussian window), data range 1; returns (B,).

    Both (B, C, H, W), H and W at least 6; the mean over the channels.  Complex images are compared by `magnitude`.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(x_hat, x, data_range=1.0, reduction="none")
    if not isinstance(values, Tensor):
        raise TypeError("torchmetrics returned more than the similarity")
    return values


def magnitude(x: Tensor) -> Tensor:
    """|x| (B, 1, H, W) of complex images given as real and imaginary part, (B, 2, H, W)."""
    if x.shape[1] != 2:
        raise ValueError(f"a complex image has 2 channels, not {x.shape[1]}")
    absolute: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return absolute


def sam_degrees(x_hat: Tensor, x: Tensor) -> Tensor:
    """Spectral angle of each cube in degrees, (B,) in [0, 180]; both (B, L, H, W).

    The mean over pixels of arccos(<s_hat, s> / (|s_hat| |s|)), s the spectrum of a pixel (Kruse et al. 1993).  Pixels
    with |s| / sqrt(L) <= `DARK_LEVEL` in the true cube are left out; a spectrum that was reconstructed as zero
    counts as 90 degrees; a cube that is dark everywhere gives nan.
    """
    estimate, truth = x_hat.double(), x.double()
    norm = torch.linalg.vector_norm(truth, dim=1)
    lit = norm > DARK_LEVEL * x.shape[1] ** 0.5
    unit = truth / norm.clamp_min(1e-300)[:, None]
    norm_hat = torch.linalg.vector_norm(estimate, dim=1)
    unit_hat = estimate / norm_hat.clamp_min(1e-300)[:, None]
    # Kahan's form of the angle keeps its digits where the arccos of a cosine near 1 loses them.
    apart = torch.linalg.vector_norm(unit_hat - unit, dim=1)
    along = torch.linalg.vector_norm(unit_hat + unit, dim=1)
    angle = torch.rad2deg(2 * torch.atan2(apart, along))
    # A zero estimate is equally far from both ends, which is 90 degrees already.
    mean: Tensor = torch.where(lit, angle, 0.0).sum(dim=(1, 2)) / lit.sum(dim=(1, 2))
    return mean


def high_frequency_error_db(x_hat: Tensor, x: Tensor) -> Tensor:
    """Error of the fine detail of each image, 20 log10(|F(x_hat - x)| / |F x|) in dB; lower is better; returns (B,).

    F is the Laplacian of a Gaussian (1.5 pixels, window 15 x 15, borders repeated) on every channel of (B, C, H, W).
    0 dB is what a flat image gets, so an image without fine detail, however high its PSNR, stays near 0.  Source:
    the high-frequency error norm of Ravishankar and Bresler, IEEE Trans. Med. Imaging 30, 1028 (2011).  A mean
    square of the filtered truth below 1e-12 counts as 1e-12, and so does the error's.
    """
    error, detail = _fine_detail(x_hat - x), _fine_detail(x)
    power = error.square().flatten(1).mean(dim=1).clamp_min(1e-12)
    return 10 * torch.log10(power / detail.square().flatten(1).mean(dim=1).clamp_min(1e-12))


def _fine_detail(x: Tensor) -> Tensor:
    """The response of the Laplacian of a Gaussian at each pixel, (B, C, H, W)."""
    position = torch.arange(LOG_WINDOW_PX, dtype=x.dtype, device=x.device) - LOG_WINDOW_PX // 2
    gauss = torch.exp(-position.square() / (2 * LOG_SIGMA_PX**2))
    gauss = gauss / gauss.sum()
    curved = gauss * (position.square() - LOG_SIGMA_PX**2) / LOG_SIGMA_PX**4
    # Cut off at the window, the second derivative would see a constant; its share goes back by the Gaussian's shape.
    curved = curved - gauss * curved.sum()
    kernel = torch.outer(curved, gauss) + torch.outer(gauss, curved)
    margin = LOG_WINDOW_PX // 2
    planes = functional.pad(x.flatten(0, 1)[:, None], (margin,) * 4, mode="replicate")
    return functional.conv2d(planes, kernel[None, None])[:, 0].reshape(x.shape)
