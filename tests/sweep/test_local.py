"""The driver of one machine, with real workers: killed, stopped, and gone on with, nothing is lost or done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.locks import HeldError
from cidesign.runs import Run
from cidesign.sweep import local, planning
from cidesign.sweep.folder import State, Sweep, place
from cidesign.sweep.handle import SweepHandle, handle_of
from cidesign.sweep.local import Job, Watcher, slots_of
from cidesign.sweep.takes import metrics_of

# An epoch is two steps and a checkpoint: so many last long enough to be killed among them.
EPOCHS = 30
# Far more than any of it takes, on the slowest machine.
LONGEST_S = 120.0


def _until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def _trained_once(sweep: Sweep) -> None:
    """Every point is done, and none of its epochs stands twice in its metrics."""
    for point in sweep.points:
        assert sweep.state(point).status == "done"
        Run(sweep.run_path(point)).require_complete()
        lines = [(line["phase"], line["epoch"]) for line in metrics_of(sweep, point)]
        assert len(lines) == len(set(lines)) == point.epochs
        assert not list(sweep.run_path(point).glob("**/.*.partial"))


class _Log(Watcher):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []

    def ended(self, sweep: Sweep, job: Job, state: State, again: bool) -> None:
        self.told.append((job.point.name, state.status, again))


def test_a_killed_worker_is_replaced(tmp_path: Path, base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Kills(_Log):
        killed = 0

        def tick(self, sweep: Sweep, jobs: Sequence[Job], left: int) -> None:
            for job in jobs:
                if not self.killed and metrics_of(sweep, job.point):
                    self.killed = job.process.pid
                    os.killpg(self.killed, signal.SIGKILL)

    monkeypatch.setattr(local, "TICK_S", 0.05)
    spec = {"base": {**base, "student_epochs": EPOCHS}, "grid": {"seed": [1, 2]}}
    watcher = Kills()
    ran = handle_of(spec, tmp_path / "s").run(workers=2, watcher=watcher)
    assert watcher.killed
    assert ran.exit_code == 0
    _trained_once(ran.sweep)
    (again,) = [name for name, status, again in watcher.told if again]
    first, second = ran.sweep.attempts(ran.sweep.point(again))
    assert (first.pid, first.exit, second.exit) == (watcher.killed, -9, 0)
    assert first.error == "ended by SIGKILL (memory ran out, or somebody killed it)"
    # The same call again finds nothing to do.
    before = [attempt for point in ran.sweep.points for attempt in ran.sweep.attempts(point)]
    assert handle_of(tmp_path / "s").run().exit_code == 0
    assert [attempt for point in ran.sweep.points for attempt in ran.sweep.attempts(point)] == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_ends_takes_its_workers_with_it(number: int, tmp_path: Path, base: dict[str, Any]) -> None:
    """Killed, or stopped by Ctrl-C: the workers write their checkpoints, and another driver goes on from there."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**base, "student_epochs": 1_000}.items()]
    spec = tmp_path / "tiny.toml"
    spec.write_text("[base]\n" + "\n".join(lines) + "\n[grid]\nseed = [1]\n")
    words = [sys.executable, "-m", "cidesign", "sweep", "run", str(spec), "--workers", "1"]
    driver = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE)
    folder = tmp_path / "runs" / "tiny"
    _until(lambda: bool(list(folder.glob("points/*/metrics.jsonl"))))
    sweep = Sweep(folder)
    assert {state.status for state in sweep.states().values()} == {"running"}
    with pytest.raises(HeldError, match="in use by `cidesign sweep run`"):
        SweepHandle(sweep.spec, folder).run()
    workers = [state.where.pid for state in sweep.states().values() if state.where is not None]
    driver.send_signal(number)
    _, said = driver.communicate(timeout=LONGEST_S)
    assert driver.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number == signal.SIGINT:
        assert b"stopping 1 worker;" in said
        assert f"next: cidesign sweep run {spec} --workers 1".encode() in said
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert {state.status for state in sweep.states().values()} == {"to do"}
    for point in sweep.points:
        assert [attempt.exit for attempt in sweep.attempts(point)] == [143]
        assert list(sweep.run_path(point).glob("checkpoint/*"))


def test_a_point_that_fails_leaves_the_others_alone(tmp_path: Path, base: dict[str, Any]) -> None:
    spec = {"base": base, "grid": {"seed": [1, 2]}, "jobs": {"retries": 0}}
    handle = handle_of(spec, tmp_path / "s")
    broken, sound = handle.plan().points
    damaged = tmp_path / "s" / broken.place
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text("{")
    with pytest.raises(FileError, match="exists and is not a sweep"):
        handle.run()
    shutil.rmtree(tmp_path / "s")
    plan = handle.plan()
    place(plan.path, plan.spec, plan.points)
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text("{")
    watcher = _Log()
    ran = handle.run(watcher=watcher)
    assert ran.exit_code == 1
    assert watcher.told == [(broken.name, "failed", False), (sound.name, "done", False)]
    why = ran.states[broken.name].why
    assert why is not None
    assert "not readable JSON" in why


def test_a_search_is_run_to_its_end(tmp_path: Path, base: dict[str, Any]) -> None:
    """Proposals become points as workers are free, each with all values of the grid; a later call proposes no more."""
    pytest.importorskip("optuna")
    del base["student_epochs"]
    spec = {"base": base, "grid": {"seed": [1]}, "search": {"trials": 2, "space": {"student_epochs": [1, 2]}}}
    handle = handle_of(spec, tmp_path / "s")
    assert handle.plan().lines()[-1].startswith("search: 2 proposals of 1 run each")
    ran = handle.run(workers=2)
    assert sorted(point.values["student_epochs"] for point in ran.sweep.points if point.kind == "run") == [1, 2]
    _trained_once(ran.sweep)
    again = handle.run()
    assert again.sweep.points == ran.sweep.points
    assert [len(again.sweep.attempts(point)) for point in again.sweep.points] == [1, 1]


def test_what_cannot_be_run_starts_nothing(
    tmp_path: Path, base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "s"
    spec: dict[str, Any] = {"base": base, "grid": {"seed": [1]}}

    def refused(kind: type[CidesignError], said: str, spec: dict[str, Any], **how: Any) -> None:
        with pytest.raises(kind, match=said):
            handle_of(spec, where).run(**how)
        assert not where.exists()

    refused(
        LimitError,
        "1 point cannot be trained: exposure_us 0.5: .*nothing was started",
        {"base": base, "grid": {"exposure_us": [5000.0, 0.5]}},
    )
    refused(InputError, "gpus 0: 0 is none of this machine's; torch sees no GPU here", spec, gpus=[0])
    refused(
        InputError,
        r"\[grid\] has 10000 points \(10000 seed\); repeat with --yes",
        {**spec, "grid": {"seed": list(range(10_000))}},
    )
    monkeypatch.setattr(planning, "free_bytes", lambda: 1_000_000_000)
    refused(LimitError, r"workers 3: each takes up to .* and 1 GB are free; use 1", spec, workers=3)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    refused(LimitError, r"the runs take about .* of disk, and 1 kB are free there", spec)


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [slot.threads for slot in slots_of(3)] == [2, 2, 2]
    assert [slot.threads for slot in slots_of(20)] == [1] * 20
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert [slot.threads for slot in slots_of(2)] == [2, 2]
    with pytest.raises(InputError, match="workers 0: 1 or more"):
        slots_of(0)
