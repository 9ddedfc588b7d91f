"""Spectral cubes without training, by the operator as designed."""

from typing import cast

import torch
from torch import Tensor

from cidesign.modalities.cassi.encoder import SdCassiEncoder
from cidesign.modalities.cassi.gap_tv import MOST_ITERATIONS, NOISE_LEFT, TV_WEIGHT
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import CosinePrior
from cidesign.physics.total_variation import gap_tv


@torch.no_grad()
def designed_gap_tv(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """GAP-TV of cubes (B, L, H, W) from detector images (B, h, w), with the weights that reconstructions have."""
    camera = cast(SdCassiEncoder, encoder)
    variance = camera.mean_variance(CosinePrior(prior).mean_image(camera.size))
    scale = camera.row_sums() + variance / float(prior.variance.mean())
    start = torch.zeros(len(y), len(prior.mean), *camera.size, dtype=y.dtype, device=y.device)
    strengths = [TV_WEIGHT] * MOST_ITERATIONS
    return gap_tv(y, camera.A, lambda left: camera.A_adjoint(left / scale), start, strengths, NOISE_LEFT * variance)
