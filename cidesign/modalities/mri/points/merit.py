"""What can be said of the points of a scan alone."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.constraints.points import elliptical_radius
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.physics.encoder_metrics import point_spread, spread_of_points
from cidesign.physics.merit import Merit

# From the centre of k-space to the ellipse.
DENSITY_RINGS = 4


@torch.no_grad()
def point_merits(encoder: CartesianEncoder) -> dict[str, Merit]:
    """R, the share of points acquired in four rings from the centre outwards, the point spread, and the coherence.

    What is measured with an amplitude comes back with its square, so a teacher's shares of the time count as shares.
    """
    shares = encoder.choice().double().square().cpu().numpy()
    spread = spread_of_points(shares)
    return {
        "acceleration": shares.size / float(shares.sum()),
        "point_density": tuple(ring_density(shares, DENSITY_RINGS).tolist()),
        "spread_coherence": spread.coherence,
        "side_lobe": spread.side_lobe,
        "column_coherence": points_coherence(shares, encoder.coil_maps),
    }


def ring_density(points: NDArray[np.uint8] | NDArray[np.float64], rings: int) -> NDArray[np.float64]:
    """The mean of points (H, W), 0 to 1, in rings of equal width around the centre of k-space (rings,), centre first.

    The last ring ends at the ellipse in the matrix; the corners beyond are in none.  nan where a ring holds no point.
    """
    radius = elliptical_radius((points.shape[0], points.shape[1]))
    inside = radius <= 1
    number = np.minimum((radius[inside] * rings).astype(np.int64), rings - 1)
    count = np.bincount(number, minlength=rings)
    density = np.full(rings, np.nan)
    np.divide(np.bincount(number, weights=points[inside], minlength=rings), count, out=density, where=count > 0)
    return density


def points_coherence(shares: NDArray[np.float64], maps: Tensor) -> float:
    """Mutual coherence of the columns of A, for shares (H, W) of the points and coil maps (coils, H, W), in [0, 1].

    Two pixels i, j have |p_i-j| / p_0 |<s_i, s_j>| / (|s_i| |s_j|), with the point spread p and the coils'
    sensitivities s.  Pixels that no coil sees are left out.  With one coil it is the coherence of the point spread.
    """
    spread = np.fft.ifftshift(point_spread(shares))
    norm = torch.linalg.vector_norm(maps, dim=0)
    unit = maps * torch.where(norm > 0, 1 / norm, 0.0)
    largest, height, width = 0.0, *shares.shape
    for number in np.argsort(-spread, axis=None, kind="stable")[1:].tolist():
        step = divmod(number, width)
        # The sensitivities only make it smaller.
        if spread[step] <= largest:
            break
        if 2 * step[0] > height:  # the same pairs, the other way round
            continue
        products = (unit.conj() * torch.roll(unit, step, dims=(1, 2))).sum(dim=0).abs()
        largest = max(largest, float(spread[step]) * float(products.max()))
    return min(largest, 1.0)
