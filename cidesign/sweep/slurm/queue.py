"""What SLURM says of the points of a sweep: which are queued and which run, by `squeue` alone.

Accounting, which many small clusters have not, is never asked: that a point is done, or failed and why, is told by its
folder.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from cidesign.errors import DeviceError, FileError, first_line
from cidesign.files import read_json, write_json
from cidesign.locks import Holder
from cidesign.records import Strict, first_problem
from cidesign.sweep.folder import State, Sweep
from cidesign.sweep.point import Point

# Below the folder of a sweep: what submitit keeps, the logs of tasks, and one list of points for each submission.
FOLDER = "slurm"
LISTS = "*.points.json"
MARK = "slurm.json"
ANSWER_WITHIN_S = 120.0
_COLUMNS = "%F|%K|%j|%T|%N|%r"


class Submitted(Strict):
    """The points of one submission, in the order of the tasks of its array; its file has the name of the job."""

    points: tuple[str, ...]


class Mark(Strict):
    """Which task of SLURM works on a point, and as which process."""

    job: str
    host: str
    pid: int


class Queued(NamedTuple):
    """A point in SLURM's queue: `job` as in 41_3, `state` as SLURM says it, `where` and `why` where it says so."""

    job: str
    state: str
    where: str
    why: str


def queue_of(sweep: Sweep) -> dict[str, Queued]:
    """The points of a sweep that this user has in SLURM's queue, by name; empty where there is no SLURM.

    Raises `DeviceError` where SLURM does not answer: what is queued is then not known.
    """
    lists = {path.name.removesuffix(LISTS[1:]): path for path in (sweep.path / FOLDER).glob(LISTS)}
    if not lists or shutil.which("squeue") is None:
        return {}
    found = {}
    for line in _squeue():
        array, index, submission, state, where, why = line.split("|", 5)
        if submission in lists:
            points = _points(lists[submission])
            number = int(index) if index.isdigit() else 0
            job = f"{array}_{index}" if index.isdigit() else array
            if number < len(points):
                found[points[number]] = Queued(job, state, where, "" if why == "None" else why)
    return found


def jobs_alive() -> set[str]:
    """All tasks of this user that SLURM knows; raises `DeviceError` where it does not answer."""
    lines = (line.split("|", 2) for line in _squeue())
    return {f"{array}_{index}" if index.isdigit() else array for array, index, _ in lines}


def _squeue() -> list[str]:
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", _COLUMNS]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"squeue: does not answer ({first_line(error)}); repeat when SLURM does") from error
    if asked.returncode:
        said = " ".join(asked.stderr.split()) or f"exit code {asked.returncode}"
        raise DeviceError(f"squeue: {said}; what is queued is not known: repeat when SLURM answers")
    return asked.stdout.splitlines()


def keep_list(sweep: Sweep, submission: str, points: tuple[str, ...]) -> Path:
    """Record what a submission will hold before it is made, so that a killed driver leaves nothing unknown."""
    path = sweep.path / FOLDER / f"{submission}{LISTS[1:]}"
    path.parent.mkdir(exist_ok=True)
    write_json(path, Submitted(points=points).model_dump(mode="json"))
    return path


def _points(path: Path) -> tuple[str, ...]:
    try:
        return Submitted.model_validate(read_json(path, "list of submitted points")).points
    except ValidationError as error:
        raise FileError(
            f"{path}: is damaged: {first_problem(error)}; remove it when no job of its name runs"
        ) from error


def mark(sweep: Sweep, point: Point, job: str, host: str, pid: int) -> None:
    """Record which task works on a point."""
    write_json(sweep.job_path(point) / MARK, Mark(job=job, host=host, pid=pid).model_dump(mode="json"))


def job_of(sweep: Sweep, point: Point, holder: Holder) -> str | None:
    """The task of SLURM that the holder of a point is; None where it is of another kind."""
    path = sweep.job_path(point) / MARK
    if not path.exists():
        return None
    try:
        known = Mark.model_validate(read_json(path, "record of a SLURM task"))
    except ValidationError as error:
        raise FileError(f"{path}: is damaged: {first_problem(error)}; remove it and repeat") from error
    return known.job if (known.host, known.pid) == (holder.host, holder.pid) else None


def standing_of(queue: Mapping[str, Queued], states: Mapping[str, State]) -> list[tuple[str, ...]]:
    """Points in the queue that are not worked on yet: rows of a table as `standing.rows_of` makes them."""
    return [
        (name, "queued", "", f"job {one.job}: {one.state}{f' ({one.why})' if one.why else ''}")
        for name, one in queue.items()
        if name in states and states[name].status in ("to do", "failed")
    ]
