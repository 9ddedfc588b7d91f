"""Patterns to compare with."""

import numpy as np
import pytest
from scipy.linalg import hadamard

from cidesign.errors import InputError
from cidesign.reconstruct.baselines import hadamard_low_sequency, random_patterns


def test_coarsest_first() -> None:
    patterns = hadamard_low_sequency(8, 20)
    changes = [
        int(np.count_nonzero(np.diff(pattern[0]))) + int(np.count_nonzero(np.diff(pattern[:, 0])))
        for pattern in patterns
    ]
    assert changes == sorted(changes)
    assert np.array_equal(patterns[0], np.ones((8, 8)))
    everything = hadamard_low_sequency(8, 64).reshape(64, 64)
    assert {tuple(row) for row in everything} == {tuple(row) for row in hadamard(64).astype(np.float32)}
    assert np.array_equal(everything[:20], patterns.reshape(20, 64))


def test_ties_are_broken_the_same_way() -> None:
    """One change: first left to right (no vertical change), then top to bottom."""
    _, second, third = hadamard_low_sequency(4, 3)
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
        hadamard_low_sequency(12, 4)
    for count in (0, 17):
        with pytest.raises(InputError, match="16 unknowns"):
            hadamard_low_sequency(4, count)
        with pytest.raises(InputError, match="16 unknowns"):
            random_patterns(4, count, 0)
