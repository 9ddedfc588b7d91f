"""Hadamard matrices against SciPy's, and the orders of their rows by hand and by counting."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.linalg import hadamard

from cidesign.errors import InputError
from cidesign.pattern.hadamard import (
    cake_cutting_order,
    hadamard_rows,
    sequency_order,
    sylvester_matrix,
    walsh_hadamard,
)


def test_the_transform_is_scipys_matrix() -> None:
    values = np.random.default_rng(0).normal(size=64)
    assert walsh_hadamard(values) == pytest.approx(hadamard(64) @ values)
    assert np.array_equal(sylvester_matrix(32), hadamard(32))
    assert np.array_equal(hadamard_rows(8, np.arange(64)).reshape(64, 64), hadamard(64))
    some = np.array([37, 2, 63])
    assert np.array_equal(hadamard_rows(8, some).reshape(3, 64), hadamard(64)[some])


def test_sequency_order_by_hand() -> None:
    """Order 4: rows of H4 change sign 0, 3, 1, 2 times.  Sum, then vertical changes, then row number."""
    changes = [0, 3, 1, 2]
    wanted = sorted(range(16), key=lambda row: (changes[row // 4] + changes[row % 4], changes[row // 4], row))
    assert sequency_order(4).tolist() == wanted
    assert sequency_order(4)[:4].tolist() == [0, 2, 8, 3]
    first = hadamard_rows(4, sequency_order(4)[:3])
    assert first[1].tolist() == [[1, 1, -1, -1]] * 4  # one change from left to right
    assert first[2].tolist() == [[1] * 4, [1] * 4, [-1] * 4, [-1] * 4]  # one from top to bottom


def test_cake_cutting_counts_connected_pieces() -> None:
    """The number of pieces as an image library labels them (four neighbours), rising; ties by row number."""
    order = cake_cutting_order(8)
    assert sorted(order.tolist()) == list(range(64))
    pieces = [int(ndimage.label(p > 0)[1] + ndimage.label(p < 0)[1]) for p in hadamard_rows(8, np.arange(64))]
    assert order.tolist() == sorted(range(64), key=lambda row: (pieces[row], row))
    # 1 x 4 and 4 x 1 pieces stand beside 2 x 2: not the order of the summed sign changes.
    assert order.tolist() != sequency_order(8).tolist()


@pytest.mark.parametrize("side", [0, 12, -4])
def test_sides_without_hadamard_patterns(side: int) -> None:
    for order in (sequency_order, cake_cutting_order):
        with pytest.raises(InputError, match=f"power of two, not {side}"):
            order(side)
