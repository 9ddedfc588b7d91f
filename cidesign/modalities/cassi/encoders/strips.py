"""How masks that are too large to be decoded at once are cut: across the dispersion, which leaves every band whole."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cidesign.physics.places import strips

# Values of a cube that are decoded at once.
AT_ONCE = 2**22
# Beyond a strip its cube is not known; so far from its end this no longer shows.
MARGIN_PX = 32

Slices = tuple[slice, slice]


def strips_across(size: tuple[int, int], bands: int, axis: int, spread_px: int) -> Iterator[tuple[Slices, Tensor]]:
    """Rows and columns of overlapping parts of a cube, cut along `axis`, with their weights; none of a small one.

    `spread_px`: how far the bands of one detector pixel lie apart along that axis.
    """
    other = size[1 - axis]
    for strip in strips(size[axis], AT_ONCE // (bands * other), MARGIN_PX + spread_px):
        along, across = slice(strip.first, strip.last), slice(0, other)
        weight = torch.from_numpy(strip.weight)
        yield ((along, across), weight[:, None]) if axis == 0 else ((across, along), weight[None])
