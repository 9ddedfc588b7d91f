"""Bilinear interpolation between the centres of pixels, as a sparse matrix."""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Vector = NDArray[np.float64]


def bilinear(rows: Vector, columns: Vector, shape: tuple[int, int]) -> csr_matrix:
    """Weights (P, H W) with which an image (H, W), 0 off its grid, is read at places (P,); pixel centres are whole."""
    first_row, first_column = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    part_row, part_column = rows - first_row, columns - first_column
    weights, pixels = np.empty((rows.size, 4)), np.empty((rows.size, 4), dtype=np.int64)
    # In the order of the pixels' numbers, as the matrix has them.
    for corner, (below, beside) in enumerate(product((0, 1), repeat=2)):
        row, column = first_row + below, first_column + beside
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        weight = (part_row if below else 1 - part_row) * (part_column if beside else 1 - part_column)
        weights[:, corner], pixels[:, corner] = weight * inside, row * shape[1] + column
    read = weights > 0
    ends = np.concatenate([[0], np.cumsum(read.sum(axis=1))])
    return csr_matrix((weights[read], pixels[read], ends), shape=(rows.size, shape[0] * shape[1]))
