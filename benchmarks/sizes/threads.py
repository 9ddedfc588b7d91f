"""Seconds a training step with one thread, two, torch's own number and the automatic choice, idle and on a busy desk.

Idle is as idle as the machine is; then the script starts busy processes of its own.  All ways train the same student
in one process and take turns, a block of steps each, so that whatever else runs slows all alike; shown is the median
step.  The automatic choice first looks for its count: what that costs is told as a share of a quick run's time.

    python benchmarks/sizes/threads.py [--load 7] [--blocks 3] [--steps 6]

Goals: at most 1.3 times the best fixed count with 7 busy processes, within 3 % of torch's own number when idle.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from cidesign.data.source import load_images
from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.threads import Threads, counts_up_to
from cidesign.distill.loop import make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile

# Profile, and what is changed of its quick preset; a CASSI step of a whole batch takes a minute with two busy threads.
CASES = {"single-pixel": ("dlp4500", {"side": 32}), "cassi": ("chrome-laser-10um", {"side": 64, "batch": 8})}
# Computes until the process that started it is gone.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
# Steps of a quick run, over which the first look is paid for.
QUICK_STEPS = 1000


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


class Way:
    """One way to choose threads: its own student, trained step by step."""

    def __init__(self, profile_name: str, asked: dict[str, int], counts: list[int]) -> None:
        profile = load_profile(profile_name)
        settings = settings_for(profile, device="cpu", **asked)
        # One step is one epoch here, and the phase hands over control after each.
        changes = {"images": settings.batch, "validation_images": 1, "student_epochs": 100_000, "teacher_epochs": 1}
        settings = settings.changed(**changes)
        train = torch.from_numpy(load_images(settings, profile).train)
        system = SystemMaker(settings, profile, train).system("student")
        self.threads = Threads(counts)
        optimiser = make_optimiser(system, settings)
        self.phase = train_phase(
            system, None, optimiser, train, settings, Progress("student"), lambda report: None, threads=self.threads
        )

    def step(self) -> float:
        """The seconds of one step; other ways have had the processors before it."""
        torch.set_num_threads(self.threads.count)
        next(self.phase)
        return self.threads.last_s

    def look(self) -> list[float]:
        """The steps until the count is chosen."""
        seconds = []
        while self.threads.chosen is None:
            seconds.append(self.step())
        return seconds


def measure(name: str, load: int, blocks: int, steps: int, most: int) -> None:
    """Print the row of one case under one load."""
    profile_name, asked = CASES[name]
    torch.set_num_threads(most)
    ways = {str(count): Way(profile_name, asked, [count]) for count in dict.fromkeys((1, 2, most))}
    ways["automatic"] = Way(profile_name, asked, counts_up_to(most))
    with busy(load):
        time.sleep(1.0 if load else 0.0)
        for way in ways.values():
            way.step()
        search = ways["automatic"].look()
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(blocks):
            for way, one in ways.items():
                found[way] += [one.step() for _ in range(steps)]
        above = os.getloadavg()[0]
    median = {way: statistics.median(seconds) for way, seconds in found.items()}
    automatic = median.pop("automatic")
    best = min(median.values())
    whole = (sum(search) + (QUICK_STEPS - len(search)) * automatic) / QUICK_STEPS
    fixed = "".join(f"{seconds:14.3f}" for seconds in median.values())
    print(
        f"{name:14s}{load:5d}{above:10.1f}{fixed}{automatic:11.3f}{ways['automatic'].threads.count:9d}"
        f"{automatic / best:15.2f}{whole / best:14.2f}{len(search):7d} in {sum(search):.1f} s",
        flush=True,
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, default=7)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    options = parser.parse_args()
    most = os.cpu_count() or 1
    print(f"seconds a step, quick presets, median of {options.blocks * options.steps}; {most} processors")
    counts = dict.fromkeys((1, 2, most))
    fixed = "".join(f"{count if count != most else f'own, {count}':>14}" for count in counts)
    print(
        f"{'':14s}{'busy':>5s}{'load avg':>10s}{fixed}{'automatic':>11s}{'threads':>9s}{'over the best':>15s}"
        f"{'with search':>14s}  search (steps)"
    )
    for name in CASES:
        for load in dict.fromkeys((0, options.load)) if name.startswith(options.only) else ():
            measure(name, load, options.blocks, options.steps, most)


if __name__ == "__main__":
    main()
