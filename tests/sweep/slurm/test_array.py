"""Points on a real SLURM: arrays through submitit, told before their time limit, requeued and gone on with."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.errors import InputError
from cidesign.sweep.folder import Sweep, place
from cidesign.sweep.points import points_of
from cidesign.sweep.slurm.queue import Queued, queue_of
from cidesign.sweep.slurm.submission import submit
from cidesign.sweep.spec import spec_of
from cidesign.sweep.work import work

WITHIN_S = 240


@pytest.fixture
def placed(tmp_path: Path, base: dict[str, Any]) -> Callable[..., Sweep]:
    """A sweep of runs that train for some seconds, in many epochs."""

    def make(name: str = "s", **sections: Any) -> Sweep:
        spec = spec_of({"base": {**base, "threads": 1, "student_epochs": 50}, "slurm": {"minutes": 60}, **sections})
        return place(tmp_path / name, spec, points_of(spec).points)

    return make


def _until(what: Callable[[], Any]) -> Any:
    """The first answer that is true; how long that may take is no matter of these tests."""
    until = time.monotonic() + WITHIN_S
    while not (answer := what()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return answer


def _trains(sweep: Sweep, name: str) -> bool:
    metrics = sweep.run_path(sweep.point(name)) / "metrics.jsonl"
    return metrics.exists() and b'"student"' in metrics.read_bytes()


def _told(job: str) -> bool:
    """Whether SLURM told a task what it tells before a time limit; one that has just ended cannot be told any more."""
    command = ["scancel", "--signal=USR2", job]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0 or "already complet" in said.stderr, said.stderr
    return said.returncode == 0


def _states(sweep: Sweep) -> set[str]:
    return {state.status for state in sweep.states().values()}


def _weights(sweep: Sweep, name: str) -> bytes:
    return (sweep.run_path(sweep.point(name)) / "student.safetensors").read_bytes()


def test_an_array_is_throttled_told_requeued_and_ends_with_the_same_bits(
    slurm: None, placed: Callable[..., Sweep], has_ended: Callable[[Sweep], bool]
) -> None:
    # The time limit comes with a signal up to half a minute earlier, whenever SLURM looks: at any run, or at none.
    sections: dict[str, Any] = {"grid": {"seed": [1, 2, 3, 4, 5, 6]}, "slurm": {"minutes": 1, "throttle": 2}}
    sweep = placed(**sections)
    names = tuple(point.name for point in sweep.points)
    (array,) = submit(sweep).arrays
    assert array.points == names
    queue: dict[str, Queued] = queue_of(sweep)
    assert [queue[name].job for name in names] == [f"{array.job}_{index}" for index in range(6)]
    again = submit(sweep)
    assert (again.done, set(again.queued), again.arrays) == (0, set(names), ())

    most, told = 0, set()

    def ended() -> bool:
        nonlocal most
        queue = queue_of(sweep)
        running = [name for name, one in queue.items() if one.state == "RUNNING"]
        most = max(most, len(running))
        trained = [name for name in running if _trains(sweep, name)]
        if trained and not _requeued(sweep):
            assert sweep.state(sweep.point(trained[0])).status in ("running", "done")  # it may end between two looks
            assert queue[trained[0]].where
            if _told(queue[trained[0]].job):
                told.add(trained[0])
        if not queue and _states(sweep) != {"done"}:  # told while it was being loaded: the same command again
            assert submit(sweep).arrays
        return has_ended(sweep)

    _until(ended)
    assert most == min(2, os.cpu_count() or 1)
    assert (submit(sweep).done, submit(sweep).arrays) == (6, ())
    assert told
    stopped = _requeued(sweep)
    assert stopped
    assert {exits[-1] for exits in map(_exits_of(sweep), names)} == {0}

    # Uninterrupted, in this process.
    other = placed("other", **sections)
    assert work(other.path, stopped[0]).status == "done"
    assert _weights(sweep, stopped[0]) == _weights(other, stopped[0])


def _exits_of(sweep: Sweep) -> Callable[[str], list[int | None]]:
    return lambda name: [attempt.exit for attempt in sweep.attempts(sweep.point(name))]


def _requeued(sweep: Sweep) -> list[str]:
    return [point.name for point in sweep.points if 143 in _exits_of(sweep)(point.name)]


def test_teachers_come_first_and_their_requeue_does_not_let_others_begin(
    slurm: None, placed: Callable[..., Sweep], base: dict[str, Any], has_ended: Callable[[Sweep], bool]
) -> None:
    sweep = placed(
        grid={"student_epochs": [1, 2]}, teacher={"teacher_epochs": 50},
        base={name: value for name, value in base.items() if name != "student_epochs"} | {"threads": 1, "seed": 1},
    )  # fmt: skip
    teacher, *runs = sweep.points
    first, then = submit(sweep).arrays
    assert first.points == (teacher.name,)
    assert then.points == tuple(run.name for run in runs)
    assert then.after == (first.job,)
    _until(lambda: (sweep.run_path(teacher) / "metrics.jsonl").exists())
    assert {queue_of(sweep)[run.name].why for run in runs} == {"Dependency"}
    assert _told(first.job)
    _until(lambda: queue_of(sweep)[teacher.name].state == "PENDING")
    assert {queue_of(sweep)[run.name].why for run in runs} == {"Dependency"}
    assert _states(sweep) == {"to do"}
    _until(lambda: has_ended(sweep))
    assert [attempt.exit for attempt in sweep.attempts(teacher)][-2:] == [143, 0]
    assert [[attempt.exit for attempt in sweep.attempts(run)][-1] for run in runs] == [0, 0]


def test_what_slurm_refuses_is_one_line_and_leaves_nothing(slurm: None, placed: Callable[..., Sweep]) -> None:
    sweep = placed(grid={"seed": [1, 2]}, slurm={"minutes": 1, "partition": "no such thing"})
    with pytest.raises(InputError, match=r"sbatch refuses this: .*partition.*; change \[slurm\] in the spec"):
        submit(sweep)
    assert queue_of(sweep) == {}
    assert not list((sweep.path / "slurm").glob("*.points.json"))
