"""The torch face of the line budget: exactly L lines in every forward pass, with a gradient that can rank them."""

import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.pattern import centre_block
from cidesign.physics.autograd import applied


def calibration_mask(rule: LineBudget, device: torch.device) -> Tensor:
    """(lines,) bool, true for the lines that are always on."""
    mask = torch.zeros(rule.lines, dtype=torch.bool, device=device)
    mask[list(centre_block(rule.lines, rule.calibration))] = True
    return mask


def hard_lines(rule: LineBudget, scores: Tensor) -> Tensor:
    """(lines,) 0/1: the calibration lines, and those with the highest scores until the budget is met exactly."""
    ranked = scores.detach().masked_fill(calibration_mask(rule, scores.device), float("inf"))
    # A stable sort: equal scores go to the lower index, on every machine.
    chosen = torch.sort(ranked, descending=True, stable=True).indices[: rule.acquired]
    mask = torch.zeros_like(scores, requires_grad=False)
    mask[chosen] = 1
    return mask.detach()


def soft_lines(rule: LineBudget, scores: Tensor, temperature: float) -> Tensor:
    """(lines,) in [0, 1], summing to the budget: 1 on calibration lines, sigmoid((score - t) / temperature) elsewhere.

    The threshold t is what makes the sum exact; its own dependence on the scores is in the gradient, so raising all
    scores alike changes nothing.
    """
    fixed = calibration_mask(rule, scores.device)
    wanted = rule.acquired - rule.calibration
    free = scores[~fixed] / temperature
    if wanted in (0, len(free)):
        return torch.where(fixed, 1.0, float(wanted > 0)) + 0.0 * scores
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
    result = torch.ones_like(scores)
    result[~fixed] = torch.sigmoid(free - threshold)
    return result


class _Choose(torch.autograd.Function):
    """Hard lines forward; backward an unbiased estimate of what each line's chance of being measured is worth.

    Along one line m_u the loss is close to (1 - m_u)^2 e_u^2: its derivative is -2 e_u^2 where the line is missing and
    0 where it is there, while measuring it is worth -e_u^2.  The identity gradient therefore only ever pulls new lines
    in and walks away from the best ones.  Here a missing line's derivative counts half, divided by the chance that the
    line is missing, and a measured line's counts nothing: the mean over the draws is -e_u^2 for every line.
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


def select_lines(rule: LineBudget, scores: Tensor, temperature: float, noise: Tensor | None) -> Tensor:
    """(lines,) 0/1 with exactly the budget: the highest scores, perturbed by `noise` where it is given.

    With `noise`, logistic draws times the temperature, a line is measured with a chance of `soft_lines`, and the
    gradient is that of the expected loss.  Without noise the choice is fixed and has no gradient.
    """
    if noise is None:
        return hard_lines(rule, scores)
    chances = soft_lines(rule, scores, temperature)
    return applied(_Choose, chances, hard_lines(rule, scores + noise))
