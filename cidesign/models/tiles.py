"""Decoding what is too large to be decoded at once."""

from collections.abc import Callable

from torch import Tensor

from cidesign.physics.base import Encoder


def decoded(made: Callable[[Tensor, Encoder], Tensor], y: Tensor, encoder: Encoder) -> Tensor:
    """The images (B, C, H, W) that `made` makes of readings and their encoder: of each tile by itself, weighted and
    added up, or all at once where the encoder has no tiles."""
    whole = None
    for tile in encoder.tiles():
        part = made(y[(..., *tile.readings)], tile.encoder)
        if whole is None:
            whole = part.new_zeros(*part.shape[:2], *tile.size)
        whole[(..., *tile.image)] += tile.weight * part
    return made(y, encoder) if whole is None else whole
