"""Orders of points: every point once, neighbours after one another, and what the jumps between them are."""

import itertools
from typing import get_args

import numpy as np
import pytest

from cidesign.errors import InputError
from cidesign.export.mri.points.order import PointOrder, jumps_of_all, ordered_points
from cidesign.pattern import CartesianPoints

ORDERS = get_args(PointOrder)


def design(mask: object) -> CartesianPoints:
    whole = np.asarray(mask)
    return CartesianPoints(*whole.shape, 8, np.argwhere(whole).astype(np.int64), (0, 0), "a", "b")


def sparse(shape: tuple[int, int] = (24, 18), share: float = 0.3) -> CartesianPoints:
    return design(np.random.default_rng(3).random(shape) < share)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("segments", [None, 1, 4, 7])
def test_every_point_is_measured_once(order: PointOrder, segments: int | None) -> None:
    points = sparse()
    found = ordered_points(points, order, segments)
    assert sorted(map(tuple, found.points.tolist())) == [tuple(point) for point in points.acquired.tolist()]
    assert sum(found.sizes) == len(points.acquired) == len(found.segment_of)
    assert (np.bincount(found.segment_of) == found.sizes).all()
    if segments is not None:
        assert found.segments == segments


def test_bands_of_a_full_plane_are_passed_there_and_back() -> None:
    found = ordered_points(design(np.ones((4, 3))), "segments", 4)
    assert found.points.tolist() == [
        *([0, z] for z in (0, 1, 2)),
        *([1, z] for z in (2, 1, 0)),
        *([2, z] for z in (0, 1, 2)),
        *([3, z] for z in (2, 1, 0)),
    ]
    assert found.sizes == (3, 3, 3, 3)
    assert found.mean_jump_steps == found.largest_jump_steps == 1.0
    forth = ordered_points(design(np.ones((4, 3))), "segments", 1)
    assert forth.mean_jump_steps > 1.0


def test_rings_go_outwards_and_fans_out_and_back() -> None:
    points = sparse()
    centre = np.array(points.matrix) // 2
    rings = ordered_points(points, "centre-out", 6)
    scaled = (rings.points - centre) * np.array([1.0, 12 / 9])
    radius = np.hypot(*scaled.T)
    rise = [radius[rings.segment_of == ring] for ring in range(6)]
    assert all(inner.max() <= outer.min() + 1e-9 for inner, outer in itertools.pairwise(rise))
    fans = ordered_points(points, "radial-fan", 8)
    radius = np.hypot(*((fans.points - centre) * np.array([1.0, 12 / 9])).T)
    for fan in range(8):
        turned = np.diff(radius[fans.segment_of == fan]) * (-1) ** fan
        assert (turned >= -1e-9).all()


def test_the_number_of_segments_is_that_of_the_smallest_jumps() -> None:
    points = sparse((32, 32), 0.25)
    scattered = np.random.default_rng(0).permutation(points.acquired)
    by_chance = np.linalg.norm(np.diff(scattered, axis=0), axis=1).mean()
    for order, best in jumps_of_all(points).items():
        # About as far as neighbours are: 2 steps at R = 4.
        assert best.mean_jump_steps < 3.2 < by_chance / 4
        assert best.mean_jump_steps <= min(ordered_points(points, order, n).mean_jump_steps for n in (1, 4, 20, 60))
        jumps = np.linalg.norm(np.diff(best.points, axis=0), axis=1)
        assert best.mean_jump_steps == pytest.approx(jumps.mean())
        assert best.largest_jump_steps == jumps.max()


def test_one_point_jumps_nowhere_and_segments_need_points() -> None:
    alone = design(np.eye(3)[:, :1] @ np.eye(2)[:1])
    assert ordered_points(alone, "radial-fan").mean_jump_steps == 0.0
    with pytest.raises(InputError, match="5 segments of 1 points"):
        ordered_points(alone, "segments", 5)
