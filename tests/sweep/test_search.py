"""What a search proposes: from the folders alone, the same again after a kill, better with what it has learnt."""

import math
import statistics
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cidesign.errors import InputError
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.search import Objective, Trial, asked_after, next_points, objective_of, trials_of
from cidesign.sweep.spec import Search, spec_of

RATES = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}


def grown(sweep: Sweep, points: tuple[Point, ...]) -> Sweep:
    """The sweep with proposed points, as a driver keeps them."""
    return sweep.with_points(points)


def fail(sweep: Sweep, point: Point) -> None:
    """Let an attempt at a point fail."""
    sweep.job_path(point).mkdir(parents=True)
    sweep.begin(point)
    sweep.end(point, 1, "no memory")


def rate(point: Point) -> float:
    """The proposed rate of a point."""
    return float(str(point.values["learning_rate"]))


@pytest.mark.parametrize("maximized", [True, False])
def test_it_learns_which_way_is_better(maximized: bool) -> None:
    search = Search.model_validate({"trials": 40, "space": {**RATES, "start": ["teacher", "fresh"]}})
    told: list[Trial] = []
    off = []
    for _ in range(40):
        proposal = asked_after(search, Objective("psnr_db", maximized), told)
        off.append(abs(math.log10(float(str(proposal["learning_rate"]))) + 2.0) + (proposal["start"] == "fresh"))
        value = 30.0 - off[-1] if maximized else off[-1]
        told.append(Trial(proposal, value, failed=False))
    # The first ten are drawn at random over four decades, the last follow the best ones.
    assert statistics.median(off[-15:]) < statistics.median(off[:10]) / 2


def test_what_is_done_changes_what_is_proposed(placed: Callable[..., Sweep], write_point: Callable[..., None]) -> None:
    sweep = placed(search={"trials": 12, "space": RATES})
    sweep = grown(sweep, next_points(sweep, 11).points)
    without = next_points(sweep, 1)
    assert without.ended
    for point in sweep.points:
        write_point(sweep, point, [30.0 - (math.log10(rate(point)) + 2.0) ** 2])
    assert next_points(sweep, 1).points != without.points
    assert not next_points(grown(sweep, without.points), 1).points


def test_what_was_proposed_is_proposed_again_until_the_sweep_has_it(placed: Callable[..., Sweep]) -> None:
    sweep = placed(search={"trials": 10, "space": RATES})
    first = next_points(sweep, 2)
    assert first.points == next_points(Sweep(sweep.path), 2).points
    assert len({rate(point) for point in first.points}) == 2
    assert not first.ended
    # A driver that kept one of them, and was killed before it began: it has been proposed and counts as running.
    sweep = grown(sweep, first.points[:1])
    again = next_points(sweep, 9)
    assert again.points[0] == first.points[1]
    assert again.ended
    assert first.points[0] not in again.points
    assert len(again.points) == 9


def test_more_trials_go_on_where_fewer_ended(placed: Callable[..., Sweep]) -> None:
    sweep = placed(search={"trials": 2, "space": RATES})
    few = next_points(sweep, 8)
    assert few.ended
    assert len(few.points) == 2
    more = placed(search={"trials": 4, "space": RATES})
    assert next_points(more, 8).points[:2] == few.points


def test_a_proposal_is_judged_by_its_mean_over_the_grid(
    placed: Callable[..., Sweep], write_point: Callable[..., None]
) -> None:
    sweep = placed(search={"trials": 4, "space": RATES}, grid={"seed": [1, 2]})
    proposed = next_points(sweep, 3)
    assert [point.values["seed"] for point in proposed.points] == [1, 2] * 3
    sweep = grown(sweep, proposed.points)
    first, second, third, fourth, fifth, sixth = proposed.points
    write_point(sweep, first, [20.0])
    write_point(sweep, second, [23.0])
    write_point(sweep, third, [25.0])
    write_point(sweep, fifth, [20.0])
    fail(sweep, sixth)
    search = sweep.spec.search
    assert search is not None
    trials = trials_of(sweep, search, objective_of(sweep.spec, search))
    assert [(trial.value, trial.failed) for trial in trials] == [(21.5, False), (None, False), (None, True)]
    assert [trial.proposal for trial in trials] == [{"learning_rate": rate(one)} for one in (first, third, fifth)]
    assert fourth.values["learning_rate"] == third.values["learning_rate"]


def test_a_failed_point_is_a_trial_too(placed: Callable[..., Sweep]) -> None:
    sweep = placed(search={"trials": 2, "space": RATES})
    sweep = grown(sweep, next_points(sweep, 1).points)
    (point,) = sweep.points
    fail(sweep, point)
    proposed = next_points(sweep, 5)
    assert len(proposed.points) == 1
    assert proposed.points[0] != point


