"""Total variation: images of few edges that explain the measurements, without training."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Chambolle (2004): dual steps of at most 1/4 settle; 1/8 is what the proof allows.
DUAL_STEP = 0.25
INNER_ITERATIONS = 5
# Values of planes that are smoothed at once: enough to keep the processor busy, few enough to stay in its cache.
VALUES_AT_ONCE = 2**18


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
    """argmin 1/2 |v - x|^2 + strength TV(v) for each channel of real images (B, C, H, W); by Chambolle (2004).

    TV is the isotropic sum of |gradient v| over both axes; channels do not see each other.
    """
    return smooth_(images.clone(memory_format=torch.contiguous_format), strength, iterations)


def smooth_(images: Tensor, strength: float, iterations: int = INNER_ITERATIONS) -> Tensor:
    """`denoise_tv` in place, a few planes at once."""
    planes = images.view(-1, *images.shape[-2:])
    step = max(VALUES_AT_ONCE // (planes.shape[-1] * planes.shape[-2]), 1)
    for part in torch.split(planes, step):
        down, right = torch.zeros_like(part), torch.zeros_like(part)
        slope, across, along = torch.empty_like(part), torch.zeros_like(part), torch.zeros_like(part)
        for _ in range(iterations):
            _divergence_into(slope, down, right)
            slope.sub_(part, alpha=1 / strength)
            torch.sub(slope[:, 1:], slope[:, :-1], out=across[:, :-1])
            torch.sub(slope[:, :, 1:], slope[:, :, :-1], out=along[:, :, :-1])
            down.add_(across, alpha=DUAL_STEP)
            right.add_(along, alpha=DUAL_STEP)
            length = torch.addcmul(across.square_(), along, along, out=slope).sqrt_().mul_(DUAL_STEP).add_(1)
            down.div_(length)
            right.div_(length)
        part.sub_(_divergence_into(slope, down, right), alpha=strength)
    return images


def _divergence_into(total: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Minus the adjoint of forward differences that are 0 at the last row and column, into `total`; all (N, H, W).

    The last row of `down` and the last column of `right` are 0.
    """
    torch.add(down, right, out=total)
    total[:, 1:] -= down[:, :-1]
    total[:, :, 1:] -= right[:, :, :-1]
    return total


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
