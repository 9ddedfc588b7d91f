"""`cidesign sweep run --slurm`: submitit gives SLURM arrays of the points that are to do, and the driver is done.

The folders of the sweep say what is done, SLURM's queue what is on its way; nothing else is kept, so that the same
command again submits what is missing.
"""

import contextlib
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cidesign.errors import InputError, LimitError, first_line
from cidesign.locks import FolderLock
from cidesign.sweep.folder import Sweep, place
from cidesign.sweep.local import RUN
from cidesign.sweep.planning import Plan
from cidesign.sweep.point import Point
from cidesign.sweep.slurm.queue import Queued, keep_list, queue_of
from cidesign.sweep.slurm.scripts import MOST_IN_ARRAY, MOST_REQUEUES, log_folder, signal_before_s, word
from cidesign.sweep.slurm.task import Task, held
from cidesign.sweep.spec import Slurm, SweepSpec
from cidesign.text import joined
from cidesign.units import format_bytes

if TYPE_CHECKING:  # an extra
    from submitit import SlurmExecutor

COMMANDS = ("sbatch", "srun", "squeue", "scontrol")


class Array(NamedTuple):
    """One submission: the job's number, its points, and the jobs that it waits for."""

    job: str
    points: tuple[str, ...]
    after: tuple[str, ...]

    def tasks(self) -> Iterator[tuple[str, str]]:
        """Each point with the number of its task; SLURM has no array of one."""
        for index, name in enumerate(self.points):
            yield name, f"{self.job}_{index}" if len(self.points) > 1 else self.job


class Submission(NamedTuple):
    """What `submit` found and did: points that are `done`, `queued` already, `running` elsewhere, and `waiting` for a
    teacher that somebody else trains; and the arrays that it submitted."""

    done: int
    queued: Mapping[str, Queued]
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    arrays: tuple[Array, ...]


def require_slurm(spec: SweepSpec) -> Slurm:
    """What the spec asks SLURM for; raises `InputError` where it asks nothing, or where this machine has no SLURM."""
    if spec.slurm is None:
        raise InputError("[slurm] is missing in the spec; it needs a time limit: write [slurm] and minutes = 60 below")
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise InputError(
            f"--slurm: no {joined(absent, 'or')} on this machine; go to a login node of your cluster, or print a "
            "script to take there with `cidesign sweep script SPEC --slurm`"
        )
    return spec.slurm


def run_on_slurm(plan: Plan) -> tuple[Sweep, Submission]:
    """Submit what a plan has to do and what is not on its way; returns at once.

    Raises `InputError` where this machine has no SLURM or SLURM refuses, `LimitError` for a point that needs more
    memory than [slurm] asks for, `HeldError` where another driver works on the sweep, and as `Plan.require` does.
    """
    slurm = require_slurm(plan.spec)
    if plan.spec.search is not None:
        raise InputError(
            "[search] proposes points while others train, and with --slurm nobody stays to do so; use `cidesign sweep "
            "run SPEC --workers N` in one job, or leave [search] out"
        )
    most, there = plan.memory_bytes, slurm.memory_gb
    if most is not None and there is not None and most > there * 2**30:
        raise LimitError(f"[slurm] memory_gb {there:g}: the largest run takes about {format_bytes(most)}; ask for more")
    with prepared(plan) as sweep:
        return sweep, submit(sweep)


@contextlib.contextmanager
def prepared(plan: Plan) -> Iterator[Sweep]:
    """The folder of a sweep with the points of a plan in it, locked meanwhile; raises as `Plan.require` does."""
    plan.require()
    plan.path.mkdir(parents=True, exist_ok=True)
    with FolderLock(plan.path, RUN):
        yield place(plan.path, plan.spec, plan.points)


