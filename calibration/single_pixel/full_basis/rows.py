"""Rows of a Hadamard matrix that were shown as patterns, as an operator and its inverse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cidesign.pattern.hadamard import (
    hadamard_matrix,
    hadamard_order_rows,
    has_hadamard_matrix,
    sylvester_matrix,
    walsh_hadamard,
)

Array = NDArray[np.float64]
# Rows that are expanded at once, in entries.
ENTRIES_AT_ONCE = 2**24


class Rows(Protocol):
    """M orthogonal patterns of `size` (H, W), each of +1 and -1."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a pattern."""

    @property
    def count(self) -> int:
        """M, at most H W."""

    def readings(self, images: Array) -> Array:
        """What the patterns read of images (..., H, W), (..., M)."""

    def image(self, readings: Array) -> Array:
        """The images (..., H, W) of readings (..., M): H^T y / N, with 0 for the rows that were not shown."""

    def signed(self) -> NDArray[np.float32]:
        """The patterns (M, H, W)."""


@dataclass(frozen=True)
class HadamardRows:
    """Rows `numbers` (M,) of the Kronecker product H_1 x H_2 x ... of the Hadamard matrices of `orders`.

    The product of the orders is H W; patterns are read row by row.  Sylvester's matrix of H W is that of (H, W).
    """

    size: tuple[int, int]
    orders: tuple[int, ...]
    numbers: NDArray[np.intp]

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.numbers)

    def readings(self, images: Array) -> Array:
        """H x, of the rows shown."""
        every = self._applied(images.reshape(*images.shape[:-2], -1), transposed=False)
        return np.asarray(every[..., self.numbers])

    def image(self, readings: Array) -> Array:
        """H^T y / N."""
        every = np.zeros((*readings.shape[:-1], math.prod(self.size)))
        every[..., self.numbers] = readings
        images = self._applied(every, transposed=True) / every.shape[-1]
        return np.asarray(images.reshape(*readings.shape[:-1], *self.size))

    def signed(self) -> NDArray[np.float32]:
        """The patterns, made some at a time: all of them may be a gigabyte."""
        pixels = math.prod(self.size)
        patterns = np.empty((self.count, *self.size), dtype=np.float32)
        step = max(ENTRIES_AT_ONCE // pixels, 1)
        for first in range(0, self.count, step):
            chosen = self.numbers[first : first + step]
            one_each = np.zeros((len(chosen), pixels))
            one_each[np.arange(len(chosen)), chosen] = 1
            patterns[first : first + step] = self._applied(one_each, transposed=True).reshape(-1, *self.size)
        return patterns

    def _applied(self, values: Array, transposed: bool) -> Array:
        """H v, or H^T v, along the last axis, one factor after the other."""
        lead, result = values.shape[:-1], values
        for axis, order in enumerate(self.orders):
            parts = result.reshape(*lead, math.prod(self.orders[:axis]), order, -1)
            if order & (order - 1):
                matrix = hadamard_matrix(order).astype(np.float64)
                moved = (matrix.T if transposed else matrix) @ parts
            else:
                moved = walsh_hadamard(np.ascontiguousarray(parts.swapaxes(-1, -2))).swapaxes(-1, -2)
            result = np.ascontiguousarray(moved).reshape(*lead, -1)
        return result


@dataclass(frozen=True)
class OwnRows:
    """Orthogonal patterns (M, H W) that a file brings with it, of +1 and -1."""

    size: tuple[int, int]
    matrix: NDArray[np.int8]

    @property
    def count(self) -> int:
        """How many patterns."""
        return len(self.matrix)

    def readings(self, images: Array) -> Array:
        """V x."""
        return np.asarray(images.reshape(*images.shape[:-2], -1) @ self.matrix.T.astype(np.float64))

    def image(self, readings: Array) -> Array:
        """V^T y / N."""
        images = readings @ self.matrix.astype(np.float64) / self.matrix.shape[1]
        return np.asarray(images.reshape(*readings.shape[:-1], *self.size))

    def signed(self) -> NDArray[np.float32]:
        """The patterns."""
        return self.matrix.astype(np.float32).reshape(-1, *self.size)


def known_orders(size: tuple[int, int]) -> dict[str, HadamardRows]:
    """All rows of patterns of `size` (H, W), in the orders in which laboratories show them, by their names.

    Those of `hadamard_order_rows` where H and W are powers of two.  Else `natural`, the matrix of order H W that MATLAB
    makes, and `natural-2d`, the product of those of order H and W, where there are such; nothing where there is none.
    """
    height, width = size
    number = np.arange(height * width)
    if not (height & (height - 1) or width & (width - 1)):
        return {name: HadamardRows(size, size, rows) for name, rows in hadamard_order_rows(height, width).items()}
    found = {}
    if has_hadamard_matrix(height * width):
        core = 12 if height * width % 12 == 0 else 20
        found["natural"] = HadamardRows(size, (height * width // core, core), number)
    if has_hadamard_matrix(height) and has_hadamard_matrix(width):
        found["natural-2d"] = HadamardRows(size, size, number)
    return found


def is_sylvester(matrix: NDArray[np.int8]) -> bool:
    """Whether these rows (N, N) are Sylvester's matrix."""
    count = matrix.shape[1]
    return matrix.shape[0] == count and not count & (count - 1) and np.array_equal(matrix, sylvester_matrix(count))


def size_text(size: Sequence[int]) -> str:
    """`32 x 64`: height and width."""
    return f"{size[0]} x {size[1]}"
