"""What can be said of single-pixel patterns alone."""

import torch
from torch import Tensor

from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.physics.base import ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.encoder_metrics import column_coherence, condition_number, row_coherence
from cidesign.physics.linear_bound import Bound, matrix_bound
from cidesign.physics.merit import Merit, NotEvaluated

# Products of these sizes take some 20 seconds of one processor.
MAX_SVD_OPERATIONS, MAX_PRODUCTS = 5e10, 1e12
# Of patterns x pixels: 0.5 GB in double precision, twice.
MAX_MATRIX_VALUES = 2**26


def pattern_merits(encoder: SinglePixelEncoder) -> dict[str, Merit]:
    """Condition number over the non-zero singular values, and the coherence of the patterns and of the pixels."""
    count, pixels = len(encoder.weight), encoder.side**2
    least, most = sorted((count, pixels))
    found: dict[str, Merit] = {}
    for name, measure, operations, limit in (
        ("condition_number", condition_number, least**2 * most, MAX_SVD_OPERATIONS),
        ("row_coherence", row_coherence, count**2 * pixels, MAX_PRODUCTS),
        ("column_coherence", column_coherence, pixels**2 * count, MAX_PRODUCTS),
    ):
        size = f"{count} patterns of {pixels} pixels"
        found[name] = measure(encoder.matrix()) if operations <= limit else NotEvaluated(f"{size} would take minutes")
    return found


@torch.no_grad()
def pattern_bound(encoder: SinglePixelEncoder, prior: ImagePrior) -> Bound | NotEvaluated:
    """The linear bound, with the noise of the mean image."""
    count, side = len(encoder.weight), encoder.side
    if count * side**2 > MAX_MATRIX_VALUES:
        return NotEvaluated(f"{count} patterns of {side**2} pixels take more memory than is given to this")
    matrix = encoder.matrix().double()
    dct = dct_matrix(side).to(matrix)
    spectra = dct @ matrix.reshape(-1, side, side) @ dct.T
    return matrix_bound(spectra.flatten(1), prior.variance[0].flatten(), _noise(encoder, matrix, prior))


def _noise(encoder: SinglePixelEncoder, matrix: Tensor, prior: ImagePrior) -> Tensor:
    """The covariance (K, K) of the readings of the mean image: each one's own, and what all share."""
    count = len(matrix)
    if encoder.noise is None:
        return 1e-6 * torch.eye(count).to(matrix)
    level = prior.mean[:1, None].to(matrix)
    own, shared = encoder.noise.variances(level * matrix.sum(dim=1), level, encoder.side)
    return torch.diag(own[0]) + shared