def submit(sweep: Sweep) -> Submission:
    """Submit what is to do and not queued: stored teachers first, then what waits for them.

    The lock of the sweep must be held.  Raises `InputError` where SLURM refuses, and `DeviceError` where it does not
    answer.
    """
    slurm = require_slurm(sweep.spec)
    queue = queue_of(sweep)
    states = sweep.states()
    running = {name for name, state in states.items() if state.status == "running" and name not in queue}
    running = {name for name in running if held(sweep, sweep.point(name))}
    done = {name for name, state in states.items() if state.status == "done"}
    todo = [point for point in sweep.points if point.name not in {*queue, *running, *done}]
    waiting = {point.name for point in todo if running & {*point.needs}}
    todo = [point for point in todo if point.name not in waiting]
    jobs = {name: queued.job for name, queued in queue.items()}
    arrays: list[Array] = []
    submitter = _Submitter(sweep, slurm)
    for stage in ([point for point in todo if not point.needs], [point for point in todo if point.needs]):
        for array in submitter.arrays(stage, jobs):
            arrays.append(array)
            count = len(array.points)
            jobs |= {
                name: f"{array.job}_{index}" if count > 1 else array.job for index, name in enumerate(array.points)
            }
    return Submission(len(done), queue, tuple(sorted(running)), tuple(sorted(waiting)), tuple(arrays))


class _Submitter:
    """Gives points to SLURM through submitit."""

    def __init__(self, sweep: Sweep, slurm: Slurm) -> None:
        self.sweep, self.slurm = sweep, slurm
        self.most = most_in_array()

    def arrays(self, points: Sequence[Point], jobs: Mapping[str, str]) -> Iterable[Array]:
        """Arrays as long as the site allows; of several with a throttle each waits for the one before."""
        last: tuple[str, ...] = ()
        for first in range(0, len(points), self.most):
            part = points[first : first + self.most]
            needs = {jobs[need] for point in part for need in point.needs if need in jobs}
            after = tuple(sorted(needs)) + last
            array = self._submitted(part, after)
            last = () if self.slurm.throttle is None else (array.job,)
            yield array

    def _submitted(self, points: Sequence[Point], after: tuple[str, ...]) -> Array:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        names = tuple(point.name for point in points)
        submission = f"cidesign-{word(self.sweep.path.resolve().name)}-{uuid.uuid4().hex[:8]}"
        executor = self._executor(submission, len(names), after)
        kept = keep_list(self.sweep, submission, names)
        try:
            with executor.batch():
                made = [executor.submit(Task(self.sweep.path.resolve(), name)) for name in names]
        except (FailedJobError, FailedSubmissionError) as error:
            kept.unlink()
            raise InputError(f"sbatch refuses this: {first_line(error)}; change [slurm] in the spec") from error
        return Array(made[0].job_id.partition("_")[0], names, after)

    def _executor(self, submission: str, count: int, after: tuple[str, ...]) -> "SlurmExecutor":
        from submitit import SlurmExecutor

        slurm = self.slurm
        asked: dict[str, Any] = {
            "partition": slurm.partition,
            "account": slurm.account,
            "mem": None if slurm.memory_gb is None else f"{round(slurm.memory_gb * 1024)}M",
            "gpus_per_node": slurm.gpus or None,
            "dependency": f"afterany:{':'.join(after)}" if after else None,
        }
        extra = {name.replace("_", "-"): value if value != "" else True for name, value in slurm.extra.items()}
        executor = SlurmExecutor(log_folder(self.sweep.path.resolve()), max_num_timeout=MOST_REQUEUES)
        executor.update_parameters(
            job_name=submission,
            time=slurm.minutes,
            signal_delay_s=signal_before_s(slurm.minutes),
            cpus_per_task=slurm.cpus,
            array_parallelism=min(count, slurm.throttle or count),
            # Newer versions of srun do not take the number of processors from sbatch.
            srun_args=[f"--cpus-per-task={slurm.cpus}"],
            setup=[f"export OMP_NUM_THREADS={slurm.cpus}"],
            additional_parameters={"requeue": True, **extra},
            **{name: value for name, value in asked.items() if value is not None},
        )
        return executor


def most_in_array() -> int:
    """How many tasks one array may have here."""
    asked = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", asked.stdout, re.MULTILINE)
    return max(1, int(found.group(1)) - 1 if found else MOST_IN_ARRAY)