def test_choices_are_taken_as_they_are_and_each_once(placed: Callable[..., Sweep], base: dict[str, Any]) -> None:
    space = {"ladder": ["real", ["real", "4-bit"]], "channels": {"low": 4, "high": 8, "step": 4}}
    del base["channels"]
    base["teacher_epochs"] = 2
    proposed = next_points(placed(search={"trials": 20, "space": space}), 20)
    found = [(point.values["ladder"], point.values["channels"]) for point in proposed.points]
    assert sorted(map(str, found)) == sorted(
        str((ladder, channels)) for ladder in ("real", ["real", "4-bit"]) for channels in (4, 8)
    )
    assert proposed.ended


def test_what_cannot_be_trained_is_refused_and_others_are_proposed(placed: Callable[..., Sweep]) -> None:
    space = {"ladder": ["real", "no-such-ladder"], **RATES}
    proposed = next_points(placed(search={"trials": 6, "space": space}), 6)
    assert [point.values["ladder"] for point in proposed.points] == ["real"] * 6
    assert proposed.refused
    assert all("no-such-ladder" in str(one.error) for one in proposed.refused)


def test_a_space_of_nothing_that_can_be_trained_is_refused(placed: Callable[..., Sweep]) -> None:
    with pytest.raises(InputError, match="did you mean learning_rate"):
        next_points(placed(search={"trials": 5, "space": {"lerning_rate": {"low": 0.1, "high": 0.2}}}), 2)


def test_a_sweep_without_a_search_has_no_more_points(placed: Callable[..., Sweep]) -> None:
    assert next_points(placed(grid={"seed": [1]}), 2) == ((), (), True)


def test_without_optuna_the_extra_is_named(placed: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = placed(search={"trials": 2, "space": RATES})
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'cidesign\[sweep\]'"):
        next_points(sweep, 1)


def test_optuna_says_nothing_and_stays_as_it_was(
    placed: Callable[..., Sweep], capfd: pytest.CaptureFixture[str]
) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    next_points(placed(search={"trials": 12, "space": RATES}), 12)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("search", "task", "expected"),
    [
        ({}, "reconstruct", ("psnr_db", True)),
        ({"metric": "ssim"}, "reconstruct", ("ssim", True)),
        ({"metric": "psnr_db", "direction": "minimize"}, "reconstruct", ("psnr_db", False)),
        ({}, "classify", ("accuracy_percent", True)),
        ({"metric": "log_loss"}, "classify", ("log_loss", False)),
    ],
)
def test_the_objective_follows_from_task_and_metric(
    search: dict[str, Any], task: str, expected: tuple[str, bool], base: dict[str, Any]
) -> None:
    spec = spec_of({"base": {**base, "task": task}, "search": {"trials": 1, "space": RATES, **search}})
    assert spec.search is not None
    assert objective_of(spec, spec.search) == expected


def test_a_metric_that_runs_do_not_have_is_refused(placed: Callable[..., Sweep]) -> None:
    with pytest.raises(InputError, match="did you mean psnr_db"):
        next_points(placed(search={"trials": 1, "space": RATES, "metric": "psnr"}), 1)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"low": 1, "high": 1}, "low must be below high"),
        ({"low": 0, "high": 1.0, "log": True}, "begins above 0"),
        ({"low": 1.0, "high": 2.0, "step": 0.3}, "does not lead from low 1 to high 2"),
        ({"low": 1, "high": 3, "step": 0.5}, "so the step must be"),
        ({"low": 1.0, "high": 9.0, "log": True, "step": 2.0}, "no steps"),
        ({"low": "a", "high": 2.0}, "space learning_rate: low"),
        ({"low": 1.0, "high": 2.0, "lo": 1.0}, "did you mean low"),
        ([], "is empty"),
        ([1e-3, 1e-3], "stands in its list twice"),
        (1e-3, "a list of values is needed, or a range"),
    ],
)
def test_a_space_that_is_none_is_refused(space: Any, said: str, base: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=said):
        spec_of({"base": base, "search": {"trials": 1, "space": {"learning_rate": space}}})


def test_limits_written_as_whole_numbers_give_whole_numbers() -> None:
    spaces = {"a": {"low": 0, "high": 1}, "b": {"low": 0.0, "high": 1.0}, "c": {"low": 0, "high": 1.5}}
    search = Search.model_validate({"trials": 1, "space": spaces})
    assert [space.whole for space in search.space.values() if not isinstance(space, list)] == [True, False, False]
