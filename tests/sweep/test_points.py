"""What a spec becomes: points with names that stay, teachers that are shared, comparisons that are made once."""

from typing import Any

import pytest

from cidesign.errors import InputError
from cidesign.sweep.points import Expanded, points_of
from cidesign.sweep.spec import spec_of


def _points(base: dict[str, Any], **sections: Any) -> Expanded:
    return points_of(spec_of({"base": base, **sections}))


def _kinds(found: Expanded) -> list[str]:
    return [point.kind for point in found.points]


def test_a_grid_has_all_combinations(base: dict[str, Any]) -> None:
    found = _points(base, grid={"seed": [1, 2], "photoelectrons": [1e4, 1e7]})
    assert [point.values for point in found.points] == [
        {"seed": seed, "photoelectrons": light} for seed in (1, 2) for light in (1e4, 1e7)
    ]
    assert not found.refused
    assert len({point.name for point in found.points}) == len({point.digest for point in found.points}) == 4
    assert [point.name.rpartition("-")[0] for point in found.points] == [
        f"seed-{seed}_photoelectrons-{light}" for seed in (1, 2) for light in ("10000", "1e+07")
    ]
    # 2 epochs of 16 images in batches of 8.
    assert {(point.steps, point.epochs) for point in found.points} == {(4, 2)}


def test_names_stay_when_the_grid_grows(base: dict[str, Any]) -> None:
    few = _points(base, grid={"seed": [1, 2]}, teacher={"seed": 9}, compare={"fixed": True})
    more = _points(base, grid={"seed": [0, 1, 2, 3]}, teacher={"seed": 9}, compare={"fixed": True})
    assert {point.name: point for point in few.points}.items() <= {point.name: point for point in more.points}.items()


def test_points_whose_teacher_is_the_same_share_it(base: dict[str, Any]) -> None:
    grid = {"ladder": ["real", "4-bit", "2-bit"], "seed": [1, 2, 3], "student_epochs": [1, 2]}
    del base["student_epochs"]
    found = _points(base, grid=grid, teacher={"seed": 9})
    teachers = [point for point in found.points if point.kind == "teacher"]
    runs = [point for point in found.points if point.kind == "run"]
    assert [point.values for point in teachers] == [{"ladder": name} for name in ("real", "4-bit", "2-bit")]
    assert len(runs) == 18
    for run in runs:
        (needed,) = (point for point in teachers if point.name in run.needs)
        assert needed.values["ladder"] == run.values["ladder"]
        assert "ladder" not in run.settings
    # A run trains its student alone: 1 or 2 epochs of 2 steps.
    assert {run.steps for run in runs} == {2, 4}
    every_seed = _points(base, grid=grid, teacher={})
    assert _kinds(every_seed).count("teacher") == 9


def test_without_the_section_each_run_has_its_own_teacher(base: dict[str, Any]) -> None:
    assert _kinds(_points(base, grid={"ladder": ["real", "4-bit"]})) == ["run", "run"]


def test_fixed_designs_are_trained_once_for_each_student(base: dict[str, Any]) -> None:
    found = _points(
        base, grid={"ladder": ["real", "4-bit"], "seed": [1, 2]}, compare={"fixed": ["low-pass cosines", "random"]}
    )
    fixed = [point for point in found.points if point.kind == "fixed"]
    assert [(point.fixed, point.values) for point in fixed] == [
        (name, {"seed": seed}) for seed in (1, 2) for name in ("low-pass cosines", "random")
    ]
    # As long as teacher and student together.
    assert {point.epochs for point in fixed} == {2}
    runs = [point for point in found.points if point.kind == "run"]
    for run in runs:
        assert set(run.beside) == {point.name for point in fixed if point.values["seed"] == run.values["seed"]}


def test_end_to_end_training_has_all_epochs_and_nothing_of_teachers(base: dict[str, Any]) -> None:
    grid = {"ladder": ["real", "4-bit"], "weight_decoder": [0.0, 0.3], "seed": [1, 2]}
    for teacher in (None, {"seed": 9, "teacher_epochs": 3}):
        sections = {} if teacher is None else {"teacher": teacher}
        found = _points(base, grid=grid, compare={"e2e": True}, **sections)
        alone = [point for point in found.points if point.kind == "e2e"]
        assert [point.values for point in alone] == [{"seed": 1}, {"seed": 2}]
        assert {point.epochs for point in alone} == {2 if teacher is None else 4}
        for run in (point for point in found.points if point.kind == "run"):
            (beside,) = (point for point in alone if point.name in run.beside)
            assert beside.values["seed"] == run.values["seed"]


def test_what_no_device_takes_is_refused_by_name(base: dict[str, Any]) -> None:
    del base["patterns"]
    found = _points(base, grid={"patterns": [6, 10_000_000], "seed": [1, 2]})
    assert [point.values["patterns"] for point in found.points] == [6, 6]
    assert [one.what for one in found.refused] == ["patterns 10000000, seed 1", "patterns 10000000, seed 2"]


def test_two_combinations_that_are_one_run(base: dict[str, Any]) -> None:
    found = _points(base, grid={"ladder": ["real", "4-bit"]}, teacher={"ladder": "real"})
    assert [str(one.error) for one in found.refused] == ["is the same run as ladder real; leave one of them out"]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"grid": {"sed": [1, 2]}}, r"sed: no such setting here; did you mean seed\?"),
        ({"grid": {"seed": []}}, r"\[grid\] seed: its list of values is empty"),
        ({}, r"\[grid\] is empty"),
        ({"grid": {"seed": [1, 1]}}, r"\[grid\] seed 1: stands in its list twice"),
        ({"grid": {"side": [8, 16]}}, r"side: is in \[base\] and varied"),
        ({"grid": {"seed": 3}}, r"grid.seed 3"),
        ({"grdi": {"seed": [1]}}, r"\[grdi\]: no such setting here; did you mean \[grid\]\?"),
        ({"grid": {"seed": [1]}, "jobs": {"retrys": 2}}, r"\[jobs\] retrys: .*did you mean retries\?"),
        ({"grid": {"seed": [1]}, "teacher": {"sied": 1}}, r"sied: no such setting here; did you mean side\?"),
        ({"grid": {"seed": [1]}, "compare": {"fixed": ["rendom"]}}, r"\[compare\] fixed rendom: .*known are random"),
        ({"grid": {"teacher": ["auto"]}}, "teacher auto: a sweep takes what its spec says"),
        ({"grid": {"ladder": ["auto"]}}, r"ladder auto: .*put the teachers into \[grid\]"),
        ({"grid": {"strategy": ["auto"]}}, r"strategy auto: .*below \[compare\]"),
        ({"grid": {"data": ["no/such/folder"]}}, "data no/such/folder: no such file or folder"),
        ({"grid": {"preset": [3]}}, "preset: a text is needed"),
    ],
)
def test_what_cannot_be_meant(base: dict[str, Any], sections: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        _points(base, **sections)


def test_a_profile_is_needed() -> None:
    with pytest.raises(InputError, match="profile: is needed"):
        spec_of({"base": {"side": 8}, "grid": {"seed": [1]}})
