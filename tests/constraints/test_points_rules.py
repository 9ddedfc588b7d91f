"""The budget of points: the ellipse, the calibration region, what it checks and what it refuses."""

import numpy as np
import pytest

from cidesign.constraints.points import PointBudget, elliptical_radius
from cidesign.errors import LimitError
from cidesign.pattern import CartesianPoints

SCANNER = ("mri-generic-3t", "ab" * 32)


def test_the_ellipse_by_hand() -> None:
    """6 x 4: half axes of 3 lines and 2 partitions, the centre at line 3, partition 2."""
    budget = PointBudget(6, 4, 8, (2, 2))
    allowed = [
        "0 0 1 0",
        "0 1 1 1",
        "0 1 1 1",
        "1 1 1 1",
        "0 1 1 1",
        "0 1 1 1",
    ]
    wanted = np.array([[int(number) for number in row.split()] for row in allowed], dtype=bool)
    assert np.array_equal(~budget.never, wanted)
    assert budget.most == 17
    assert np.argwhere(budget.always).tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]]
    assert not PointBudget(6, 4, 8, (2, 2), elliptical=False).never.any()
    assert elliptical_radius((6, 4))[1, 3] == pytest.approx(((2 / 3) ** 2 + 0.25) ** 0.5)


def test_corners_are_a_fifth_of_a_large_matrix() -> None:
    budget = PointBudget(256, 192, 4096, (24, 24))
    assert budget.most / budget.always.size == pytest.approx(np.pi / 4, rel=0.01)
    assert budget.acceleration == 12


def _budget(**changes: object) -> PointBudget:
    values = {"lines": 6, "partitions": 4, "acquired": 6, "calibration": (2, 2), "elliptical": True, **changes}
    return PointBudget(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"acquired": 3},
            "budget of 3 points: the calibration region of 2 x 2 alone has 4; choose 4 to 17 points, R = ",
        ),
        (
            {"acquired": 18},
            r"budget of 18 points: the 6 x 4 matrix has 17, corners .*\(elliptical = false .*choose 4 to",
        ),
        ({"acquired": 25, "elliptical": False}, "the 6 x 4 matrix has 24; choose 4 to 24"),
        ({"calibration": (0, 0), "acquired": 0}, "choose 1 to 17 points"),
        ({"calibration": (6, 4)}, "6 x 4 points: 7 of them are corners of the 6 x 4 matrix outside the ellipse"),
        ({"calibration": (7, 2)}, "calibration region of 7 x 2 points: the matrix has 6 x 4"),
        ({"calibration": (2, -1)}, "calibration region of 2 x -1"),
    ],
)
def test_impossible_budgets_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(LimitError, match=said) as caught:
        _budget(**changes)
    assert "\n" not in str(caught.value)


def _points(chosen: list[list[int]], matrix: tuple[int, int] = (6, 4)) -> CartesianPoints:
    return CartesianPoints(*matrix, 8, np.array(chosen, dtype=np.int64), (0, 0), *SCANNER)


CENTRE = [[2, 1], [2, 2], [3, 1], [3, 2]]


@pytest.mark.parametrize(
    ("chosen", "name", "value", "limit"),
    [
        ([[0, 2], *CENTRE], "point budget", "5 points", "exactly 6 of 6 x 4 points"),
        ([[0, 2], [1, 1], *CENTRE, [4, 1]], "point budget", "7 points", "exactly 6 of 6 x 4 points"),
        ([[0, 2], [1, 1], *CENTRE[:3], [4, 1]], "calibration region", "1 missing, the first at 3 2", "2 x 2 central"),
        ([[0, 0], *CENTRE, [5, 0]], "elliptical corners", "2 measured, the first at 0 0", "no point outside"),
    ],
)
def test_every_rule_is_named_with_value_and_limit(chosen: list[list[int]], name: str, value: str, limit: str) -> None:
    (found,) = _budget().check(_points(chosen))
    assert (found.name, found.value, found.status) == (name, value, "failed")
    assert str(found.limit).startswith(limit)
    assert "\n" not in str(found)


def test_fitting_points_break_nothing_and_another_matrix_is_named() -> None:
    fitting = [[0, 2], *CENTRE, [5, 3]]
    assert _budget().check(_points(fitting)) == []
    (found,) = _budget().check(_points(fitting, (7, 4)))
    assert (found.name, found.value) == ("matrix", "7 x 4 points")
    assert [one.name for one in _budget().check(_points([[0, 0]]))] == [
        "point budget", "calibration region", "elliptical corners",
    ]  # fmt: skip


def test_chosen_points_become_a_trajectory() -> None:
    chosen = np.zeros((6, 4), dtype=bool)
    chosen[tuple(np.transpose([[0, 2], *CENTRE, [5, 3]]))] = True
    found = _budget().trajectory(chosen, 12, *SCANNER)
    assert found.acquired.tolist() == [[0, 2], *CENTRE, [5, 3]]
    assert (found.matrix, found.readout, found.calibration) == ((6, 4), 12, (2, 2))
    assert np.array_equal(found.mask.astype(bool), chosen)
