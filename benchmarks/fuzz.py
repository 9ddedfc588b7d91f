"""Damaged files for every reader: each answers with a value or with one line of error, in bounded time and memory.

Sound files of each kind are made (`fuzzing/seeds.py`), damaged in a dozen ways, and read by the product, every input
in a process of its own.  Where the product starts a child for other people's parsers, a started interpreter is forked
in its place, under the same limits of address space: that is what makes 100,000 inputs affordable.

Counted: values, one-line errors, and what must not be: a traceback or a warning, the death of the process, more than
10 s, more than 1 GB.  Whatever must not be is kept in the folder `--keep`.  Run on a machine with nothing to do:

    python benchmarks/fuzz.py [--inputs 100000] [--seed 1] [--workers 2] [--only NAME] [--keep FOLDER]
"""

import argparse
import contextlib
import gc
import io
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import click
from fuzzing import readers
from fuzzing.mutations import mutated

from cidesign.errors import CidesignError
from cidesign.io import child

LONGEST_S = 10.0
MOST_BYTES = 1_000_000_000
# Far above the bar, so that what passes it is counted and the machine stays whole.
ADDRESS_SPACE_BYTES = 6_000_000_000
# Of so many inputs of a kind some are left sound: exports, whose every byte has a digest, 1 in 100.
ENOUGH = 300
BAD = ("traceback", "warning", "killed", "hang", "memory")


@dataclass
class Tally:
    """Outcomes of one kind of input."""

    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    most_bytes: int = 0
    total_s: float = 0.0

    def add(self, outcome: str, seconds: float, peak_bytes: int) -> None:
        """Count one input."""
        self.outcomes[outcome] += 1
        self.longest_s, self.most_bytes = max(self.longest_s, seconds), max(self.most_bytes, peak_bytes)
        self.total_s += seconds

    def join(self, other: "Tally") -> None:
        """Add another worker's counts."""
        self.outcomes += other.outcomes
        self.longest_s, self.most_bytes = max(self.longest_s, other.longest_s), max(self.most_bytes, other.most_bytes)
        self.total_s += other.total_s


def forked(work: Callable[[], int], longest_s: float, leads: bool = True) -> tuple[str, float, int]:
    """Run `work` in a fork: ("exit N", "signal N" or "hang"), seconds, and its largest memory in bytes.

    With `leads` it leads a group of processes, which ends with it.
    """
    begun = time.monotonic()
    process = os.fork()
    if not process:
        if leads:
            os.setpgid(0, 0)
        os._exit(work())
    with open(os.pidfd_open(process)) as handle:
        ended = bool(select.select([handle], [], [], longest_s)[0])
    seconds = time.monotonic() - begun
    if not ended:
        (os.killpg if leads else os.kill)(process, signal.SIGKILL)
    _, status, usage = os.wait4(process, 0)
    if not ended:
        return "hang", seconds, usage.ru_maxrss * 1024
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    return how, seconds, usage.ru_maxrss * 1024


def forked_child(reader: str, memory_bytes: int, cpu_s: int, asked: bytes, longest_s: float) -> tuple[int, bytes]:
    """`child.run_child` by a fork of this process, which has loaded the libraries already."""
    question, answer = os.memfd_create("question"), os.memfd_create("answer")
    os.write(question, asked)
    os.lseek(question, 0, os.SEEK_SET)

    def work() -> int:
        os.dup2(question, 0)
        os.dup2(answer, 1)
        sys.stdin = open(0)  # noqa: SIM115 (the process ends with it)
        try:
            child.main([reader, str(memory_bytes), str(cpu_s)])
        except BaseException:
            return 1
        return 0

    how, _, _ = forked(work, longest_s, leads=False)
    if how == "hang":
        raise subprocess.TimeoutExpired(reader, longest_s)
    kind, number = how.split()
    content = os.pread(answer, os.fstat(answer).st_size, 0)
    os.close(question)
    os.close(answer)
    return (-int(number) if kind == "signal" else int(number)), content


def answer(read: Callable[[Path], object], path: Path, said: Path) -> int:
    """In the fork: read, and leave with what it came to."""
    # The soft limit alone: a child for other people's parsers sets its own, which may be above it.
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    warnings.simplefilter("error")
    try:
        read(path)
    except (CidesignError, click.ClickException) as error:
        one_line = "\n" not in str(error) and bool(str(error).strip())
        if not one_line and isinstance(error, CidesignError):
            said.write_text(f"not one line: {error!r}")
        return 2 if one_line or not isinstance(error, CidesignError) else 3
    except Warning as error:
        said.write_text("".join(traceback.format_exception(error)))
        return 4
    except BaseException as error:
        said.write_text("".join(traceback.format_exception(error)))
        return 3
    return 0


OUTCOMES = {"exit 0": "read", "exit 2": "refused", "exit 3": "traceback", "exit 4": "warning", "hang": "hang"}


