"""Total variation: images of few edges that explain the measurements, without training."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Chambolle (2004): dual steps of at most 1/4 settle; 1/8 is what the proof allows.
DUAL_STEP = 0.25
INNER_ITERATIONS = 5


def gap_tv(
    y: Tensor,
    forward: Callable[[Tensor], Tensor],
    project: Callable[[Tensor], Tensor],
    start: Tensor,
    strengths: Sequence[float],
    variance: float = 0.0,
) -> Tensor:
    """Accelerated generalised alternating projection with 2-D total variation of each channel (X. Yuan, ICIP 2016).

        r <- r + (y - A v),   x <- v + P (r - A v),   v <- TV(x, strength)

    `forward` is A, `project` P = A^T (A A^T + w)^-1, of measurements of any shape (B, ...); `start` v (B, C, H, W).
    One step for each of `strengths`; an image whose readings are explained to their `variance` is left as it is: more
    steps would fit their noise (Osher et al., Multiscale Model. Simul. 4, 460, 2005, the discrepancy principle).
    """
    v, total = start, torch.zeros_like(y)
    for strength in strengths:
        predicted = forward(v)
        left = y - predicted
        open_still = left.abs().square().flatten(1).mean(dim=1) > variance
        if not open_still.any():
            break
        total = total + left
        moved = denoise_tv(v + project(total - predicted), strength)
        v = torch.where(open_still[:, None, None, None], moved, v)
    return v


def denoise_tv(images: Tensor, strength: float, iterations: int = INNER_ITERATIONS) -> Tensor:
    """argmin 1/2 |v - x|^2 + strength TV(v) for each channel of images (B, C, H, W); projection of Chambolle (2004).

    TV is the isotropic sum of |gradient v| over both axes; channels do not see each other.
    """
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(iterations):
        slope = divergence(down, right) - images / strength
        across, along = differences(slope)
        length = 1 + DUAL_STEP * (across.square() + along.square()).sqrt()
        down, right = (down + DUAL_STEP * across) / length, (right + DUAL_STEP * along) / length
    return images - strength * divergence(down, right)


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences down and to the right of images (..., H, W), 0 at the last row and column."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    right[..., :-1] = x[..., 1:] - x[..., :-1]
    return down, right


def divergence(down: Tensor, right: Tensor) -> Tensor:
    """Minus the adjoint of `differences`, (..., H, W)."""
    total = torch.zeros_like(down)
    total[..., :-1, :] += down[..., :-1, :]
    total[..., 1:, :] -= down[..., :-1, :]
    total[..., :-1] += right[..., :-1]
    total[..., 1:] -= right[..., :-1]
    return total
