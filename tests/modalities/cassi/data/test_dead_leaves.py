"""Procedural spectral images: reproducible, smooth and as correlated between bands as reflectances are."""

import numpy as np
import pytest

from cidesign.data.source import VALIDATION_SEED_OFFSET
from cidesign.errors import InputError
from cidesign.modalities.cassi.data.dead_leaves import reflectances, spectral_dead_leaves

BANDS_NM = np.linspace(450, 650, 8)


@pytest.fixture(scope="module")
def cubes() -> np.ndarray:
    return spectral_dead_leaves(480, 32, BANDS_NM, 1)


def test_same_seed_same_cubes() -> None:
    first, again, other, validation = (
        spectral_dead_leaves(6, 16, BANDS_NM, seed) for seed in (5, 5, 6, 5 + VALIDATION_SEED_OFFSET)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != validation).any()


def test_range_is_used_and_rarely_clipped(cubes: np.ndarray) -> None:
    assert cubes.shape == (480, 8, 32, 32)
    assert cubes.dtype == np.uint8
    assert 0.15 < cubes.mean() / 255 < 0.45
    assert cubes.std() / 255 > 0.1
    assert ((cubes == 0) | (cubes == 255)).mean() < 0.02


def test_few_components_explain_the_spectra(cubes: np.ndarray) -> None:
    """Measured reflectances: the first component has 85 to 98 % of the variance, three have nearly all of it."""
    spectra = cubes.transpose(1, 0, 2, 3).reshape(8, -1) / 255
    values = np.linalg.eigvalsh(np.cov(spectra))[::-1]
    share = values.cumsum() / values.sum()
    assert 0.8 < share[0] < 0.98
    assert share[2] > 0.97
    neighbours = [np.corrcoef(spectra[band], spectra[band + 1])[0, 1] for band in range(7)]
    assert min(neighbours) > 0.93


def test_bands_have_edges_in_the_same_places(cubes: np.ndarray) -> None:
    """An object ends at the same pixel in all bands: the gradients of neighbouring bands go together."""
    gradient = abs(np.diff(cubes.astype(float), axis=3))
    assert np.corrcoef(gradient[:, 3].ravel(), gradient[:, 4].ravel())[0, 1] > 0.85


def test_power_falls_like_that_of_photographs(cubes: np.ndarray) -> None:
    power = (abs(np.fft.fft2(cubes - cubes.mean(axis=(2, 3), keepdims=True))) ** 2).mean(axis=(0, 1))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32) * 32, np.fft.fftfreq(32) * 32))
    ring = [power[(frequency >= low) & (frequency < low * 1.3)].mean() for low in (2, 4, 8)]
    assert -3.2 < np.polyfit(np.log([2, 4, 8]), np.log(ring), 1)[0] < -1.6


@pytest.mark.parametrize("range_nm", [(400, 700), (400, 1000), (900, 2500)])
def test_reflectances_are_smooth_and_physical(range_nm: tuple[float, float]) -> None:
    nm = np.arange(*range_nm, 2.0)
    curves = reflectances(2000, nm, np.random.default_rng(0))
    assert curves.min() >= 0
    assert curves.max() <= 1
    # An edge of 6 nm changes by 1/24 per nm at most: nothing is as rough as noise.
    assert abs(np.diff(curves, axis=1)).max() < 0.1
    assert (np.ptp(curves, axis=1) > 0.2).mean() > 0.2  # colours,
    assert (np.ptp(curves, axis=1) < 0.05).mean() > 0.1  # and greys


def test_one_band_and_any_order() -> None:
    assert spectral_dead_leaves(2, 8, [550.0], 1).shape == (2, 1, 8, 8)
    up, down = (spectral_dead_leaves(3, 8, BANDS_NM[::step], 1) for step in (1, -1))
    np.testing.assert_array_equal(up, down[:, ::-1])


@pytest.mark.parametrize("bands", [[], [550.0, float("nan")], [-1.0], [[500.0]]])
def test_impossible_bands(bands: list[float]) -> None:
    with pytest.raises(InputError, match="positive numbers"):
        spectral_dead_leaves(1, 8, bands, 1)
