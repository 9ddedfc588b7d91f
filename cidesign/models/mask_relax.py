"""The torch face of the mask rules: every mask that training sees can be made."""

import torch
from torch import Tensor
from torch.nn import functional

from cidesign.constraints.aperture import MinimumFeature
from cidesign.physics.autograd import applied


class _Threshold(torch.autograd.Function):
    """A feasible 0/1 mask forward; backward the identity, stopped where it would push a weight out of [0, 1]."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, rule: MinimumFeature) -> Tensor:
        ctx.save_for_backward(weight)
        return feasible(rule, weight)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        outward = ((weight > 1) & (grad < 0)) | ((weight < 0) & (grad > 0))
        return grad.masked_fill(outward, 0.0), None


def project(rule: MinimumFeature, weight: Tensor, height: int, width: int) -> Tensor:
    """The mask (height, width) of 0 and 1 that weights in [0, 1], one for each cell, stand for; straight-through."""
    cells = applied(_Threshold, weight, rule)
    return enlarge(rule, cells, height, width)


def cells_shape(rule: MinimumFeature, height: int, width: int) -> tuple[int, int]:
    """How many cells a mask of height x width code pixels has; a rest at the border joins the last cell."""
    return height // rule.cell_px, width // rule.cell_px


def enlarge(rule: MinimumFeature, cells: Tensor, height: int, width: int) -> Tensor:
    """Every cell becomes cell_px x cell_px code pixels; the last ones also take the rest."""
    if rule.cell_px == 1:
        return cells
    large = cells.repeat_interleave(rule.cell_px, 0).repeat_interleave(rule.cell_px, 1)
    rest = (0, width - large.shape[1], 0, height - large.shape[0])
    return functional.pad(large[None, None], rest, mode="replicate")[0, 0]


@torch.no_grad()
def feasible(rule: MinimumFeature, weight: Tensor) -> Tensor:
    """The nearest 0/1 cells without corner contacts (where the rule forbids them): round, then flip what is least sure.

    In each 2 x 2 block whose equal cells are diagonal, the cell whose weight is nearest to 1/2 flips, once at
    most; where all four have flipped, cells open until no contact is left, which ends, for a full mask has none.
    """
    mask = weight >= 0.5
    if rule.corner_contacts:
        return mask.to(weight.dtype)
    certainty = (weight - 0.5).abs()
    # Equal certainties are broken by position, so that the result does not depend on the machine.
    order = torch.arange(weight.numel(), device=weight.device, dtype=torch.float64).reshape(weight.shape)
    certainty = certainty.double() + order * 1e-12
    flipped = torch.zeros_like(mask)
    while True:
        blocks = _contacts(mask)
        if not bool(blocks.any()):
            return mask.to(weight.dtype)
        costs = _four(certainty.masked_fill(flipped, float("inf")))
        cheapest = costs.min(dim=0)
        movable = blocks & cheapest.values.isfinite()
        if bool(movable.any()):
            change = _spread(movable, cheapest.indices, mask.shape)
            mask, flipped = mask.logical_xor(change), flipped.logical_or(change)
        else:
            # The upper left or the upper right cell is the closed one; it opens.
            which = _four(mask)[0].long()
            mask = mask.logical_or(_spread(blocks, which, mask.shape))


def _four(cells: Tensor) -> Tensor:
    """The four cells of every 2 x 2 block, (4, H - 1, W - 1): upper left, upper right, lower left, lower right."""
    return torch.stack([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]])


def _contacts(mask: Tensor) -> Tensor:
    a, b, c, d = _four(mask)
    found: Tensor = (a == d) & (b == c) & (a != b)
    return found


def _spread(blocks: Tensor, corner: Tensor, shape: torch.Size) -> Tensor:
    """The cells (H, W) that are corner number `corner` of a marked block."""
    marked = torch.zeros(shape, dtype=torch.bool, device=blocks.device)
    height, width = blocks.shape
    for number, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        marked[down : down + height, right : right + width] |= blocks & (corner == number)
    return marked
