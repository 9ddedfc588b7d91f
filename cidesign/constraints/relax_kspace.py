"""The torch face of the line budget: exactly L lines in every forward pass, with a gradient that can rank them."""

import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.pattern import centre_block


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


def select_lines(rule: LineBudget, scores: Tensor, temperature: float, noise: Tensor | None) -> Tensor:
    """(lines,) 0/1 with exactly the budget, and the gradient of `soft_lines`.

    `noise` (lines,), standard logistic draws times the exploration's strength, perturbs the ranking, so that
    lines near the threshold take turns.  Without it a sampled line never learns what its loss would cost: the error on
    it is already zero, so its gradient is too, while every line outside is pulled in.
    """
    perturbed = scores if noise is None else scores + noise
    soft = soft_lines(rule, perturbed, temperature)
    return hard_lines(rule, perturbed) + soft - soft.detach()
