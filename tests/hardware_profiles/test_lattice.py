"""The lattice mapping against a mirror-by-mirror computation, and against the shape it shows in real space."""

import numpy as np
import pytest

from cidesign.errors import LimitError
from cidesign.hardware_profiles.dmd.lattice import mirror_centres_columns, superpixel_grid
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles

F = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], dtype=np.uint8)


def test_diamond_centres_by_hand() -> None:
    x, y = mirror_centres_columns(load_profile("dlp4500"))
    assert x.shape == (1140, 912)
    assert (x[0, 0], y[0, 0]) == (0, 0)
    assert (x[1, 0], y[1, 0]) == (0.5, 0.5)  # odd rows lie half a column to the right, half a column down
    assert (x[2, 5], y[2, 5]) == (5, 1)
    assert (x[1139, 911], y[1139, 911]) == (911.5, 569.5)


@pytest.mark.parametrize("name", [entry.id for entry in shipped_profiles() if entry.kind == "dmd"])
@pytest.mark.parametrize("side", [4, 7, 32, 64])
def test_superpixels_are_equal_squares(name: str, side: int) -> None:
    profile = load_profile(name)
    grid = superpixel_grid(profile, side)
    counts = np.bincount(grid.index[grid.index >= 0], minlength=side * side)
    assert counts.min() == counts.max() > 0
    rows_per_column = 2 if profile.mirrors.lattice.value == "diamond_odd_right" else 1
    assert counts[0] == grid.side_columns**2 * rows_per_column
    x, y = mirror_centres_columns(profile)
    for number in (0, side - 1, side * side - 1):
        inside = grid.index == number
        for coordinate in (x[inside], y[inside]):
            assert coordinate.max() - coordinate.min() == pytest.approx(grid.side_columns, abs=1.01)


def test_superpixels_agree_with_a_slow_computation() -> None:
    profile, side = load_profile("dlp4500"), 5
    grid = superpixel_grid(profile, side)
    width = 912 // side if 912 < 570 else 570 // side
    left, top = 911.5 / 2 - side * width / 2, 569.5 / 2 - side * width / 2
    rng = np.random.default_rng(1)
    for r, c in zip(rng.integers(0, 1140, 3000), rng.integers(0, 912, 3000), strict=True):
        x, y = c + (0.5 if r % 2 else 0.0), r / 2
        i, j = int((y - top) // width), int((x - left) // width)
        wanted = i * side + j if 0 <= i < side and 0 <= j < side else -1
        assert grid.index[r, c] == wanted


@pytest.mark.parametrize("name", ["dlp4500", "dlp6500"])
def test_an_f_is_an_f_in_real_space(name: str) -> None:
    """Sampled at real positions the mirrors show the letter: not stretched, flipped or turned."""
    profile = load_profile(name)
    grid = superpixel_grid(profile, 4)
    mirrors = grid.spread(F)
    x, y = mirror_centres_columns(profile)
    middle = (x.max() / 2, y.max() / 2)
    for i in range(4):
        for j in range(4):
            at = (middle[0] + (j - 1.5) * grid.side_columns, middle[1] + (i - 1.5) * grid.side_columns)
            nearest = np.argmin((x - at[0]) ** 2 + (y - at[1]) ** 2)
            assert mirrors.flat[nearest] == F[i, j]


def test_field_is_centred() -> None:
    grid = superpixel_grid(load_profile("dlp4500"), 32)
    x, y = mirror_centres_columns(load_profile("dlp4500"))
    used = grid.index >= 0
    assert x[used].mean() == pytest.approx(911.5 / 2, abs=0.26)
    assert y[used].mean() == pytest.approx(569.5 / 2, abs=0.26)
    assert grid.side_um == pytest.approx(17 * 10.8)


def test_too_many_superpixels_name_the_limit() -> None:
    with pytest.raises(LimitError, match="1 to 570 a side"):
        superpixel_grid(load_profile("dlp4500"), 571)
