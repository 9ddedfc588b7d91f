"""Scripts of a sweep for sites with rules of their own: an array for SLURM, an indexed Job for Kubernetes, a list for
other engines.

They are texts to be edited and started by their reader; every name and path in them is quoted.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cidesign.errors import InputError
from cidesign.files import JsonObject
from cidesign.sweep.folder import Sweep
from cidesign.sweep.spec import Slurm

# A run that is always stopped before it gets anywhere ends after so many requeues.
MOST_REQUEUES = 1000
# What one of these commands is told before its time is over, to finish a step and write a checkpoint.
SIGNAL = "USR2"
LOGS = "slurm"
# An array of SLURM has at most so many tasks where a site sets nothing.
MOST_IN_ARRAY = 1000


class ToDo(NamedTuple):
    """The points of a sweep that are to do: `first` those that the others need, `then` the others."""

    sweep: str
    folder: Path
    first: Sequence[str]
    then: Sequence[str]


def to_do(sweep: Sweep) -> ToDo:
    """What is not done; points whose teacher is done wait for nothing."""
    left = [point for point in sweep.points if not sweep.done(point)]
    names = [point.name for point in left]
    needed = {need for point in left for need in point.needs}
    first = [name for name in names if name in needed]
    return ToDo(sweep.path.resolve().name, sweep.path.resolve(), first, [name for name in names if name not in needed])


class Place(NamedTuple):
    """Where pods find things: the image with cidesign in it, and the claim of the volume that holds the sweep."""

    image: str
    claim: str


def listed(sweep: Sweep, python: str) -> JsonObject:
    """All points for engines that have dependencies of their own: what each needs, and the command that trains it or
    finds it done."""
    folder = sweep.path.resolve()
    command = [python, "-m", "cidesign", "sweep", "work", str(folder)]
    points = [
        {"name": point.name, "needs": list(point.needs), "command": [*command, point.name]} for point in sweep.points
    ]
    return {"sweep": str(folder), "points": points}


def signal_before_s(minutes: int) -> int:
    """How long before its time limit a task is told: two minutes, or half of a shorter limit.

    SLURM tells up to a minute earlier.
    """
    return min(120, 30 * minutes)


def options_of_sbatch(slurm: Slurm) -> dict[str, str]:
    """What each task asks for, as options of sbatch."""
    options = {
        "time": str(slurm.minutes),
        "signal": f"B:{SIGNAL}@{signal_before_s(slurm.minutes)}",
        "cpus-per-task": str(slurm.cpus),
        "partition": slurm.partition,
        "account": slurm.account,
        "mem": None if slurm.memory_gb is None else f"{round(slurm.memory_gb * 1024)}M",
        "gpus-per-node": str(slurm.gpus) if slurm.gpus else None,
        **{name.replace("_", "-"): str(value) for name, value in slurm.extra.items()},
    }
    return {name: value for name, value in options.items() if value is not None}


def slurm_script(todo: ToDo, slurm: Slurm, python: str, started_in: Path) -> str:
    """One bash script that is both: `bash FILE` submits it, and SLURM runs it for each point.

    Raises `InputError` for a path that SLURM would read as something else.
    """
    logs = log_folder(todo.folder)
    names = [*todo.first, *todo.then]
    options = {
        "job-name": f"cidesign-{word(todo.sweep)}", **options_of_sbatch(slurm), "output": f"{logs}/%A_%a.log",
        "open-mode": "append", "requeue": "",
    }  # fmt: skip
    return _SLURM.format(
        options="\n".join(_option(name, value) for name, value in options.items()),
        count=len(names),
        submits="\n".join(_submits(len(todo.first), len(names), slurm.throttle)),
        names="\n".join(f"  {shlex.quote(name)}" for name in names),
        logs=shlex.quote(str(logs)),
        started_in=shlex.quote(str(started_in)),
        command=shlex.join([python, "-m", "cidesign", "sweep", "work", str(todo.folder)]),
        requeues=MOST_REQUEUES,
        signal=SIGNAL,
    )


def _submits(first: int, count: int, throttle: int | None) -> Iterator[str]:
    """The lines that submit arrays of points: the first ones, then the others after all of them.

    An array is no longer than SLURM allows where a site sets nothing; with a throttle each waits for the one before.
    """
    starts = [*range(0, first, MOST_IN_ARRAY), *range(first, count, MOST_IN_ARRAY)]
    needed = [number for number, start in enumerate(starts) if start < first]
    limit = "" if throttle is None else f"%{throttle}"
    for number, start in enumerate(starts):
        length = min(MOST_IN_ARRAY, (first if start < first else count) - start)
        after = range(number)[-1:] if throttle is not None else needed if start >= first else ()
        jobs = ":".join(f"${{job{one}%;*}}" for one in after)
        waits = f' --dependency="afterany:{jobs}"' if jobs else ""
        yield f'  job{number}=$(sbatch --parsable --array=0-{length - 1}{limit}{waits} "$0" {start}) || exit 1'
    yield f'  echo "submitted: {" ".join(f"$job{number}" for number in range(len(starts)))}"'


def log_folder(folder: Path) -> Path:
    """Where tasks say what they do; raises `InputError` for a path that SLURM would read as something else."""
    if re.search(r"[%\\\x00-\x1f\x7f]", str(folder)):
        raise InputError(
            f"{str(folder)!r}: SLURM reads %, backslashes and control characters in the name of a log in its own way; "
            "give the sweep a folder without them"
        )
    return folder / LOGS


def word(name: str) -> str:
    """What of a name can be in that of a job."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:40].strip("-.") or "sweep"


