"""All points of a sweep on this machine: so many workers at once, each a process that ends with its driver."""

import os
import signal
import socket
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cidesign.distill.computing.machine import processors
from cidesign.errors import InputError, LimitError
from cidesign.locks import FolderLock
from cidesign.signals import exit_code_of, signals_to
from cidesign.sweep.folder import State, Sweep, place
from cidesign.sweep.planning import Plan
from cidesign.sweep.point import Point
from cidesign.text import counted

RUN = "cidesign sweep run"
POLL_S, TICK_S = 0.05, 1.0
# What trying again does not help: what was asked for, and a limit.
PERMANENT = (InputError.exit_code, LimitError.exit_code)


class Slot(NamedTuple):
    """One of the workers: its number, the GPU that it has (None: all that there are), and its share of the threads."""

    number: int
    gpu: str | None
    threads: int


class Job(NamedTuple):
    """A worker at work."""

    point: Point
    slot: Slot
    process: subprocess.Popen[bytes]
    since: float


class Watcher:
    """What a driver tells; override what is to be shown."""

    def started(self, sweep: Sweep, job: Job) -> None:
        """A point is worked on."""

    def ended(self, sweep: Sweep, job: Job, state: State, again: bool) -> None:
        """A worker has ended; `again`: its point is tried once more."""

    def tick(self, sweep: Sweep, jobs: Sequence[Job], left: int) -> None:
        """Time passes; `left` points wait."""

    def remark(self, text: str) -> None:
        """Something that the user should know."""


# More points of a sweep, up to so many proposals, and whether its search has ended.
Propose = Callable[[Sweep, int], tuple[tuple[Point, ...], bool]]


class Ran(NamedTuple):
    """Where all points stand in the end, and the signal that stopped the driver, if one did."""

    sweep: Sweep
    states: dict[str, State]
    stopped_by: int | None

    @property
    def exit_code(self) -> int:
        """0 unless a point failed, or a signal ended it."""
        if self.stopped_by is not None:
            return exit_code_of(self.stopped_by)
        return int(any(state.status == "failed" for state in self.states.values()))


def run_here(
    plan: Plan,
    workers: int = 1,
    gpus: Sequence[str] = (),
    watcher: Watcher | None = None,
    propose: Propose | None = None,
) -> Ran:
    """Train all points of a plan that are not done, `workers` at once; those that failed before are tried again.

    Whatever ends it, the same call goes on: finished runs stay, begun ones resume from their checkpoints.  With `gpus`
    each worker has one of them.  Raises as `Plan.require` does, and `HeldError` where another driver works on it.
    """
    slots = slots_of(workers, gpus)
    plan.require(len(slots))
    plan.path.mkdir(parents=True, exist_ok=True)
    with FolderLock(plan.path, RUN):
        sweep = place(plan.path, plan.spec, plan.points)
        driver = _Driver(sweep, slots, watcher or Watcher(), propose)
        with signals_to(driver.on_signal):
            stopped_by = driver.drive()
        return Ran(driver.sweep, driver.sweep.states(), stopped_by)


def slots_of(workers: int, gpus: Sequence[str] = ()) -> list[Slot]:
    """The workers with their GPUs, in turn, and an equal share of the processors; raises `InputError`."""
    if workers < 1:
        raise InputError(f"workers {workers}: 1 or more are needed")
    _require_gpus(gpus)
    most = processors()
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, min(most, int(allowed) if allowed.isdecimal() else most) // workers)
    return [Slot(number + 1, gpus[number % len(gpus)] if gpus else None, share) for number in range(workers)]


def _require_gpus(gpus: Sequence[str]) -> None:
    if not gpus:
        return
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for gpu in gpus:
        if not gpu.isdecimal() or int(gpu) >= there:
            seen = f"torch sees {', '.join(map(str, range(there)))}" if there else "torch sees no GPU"
            raise InputError(f"gpus {','.join(gpus)}: {gpu} is none of this machine's; {seen} here")


