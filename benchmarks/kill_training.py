"""Training killed with SIGKILL at random times and resumed: the result must have the bits of an uninterrupted run.

For each modality a small `cidesign distill` is trained once without interruption.  Then the same command is started
again and again in a process group of its own, killed, and finished with `cidesign distill --resume`; some of the
resumed runs are killed too.  Half of the kills fall anywhere in the run; the others are aimed at the writing of a
checkpoint and at the finishing, which are short.  Where a kill fell is read from the folder that it left.

Compared are the bytes of teacher, student and design, metrics and record without their times, and the names of all
files: nothing may be left over.  Each process is forked from this one, which has imported torch, and calls the command
line with the words of a user.

Run: python benchmarks/kill_training.py [--kills N] [--seed S] [--modality NAME]      (POSIX)
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch._inductor  # imported by deterministic training; here once, not in every process
import torchmetrics.functional  # noqa: F401 - the same

from cidesign import cli
from cidesign.distill.checkpoint import FILE as CHECKPOINT_FILE
from cidesign.distill.run_folder import METRICS_FILE
from cidesign.errors import CidesignError
from cidesign.files import read_json, sha256_file
from cidesign.modality import Preset, modalities

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
# 6 steps an epoch, two epochs of the teacher and two of the student.
SMALL = Preset(side=12, images=96, validation_images=32, batch=16, channels=4, teacher_epochs=2, student_epochs=2)
# Bits are promised for a fixed number of threads.
FIXED = ("--threads", "1")
# A checkpoint after each epoch, and one before the student's first.
CHECKPOINTS = 5
# Teacher, student, design and the final record.
FINISHING_FILES = ("teacher.safetensors", "student.safetensors", "design.npz", "run.json")
PLACES = ("before checkpoint", "in an epoch", "writing checkpoint", "finishing", "after record")
# The share of interrupted runs whose resumption is killed as well.
AGAIN = 0.3
POLL_S = 0.0002


@dataclass
class Tally:
    """What the kills of one modality came to."""

    places: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    runs: int = 0
    resumed: int = 0
    identical: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> None:
    """Kill, resume, compare; print the table, and leave with 1 when anything differed."""
    parser = argparse.ArgumentParser(description="Kill training at random times and resume it.")
    parser.add_argument("--kills", type=int, default=100, help="in each modality")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modality", choices=PROFILES, action="append")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for kind in modalities():
        kind.presets["quick"] = SMALL
    print(f"{'modality':13s}kills  {'  '.join(PLACES)}  resumed  {'identical':15s}  seconds", flush=True)
    failed = False
    for modality in asked.modality or PROFILES:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = campaign(Path(folder), PROFILES[modality], asked.kills, random.Random(f"{modality} {asked.seed}"))
        places = "  ".join(f"{tally.places[place]:{len(place)}d}" for place in PLACES)
        same = f"{tally.identical} of {tally.runs} {'yes' if tally.identical == tally.runs else 'NO'}"
        seconds = time.monotonic() - started
        print(
            f"{modality:13s}{tally.places.total():5d}  {places}  {tally.resumed:7d}  {same:15s}  {seconds:7.0f}",
            flush=True,
        )
        for problem in tally.problems:
            print(f"    {problem}", flush=True)
        failed |= bool(tally.problems)
    sys.exit(1 if failed else 0)


def campaign(folder: Path, profile: str, kills: int, rng: random.Random) -> Tally:
    """So many kills of runs for one profile, each run finished and compared."""
    started = time.monotonic()
    if code := wait_for(spawn(words_for(folder / "whole" / "run", profile), folder / "whole" / "run")):
        raise CidesignError(f"the uninterrupted run left with {code}: {last_line(folder / 'whole')}")
    whole_s = time.monotonic() - started
    wanted = result_of(folder / "whole")
    tally = Tally()
    while tally.places.total() < kills:
        place = folder / f"{tally.runs}"
        run = place / "run"
        where: list[str] = []
        while not where or (len(where) < 3 and tally.places.total() < kills and rng.random() < AGAIN):
            found = kill_once(words_for(run, profile), run, whole_s, rng)
            if found is None:
                tally.missed += 1
                break
            where.append(found)
            tally.places[found] += 1
        if not where:  # it had ended before the kill came: an ordinary run
            shutil.rmtree(place)
            continue
        code = wait_for(spawn(words_for(run, profile), run))
        tally.runs += 1
        tally.resumed += code == 0
        problem = f"exit code {code}: {last_line(place)}" if code else difference(wanted, result_of(place))
        tally.identical += not problem
        if problem:
            tally.problems.append(f"killed {', then '.join(where)}: {problem}")
        shutil.rmtree(place)
    return tally


def words_for(run: Path, profile: str) -> list[str]:
    """What a user types: the first command again while there is no run, else --resume."""
    return ["--resume"] if run.exists() else ["--profile", profile, *FIXED]


def spawn(words: list[str], run: Path) -> int:
    """`cidesign distill WORDS --out RUN` in a process and process group of its own; returns its id."""
    run.parent.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        with contextlib.suppress(PermissionError, ProcessLookupError):  # whichever of the two is first
            os.setpgid(process, process)
        return process
    code = 99
    try:
        os.setpgid(0, 0)
        log = os.open(run.parent.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.argv = ["cidesign", "distill", *words, "--out", str(run)]
        cli.main()
    except SystemExit as leave:
        code = int(leave.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait_for(process: int) -> int:
    """The exit code of a process that ends by itself."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_once(words: list[str], run: Path, whole_s: float, rng: random.Random) -> str | None:
    """Start a command and kill its process group; the place where it fell, or None when it had ended before."""
    aim, delay_s = rng.random(), rng.uniform(0, 0.005)
    if aim < 0.5:
        due, delay_s = after(rng.uniform(0, whole_s)), 0.0
    elif aim < 0.75:
        due = at_write(run / CHECKPOINT_FILE, rng.randint(1, CHECKPOINTS))
    else:
        due = at_write(run / rng.choice(FINISHING_FILES), 1, not_before=run / CHECKPOINT_FILE)
    process = spawn(words, run)
    while not due():
        if os.waitpid(process, os.WNOHANG)[0]:
            return None
        time.sleep(POLL_S)
    time.sleep(delay_s)
    os.killpg(process, signal.SIGKILL)
    return place_of(run) if wait_for(process) == -signal.SIGKILL else None