def _option(name: str, value: str) -> str:
    line = f"#SBATCH --{name}" + (f"={shlex.quote(value)}" if value else "")
    if len(line.splitlines()) != 1 or not re.fullmatch("[a-z][a-z0-9-]*", name):
        raise InputError(f"[slurm] extra {name!r} {value!r}: is no option of sbatch in one line")
    return line


_SLURM = """\
#!/bin/bash
{options}

# {count} runs of a sweep, those that others need first.  Edit the lines above as your site demands, then `bash` this
# file on a login node: it submits itself.  Print it again for what is then still to do.
set -u
if [ -z "${{SLURM_ARRAY_TASK_ID:-}}" ]; then
  mkdir -p -- {logs} || exit 1
{submits}
  exit
fi

names=(
{names}
)
cd -- {started_in} || exit 1
{command} "${{names[$1 + $SLURM_ARRAY_TASK_ID]}}" &
worker=$!

# Before the time is over: it writes a checkpoint, and the task begins again where that left it.
stopped() {{
  kill -TERM "$worker" 2>/dev/null
  wait "$worker" && exit 0
  [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ] || exit 1
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
  exit
}}
trap stopped {signal}
wait "$worker"
"""

# Kubernetes gives a pod so long between SIGTERM and SIGKILL: a step has to be finished and a checkpoint written.
GRACE_S = 120
# A pod whose index counts as done must not have left the work to the lock of a pod that was killed.
_POINT = 'folder=$1; shift; shift "$JOB_COMPLETION_INDEX"; exec cidesign sweep work --to-the-end "$folder" "$1"'


def kubernetes_job(todo: ToDo, slurm: Slurm | None, retries: int, place: Place, started_in: Path) -> str:
    """An indexed Job of what can start now, as JSON, which kubectl reads: the points that others need, where there are
    any, else all.

    `slurm` says what a pod needs too: cpus, memory, GPUs and how many run at once.  The volume is mounted at
    `started_in`, which holds the sweep; raises `InputError` where it does not.
    """
    if not todo.folder.is_relative_to(started_in):
        raise InputError(
            f"{todo.folder}: is not below {started_in}, where the volume will be mounted; go to a folder above it"
        )
    names = todo.first or todo.then
    throttle = len(names) if slurm is None or slurm.throttle is None else min(slurm.throttle, len(names))
    container = {
        "name": "point",
        "image": place.image,
        "workingDir": str(started_in),
        "command": ["/bin/sh", "-c", _POINT, "sh"],
        "args": [_literal(word) for word in (str(todo.folder), *names)],
        "resources": _resources(slurm),
        "volumeMounts": [{"name": "sweep", "mountPath": str(started_in)}],
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [container],
        "volumes": [{"name": "sweep", "persistentVolumeClaim": {"claimName": place.claim}}],
    }
    # A pod that its cluster takes away has not failed.
    taken = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        # Kubernetes adds some letters, so that the Job of what is left can stand beside this one.
        "metadata": {"generateName": f"cidesign-{_label(todo.sweep)}-"},
        "spec": {
            "completionMode": "Indexed",
            "completions": len(names),
            "parallelism": throttle,
            "backoffLimitPerIndex": retries,
            "podFailurePolicy": {"rules": [taken]},
            "template": {"spec": pod},
        },
    }
    return json.dumps(job, indent=2) + "\n"


def _label(sweep: str) -> str:
    """A name that Kubernetes allows: letters, digits and hyphens; those of pods end with an index."""
    return re.sub(r"[^a-z0-9]+", "-", sweep.lower())[:32].strip("-") or "sweep"


def _literal(word: str) -> str:
    """Kubernetes replaces $(NAME) in what a container is given."""
    return word.replace("$(", "$$(")


def _resources(slurm: Slurm | None) -> Mapping[str, Mapping[str, str]]:
    if slurm is None:
        return {}
    memory = {} if slurm.memory_gb is None else {"memory": f"{round(slurm.memory_gb * 1024)}Mi"}
    gpus = {"nvidia.com/gpu": str(slurm.gpus)} if slurm.gpus else {}
    limits = {**memory, **gpus}
    return {"requests": {"cpu": str(slurm.cpus), **limits}, **({"limits": limits} if limits else {})}
