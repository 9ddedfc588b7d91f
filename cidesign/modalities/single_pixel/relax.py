"""The torch faces of the pattern rules: what training does so that the checked rule holds by construction."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cidesign.constraints.rules import BitDepth
from cidesign.physics.autograd import applied

# The patterns of a large image are the largest arrays of a training step.  What is in between is made for this many
# values at a time, which stay in a processor's cache and are not asked of the system anew.
BLOCK = 2**18


class _Quantise(torch.autograd.Function):
    """Hard levels forward, identity backward inside [-1, 1] (straight-through; Bengio et al. 2013).

    The gradient is stopped where it would push a weight further outside: such weights would never come back.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, steps: int) -> Tensor:
        ctx.save_for_backward(weight)
        return level_of(weight, steps).mul_(2.0 / steps).sub_(1.0)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        kept = torch.empty_like(grad)
        for rows in _blocks(weight):
            outward = (weight[rows].abs() > 1) & (grad[rows] * weight[rows] < 0)
            torch.mul(grad[rows], ~outward, out=kept[rows])
        return kept, None


def _blocks(weight: Tensor) -> Iterator[slice]:
    size = max(1, BLOCK * len(weight) // max(1, weight.numel()))
    return (slice(first, first + size) for first in range(0, len(weight), size))


def level_of(weight: Tensor, steps: int) -> Tensor:
    """The nearest of the levels 0..steps for weights in [-1, 1]; a weight of 0 at 1 bit is on (+1)."""
    return weight.clamp(-1, 1).add_(1).mul_(0.5 * steps).add_(0.5).floor_()


def quantise(rule: BitDepth, weight: Tensor) -> Tensor:
    """phi = 2 level / (2**bit_depth - 1) - 1 in [-1, 1], with a straight-through gradient; any shape."""
    return applied(_Quantise, weight, 2**rule.bit_depth - 1)
