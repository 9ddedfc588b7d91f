"""What can be said of the lines of a scan alone, and the linear bound of lines and points."""

import numpy as np
import torch
from torch import Tensor

from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.fourier import (
    centred_fft,
    centred_ifft,
    from_coils,
    to_channels,
    to_coils,
    to_complex,
)
from cidesign.physics.base import ImagePrior
from cidesign.physics.encoder_metrics import line_density, line_spread
from cidesign.physics.linear_bound import Bound, LinearModel, linear_bound
from cidesign.physics.merit import Merit, NotEvaluated

# From the centre of k-space to its edge.
DENSITY_PARTS = 4


@torch.no_grad()
def line_merits(encoder: CartesianEncoder) -> dict[str, Merit]:
    """R, the share of lines acquired in four parts from the centre outwards, the point spread, and the coherence.

    What is measured with an amplitude comes back with its square, so a teacher's shares of the time count as shares.
    """
    shares = encoder.choice().double().square()
    weights = shares.cpu().numpy()
    spread = line_spread(weights)
    return {
        "acceleration": len(weights) / float(weights.sum()),
        "line_density": tuple(line_density(weights, DENSITY_PARTS).tolist()),
        "spread_coherence": spread.coherence,
        "side_lobe": spread.side_lobe,
        "column_coherence": coil_coherence(shares, encoder.coil_maps),
    }


def coil_coherence(shares: Tensor, maps: Tensor) -> float:
    """Mutual coherence of the columns of A, for shares (H,) of the lines and coil maps (coils, H, W), in [0, 1].

    Two pixels i, j of one readout position have |p_i-j| / p_0 |<s_i, s_j>| / (|s_i| |s_j|), with the point spread p and
    the coils' sensitivities s; others are orthogonal, since every readout is whole.  Pixels that no coil sees are left
    out.  With one coil it is the coherence of the point spread.
    """
    lines = len(shares)
    spread = np.abs(np.fft.ifft(np.fft.ifftshift(shares.cpu().numpy())))
    apart = (np.arange(lines)[:, None] - np.arange(lines)) % lines
    products = torch.from_numpy(spread / spread[0])[torch.from_numpy(apart)].fill_diagonal_(0).to(shares.device)
    norm = torch.linalg.vector_norm(maps, dim=0)
    unit = maps * torch.where(norm > 0, 1 / norm, 0.0)
    largest = max(float(((part.mH @ part).abs() * products).max()) for part in unit.permute(2, 0, 1))
    return min(largest, 1.0)


def cartesian_bound(encoder: CartesianEncoder, prior: ImagePrior) -> Bound | NotEvaluated:
    """The linear bound of the complex image: real and imaginary part count as two values.

    With one coil every sample of k-space stands for itself, with the error v s^2 / (a^2 v + s^2) for the power v, the
    amplitude a (0 where it is not measured) and the noise s^2.
    """
    if len(encoder.coil_maps) > 1:
        return linear_bound(coils_model(encoder, prior))
    with torch.no_grad():
        power, noise = prior.variance[0].double(), 2 * encoder.noise**2
        left = power * noise / (encoder.mask().double().square() * power + noise)
    return Bound(float(left.mean()) / 2)


@torch.no_grad()
def coils_model(encoder: CartesianEncoder, prior: ImagePrior) -> LinearModel:
    """Several coils, in double precision: k-space is the basis; readings are real and imaginary part of its samples."""
    amplitudes = encoder.mask().double().expand(encoder.coil_maps.shape[1:])
    rows, columns = torch.nonzero(amplitudes, as_tuple=True)
    weights = amplitudes[rows, columns]
    maps = encoder.coil_maps.to(torch.complex128)
    coils, size = len(maps), maps.shape[1:]

    def forward(x: Tensor) -> Tensor:
        k = weights * to_coils(to_complex(x), maps)[:, :, rows, columns]
        return torch.view_as_real(k).flatten(1)

    def adjoint(y: Tensor) -> Tensor:
        samples = torch.view_as_complex(y.reshape(-1, coils, len(rows), 2).contiguous())
        k = maps.new_zeros(len(y), coils, *size)
        k[:, :, rows, columns] = weights * samples
        return to_channels(from_coils(k, maps))

    # The power is that of both parts together.
    variance = 0.5 * prior.variance.double()
    noise = torch.full((2 * coils * len(rows),), encoder.noise**2, dtype=torch.float64)
    energy = float(maps.abs().square().sum(dim=0).mean())
    return LinearModel(
        forward,
        adjoint,
        lambda x: to_channels(centred_fft(to_complex(x))),
        lambda k: to_channels(centred_ifft(to_complex(k))),
        variance,
        noise.to(variance.device),
        energy / encoder.noise**2 * amplitudes.square(),
    )
