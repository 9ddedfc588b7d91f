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
    places, pixels, weights = [], [], []
    for below, beside in product((0, 1), repeat=2):
        row, column = first_row + below, first_column + beside
        weight = (part_row if below else 1 - part_row) * (part_column if beside else 1 - part_column)
        read = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1]) & (weight > 0)
        places.append(np.flatnonzero(read))
        pixels.append((row * shape[1] + column)[read])
        weights.append(weight[read])
    entries = np.concatenate(weights), (np.concatenate(places), np.concatenate(pixels))
    return csr_matrix(entries, shape=(rows.size, shape[0] * shape[1]))
