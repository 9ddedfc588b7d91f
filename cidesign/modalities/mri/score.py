"""How close the magnitude of an MR image is to a reference: inside the object, on the reference's own scale."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter
from torchmetrics.functional.image import structural_similarity_index_measure

from cidesign.errors import FileError
from cidesign.physics.metrics import high_frequency_error_db

Plane = NDArray[np.float32]
# The object is where the smoothed reference exceeds this part of its 99th percentile; holes belong to it.
OBJECT_PART = 0.1
SMOOTHING_PX = 2.0
SSIM_MIN_SIDE = 11


class MriScore(NamedTuple):
    """PSNR in dB and SSIM over the object; HFEN in dB (error of fine detail, lower is better, 0 for none at all).

    PSNR is None for equal images, SSIM below 11 x 11 pixels.
    """

    psnr_db: float | None
    ssim: float | None
    hfen_db: float


def object_mask(reference: Plane) -> NDArray[np.bool_]:
    """The pixels (N, n) of the object in a magnitude image."""
    smooth = gaussian_filter(reference.astype(np.float64), SMOOTHING_PX)
    mask: NDArray[np.bool_] = binary_fill_holes(smooth > OBJECT_PART * np.percentile(smooth, 99))
    if not mask.any():
        raise FileError("the reference image shows no object; is the capture empty?")
    return mask


def score_mri(magnitude: Plane, reference: Plane, mask: NDArray[np.bool_]) -> MriScore:
    """Compare magnitudes (N, n) inside `mask`; both are divided by the reference's largest value there.

    Nothing is rescaled to fit.  The error of fine detail is that of the images with all outside the object set to 0.
    """
    peak = float(reference[mask].max())
    x_hat, x = (np.where(mask, image, 0).astype(np.float64) / peak for image in (magnitude, reference))
    error = float(np.mean((x_hat - x)[mask] ** 2))
    found, wanted = (torch.from_numpy(image)[None, None] for image in (x_hat, x))
    similarity = None
    if min(x.shape) >= SSIM_MIN_SIDE:
        _, local = structural_similarity_index_measure(found, wanted, data_range=1.0, return_full_image=True)
        similarity = float(local[0, 0].numpy()[mask].mean())
    return MriScore(
        psnr_db=-10 * float(np.log10(error)) if error > 0 else None,
        ssim=similarity,
        hfen_db=float(high_frequency_error_db(found, wanted)),
    )
