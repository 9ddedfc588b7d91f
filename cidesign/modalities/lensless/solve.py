"""From readings of a lensless camera to images: the student's decoder, and baselines."""

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.modalities.lensless.classical import admm_tv, wiener
from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
from cidesign.models.system import ImagingSystem

METHODS = {"student": "student decoder", "linear": "best linear", "wiener": "Wiener", "admm_tv": "ADMM-TV"}


@torch.no_grad()
def images_of(
    system: ImagingSystem, y: NDArray[np.float64], encoder: MeasuredEncoder
) -> dict[str, NDArray[np.float32]]:
    """Images (C, H, W) by method from readings (C, h, w) in the encoder's unit; that of the decoder is the first."""
    prior = system.decoder.prior
    readings = torch.from_numpy(y.astype(np.float32))[None]
    found = {system.decoder.column: system.decoder.image(readings, encoder)}
    if "linear" not in found:
        found["linear"] = system.decoder.linear_estimate(readings, encoder)
    found |= {"wiener": wiener(readings, encoder, prior), "admm_tv": admm_tv(readings, encoder, prior)}
    return {name: one[0].numpy().astype(np.float32) for name, one in found.items()}


@torch.no_grad()
def student_image(system: ImagingSystem, y: NDArray[np.float64], encoder: MeasuredEncoder) -> NDArray[np.float32]:
    """The decoder's image alone."""
    found: NDArray[np.float32] = system.decoder.image(torch.from_numpy(y.astype(np.float32))[None], encoder)[0].numpy()
    return found
