"""Bilinear weights, against scipy's interpolation of the same images."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cidesign.calibration.interpolation import bilinear

IMAGE = np.random.default_rng(1).normal(size=(5, 7))


def test_an_image_is_read_as_scipy_reads_it_off_its_grid_as_well() -> None:
    rng = np.random.default_rng(2)
    rows, columns = rng.uniform(-2, 6, 400), rng.uniform(-2, 8, 400)
    read = bilinear(rows, columns, (5, 7)) @ IMAGE.ravel()
    assert read == pytest.approx(map_coordinates(IMAGE, (rows, columns), order=1, mode="grid-constant"), abs=1e-12)
    inside = (rows >= 0) & (rows <= 4) & (columns >= 0) & (columns <= 6)
    total = np.asarray(bilinear(rows, columns, (5, 7)).sum(axis=1)).ravel()
    assert total[inside] == pytest.approx(1)
    assert total[(rows <= -1) | (columns >= 7)] == pytest.approx(0)


def test_at_the_centres_of_pixels_it_is_the_image_itself() -> None:
    rows, columns = (axis.ravel().astype(float) for axis in np.mgrid[:5, :7])
    weights = bilinear(rows, columns, (5, 7))
    assert weights.nnz == 35
    assert np.array_equal(weights @ IMAGE.ravel(), IMAGE.ravel())
