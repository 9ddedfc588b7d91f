"""What can be said of shots alone."""

import torch
from torch import Tensor

from cidesign.constraints.gradients import GradientRule, gradient_sizes, slew_sizes
from cidesign.modalities.mri.encoders.fourier import centred_fft, centred_ifft, to_channels, to_complex
from cidesign.modalities.mri.shots.density import density_weights, point_spread, sampled_power
from cidesign.modalities.mri.shots.encoder import ShotsEncoder
from cidesign.modalities.mri.shots.estimator import Operator
from cidesign.pattern import NonCartesian
from cidesign.physics.base import ImagePrior
from cidesign.physics.linear_bound import Bound, LinearModel, linear_bound
from cidesign.physics.merit import Merit, NotEvaluated


@torch.no_grad()
def shot_merits(encoder: ShotsEncoder) -> dict[str, Merit]:
    """R, the number of samples, and the largest side lobe of the point spread with even density."""
    k = encoder.k()
    return {
        "acceleration": encoder.size[0] / len(k),
        "samples": float(k.shape[0] * k.shape[1]),
        "side_lobe": side_lobe(k.flatten(0, 1), encoder.size),
    }


@torch.no_grad()
def even_spread(k: Tensor, size: tuple[int, int]) -> Tensor:
    """|p| (2 H, 2 W) of samples weighted to an even density, over its value at the centre."""
    k = k.double()
    spread = point_spread(k, size, density_weights(k, size)).abs()
    return spread / spread[size[0], size[1]]


def side_lobe(k: Tensor, size: tuple[int, int]) -> float:
    """The largest value of `even_spread` beyond the main lobe, within the field of view, 0 to 1.

    The main lobe ends at the first ring of pixels around the centre on which the largest value rises again.
    """
    spread = even_spread(k, size)
    height, width = size
    down, right = (torch.arange(2 * n, device=spread.device) - n for n in size)
    ring = torch.maximum(down.abs()[:, None], right.abs())
    reach = max(1, min(height, width) // 2)
    rings = torch.stack([spread[ring == radius].max() for radius in range(1, reach + 1)])
    rising = torch.nonzero(torch.diff(rings) > 0)
    return float(rings[int(rising[0, 0]) + 1 :].max()) if len(rising) else 0.0


def hardware_shares(design: NonCartesian, rule: GradientRule) -> tuple[float, float]:
    """The largest gradient and slew rate, as vectors, over the scanner's design limits."""
    return (
        float(gradient_sizes(design).max()) / rule.gradient_mt_per_m,
        float(slew_sizes(design).max()) / rule.slew_t_per_m_per_s,
    )


def shot_bound(encoder: ShotsEncoder, prior: ImagePrior) -> Bound | NotEvaluated:
    """The linear bound of the complex image: real and imaginary part count as two values."""
    return linear_bound(shots_model(encoder, prior))


@torch.no_grad()
def shots_model(encoder: ShotsEncoder, prior: ImagePrior) -> LinearModel:
    """Shots in double precision: k-space is the basis; readings are real and imaginary part of their samples."""
    k, maps = encoder.k().flatten(0, 1).double(), encoder.coil_maps.to(torch.complex128)
    operator = Operator(maps)
    coils, samples = len(maps), len(k)

    def forward(x: Tensor) -> Tensor:
        return torch.view_as_real(operator.forward(x, k)).flatten(1)

    def adjoint(y: Tensor) -> Tensor:
        return operator.adjoint(torch.view_as_complex(y.reshape(-1, coils, samples, 2).contiguous()), k)

    noise = torch.full((2 * coils * samples,), encoder.noise**2, dtype=torch.float64)
    energy = maps.abs().square().sum(dim=0).mean()
    seen = torch.fft.fftshift(sampled_power(point_spread(k, encoder.size)))
    return LinearModel(
        forward,
        adjoint,
        lambda x: to_channels(centred_fft(to_complex(x))),
        lambda z: to_channels(centred_ifft(to_complex(z))),
        # The power is that of both parts together.
        0.5 * prior.variance.double(),
        noise.to(k.device),
        energy * seen / encoder.noise**2,
    )
