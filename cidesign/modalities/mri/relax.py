"""The torch face of a Cartesian budget: exactly so many lines or points in every forward pass, with a gradient that
can rank them.

Scores have the shape of the choice: (lines,), or (lines, partitions) for points.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.constraints.kspace import Budget
from cidesign.physics.autograd import applied


def _on(mask: NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.from_numpy(mask).to(device)


def hard_choice(rule: Budget, scores: Tensor) -> Tensor:
    """0/1 in the shape of the scores: what is always measured, and the highest scores until the budget is met exactly.

    What is never measured is not, whatever its score.
    """
    ranked = scores.detach().masked_fill(_on(rule.always, scores.device), float("inf"))
    ranked = ranked.masked_fill(_on(rule.never, scores.device), -float("inf")).flatten()
    # A stable sort: equal scores go to the lower index, on every machine.
    chosen = torch.sort(ranked, descending=True, stable=True).indices[: rule.acquired]
    mask = torch.zeros_like(ranked, requires_grad=False)
    mask[chosen] = 1
    return mask.reshape(scores.shape).detach()


def soft_choice(rule: Budget, scores: Tensor, temperature: float) -> Tensor:
    """Chances in [0, 1] in the shape of the scores, summing to the budget: 1 of what is always measured, 0 of what
    never is, sigmoid((score - t) / temperature) of all others.

    The threshold t is what makes the sum exact; its own dependence on the scores is in the gradient, so raising all
    scores alike changes nothing.
    """
    fixed = _on(rule.always, scores.device)
    open_ = ~(fixed | _on(rule.never, scores.device))
    wanted = rule.acquired - int(rule.always.sum())
    free = scores[open_] / temperature
    if wanted in (0, len(free)):
        return torch.where(fixed | (open_ & (wanted > 0)), 1.0, 0.0) + 0.0 * scores
    low, high = free.detach().min() - 20.0, free.detach().max() + 20.0
    for _ in range(50):
        middle = (low + high) / 2
        above = torch.sigmoid(free.detach() - middle).sum() > wanted
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    threshold = (low + high) / 2
    slope = torch.sigmoid(free.detach() - threshold)
    slope = slope * (1 - slope)
    # Implicit differentiation of sum(sigmoid(free - t)) = wanted: dt = sum(slope d free) / sum(slope).
    threshold = threshold + (slope * (free - free.detach())).sum() / slope.sum().clamp_min(1e-12)
    result = fixed.to(scores.dtype)
    result[open_] = torch.sigmoid(free - threshold)
    return result


class _Choose(torch.autograd.Function):
    """A hard choice forward; backward an unbiased estimate of what each line's chance of being measured is worth.

    Along one line (or point) m_u the loss is close to (1 - m_u)^2 e_u^2: its derivative is -2 e_u^2 where the line is
    missing and 0 where it is there, while measuring it is worth -e_u^2.  The identity gradient therefore only ever
    pulls new lines in and walks away from the best ones.  Here a missing line's derivative counts half, divided by the
    chance that the line is missing, and a measured line's counts nothing: the mean over the draws is -e_u^2 for every
    line.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, chances: Tensor, lines: Tensor) -> Tensor:
        ctx.save_for_backward(chances, lines)
        return lines.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        chances, lines = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        missing = (1 - lines) * 0.5 / (1 - chances).clamp_min(LEAST_CHANCE)
        return grad * missing, None


# A line that is almost always measured is missing once in a long while; its weight is limited to that of one in ten.
LEAST_CHANCE = 0.1


def select(rule: Budget, scores: Tensor, temperature: float, noise: Tensor | None) -> Tensor:
    """0/1 in the shape of the scores, with exactly the budget: the highest scores, perturbed by `noise` if given.

    With `noise`, logistic draws times the temperature, a line is measured with a chance of `soft_choice`, and the
    gradient is that of the expected loss.  Without noise the choice is fixed and has no gradient.
    """
    if noise is None:
        return hard_choice(rule, scores)
    chances = soft_choice(rule, scores, temperature)
    return applied(_Choose, chances, hard_choice(rule, scores + noise))