def campaign(task: tuple[int, int, int, str, str]) -> tuple[str, Tally]:
    """`count` inputs of one kind."""
    index, count, seed, seeds, keep = task
    target = readers.TARGETS[index]
    rng = random.Random(f"{target.name} {seed}")
    files = sorted({path for pattern in target.seeds for path in Path(seeds).glob(pattern) if path.is_file()})
    tally = Tally()
    if not files:
        return target.name, tally
    _warm_up(target, files[0])
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(count):
            seed_file = rng.choice(files)
            place, damaged = _placed(target, seed_file, Path(scratch))
            content = mutated(seed_file.read_bytes(), rng)
            damaged.write_bytes(content)
            said = Path(scratch) / "said.txt"
            said.unlink(missing_ok=True)
            how, seconds, peak_bytes = forked(
                lambda place=place, said=said: answer(target.read, place, said), LONGEST_S
            )
            outcome = OUTCOMES.get(how, "killed")
            if peak_bytes > MOST_BYTES:
                outcome = "memory"
            tally.add(outcome, seconds, peak_bytes)
            if outcome in BAD:
                _keep(Path(keep), f"{target.name}-{seed}-{number}-{outcome}", damaged.name, content, said, how)
            damaged.write_bytes(seed_file.read_bytes())
    return target.name, tally


def _warm_up(target: readers.Target, sound: Path) -> None:
    """Import here, once, what every fork would import again."""
    child.run_child = forked_child
    null = io.StringIO()
    # A capture's picture is no capture: what this comes to does not matter.
    ignored = contextlib.suppress(CidesignError, click.ClickException)
    with ignored, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        target.read(sound.parent if target.folder else sound)
    gc.freeze()


def _placed(target: readers.Target, seed_file: Path, scratch: Path) -> tuple[Path, Path]:
    """What is read, and the file in it that is damaged: copies below `scratch`."""
    folder = scratch / f"{seed_file.parent.parent.name}-{seed_file.parent.name}"
    if target.folder or seed_file.suffix in (".hdr", ".img", ".cfl"):
        if not folder.is_dir():
            shutil.copytree(seed_file.parent, folder)
        return (folder if target.folder else folder / seed_file.name), folder / seed_file.name
    alone = scratch / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    return alone / seed_file.name, alone / seed_file.name


def _keep(folder: Path, name: str, file: str, content: bytes, said: Path, how: str) -> None:
    place = folder / name.replace(" ", "_").replace(",", "")
    place.mkdir(parents=True, exist_ok=True)
    (place / file).write_bytes(content)
    (place / "said.txt").write_text(said.read_text() if said.is_file() else how)


def main() -> None:
    """Make the seeds, run all campaigns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=Path, help="a folder of seeds that is there already")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        seeds = asked.seeds or Path(made) / "seeds"
        if not seeds.is_dir():
            subprocess.run([sys.executable, Path(__file__).parent / "fuzzing" / "seeds.py", seeds], check=True)
        tallies = _run(asked, seeds)
    _print(tallies)
    counts = {name: tally.outcomes.total() for name, tally in tallies.items()}
    idle = [name for name, tally in tallies.items() if counts[name] >= ENOUGH and not tally.outcomes["read"]]
    for name in idle:
        print(f"{name}: not one input was read, so nothing is proved; is its library missing, or a limit in the way?")
    sys.exit(bool(idle) or any(tally.outcomes[name] for tally in tallies.values() for name in BAD))


def _run(asked: argparse.Namespace, seeds: Path) -> dict[str, Tally]:
    targets = {i: target for i, target in enumerate(readers.TARGETS) if asked.only in target.name}
    shares = sum(target.share for target in targets.values())
    tasks = []
    for index, target in targets.items():
        count = -(-asked.inputs * target.share // shares)
        # In slices, so that the workers end together.
        for part in range(8):
            size = (count + part) // 8
            tasks.append((index, size, asked.seed * 100 + part, str(seeds), str(asked.keep)))
    tallies = {target.name: Tally() for target in targets.values()}
    for name in ("h5py", "pypulseq", "gdstk", "twixtools", "scipy.io", "nibabel", "tifffile", "cv2", "PIL.Image"):
        try:
            __import__(name)
        except ImportError:
            print(f"{name} is not here: its inputs end with the error that names the extra")
    with get_context("fork").Pool(asked.workers, maxtasksperchild=1) as pool:
        for name, tally in pool.imap_unordered(campaign, tasks):
            tallies[name].join(tally)
    return tallies


def _print(tallies: dict[str, Tally]) -> None:
    names = ("read", "refused", *BAD)
    print("| input | files | " + " | ".join(names) + " | mean ms | longest s | most MB |")
    print("|---|" + "---|" * (len(names) + 4))
    whole = Tally()
    for name, tally in [*tallies.items(), ("all", whole)]:
        total = tally.outcomes.total()
        counts = " | ".join(str(tally.outcomes[one]) for one in names)
        mean_ms = 1000 * tally.total_s / max(total, 1)
        print(f"| {name} | {total} | {counts} | {mean_ms:.1f} | {tally.longest_s:.2f} | {tally.most_bytes / 1e6:.0f} |")
        if tally is not whole:
            whole.join(tally)


if __name__ == "__main__":
    main()
