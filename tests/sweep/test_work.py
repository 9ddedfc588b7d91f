"""One point after another in this process: trained once, recorded, and gone on with."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cidesign.cli import group
from cidesign.distill.job import Interrupted, Listener
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.locks import FolderLock
from cidesign.runs import Run
from cidesign.sweep.folder import Sweep, counts, place
from cidesign.sweep.points import points_of
from cidesign.sweep.spec import spec_of
from cidesign.sweep.work import work


def _placed(path: Path, base: dict[str, Any], **sections: Any) -> Sweep:
    spec = spec_of({"base": base, **sections})
    return place(path, spec, points_of(spec).points)


def test_teacher_then_student_then_fixed_design(tmp_path: Path, base: dict[str, Any]) -> None:
    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]}, teacher={}, compare={"fixed": ["low-pass cosines"]})
    teacher, fixed, run = sweep.points
    assert counts(sweep.states()) == {"done": 0, "running": 0, "failed": 0, "to do": 3}
    with pytest.raises(FileError, match=f"needs {teacher.name}, which is not trained yet"):
        work(sweep.path, run.name)
    assert [work(sweep.path, point.name).status for point in (teacher, run, fixed)] == ["done"] * 3
    assert {state.status for state in sweep.states().values()} == {"done"}
    trained = Run(sweep.run_path(run))
    assert trained.settings.teacher == str(sweep.run_path(teacher))
    assert trained.record.teacher_digest == Run(sweep.run_path(teacher)).record.teacher_digest
    held_against = Run(sweep.run_path(fixed))
    assert (held_against.settings.design, held_against.settings.student_epochs) == ("low-pass cosines", 2)
    assert work(sweep.path, run.name).status == "already"
    assert [attempt.exit for attempt in sweep.attempts(run)] == [0]
    assert not sweep.strangers()


def test_a_point_that_somebody_works_on_is_left_alone(tmp_path: Path, base: dict[str, Any]) -> None:
    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]})
    (point,) = sweep.points
    sweep.job_path(point).mkdir(parents=True)
    with FolderLock(sweep.job_path(point), "cidesign sweep work") as lock:
        assert work(sweep.path, point.name).status == "held"
        state = sweep.state(point)
        asked = ["sweep", "work", str(sweep.path), point.name]
        assert CliRunner().invoke(group, asked).exit_code == 0
        # Where an exit of 0 means that the point is done.
        assert CliRunner().invoke(group, [*asked, "--to-the-end"]).exit_code == 5
    assert state.status == "running"
    assert state.where is not None
    assert state.where.doing == "cidesign sweep work"
    assert lock.took_over is None
    assert sweep.state(point).status == "to do"


def test_a_sweep_is_no_run_and_says_where_its_page_is(tmp_path: Path, base: dict[str, Any]) -> None:
    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]})
    with pytest.raises(FileError, match=r"s: a sweep, not a run; .*`cidesign sweep report SPEC`"):
        Run(sweep.path)


def test_a_stopped_point_goes_on(tmp_path: Path, base: dict[str, Any]) -> None:
    class Stops(Listener):
        def step(self, report: Any) -> None:
            raise Interrupted

    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]})
    (point,) = sweep.points
    stopped = work(sweep.path, point.name, Stops())
    assert (stopped.status, stopped.exit_code) == ("stopped", 143)
    assert sweep.state(point).status == "to do"
    assert not Run(sweep.run_path(point)).complete
    assert work(sweep.path, point.name).status == "done"
    assert [attempt.exit for attempt in sweep.attempts(point)] == [143, 0]


@pytest.mark.parametrize(
    ("error", "code"), [(CidesignError("it broke"), 1), (InputError("it broke"), 2), (ValueError("it broke"), 1)]
)
def test_a_failure_is_recorded_with_its_reason(
    tmp_path: Path, base: dict[str, Any], error: Exception, code: int
) -> None:
    class Fails(Listener):
        def epoch(self, report: Any) -> None:
            raise error

    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]})
    (point,) = sweep.points
    with pytest.raises(type(error), match="it broke"):
        work(sweep.path, point.name, Fails())
    state = sweep.state(point)
    assert (state.status, state.attempts) == ("failed", 1)
    assert state.why is not None
    assert state.why.endswith("it broke")
    assert sweep.attempts(point)[-1].exit == code
    assert work(sweep.path, point.name).status == "done"
    assert sweep.state(point) == ("done", None, None, 2)


def test_a_grown_grid_keeps_what_is_there(tmp_path: Path, base: dict[str, Any]) -> None:
    small = _placed(tmp_path / "s", base, grid={"seed": [1]})
    work(small.path, small.points[0].name)
    # Another axis: the run that is there has the value that it would have had anyway.
    grown = _placed(tmp_path / "s", base, grid={"seed": [1, 2], "learning_rate": [1e-3, 3e-3]})
    assert len(grown.points) == 4
    assert counts(grown.states())["done"] == 1
    assert small.points[0].name in grown.by_name


def test_another_base_or_folder_is_refused(tmp_path: Path, base: dict[str, Any]) -> None:
    _placed(tmp_path / "s", base, grid={"seed": [1]})
    before = (tmp_path / "s" / "sweep.json").read_bytes()
    with pytest.raises(InputError, match=r"another \[base\]: images 16 there, 32 in the spec"):
        _placed(tmp_path / "s", {**base, "images": 32}, grid={"seed": [1]})
    with pytest.raises(InputError, match=r"another \[teacher\]: it has one there|it has none there"):
        _placed(tmp_path / "s", base, grid={"seed": [1]}, teacher={})
    assert (tmp_path / "s" / "sweep.json").read_bytes() == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="exists and is not a sweep"):
        _placed(tmp_path / "notes", base, grid={"seed": [1]})
    assert sorted(entry.name for entry in (tmp_path / "notes").iterdir()) == ["notes.txt"]


def test_a_point_that_there_is_not(tmp_path: Path, base: dict[str, Any]) -> None:
    sweep = _placed(tmp_path / "s", base, grid={"seed": [1]})
    with pytest.raises(InputError, match=f"no such point here; did you mean.*{sweep.points[0].name}"):
        work(sweep.path, sweep.points[0].name[:-1])
