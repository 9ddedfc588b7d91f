"""Fixed single-pixel patterns."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import hadamard

from cidesign.errors import InputError
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns, low_frequency_cosines, random_patterns

ORDERS: Any = ["natural", "sequency", "cake-cutting"]


@pytest.mark.parametrize("order", ORDERS)
def test_hadamard_patterns_are_the_basis(order: Any) -> None:
    patterns = hadamard_patterns(8, 20, order)
    assert patterns.dtype == np.float32
    assert np.array_equal(patterns[0], np.ones((8, 8)))
    assert np.array_equal(patterns.reshape(20, 64) @ patterns.reshape(20, 64).T, 64 * np.eye(20))
    everything = hadamard_patterns(8, 64, order).reshape(64, 64)
    assert {tuple(row) for row in everything} == {tuple(row) for row in hadamard(64).astype(np.float32)}
    assert np.array_equal(everything[:20], patterns.reshape(20, 64))


def test_hadamard_orders_differ() -> None:
    natural, sequency, cake = (hadamard_patterns(8, 64, order) for order in ORDERS)
    assert np.array_equal(natural.reshape(64, 64), hadamard(64))
    changes = [np.count_nonzero(np.diff(p[0])) + np.count_nonzero(np.diff(p[:, 0])) for p in sequency]
    assert changes == sorted(changes)
    pieces = [(1 + np.count_nonzero(np.diff(p[0]))) * (1 + np.count_nonzero(np.diff(p[:, 0]))) for p in cake]
    assert pieces == sorted(pieces)
    assert not np.array_equal(sequency, cake)


def test_sequency_ties_are_broken_the_same_way() -> None:
    """One change: first left to right (no vertical change), then top to bottom."""
    _, second, third = hadamard_patterns(4, 3, "sequency")
    assert second[0].tolist() == [1, 1, -1, -1]
    assert third[:, 0].tolist() == [1, 1, -1, -1]


def test_random_patterns() -> None:
    patterns = random_patterns(16, 100, seed=3)
    assert set(np.unique(patterns)) == {-1.0, 1.0}
    assert abs(patterns.mean()) < 4 / 160
    assert np.array_equal(patterns, random_patterns(16, 100, seed=3))
    assert not np.array_equal(patterns, random_patterns(16, 100, seed=4))


def test_impossible_requests() -> None:
    with pytest.raises(InputError, match="power of two, not 12"):
        hadamard_patterns(12, 4, "natural")
    wrong: Any = "walsh"
    with pytest.raises(InputError, match="'walsh' is unknown; choose one of natural, sequency, cake-cutting"):
        hadamard_patterns(8, 4, wrong)
    for count in (0, 17):
        for make in (
            lambda count: hadamard_patterns(4, count, "sequency"),
            lambda count: random_patterns(4, count, 0),
            lambda count: low_frequency_cosines(4, count),
        ):
            with pytest.raises(InputError, match="16 unknowns"):
                make(count)
