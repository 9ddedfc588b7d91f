"""A sweep on this machine: what its driver costs, what is left after many kills, and time limits that are too short.

    python benchmarks/sweep.py overhead [--runs N] [--workers N]
    python benchmarks/sweep.py kills [--kills N] [--seed S]
    python benchmarks/sweep.py requeue [--runs N]

`overhead`: small runs by `cidesign sweep run`; the wall time of the whole command times the number of workers, over the
sum of the wall times of the runs' own processes, and over the seconds that training steps took alone.  `kills`: workers
or the driver, by chance, are killed with SIGKILL at random times, and the same command goes on until so many kills are
done and everything is finished.  Then every run must be complete, with each epoch once in its metrics, finished by one
attempt, without half-written files, and with the bits of a sweep that nobody killed.  `requeue`: one array on a SLURM
on loopback whose time limit is shorter than each of its runs; how often each was stopped and requeued until it was
done.  The machine's load is printed: beside other programs the numbers are theirs as well.   (POSIX)
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cidesign.errors import CidesignError
from cidesign.files import sha256_file
from cidesign.runs import Run
from cidesign.sweep.folder import Sweep
from cidesign.sweep.handle import handle_of
from cidesign.sweep.local import Job, Watcher
from cidesign.sweep.slurm.queue import queue_of
from cidesign.sweep.takes import metrics_of

BASE = """[base]
profile = "dlp4500"
side = 16
patterns = 26
validation_images = 64
batch = 16
channels = 8
device = "cpu"
"""
# Some 20 s of a processor each.
LONG = 'images = 800\nteacher_epochs = 4\nstudent_epochs = 8\n[grid]\nladder = ["real", "4-bit"]\n'
SHORT = (
    "images = 64\nteacher_epochs = 6\nstudent_epochs = 6\n[teacher]\n[grid]\nseed = [1, 2, 3, 4]\n[jobs]\nthreads = 1\n"
)
# A minute and a half of a processor each; the shortest time limit that SLURM has is a minute.
LIMITED = """images = 4000
teacher_epochs = 6
student_epochs = 12
threads = 1
[slurm]
minutes = 1
"""
LOOPBACK = Path(__file__).parent.parent / "tests" / "sweep" / "slurm" / "loopback.py"
LOOK_EVERY_S = 5.0
# A kill falls so long after a worker or the driver was started.
LATEST_S = 8.0
# Of the kills; the others are of a worker.
OF_DRIVERS = 0.3
KEPT = ("teacher.safetensors", "student.safetensors", "design.npz")


class Clock(Watcher):
    """Adds up how long workers lived."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def ended(self, sweep: Sweep, job: Job, state: Any, again: bool) -> None:
        self.seconds += time.monotonic() - job.since


def overhead(runs: int, workers: int) -> bool:
    """Print what the driver costs; False where it is more than 5 %."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "small.toml"
        seeds = list(range(1, runs // 2 + 1))
        spec.write_text(f"{BASE}{LONG}seed = {seeds}\n")
        clock, began = Clock(), time.monotonic()
        ran = handle_of(spec, Path(folder) / "sweep").run(workers=workers, watcher=clock)
        wall = time.monotonic() - began
        if ran.exit_code:
            raise CidesignError("a run failed")
        steps = sum(float(metrics_of(ran.sweep, point)[-1]["seconds"]) for point in ran.sweep.points)
    cost = workers * wall / clock.seconds - 1
    print(f"{len(ran.sweep.points)} runs, {workers} workers: wall {wall:.1f} s, plan included")
    print(f"processes of the runs together {clock.seconds:.1f} s: overhead of the sweep {100 * cost:+.1f} %")
    print(f"training steps alone {steps:.1f} s; the rest of a process is its start, images, checkpoints, metrics")
    return cost <= 0.05


def kills(count: int, seed: int) -> bool:
    """Kill, go on, compare; False where anything is not as if nobody had killed."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "small.toml"
        spec.write_text(BASE + SHORT)
        whole = handle_of(spec, Path(folder) / "whole").run(workers=2).sweep
        tally: Counter[str] = Counter()
        problems: list[str] = []
        rounds = 0
        while tally.total() < count:
            rounds += 1
            place = Path(folder) / f"killed-{rounds}"
            _killed(spec, place, count - tally.total(), rng, tally)
            problems += [f"sweep {rounds}: {text}" for text in _problems(Sweep(place), whole)]
            print(f"sweep {rounds}: {tally.total()} kills so far, {len(problems)} problems", flush=True)
    print(f"{tally.total()} kills ({tally['driver']} of the driver, {tally['worker']} of a worker) in {rounds} sweeps")
    print("\n".join(problems) if problems else "every point complete, trained once, with the bits of an unkilled sweep")
    return not problems


