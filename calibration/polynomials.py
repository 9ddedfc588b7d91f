"""Legendre polynomials: what is smooth over a field of pixels, and slow in time."""

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Basis = NDArray[np.float64]


def over_span(values: NDArray[np.float64], span: float, degree: int) -> Basis:
    """P_0 .. P_degree (M, degree + 1) at values (M,) from 0 to `span`."""
    return np.asarray(legendre.legvander(2 * values / span - 1, degree), dtype=np.float64)


def over_pixels(count: int, degree: int) -> Basis:
    """P_0 .. P_degree (count, degree + 1) at pixels, -1 at the first one and 1 at the last; at 0 for a single one."""
    at = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
    return np.asarray(legendre.legvander(at, degree), dtype=np.float64)


@lru_cache(maxsize=4)
def smooth_fields(shape: tuple[int, int], degree: int) -> Basis:
    """P_i(y) P_j(x) with i + j <= degree (M, H, W), by rising total degree: the first one is constant.

    Fits ask again and again for the same ones, which nobody may write to.
    """
    rows, columns = (over_pixels(count, degree).T for count in shape)
    pairs = sorted(((i, j) for i in range(degree + 1) for j in range(degree + 1 - i)), key=sum)
    fields = np.stack([np.outer(rows[i], columns[j]) for i, j in pairs])
    fields.setflags(write=False)
    return fields
