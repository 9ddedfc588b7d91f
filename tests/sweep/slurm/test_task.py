"""What a task of SLURM does with signals and with the locks of tasks that are gone."""

import os
import signal
import socket
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cidesign.sweep.work
from cidesign.errors import DeviceError, FileError, InputError
from cidesign.locks import NAME, FolderLock, Holder
from cidesign.sweep.folder import Sweep, place
from cidesign.sweep.points import points_of
from cidesign.sweep.slurm import task as slurm_task
from cidesign.sweep.slurm.queue import keep_list, mark, queue_of
from cidesign.sweep.slurm.submission import submit
from cidesign.sweep.slurm.task import MOST_STALLED, Task, held
from cidesign.sweep.spec import spec_of
from cidesign.sweep.work import Worked


@pytest.fixture
def sweep(tmp_path: Path, base: dict[str, Any]) -> Sweep:
    """A sweep of one point."""
    spec = spec_of({"base": base, "grid": {"seed": [1]}, "slurm": {"minutes": 7}, "jobs": {"retries": 1}})
    return place(tmp_path / "s", spec, points_of(spec).points)


@pytest.fixture
def requeued(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that came through to submitit's place, which leaves the program; this process is task 41_3."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    came: list[int] = []

    def leave(number: int, frame: types.FrameType | None) -> None:
        came.append(number)
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, leave)
    yield came
    signal.signal(signal.SIGUSR2, before)


def _working(monkeypatch: pytest.MonkeyPatch, does: Callable[[], Worked]) -> None:
    monkeypatch.setattr(cidesign.sweep.work, "work", lambda folder, name: does())