def requeue(runs: int) -> bool:
    """Print how each run of an array came to its end; False where one did not, or was never stopped."""
    with tempfile.TemporaryDirectory(prefix="cidesign-requeue-") as folder, _slurm_on_loopback(Path(folder)):
        spec = Path(folder) / "limited.toml"
        spec.write_text(f"{BASE}{LIMITED}[grid]\nseed = {list(range(1, runs + 1))}\n")
        place, began, submissions = Path(folder) / "sweep", time.monotonic(), 0
        words = [sys.executable, "-m", "cidesign", "sweep", "run", str(spec), "--out", str(place), "--slurm"]
        while True:
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            submissions += 1
            sweep = Sweep(place)
            while queue_of(sweep):
                time.sleep(LOOK_EVERY_S)
            if {state.status for state in sweep.states().values()} == {"done"}:
                break
        wall, good = time.monotonic() - began, True
        for point in sweep.points:
            exits = [attempt.exit for attempt in sweep.attempts(point)]
            lines = metrics_of(sweep, point)
            once = len(lines) == len({(line["phase"], line["epoch"]) for line in lines}) == point.epochs
            good &= once and exits[-1] == 0 and len(exits) > 1
            epochs = "each epoch trained once" if once else "EPOCHS ARE MISSING OR TRAINED TWICE"
            print(f"{point.name}: {len(exits)} attempts, exits {exits}; {epochs}")
    print(f"{runs} runs, limit 1 minute, {submissions} submission(s) by hand: all done after {wall:.0f} s")
    return good


@contextlib.contextmanager
def _slurm_on_loopback(folder: Path) -> Iterator[None]:
    """A SLURM of one node for this process and what it starts, as the tests have it."""
    server = subprocess.Popen(
        [sys.executable, str(LOOPBACK), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if server.stdout is None or server.stdout.readline() != b"up\n":
            raise CidesignError("no SLURM on loopback came up; `python tests/sweep/slurm/loopback.py FOLDER` says why")
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield
    finally:
        server.communicate()


def _killed(spec: Path, place: Path, most: int, rng: random.Random, tally: Counter[str]) -> None:
    """One sweep, killed again and again until it is done or there were kills enough; then finished."""
    left = most
    while True:
        words = [sys.executable, "-m", "cidesign", "sweep", "run", str(spec), "--out", str(place), "--workers", "2"]
        driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while driver.poll() is None and left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(rng.uniform(0, LATEST_S))
            if driver.poll() is None and (who := _kill_one(driver.pid, rng)) is not None:
                tally[who] += 1
                left -= 1
        if driver.wait() == 0:
            return
        if driver.returncode not in (1, -signal.SIGKILL):
            raise CidesignError(f"the driver left with {driver.returncode}")


def _kill_one(driver: int, rng: random.Random) -> str | None:
    """Kill the driver, or one of its workers with its group; None where there was none."""
    workers = _children(driver)
    if not workers:  # it is still planning: a kill would show nothing
        return None
    if rng.random() < OF_DRIVERS:
        os.kill(driver, signal.SIGKILL)
        return "driver"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(rng.choice(workers), signal.SIGKILL)
        return "worker"
    return None


def _children(pid: int) -> Sequence[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    # Before it has started the program, a child is still in the group of the driver.
    return [int(word) for word in words if _group(int(word)) == int(word)]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _problems(sweep: Sweep, whole: Sweep) -> list[str]:
    found = []
    for point in sweep.points:
        path, other = sweep.run_path(point), whole.run_path(point)
        if not Run(path).complete:
            found.append(f"{point.name}: not complete")
            continue
        epochs = [(line["phase"], line["epoch"]) for line in metrics_of(sweep, point)]
        if len(epochs) != len(set(epochs)) or len(epochs) != point.epochs:
            found.append(f"{point.name}: {len(epochs)} epochs in its metrics, {point.epochs} expected")
        finished = [attempt for attempt in sweep.attempts(point) if attempt.exit == 0]
        if len(finished) > 1:
            found.append(f"{point.name}: finished {len(finished)} times")
        if left := [entry.name for entry in path.rglob("*.partial")]:
            found.append(f"{point.name}: half-written {', '.join(left)}")
        for name in KEPT:
            if (other / name).exists() and sha256_file(path / name) != sha256_file(other / name):
                found.append(f"{point.name}: {name} has other bits")
    return found


def main() -> None:
    """Measure one of the two; leave with 1 where it is not as it should be."""
    parser = argparse.ArgumentParser(description="What a sweep costs, and what is left after many kills.")
    parser.add_argument("what", choices=["overhead", "kills", "requeue"])
    parser.add_argument("--runs", type=int, default=None, help="[default: 12; requeue: 6]")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    before = os.getloadavg()
    if asked.what == "overhead":
        good = overhead(asked.runs or 12, asked.workers)
    else:
        good = kills(asked.kills, asked.seed) if asked.what == "kills" else requeue(asked.runs or 6)
    print(f"load of the machine ({os.cpu_count()} processors) before {before[0]:.1f}, after {os.getloadavg()[0]:.1f}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