def after(seconds: float) -> Callable[[], bool]:
    """Due when so much time has passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def at_write(path: Path, count: int, not_before: Path | None = None) -> Callable[[], bool]:
    """Due when a file is written for the count-th time (its temporary names are seen), once another file is there."""
    seen: set[str] = set()

    def due() -> bool:
        if not_before is not None and not not_before.exists():
            return False
        with contextlib.suppress(FileNotFoundError):  # a run that ends removes the folder while it is looked at
            seen.update(entry.name for entry in path.parent.glob(f".{path.name}.*.partial"))
        return len(seen) >= count

    return due


def place_of(run: Path) -> str:
    """Where in training a kill fell, read from the folder that it left."""
    checkpoint = run / CHECKPOINT_FILE
    before, epoch, writing, finishing, recorded = PLACES
    if (run / "run.json").exists() and read_json(run / "run.json", "record")["status"] == "complete":
        return recorded
    if any(run.glob(".*.safetensors.*.partial")) or (run / "teacher.safetensors").exists():
        return finishing
    if any(checkpoint.parent.glob(".*.partial")):
        return writing
    return epoch if checkpoint.exists() else before


def result_of(place: Path) -> dict[str, Any]:
    """Everything that must be the same, by name."""
    run = place / "run"
    record = read_json(run / "run.json", "record")
    del record["created_utc"], record["metrics"]["training_seconds"]
    metrics = [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]
    names = ("teacher.safetensors", "student.safetensors", "design.npz")
    return {
        **{name: sha256_file(run / name) for name in names},
        "run.json": record,
        METRICS_FILE: [{key: value for key, value in line.items() if key != "seconds"} for line in metrics],
        "names of files": sorted(str(path.relative_to(place)) for path in place.rglob("*")),
    }


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """What differs, or nothing."""
    text = ", ".join(f"{name} differs" for name, value in wanted.items() if found[name] != value)
    left = set(found["names of files"]) - set(wanted["names of files"])
    return f"{text} (left over: {', '.join(sorted(left))})" if left else text


def last_line(place: Path) -> str:
    """The last line that a command printed."""
    lines = place.with_suffix(".log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing printed"


if __name__ == "__main__":
    main()
