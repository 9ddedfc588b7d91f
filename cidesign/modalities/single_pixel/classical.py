"""Images of a single-pixel camera without training, by total variation."""

from typing import cast

import torch
from torch import Tensor

from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.total_variation import gap_tv

# Of 0.02 to 0.3, as they are or falling, and 10 to 100 steps: the nearest, within 0.1 dB, to procedural images and to
# photographs from a tenth of the readings; 20 steps are 0.02 dB from 100.  With noise, of 0.5 to 8 deviations of it.
STRENGTH, NOISES, STEPS = 0.08, 3.0, 20
# Readings without noise would make the inverse of equal patterns infinite.
LEAST_VARIANCE = 1e-6


@torch.no_grad()
def total_variation(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """GAP-TV with P = A^T (A A^T + w I)^-1 of images (B, 1, n, n) from y (B, K), begun with the mean of the training.

    w is the noise of a measurement over the mean variance of a pixel.
    """
    camera = cast(SinglePixelEncoder, encoder)
    matrix, level = camera.matrix().double(), float(prior.mean[0])
    variance = LEAST_VARIANCE if camera.noise is None else camera.noise.typical_variance(level, camera.side)
    weight = variance / float(prior.variance.mean())
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    back = torch.linalg.solve(matrix @ matrix.T + weight * identity, matrix).to(y)

    def project(left: Tensor) -> Tensor:
        images: Tensor = left @ back
        return images.reshape(-1, 1, camera.side, camera.side)

    start = torch.full((len(y), 1, camera.side, camera.side), level, dtype=y.dtype, device=y.device)
    return gap_tv(y, camera.A, project, start, strengths(variance**0.5), variance)


def strengths(noise: float) -> list[float]:
    """The strength of every step, for measurements y = phi x / n with a noise of this deviation."""
    return [max(STRENGTH, NOISES * noise)] * STEPS
