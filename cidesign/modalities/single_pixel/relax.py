"""The torch faces of the pattern rules: what training does so that the checked rule holds by construction."""

import torch
from torch import Tensor

from cidesign.constraints.rules import BitDepth


class _Quantise(torch.autograd.Function):
    """Hard levels forward, identity backward inside [-1, 1] (straight-through; Bengio et al. 2013).

    The gradient is stopped where it would push a weight further outside: such weights would never come back.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, steps: int) -> Tensor:
        ctx.save_for_backward(weight)
        return level_of(weight, steps) * (2.0 / steps) - 1.0

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        outward = (weight.abs() > 1) & (grad * weight < 0)
        return grad.masked_fill(outward, 0.0), None


def level_of(weight: Tensor, steps: int) -> Tensor:
    """The nearest of the levels 0..steps for weights in [-1, 1]; a weight of 0 at 1 bit is on (+1)."""
    return torch.floor((weight.clamp(-1, 1) + 1) * (0.5 * steps) + 0.5)


def quantise(rule: BitDepth, weight: Tensor) -> Tensor:
    """phi = 2 level / (2**bit_depth - 1) - 1 in [-1, 1], with a straight-through gradient; any shape."""
    result: Tensor = _Quantise.apply(weight, 2**rule.bit_depth - 1)  # type: ignore[no-untyped-call]
    return result
