"""Procedural MR slices and coils: reproducible, in range, with the spectrum of anatomy and physical smoothness."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.mri.kspace import centred_fft
from cidesign.data.source import VALIDATION_SEED_OFFSET
from cidesign.errors import InputError
from cidesign.modalities.mri.data.images import read_slices
from cidesign.modalities.mri.data.matrix import on_matrix
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices

REAL = Path(__file__).parents[4].parent / "shared" / "data" / "mri" / "chris_t1.nii.gz"


def _complex(slices: np.ndarray) -> np.ndarray:
    return slices[:, 0].astype(np.float32) + 1j * slices[:, 1].astype(np.float32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return _complex(phantom_slices(150, 96, 1))


def test_same_seed_same_slices() -> None:
    first, again, other, validation = (phantom_slices(4, 32, seed) for seed in (5, 5, 6, 5 + VALIDATION_SEED_OFFSET))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != validation).any()
    assert first.dtype == np.float16
    assert len({one.tobytes() for one in first}) == 4


def test_largest_magnitude_is_one(images: np.ndarray) -> None:
    largest = abs(images).max(axis=(1, 2))
    assert largest.max() <= 1
    assert largest.min() > 0.998


def test_body_in_dark_air(images: np.ndarray) -> None:
    assert 0.25 < (abs(images) > 0.05).mean() < 0.6
    corners = abs(images)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).mean() > 0.95
    # In the field of view: hardly any signal at its border.
    assert (abs(images)[:, [0, -1]] > 0.05).mean() < 0.02


def _ring_power(images: np.ndarray) -> np.ndarray:
    side = images.shape[-1]
    power = abs(np.fft.fft2(images, norm="ortho")) ** 2
    power /= power.sum(axis=(1, 2), keepdims=True)
    at = np.fft.fftfreq(side) * side
    frequency = np.hypot(at[:, None], at)
    rings = [power[:, (frequency >= low) & (frequency < 1.3 * low)].mean(axis=1) for low in (4, 8, 16, 32)]
    return np.log(np.array(rings))


def _slope(images: np.ndarray) -> float:
    return float(np.polyfit(np.log([4, 8, 16, 32]), _ring_power(images).mean(axis=1), 1)[0])


def test_power_falls_as_that_of_anatomy(images: np.ndarray) -> None:
    """T1 slices of a head at 128 x 128: power falls as 1/f^2.2 to 1/f^2.4 from 4 to 48 cycles."""
    assert -2.8 < _slope(images) < -2.0


@pytest.mark.skipif(not REAL.is_file(), reason="the shared head is not here")
def test_power_against_a_real_head(images: np.ndarray) -> None:
    real = _complex(read_slices(REAL, 96, 100, 10, 1).train)
    assert _slope(images) == pytest.approx(_slope(real), abs=0.5)

    def outside_centre_db(slices: np.ndarray) -> float:
        lines = (abs(np.fft.fftshift(np.fft.fft2(slices), axes=1)) ** 2).sum(axis=2)
        return float(10 * np.log10(1 - (lines[:, 36:60].sum(axis=1) / lines.sum(axis=1)).mean()))

    assert outside_centre_db(images) == pytest.approx(outside_centre_db(real), abs=3)


def test_no_axis_is_preferred(images: np.ndarray) -> None:
    ratio = (abs(np.diff(images, axis=1)) ** 2).sum() / (abs(np.diff(images, axis=2)) ** 2).sum()
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize(("coils", "side"), [(1, 16), (4, 31), (8, 64), (32, 48)])
def test_coils_are_normalised_smooth_and_around_the_body(coils: int, side: int) -> None:
    maps = coil_maps(coils, side, 3)
    assert maps.dtype == np.complex64
    assert maps.shape == (coils, side, side)
    np.testing.assert_allclose((abs(maps) ** 2).sum(axis=0), 1, rtol=1e-5)
    inside = slice(side // 8, -(side // 8))
    steps = abs(np.diff(maps[:, inside, inside], axis=1)).max()
    assert steps < 20 / side
    if coils > 1:
        places = {np.unravel_index(abs(one).argmax(), one.shape) for one in maps}
        assert len(places) > coils / 2
        assert np.linalg.matrix_rank(maps.reshape(coils, -1), tol=1e-3) == coils


def test_coils_same_seed_same_maps() -> None:
    np.testing.assert_array_equal(coil_maps(3, 16, 1), coil_maps(3, 16, 1))
    assert (coil_maps(3, 16, 1) != coil_maps(3, 16, 2)).any()


@pytest.mark.parametrize("coils", [0, 129])
def test_impossible_numbers_of_coils(coils: int) -> None:
    with pytest.raises(InputError, match="1 to 128"):
        coil_maps(coils, 16, 1)


@pytest.mark.parametrize("size", [(24, 16), (16, 24), (15, 24)])
def test_slices_on_a_matrix_that_is_not_square(size: tuple[int, int]) -> None:
    """The middle of k-space is that of the square slice, all of whose lines and samples the larger axis keeps."""
    square = phantom_slices(3, 24, 5)
    found = on_matrix(square, size).astype(np.float64)
    whole, cut = (values[:, 0] + 1j * values[:, 1] for values in (square.astype(np.float64), found))
    k, wanted = centred_fft(cut, (-2, -1)), centred_fft(whole, (-2, -1))
    top, left = 12 - size[0] // 2, 12 - size[1] // 2
    wanted = wanted[:, top : top + size[0], left : left + size[1]]
    factor = np.vdot(wanted[0], k[0]) / np.vdot(wanted[0], wanted[0])
    np.testing.assert_allclose(k[0], factor * wanted[0], atol=2e-2)
    assert abs(factor.imag) < 1e-3
    assert np.abs(cut).max() <= 1
    np.testing.assert_array_equal(on_matrix(square, (24, 24)), square)


def test_coil_maps_on_a_matrix_that_is_not_square() -> None:
    maps, square = coil_maps(4, 16, 3, 48), coil_maps(4, 16, 3)
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(axis=0), 1, atol=1e-5)
    # Every third column of three times as many lies where one of the square maps does.
    np.testing.assert_allclose(maps[:, :, 1::3], square, atol=1e-5)