def test_the_signal_is_handed_on_after_the_checkpoint(
    sweep: Sweep, requeued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> Worked:
        asked: list[int] = []
        with cidesign.signals.signals_to(lambda number, frame: asked.append(number)):
            os.kill(os.getpid(), signal.SIGUSR2)
            while not asked:
                signal.sigtimedwait([], 0.01)
        assert asked == [signal.SIGTERM]
        assert requeued == []
        return Worked("stopped", "", 143)

    _working(monkeypatch, stopped)
    task = Task(sweep.path, sweep.points[0].name)
    task.stalled = 2
    with pytest.raises(SystemExit):
        task()
    assert requeued == [signal.SIGUSR2]
    assert task.stalled == 0
    again = task.checkpoint()
    assert again is not None
    assert again.function is task


def test_a_task_that_never_gets_to_its_first_step_is_given_up(
    sweep: Sweep, requeued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = sweep.points

    def told() -> Worked:
        sweep.begin(point)
        os.kill(os.getpid(), signal.SIGUSR2)
        while True:
            signal.sigtimedwait([], 0.01)

    _working(monkeypatch, told)
    task = Task(sweep.path, point.name)
    for time in range(1, MOST_STALLED + 1):
        with pytest.raises(SystemExit):
            task()
        assert len(requeued) == time
        assert (task.checkpoint() is None) == (time == MOST_STALLED)
    state = sweep.state(point)
    assert state.status == "failed"
    assert state.why == "its time was over 3 times before its first step; make [slurm] minutes (7 now) longer"


def test_a_task_that_is_cancelled_is_not_requeued(
    sweep: Sweep, requeued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled() -> Worked:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            signal.sigtimedwait([], 0.01)

    _working(monkeypatch, cancelled)
    with pytest.raises(SystemExit) as left:
        Task(sweep.path, sweep.points[0].name)()
    assert left.value.code == 143
    assert requeued == []


@pytest.mark.parametrize(("error", "tries"), [(FileError("no"), 2), (ValueError("no"), 2), (InputError("no"), 1)])
def test_what_fails_is_tried_again_where_that_can_help(
    sweep: Sweep, requeued: list[int], monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    tried = []

    def fails() -> Worked:
        tried.append(1)
        raise error

    _working(monkeypatch, fails)
    with pytest.raises(type(error), match="no"):
        Task(sweep.path, sweep.points[0].name)()
    assert len(tried) == tries


def _left_by(sweep: Sweep, host: str, pid: int) -> Path:
    """The lock of a process on another computer."""
    (point,) = sweep.points
    folder = sweep.job_path(point)
    folder.mkdir(parents=True, exist_ok=True)
    holder = Holder(doing="cidesign sweep work", host=host, pid=pid, since_utc="then", boot="another", started="1")
    (folder / NAME).write_text(holder.model_dump_json())
    return folder / NAME


def test_the_lock_of_a_task_that_slurm_knows_no_more_is_taken_over(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = sweep.points
    lock = _left_by(sweep, "node7", 812)
    monkeypatch.setattr(slurm_task, "jobs_alive", lambda: {"41_3"})
    assert held(sweep, point, "50_0")  # of whom nothing is known
    mark(sweep, point, "41_3", "node7", 811)
    assert held(sweep, point, "50_0")  # another process of that computer
    mark(sweep, point, "41_3", "node7", 812)
    assert held(sweep, point, "50_0")
    assert lock.exists()
    monkeypatch.setattr(slurm_task, "jobs_alive", set)
    assert not held(sweep, point, "50_0")
    assert not lock.exists()
    # The same task again, on another computer: SLURM has ended it there.
    monkeypatch.setattr(slurm_task, "jobs_alive", lambda: {"41_3"})
    _left_by(sweep, "node7", 812)
    assert not held(sweep, point, "41_3")
    assert sweep.state(point).status == "to do"


def test_nobody_says_of_a_task_that_it_is_gone_where_slurm_does_not_answer(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (point,) = sweep.points
    lock = _left_by(sweep, "node7", 812)
    mark(sweep, point, "41_3", "node7", 812)
    _squeue(tmp_path, monkeypatch, "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(DeviceError, match="squeue: slurm_load_jobs error: Unable to contact slurm controller; what"):
        held(sweep, point, "50_0")
    assert lock.exists()


def test_the_mark_is_of_who_works(sweep: Sweep, requeued: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    (point,) = sweep.points
    _working(monkeypatch, lambda: Worked("held", "held by another"))
    with_lock = sweep.job_path(point)
    with_lock.mkdir(parents=True)
    monkeypatch.setattr(slurm_task, "jobs_alive", set)
    with FolderLock(with_lock, "cidesign sweep work"):
        assert Task(sweep.path, point.name)() == "held by another"
        assert not (with_lock / "slurm.json").exists()
    assert Task(sweep.path, point.name)() == "held by another"
    assert f'"host": "{socket.gethostname()}"' in (with_lock / "slurm.json").read_text()
    assert '"job": "41_3"' in (with_lock / "slurm.json").read_text()


def _squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "squeue").write_text(f"#!/bin/sh\n{does}\n")
    (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


def test_the_queue_is_read_by_the_names_of_submissions(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert queue_of(sweep) == {}
    keep_list(sweep, "cidesign-s-01234567", ("a", "b", "c"))
    keep_list(sweep, "cidesign-s-89abcdef", ("d",))
    lines = [
        "41|0|cidesign-s-01234567|RUNNING|node[7-8]|None", "41|2|cidesign-s-01234567|PENDING||Dependency",
        "41|9|cidesign-s-01234567|PENDING||Priority", "42|N/A|cidesign-s-89abcdef|PENDING||Resources|more",
        "43|0|somebody else's|RUNNING|node1|None",
    ]  # fmt: skip
    _squeue(tmp_path, monkeypatch, "\n".join(f'echo "{line}"' for line in lines))
    assert queue_of(sweep) == {
        "a": ("41_0", "RUNNING", "node[7-8]", ""),
        "c": ("41_2", "PENDING", "", "Dependency"),
        "d": ("42", "PENDING", "", "Resources|more"),
    }


def test_without_slurm_or_without_its_section_nothing_is_submitted(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: dict[str, Any]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="--slurm: no sbatch, srun, squeue or scontrol on this machine; go to a login"):
        submit(sweep)
    assert not (sweep.path / "slurm").exists()
    spec = spec_of({"base": base, "grid": {"seed": [1]}})
    with pytest.raises(InputError, match=r"\[slurm\] is missing in the spec; it needs a time limit"):
        submit(place(tmp_path / "other", spec, points_of(spec).points))
