"""Cubes without any training: generalised alternating projection with total variation, band by band and in place."""

from typing import cast

import torch
from torch import Tensor

from cidesign import progress
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.physics import total_variation
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import CosinePrior
from cidesign.physics.total_variation import smooth_

# Of steps to 60 and strengths of 0.05 to 0.3, those that came nearest on simulated captures of procedural scenes.
MOST_ITERATIONS = 60
TV_WEIGHT = 0.15
# The steps end when they leave this part of the noise, mean square.  Unknowns are several times more than readings, so
# a cube can fit them to nothing, and steps that go on fit the noise: 28 bands lost up to 2 dB at 1 % of white, and
# gained as much at 0.3 % by going on from 0.5 to 0.1.
NOISE_LEFT = 0.1


@torch.no_grad()
def gap_tv(
    y: Tensor,
    encoder: MeasuredCassiEncoder,
    variance: Tensor,
    level: float,
    strength: float = TV_WEIGHT,
    most_iterations: int = MOST_ITERATIONS,
) -> Tensor:
    """Accelerated generalised alternating projection with 2-D total variation of each band (X. Yuan, ICIP 2016).

        r <- r + (y - A v),   x <- v + A^T (r - A v) / (E + s^2 / level),   v <- TV(x, strength)

    E are the row sums of A A^T, because a calibrated operator has neighbours that share light; s^2 is the `variance`
    (h, w) of the readings, `level` that of an image, so that dark pixels do not amplify their noise.  The noise also
    ends the steps: as soon as the mean of (y - A v)^2 / s^2 over the valid readings that light reaches is `NOISE_LEFT`
    or less.
    """
    energy = encoder.row_sums()
    scale = energy + variance / level
    seen = (encoder.valid & (energy > 0)).expand_as(y)
    v = torch.zeros(len(y), encoder.bands, *encoder.size, dtype=y.dtype)
    total = torch.zeros_like(y)
    for number in progress.steps("GAP-TV", range(most_iterations)):
        predicted = encoder.A(v)
        left = y - predicted
        if number and float((left.square() / variance)[seen].mean()) <= NOISE_LEFT:
            break
        total += left
        v += encoder.A_adjoint((total - predicted) / scale)
        smooth_(v, strength)
    return v


@torch.no_grad()
def designed_gap_tv(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """GAP-TV of cubes (B, L, H, W) from detector images (B, h, w), with the weights that reconstructions have."""
    camera = cast(SdCassiEncoder, encoder)
    variance = camera.mean_variance(CosinePrior(prior).mean_image(camera.size))
    scale = camera.row_sums() + variance / float(prior.variance.mean())
    start = torch.zeros(len(y), len(prior.mean), *camera.size, dtype=y.dtype, device=y.device)
    strengths = [TV_WEIGHT] * MOST_ITERATIONS
    return total_variation.gap_tv(
        y, camera.A, lambda left: camera.A_adjoint(left / scale), start, strengths, NOISE_LEFT * variance
    )
