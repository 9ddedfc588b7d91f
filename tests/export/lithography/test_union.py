"""The union of slanted shapes: what many of them draw together, whatever their number and order."""

import numpy as np
import pytest

gdstk = pytest.importorskip("gdstk", reason="the extra 'gds' is not installed")

from cidesign.export.aperture.gds.union import AT_ONCE, united  # noqa: E402 - after the skip


def _area(corners: np.ndarray, sizes: np.ndarray) -> float:
    return float(sum(gdstk.Polygon(one).area() for one in np.split(corners, np.cumsum(sizes)[:-1])))


@pytest.mark.parametrize("count", [5, AT_ONCE + 1, 5 * AT_ONCE])
def test_a_chain_of_overlapping_diamonds_is_one_outline(count: int) -> None:
    # Diamonds of half-diagonal 10 nm, 4 nm apart: each further one adds its area less the overlap, a diamond of
    # half-diagonal 10 - 4 / 2.
    order = np.random.default_rng(count).permutation(count)
    diamond = np.array([[10.0, 0], [0, 10], [-10, 0], [0, -10]])
    corners = (4.0 * order[:, None, None] * [1, 0] + diamond).reshape(-1, 2)
    found, sizes = united(corners, np.full(count, 4))
    assert len(sizes) == 1
    assert found[:, 0].min() == -10
    assert found[:, 0].max() == 4 * (count - 1) + 10
    assert _area(found, sizes) == pytest.approx(200 + (count - 1) * (200 - 128), rel=1e-9)


def test_shapes_apart_stay_apart() -> None:
    count = 3 * AT_ONCE
    diamond = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    places = 5.0 * np.stack(np.meshgrid(np.arange(48), np.arange(32)), axis=-1).reshape(-1, 1, 2)
    found, sizes = united((places + diamond).reshape(-1, 2), np.full(count, 4))
    assert sizes.tolist() == [4] * count
    assert _area(found, sizes) == pytest.approx(2 * count)
