"""Hadamard matrices of power-of-two order: the fast transform, their rows as square patterns, and orders of them."""

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError


def sylvester_matrix(order: int) -> NDArray[np.int8]:
    """The Sylvester matrix H[k, j] = (-1)**popcount(k & j) of a power-of-two order, +1 and -1."""
    index = np.arange(order)
    parity = np.bitwise_count(index[:, None] & index[None, :]) & 1
    matrix: NDArray[np.int8] = 1 - 2 * parity.astype(np.int8)
    return matrix


# First rows below the row of ones, and first columns, of the two smallest matrices that are not Sylvester's.
_CORE_12 = "--+---+++-+"
_CORE_20 = "--++----+-+-++++--+"


def hadamard_matrix(order: int) -> NDArray[np.int8]:
    """The Hadamard matrix of an order 2^k, 12 2^k or 20 2^k, +1 and -1, as MATLAB's `hadamard` has it.

    Sylvester's, or Paley's of order 12 and 20 doubled as [H H; H -H].  Row 0 is all +1.  Raises `InputError` for other
    orders: there are such matrices for most multiples of 4, but no one form of them.
    """
    for core in (1, 12, 20):
        doubled, rest = divmod(order, core)
        if order > 0 and not rest and not doubled & (doubled - 1):
            return np.kron(sylvester_matrix(doubled), _core(core)).astype(np.int8)
    raise InputError(f"no Hadamard matrix of order {order} is known here; 2^k, 12 2^k and 20 2^k are")


def has_hadamard_matrix(order: int) -> bool:
    """Whether `hadamard_matrix` makes one of this order."""
    return order > 0 and any(order % core == 0 and not order // core & (order // core - 1) for core in (1, 12, 20))


def _core(order: int) -> NDArray[np.int8]:
    matrix = np.ones((order, order), dtype=np.int8)
    if order > 1:
        signs = np.array([1 if mark == "+" else -1 for mark in (_CORE_12 if order == 12 else _CORE_20)], dtype=np.int8)
        number = np.arange(order - 1)
        # MATLAB: toeplitz of order 12 (each row moved to the right), hankel of order 20 (to the left).
        shifts = number[:, None] - number if order == 12 else number[:, None] + number
        matrix[1:, 1:] = signs[shifts % (order - 1)]
    return matrix


def walsh_hadamard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """H v for the Sylvester matrix H, by the fast transform, along the last axis; v (..., N), N a power of two."""
    result = values.astype(np.float64)
    half = 1
    while half < values.shape[-1]:
        pairs = result.reshape(-1, 2, half)
        result = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
        half *= 2
    return result.reshape(values.shape)


def hadamard_rows(side: int, rows: NDArray[np.intp]) -> NDArray[np.int8]:
    """Rows of the Sylvester matrix of order side**2 as patterns (len(rows), side, side) of +1 and -1.

    Row side * i + j is the outer product of the rows i and j of the matrix of order `side`, a power of two.
    """
    line = sylvester_matrix(side)
    down, across = np.divmod(np.asarray(rows), side)
    patterns: NDArray[np.int8] = line[down][:, :, None] * line[across][:, None, :]
    return patterns


def sequency_order(side: int) -> NDArray[np.intp]:
    """Row numbers of the Sylvester matrix of order side**2 from the coarsest pattern to the finest.

    A pattern is placed by the sum of its vertical and horizontal sign changes, ties by the vertical ones, then by its
    row number.  Raises `InputError` when `side` is not a power of two.
    """
    vertical, horizontal = _sign_changes(side)
    return np.lexsort((np.arange(side * side), vertical, vertical + horizontal))


def cake_cutting_order(side: int) -> NDArray[np.intp]:
    """Row numbers of the Sylvester matrix of order side**2, fewest connected pieces of one sign first.

    A pattern with v vertical and h horizontal sign changes is a cake of (v + 1)(h + 1) pieces (corners do not
    connect); ties by its row number.  Raises `InputError` when `side` is not a power of two.  Source: Yu, "Super
    Sub-Nyquist Single-Pixel Imaging by Means of Cake-Cutting Hadamard Basis Sort", Sensors 19, 4122 (2019).
    """
    vertical, horizontal = _sign_changes(side)
    return np.argsort((vertical + 1) * (horizontal + 1), kind="stable")


def hadamard_order_rows(height: int, width: int | None = None) -> dict[str, NDArray[np.intp]]:
    """Orders in which laboratories show all H W patterns of H x W: row numbers of the Sylvester matrix, by their names.

    natural            the Sylvester matrix
    sequency, dyadic   Walsh and Paley order of the rows of H W elements (MATLAB `fwht`), reshaped to pictures
    sequency-2d        rows of the pattern grid by vertical sign changes, columns by horizontal ones, row by row
    zigzag             the diagonals of that grid, to and fro
    diagonal           its diagonals, all from the top; `sequency_order`
    total-variation    by vertical and horizontal sign changes together, ties by row number; -isotropic: by the sum of
                       the lengths of forward differences
    cake-cutting       by the number of pieces, ties by row number; -2d: ties by vertical sign changes

    Without a width the patterns are square.  A transposed order gives the transposed image and is not listed.  Raises
    `InputError` when a side is not a power of two.
    """
    width = height if width is None else width
    vertical, horizontal = _sign_changes(height, width)
    number = np.arange(height * width)
    bits = (height * width).bit_length() - 1
    down, across = np.argsort(vertical[::width]), np.argsort(horizontal[:width])
    both = vertical + horizontal
    along = np.where(both % 2 == 0, vertical, horizontal)
    # A pattern has v W + h H places where it changes, v h of them in both directions at once.
    length = np.round(width * vertical + height * horizontal - (2 - 2**0.5) * vertical * horizontal, 6)
    pieces = (vertical + 1) * (horizontal + 1)
    return {
        "natural": number,
        "sequency": _reversed_bits(number ^ (number >> 1), bits),
        "dyadic": _reversed_bits(number, bits),
        "sequency-2d": (width * down[:, None] + across).reshape(-1),
        "zigzag": np.lexsort((along, both)),
        "diagonal": np.lexsort((number, vertical, both)),
        "total-variation": np.argsort(both, kind="stable"),
        "total-variation-isotropic": np.argsort(length, kind="stable"),
        "cake-cutting": np.argsort(pieces, kind="stable"),
        "cake-cutting-2d": np.lexsort((vertical, pieces)),
    }


def _reversed_bits(numbers: NDArray[np.intp], bits: int) -> NDArray[np.intp]:
    reverse = np.zeros_like(numbers)
    for bit in range(bits):
        reverse = (reverse << 1) | ((numbers >> bit) & 1)
    return reverse


def require_power_of_two(side: int) -> None:
    """Raise `InputError` when there are no Hadamard patterns of side x side."""
    if side < 1 or side & (side - 1):
        raise InputError(f"Hadamard patterns need a side that is a power of two, not {side}")


def _sign_changes(height: int, width: int | None = None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How often each of the H W patterns changes sign from top to bottom, and from left to right."""
    width = height if width is None else width
    for side in (height, width):
        require_power_of_two(side)
    down, across = (
        np.count_nonzero(np.diff(sylvester_matrix(side), axis=1), axis=1).astype(np.intp) for side in (height, width)
    )
    return np.repeat(down, width), np.tile(across, height)
