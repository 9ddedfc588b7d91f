"""Procedural images: reproducible, different per seed, and with the statistics they are made for."""

import numpy as np
import pytest
import torch

from cidesign.data.procedural import dead_leaves
from cidesign.data.source import VALIDATION_SEED_OFFSET
from cidesign.physics.linear_inverse import fit_prior


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return dead_leaves(1500, 32, 1)


def test_same_seed_same_images() -> None:
    np.testing.assert_array_equal(dead_leaves(20, 16, 5), dead_leaves(20, 16, 5))


def test_other_seeds_and_validation_differ() -> None:
    first, second, validation = (dead_leaves(20, 16, seed) for seed in (5, 6, 5 + VALIDATION_SEED_OFFSET))
    assert (first != second).any()
    assert (first != validation).any()


def test_grey_range_is_used_and_rarely_clipped(images: np.ndarray) -> None:
    assert images.dtype == np.uint8
    assert images.shape == (1500, 32, 32)
    assert 0.3 < images.mean() / 255 < 0.6
    assert images.std() / 255 > 0.15
    assert ((images == 0) | (images == 255)).mean() < 0.08


def test_power_falls_like_that_of_photographs(images: np.ndarray) -> None:
    """Power falls as 1/f^alpha with alpha near 2 (Field 1987); from f = 2 to 16 cycles at least 40-fold."""
    variance = fit_prior(torch.tensor(images).float()[:, None] / 255).variance[0].numpy()
    frequency = np.hypot(*np.mgrid[0:32, 0:32])
    ring = [variance[(frequency >= low) & (frequency < low * 1.3)].mean() for low in (2, 4, 8, 16)]
    slope = np.polyfit(np.log([2, 4, 8, 16]), np.log(ring), 1)[0]
    assert -3.2 < slope < -1.6


def test_edges_are_heavy_tailed(images: np.ndarray) -> None:
    """Gradients of occluding objects are sparse: their kurtosis is far above a Gaussian's 3."""
    gradient = np.diff(images.astype(float), axis=2)
    assert (gradient**4).mean() / (gradient**2).mean() ** 2 > 8


def test_no_direction_is_preferred(images: np.ndarray) -> None:
    x = images.astype(float)
    ratio = (np.diff(x, axis=1) ** 2).mean() / (np.diff(x, axis=2) ** 2).mean()
    assert 0.7 < ratio < 1.4