class _Driver:
    """Which points are worked on, wait, are done, or are given up."""

    def __init__(self, sweep: Sweep, slots: list[Slot], watcher: Watcher, propose: Propose | None) -> None:
        self.sweep, self._slots, self._watcher, self._propose = sweep, slots, watcher, propose
        self._jobs: list[Job] = []
        self._tries: Counter[str] = Counter()
        self._done = {name for name, state in sweep.states().items() if state.status == "done"}
        self._waiting = [point for point in sweep.points if point.name not in self._done]
        self._given_up: set[str] = set()
        self._elsewhere: list[Point] = []
        self._stopped_by: int | None = None
        self._at_once = False

    def on_signal(self, number: int, frame: types.FrameType | None) -> None:
        """Stop; a second Ctrl-C does so without checkpoints."""
        self._at_once = self._stopped_by is not None and number == signal.SIGINT
        self._stopped_by = self._stopped_by or number

    def drive(self) -> int | None:
        """Work until nothing is left that can be; returns the signal that stopped it."""
        told = 0.0
        try:
            while self._stopped_by is None:
                self._reap()
                self._fill()
                if not self._jobs and self._propose is None and not self._may_come():
                    break
                if time.monotonic() - told >= TICK_S:
                    told = time.monotonic()
                    self._watcher.tick(self.sweep, self._jobs, len(self._waiting))
                time.sleep(POLL_S)
        finally:
            self._stop()
        return self._stopped_by

    def _state(self, point: Point) -> State:
        state = self.sweep.state(point)
        if state.status == "done":
            self._done.add(point.name)
        return state

    def _fill(self) -> None:
        """Give points to the workers that have none."""
        busy = {job.slot.number for job in self._jobs}
        for slot in self._slots:
            if slot.number not in busy and (point := self._next()) is not None:
                self._start(point, slot)
        if len(self._jobs) < len(self._slots) and not self._waiting and self._propose is not None:
            self._ask_for_more(self._propose)

    def _ask_for_more(self, propose: Propose) -> None:
        points, ended = propose(self.sweep, len(self._slots) - len(self._jobs))
        if ended:
            self._propose = None
        if points:
            self.sweep = self.sweep.with_points(points)
            self._waiting += points

    def _next(self) -> Point | None:
        """The first point that can be worked on; what is done meanwhile, or held elsewhere, is put aside."""
        for point in list(self._waiting):
            if set(point.needs) & self._given_up:
                self._waiting.remove(point)
                self._given_up.add(point.name)
                self._watcher.remark(f"{point.name}: left out, since {point.needs[0]} failed")
                continue
            if not self._can_begin(point):
                continue
            self._waiting.remove(point)
            status = self._state(point).status
            if status == "running":
                self._elsewhere.append(point)
            elif status != "done":
                return point
        return None

    def _may_come(self) -> bool:
        """Whether something held elsewhere may become free soon; a worker of a killed driver ends in a moment."""
        here = False
        for point in list(self._elsewhere):
            where = self._state(point).where
            if where is None:
                self._elsewhere.remove(point)
                self._waiting.append(point)
            here = here or (where is not None and where.host == socket.gethostname())
        return here or any(self._can_begin(point) for point in self._waiting)

    def _can_begin(self, point: Point) -> bool:
        return self._done.issuperset(point.needs)

    def _start(self, point: Point, slot: Slot) -> None:
        log = self.sweep.log(point)
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "cidesign", "sweep", "work", str(self.sweep.path), point.name, "--leashed"]
        with log.open("ab") as stream:
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=_environment(slot), process_group=0
            )
        job = Job(point, slot, process, time.monotonic())
        self._jobs.append(job)
        self._watcher.started(self.sweep, job)

    def _reap(self) -> None:
        for job in list(self._jobs):
            code = job.process.poll()
            if code is None:
                continue
            self._jobs.remove(job)
            if job.process.stdin is not None:
                job.process.stdin.close()
            self._judge(job, code)

    def _judge(self, job: Job, code: int) -> None:
        """What has become of a point whose worker ended."""
        point = job.point
        if code != 0 and self._stopped_by is None and self._state(point).status != "done":
            self._note_end(job, code)
        state = self._state(point)
        again = False
        if code == 0 and state.status != "done":
            self._elsewhere.append(point)
        elif state.status != "done" and self._stopped_by is None:
            self._tries[point.name] += 1
            again = code not in PERMANENT and self._tries[point.name] <= self.sweep.spec.jobs.retries
            if again:
                self._waiting.insert(0, point)
            else:
                self._given_up.add(point.name)
        self._watcher.ended(self.sweep, job, state, again)

    def _note_end(self, job: Job, code: int) -> None:
        """Record the end of a worker that could not do so itself."""
        attempts = self.sweep.attempts(job.point)
        if attempts and attempts[-1].pid == job.process.pid and attempts[-1].ended_utc is not None:
            return
        self.sweep.end(job.point, code, _why(code, self.sweep.log(job.point)), job.process.pid)

    def _stop(self) -> None:
        """Ask all workers for a checkpoint and wait for them."""
        if self._jobs and self._stopped_by is not None:
            self._watcher.remark(f"stopping {counted(len(self._jobs), 'worker')}; a second Ctrl-C does so at once")
        asked = killed = False
        while self._jobs:
            if not asked or (self._at_once and not killed):
                for job in self._jobs:
                    _end(job, self._at_once)
                asked, killed = True, self._at_once
            self._reap()
            time.sleep(POLL_S)


def _end(job: Job, at_once: bool) -> None:
    """End a worker with all that it started; it is asked for a checkpoint first, unless it has to be `at_once`.

    On Windows nothing can be asked: the worker alone is ended, and what it wrote last is its checkpoint.
    """
    if sys.platform == "win32":
        job.process.terminate()
        return
    try:
        os.killpg(job.process.pid, signal.SIGKILL if at_once else signal.SIGTERM)
    except ProcessLookupError:
        return


def _why(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{' (memory ran out, or somebody killed it)' * (name == 'SIGKILL')}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:500] if said else f"left with {code}"


def _environment(slot: Slot) -> dict[str, str]:
    """Threads and GPU of a worker."""
    found = {**os.environ, "OMP_NUM_THREADS": str(slot.threads), "MKL_NUM_THREADS": str(slot.threads)}
    if slot.gpu is not None:
        visible = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
        found["CUDA_VISIBLE_DEVICES"] = visible[int(slot.gpu)] if visible else slot.gpu
    return found
