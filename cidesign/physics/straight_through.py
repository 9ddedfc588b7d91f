"""Limits that training cannot leave, and can come back from."""

import torch
from torch import Tensor

from cidesign.physics.autograd import applied


class _Limit(torch.autograd.Function):
    """Clamp forward; the gradient passes wherever it does not push further outside."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward((weight > high), (weight < low))
        return weight.clamp(low, high)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        above, below = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        return grad.masked_fill((above & (grad < 0)) | (below & (grad > 0)), 0.0), None, None


def limited(weight: Tensor, low: float, high: float) -> Tensor:
    """Weights limited to [low, high], that can come back from outside; any shape."""
    return applied(_Limit, weight, low, high)
