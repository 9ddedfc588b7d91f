"""Patterns to compare a design with: the coarsest Hadamard patterns, and random ones."""

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.hadamard_capture import hadamard_rows, sequency_order
from cidesign.errors import InputError


def hadamard_low_sequency(side: int, count: int) -> NDArray[np.float32]:
    """The `count` coarsest 2-D Hadamard patterns, (count, side, side) of +1 and -1, coarsest (all on) first.

    Ordered by the sum of horizontal and vertical sign changes; ties by the vertical ones, then by row number.
    Raises `InputError` when `side` is not a power of two or there are fewer than `count` patterns.
    """
    order = sequency_order(side)
    _check_count(side, count)
    return hadamard_rows(side, order[:count]).astype(np.float32)


def random_patterns(side: int, count: int, seed: int) -> NDArray[np.float32]:
    """`count` random patterns (count, side, side) of +1 and -1 with equal probability; the same for the same seed."""
    _check_count(side, count)
    rng = np.random.default_rng([seed, side, count])
    return (2 * rng.integers(0, 2, (count, side, side)) - 1).astype(np.float32)


def _check_count(side: int, count: int) -> None:
    if not 1 <= count <= side * side:
        raise InputError(
            f"{count} patterns: an image of {side} x {side} has {side * side} unknowns; use 1 to that many"
        )
