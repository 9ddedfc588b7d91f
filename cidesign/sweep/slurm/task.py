"""One point of a sweep as a task of SLURM, which submitit starts: stopped before its time limit, it is requeued."""

import contextlib
import logging
import os
import signal
import socket
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cidesign.errors import InputError, LimitError
from cidesign.locks import HeldError, refuse_held, remove_left
from cidesign.signals import Ended, break_off, signals_to
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.slurm.queue import job_of, jobs_alive, mark

if TYPE_CHECKING:  # an extra
    from submitit.helpers import DelayedSubmission

    from cidesign.sweep.work import Worked

# A task that has been stopped so often before its first step would be for ever.
MOST_STALLED = 3
# Each process of a job of SLURM has this in its environment.
IN_SLURM = "SLURM_JOB_ID"


class Task:
    """What submitit pickles and calls: the point `name` of the sweep in `folder`.

    submitit's handler of the signal that comes before the time limit asks for `checkpoint`, requeues the task and
    leaves, wherever the program is.  So that the step is finished first, the signal ends the work as SIGTERM does, and
    is handed on to submitit afterwards.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.stalled = 0

    def __call__(self) -> str:
        """Work on the point; returns one line, or leaves with the exit code of a signal."""
        sweep = Sweep(self.folder)
        point = sweep.point(self.name)
        take_over(sweep, point)
        stop = _BeforeTheEnd()
        with stop, signals_to(break_off):
            try:
                # Only now: until this module is loaded the signal would end the task where it is, and torch takes long.
                from cidesign.sweep.work import work

                worked = _tried(work, sweep, point)
            except Ended as ended:  # nothing was trained yet
                code = ended.exit_code
                self.stalled += 1
            else:
                if worked.status != "stopped":
                    return worked.said
                code = worked.exit_code
                self.stalled = 0
        if stop.told and self.stalled >= MOST_STALLED:
            self._give_up(sweep, point, code)
        if stop.told:
            stop.hand_on()
        raise SystemExit(code)

    def checkpoint(self) -> "DelayedSubmission | None":
        """What submitit requeues; None where that has been to no purpose."""
        from submitit.helpers import DelayedSubmission

        return None if self.stalled >= MOST_STALLED else DelayedSubmission(self)

    def _give_up(self, sweep: Sweep, point: Point, code: int) -> None:
        limit = "" if sweep.spec.slurm is None else f" ({sweep.spec.slurm.minutes} now)"
        times = f"{MOST_STALLED} times before its first step"
        if sweep.attempts(point):
            sweep.end(point, code, f"its time was over {times}; make [slurm] minutes{limit} longer")


class _BeforeTheEnd:
    """The signal that SLURM sends before the time limit: it ends the work as SIGTERM does, and is kept for submitit."""

    def __init__(self) -> None:
        # As submitit has it.
        self.number = signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]
        self.told = False

    def __enter__(self) -> None:
        self._before = signal.signal(self.number, self._on_signal)

    def __exit__(self, *raised: object) -> None:
        signal.signal(self.number, self._before)

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        self.told = True
        signal.raise_signal(signal.SIGTERM)

    def hand_on(self) -> None:
        """Give the signal to whom it was for; submitit does not come back from it."""
        if callable(self._before):
            self._before(self.number, None)


def _this_job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ[IN_SLURM]


def take_over(sweep: Sweep, point: Point) -> None:
    """Record that this task of SLURM works on a point, unless somebody else does."""
    job = _this_job()
    if not held(sweep, point, job):
        sweep.job_path(point).mkdir(parents=True, exist_ok=True)
        mark(sweep, point, job, socket.gethostname(), os.getpid())


def _tried(work: Callable[[Path, str], "Worked"], sweep: Sweep, point: Point) -> "Worked":
    """Work on a point, as often as [jobs] retries says where trying again can help."""
    for _ in range(sweep.spec.jobs.retries):
        try:
            return work(sweep.path, point.name)
        except (InputError, LimitError):
            raise
        except Exception:
            logging.getLogger("submitit").exception("%s failed; trying again", point.name)
    return work(sweep.path, point.name)


def held(sweep: Sweep, point: Point, job: str | None = None) -> bool:
    """Whether somebody works on a point.

    The lock of a process on another computer cannot be told from one left behind; of a task of SLURM it can: it is left
    behind where SLURM knows that task no more, or where the task begins again here, as `job`.  Then it is removed.
    """
    for folder in (sweep.job_path(point), sweep.run_path(point)):
        with contextlib.suppress(FileNotFoundError):
            try:
                refuse_held(folder)
            except HeldError as error:
                there = error.holder
                task = None if there is None else job_of(sweep, point, there)
                if there is None or task is None or (task != job and task in jobs_alive()):
                    return True
                remove_left(folder, there)
    return False
