"""Places of a plane that is too large to be looked at whole: the squares of a training, the tiles of a decoding."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # settings count places, and need no torch for that
    import torch

# Pixels that a network makes one of.
STEP = 8


class Place(NamedTuple):
    """A rectangle: rows `top` to `top + height`, and columns likewise."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def places_of(plane: tuple[int, int], size: tuple[int, int], generator: "torch.Generator | None") -> list[Place]:
    """Places of one size that together cover a plane, both (rows, columns).

    The generator draws where the first of them ends, so that no seam lies in the same place for long, and their order;
    without one they lie edge on edge, row by row.  Those that would reach over the border are moved inwards.
    """
    import torch

    def drawn(count: int) -> list[int]:
        if generator is None:
            return list(range(count))
        return torch.randperm(count, generator=generator, device=generator.device).tolist()

    tops, lefts = (
        _starts(whole, part, None if generator is None else 1 + drawn(part)[0])
        for whole, part in zip(plane, size, strict=True)
    )
    found = [Place(top, left, *size) for top in tops for left in lefts]
    return [found[number] for number in drawn(len(found))]


def drawn_places(plane: tuple[int, int], size: tuple[int, int]) -> int:
    """How many places `places_of` draws."""
    return math.prod(
        1 if whole == part else math.ceil(whole / part) + 1 for whole, part in zip(plane, size, strict=True)
    )


class Strip(NamedTuple):
    """A part `first` to `last` of a line, with a weight for each of its points."""

    first: int
    last: int
    weight: NDArray[np.float32]


def strips(length: int, longest: int, margin: int) -> list[Strip]:
    """Parts of at most about `longest` points that cover a line of `length`, or none where it is no longer itself.

    Neighbours overlap by two margins.  Weights sum to 1: they rise in the middle half of an overlap, and are 0 where an
    end is nearer than half a margin.  Ends lie at multiples of 8, so that networks which halve images three times see
    them as they see the whole.
    """
    if length <= longest:
        return []
    margin = STEP * math.ceil(margin / STEP)
    inner = max(longest - 2 * margin, 2 * margin)
    count = math.ceil(length / inner)
    seams = [STEP * round(number * length / count / STEP) for number in range(1, count)]
    place = np.arange(length) + 0.5
    # How far each point lies beyond each seam, from 0 half a margin before it to 1 half a margin behind.
    beyond = [np.ones(length), *(np.clip((place - seam) / margin + 0.5, 0, 1) for seam in seams), np.zeros(length)]
    found = []
    for number, (first, last) in enumerate(pairwise([0, *seams, length])):
        first, last = max(first - margin, 0), min(last + margin, length)
        weight = (beyond[number] - beyond[number + 1])[first:last]
        found.append(Strip(first, last, weight.astype(np.float32)))
    return found


def _starts(whole: int, part: int, first_end: int | None) -> list[int]:
    """Where places of length `part` begin on a line; the first of them ends at `first_end`, or lies at its border."""
    if whole == part:
        return [0]
    begin, count = (
        (0, math.ceil(whole / part)) if first_end is None else (first_end - part, math.ceil(whole / part) + 1)
    )
    return [min(max(begin + number * part, 0), whole - part) for number in range(count)]
