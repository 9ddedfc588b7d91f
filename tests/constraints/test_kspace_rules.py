"""The line budget: what it checks, what it refuses, and accelerations that are whole lines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.constraints.kspace import LineBudget, count_for
from cidesign.errors import InputError, LimitError
from cidesign.pattern import CartesianLines


def _trajectory(acquired: list[int], lines: int = 16, calibration: int = 0) -> CartesianLines:
    return CartesianLines(lines, 16, np.array(acquired, dtype=np.int64), calibration, "mri-generic-3t", "")


def test_a_fitting_trajectory_breaks_nothing() -> None:
    assert LineBudget(16, 4, 2).check(_trajectory([2, 7, 8, 13], calibration=2)) == []


@pytest.mark.parametrize(
    ("trajectory", "rule", "value", "limit"),
    [
        (_trajectory([2, 7, 8]), "line budget", "3 lines", "exactly 4 of 16 lines"),
        (_trajectory([2, 7, 8, 9, 13]), "line budget", "5 lines", "exactly 4 of 16 lines"),
        (_trajectory([2, 6, 8, 13]), "calibration lines", "missing 7", "2 central lines"),
        (_trajectory([1, 2, 3, 4]), "calibration lines", "missing 7, 8", "2 central lines"),
        (_trajectory([2, 7, 8, 13], lines=15), "matrix", "15 lines", "16"),
    ],
)
def test_every_rule_is_named_with_value_and_limit(
    trajectory: CartesianLines, rule: str, value: str, limit: str
) -> None:
    (found,) = LineBudget(16, 4, 2).check(trajectory)
    assert (found.name, found.value, found.limit) == (rule, value, limit)
    assert "\n" not in str(found)


def test_all_broken_rules_are_reported() -> None:
    assert [found.name for found in LineBudget(16, 4, 2).check(_trajectory([0], lines=12))] == [
        "matrix", "line budget", "calibration lines",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "acquired", "calibration", "said"),
    [
        (16, 0, 0, "budget of 0 lines: the matrix has 16; choose 1 to 16"),
        (16, 17, 0, "budget of 17 lines"),
        (16, 4, 5, "5 calibration lines do not fit a budget of 4 lines of 16; use 0 to 4, .* at most 3.2"),
        (16, 4, -1, "-1 calibration lines"),
    ],
)
def test_impossible_budgets_are_refused(lines: int, acquired: int, calibration: int, said: str) -> None:
    with pytest.raises(LimitError, match=said):
        LineBudget(lines, acquired, calibration)


def test_acceleration_counts_calibration_lines() -> None:
    assert LineBudget(128, 32, 10).acceleration == 4
    assert LineBudget(10, 4, 2).acceleration == 2.5


@pytest.mark.parametrize(("lines", "r", "acquired"), [(128, 4, 32), (10, 2.5, 4), (64, 64, 1), (7, 1, 7)])
def test_whole_numbers_of_lines(lines: int, r: float, acquired: int) -> None:
    assert count_for(lines, r) == acquired


@pytest.mark.parametrize(
    ("lines", "r", "said"),
    [
        (64, 3, r"21\.33 lines; 21 lines give R = 3\.048 and 22 lines R = 2\.909: choose with --lines 21 or 22"),
        (128, 5, r"25\.6 lines; 25 lines give R = 5\.12 and 26 lines R = 4\.923"),
        (10, 4, r"2\.5 lines; 2 lines give R = 5 and 3 lines R = 3\.333"),
    ],
)
def test_other_accelerations_name_both_neighbours(lines: int, r: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        count_for(lines, r)


@given(lines=st.integers(1, 512), r=st.floats(1, 512))
def test_any_acceleration_is_exact_or_refused(lines: int, r: float) -> None:
    if abs(lines / r - round(lines / r)) <= 1e-6:
        assert lines / count_for(lines, r) == pytest.approx(r, rel=1e-5)
    else:
        with pytest.raises(InputError, match="choose with --lines"):
            count_for(lines, r)


@pytest.mark.parametrize(
    ("calibration", "end"),
    [(8, "use 0 to 4, or an acceleration of at most 2"), (17, "use 0 to 4"), (-1, "use 0 to 4")],
)
def test_the_way_out_of_a_budget_is_one(calibration: int, end: str) -> None:
    with pytest.raises(LimitError) as caught:
        LineBudget(16, 4, calibration)
    assert str(caught.value).endswith(end)
