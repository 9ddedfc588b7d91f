"""Where a scan lies in the scanner, from the directions of its header."""

import numpy as np
import pytest

from cidesign.calibration.mri.place import place_of


@pytest.mark.parametrize(("vertical", "horizontal"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("lines", "samples"), [(8, 6), (7, 9)])
def test_a_flipped_image_keeps_the_middle_of_its_field_of_view(
    lines: int, samples: int, vertical: bool, horizontal: bool
) -> None:
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    place = place_of([np.array([3.0, -4.0, 5.0]), *axes.T], (90.0, 160.0, 4.0))
    assert place is not None
    picture = np.zeros((lines, samples))
    picture[lines // 2, samples // 2] = 1  # where the transform of k-space leaves the middle
    picture = picture[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    row, column = np.argwhere(picture)[0]
    affine = place.affine(lines, samples, vertical, horizontal)
    np.testing.assert_allclose((affine @ [column, row, 0, 1])[:3], [-3, 4, 5], atol=1e-9)
    np.testing.assert_allclose(affine[:3, 1] * lines / 160, axes[:, 1] * [-1, -1, 1], atol=1e-9)


def test_directions_that_are_none_leave_the_place_unknown() -> None:
    axes = list(np.eye(3))
    assert place_of([np.zeros(3), *axes], None) is None
    assert place_of([np.zeros(3), axes[0], axes[0], axes[2]], (1.0, 1.0, 1.0)) is None
    assert place_of([np.zeros(3), *np.zeros((3, 3))], (1.0, 1.0, 1.0)) is None
    assert place_of([np.full(3, np.nan), *axes], (1.0, 1.0, 1.0)) is None
