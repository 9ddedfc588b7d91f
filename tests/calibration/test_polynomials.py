"""Legendre polynomials over pixels, fields and time."""

import numpy as np
import pytest
from numpy.polynomial import legendre

from cidesign.calibration.polynomials import over_pixels, over_span, smooth_fields


def test_over_pixels() -> None:
    x = np.array([-1, -0.5, 0, 0.5, 1])
    assert over_pixels(5, 2) == pytest.approx(np.stack([np.ones(5), x, 1.5 * x**2 - 0.5], axis=1))
    assert over_pixels(1, 2) == pytest.approx(np.array([[1, 0, -0.5]]))


def test_over_a_span() -> None:
    at = np.array([0.0, 2.0, 3.0, 8.0])
    assert np.array_equal(over_span(at, 8.0, 3), legendre.legvander(at / 4 - 1, 3))


def test_fields_are_by_rising_total_degree_and_the_first_is_constant() -> None:
    fields = smooth_fields((4, 6), 2)
    y, x = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 6), indexing="ij")
    second = [1.5 * x**2 - 0.5, y * x, 1.5 * y**2 - 0.5]
    assert fields == pytest.approx(np.stack([np.ones((4, 6)), x, y, *second]))
    assert len(smooth_fields((9, 9), 4)) == 15
    assert np.linalg.matrix_rank(smooth_fields((9, 9), 4).reshape(15, -1)) == 15
