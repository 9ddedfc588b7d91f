"""Symmetric systems that are too large for a matrix, by conjugate gradients."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cidesign import progress

Linear = Callable[[Tensor], Tensor]
ITERATIONS = 200
# Of the right-hand side, in the norm of the preconditioner; the noise of readings is some 1e-2 of them.
TOLERANCE = 1e-5


def conjugate_gradients(
    system: Linear, conditioned: Linear, right: Tensor, iterations: int = ITERATIONS, tolerance: float = TOLERANCE
) -> Tensor:
    """z with M z = r for a symmetric positive `system` M, each item of a batch (B, ...) by itself.

    `conditioned` applies the preconditioner P^-1.  Ends after `iterations` steps, or when P^-1's norm of all residuals
    is `tolerance` times that of r.
    """
    tiny = torch.finfo(right.dtype).tiny
    z = torch.zeros_like(right)
    residual = right
    direction = conditioned(residual)
    power = _inner(residual, direction)
    goal = tolerance**2 * power
    for _ in range(iterations):
        if bool((power <= goal).all()):
            break
        if progress.heard():
            progress.tell(_share_done(power, goal, tolerance))
        image = system(direction)
        # A right-hand side of nothing but zeros has no direction to go.
        step = power / _inner(direction, image).clamp_min(tiny)
        z = z + step * direction
        residual = residual - step * image
        following = conditioned(residual)
        before, power = power, _inner(residual, following)
        direction = following + power / before.clamp_min(tiny) * direction
    return z


def _share_done(power: Tensor, goal: Tensor, tolerance: float) -> float:
    """How far (0 to 1) the item of a batch has come that has farthest to go: 1 - log(|r| / goal) / log(1 / tolerance).

    `power` and `goal` (B, 1, ...) are squares of the norm |r| and of what it has to come to.
    """
    ahead = float((power / goal.clamp_min(torch.finfo(power.dtype).tiny)).max())
    return 1 - min(math.log(max(ahead, 1.0)) / (-2 * math.log(tolerance)), 1.0)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each item of a batch (B, ...), (B, 1, ...)."""
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)
