"""The folder of a run that trains: put in its place, freed of what a killed process left, and its metrics file."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cidesign.distill.checkpoint import FILE as CHECKPOINT_FILE
from cidesign.distill.teachers import StoredTeacher
from cidesign.errors import FileError, first_line
from cidesign.files import JsonObject, disk_errors, partial_name, partials_of, read_json, write_json
from cidesign.locks import FolderLock
from cidesign.models.teacher_record import DESIGN_FILE as TEACHER_DESIGN_FILE
from cidesign.models.teacher_record import FILE as RECORD_FILE
from cidesign.models.teacher_record import WEIGHTS_FILE
from cidesign.pattern import Design
from cidesign.runs import DESIGN_FILE, GIVEN_FILE, RunRecord, write_record

METRICS_FILE = "metrics.jsonl"
# Which trackers a run is shown by; without any there is none.
TRACKING_FILE = "tracking.json"
# What training writes, each in one step.
WRITTEN = (
    "run.json", GIVEN_FILE, WEIGHTS_FILE, RECORD_FILE, TEACHER_DESIGN_FILE, "student.safetensors", DESIGN_FILE,
    str(CHECKPOINT_FILE),
)  # fmt: skip


@contextlib.contextmanager
def placed(
    path: Path,
    record: RunRecord,
    design: Design | None,
    teacher: StoredTeacher | None,
    old: FolderLock | None,
    log: Sequence[str] = (),
) -> Iterator[None]:
    """Make the folder of a new run, in one step and with its lock, which is held until the end.

    `design` is the one that is given, None where the optics are learnt; `teacher` the stored one, None where the run
    trains its own.  `old` is the lock of the run that is replaced, None where there is none.  The old run goes only
    when the disk has taken the new one.  `log` names its trackers.
    """
    for left in partials_of(path):
        _remove_dead(left)
    fresh, aside = partial_name(path), partial_name(path)
    try:
        with contextlib.ExitStack() as held:
            with disk_errors(path):
                fresh.mkdir(parents=True)
                lock = held.enter_context(FolderLock(fresh, "cidesign distill"))
                if design is not None:
                    design.save(fresh / GIVEN_FILE)
                if teacher is not None:
                    teacher.keep(fresh)
                if log:
                    write_json(fresh / TRACKING_FILE, {"log": list(dict.fromkeys(log))})
                write_record(fresh, record)
                if old is not None:
                    os.replace(path, aside)
                    old.moved_to(aside)
                _rename(fresh, path)
                lock.moved_to(path)
                shutil.rmtree(aside, ignore_errors=True)
            yield
    finally:
        if old is not None and aside.exists() and not path.exists():
            os.replace(aside, path)
            old.moved_to(path)
        for folder in (fresh, aside):
            shutil.rmtree(folder, ignore_errors=True)


def _rename(fresh: Path, path: Path) -> None:
    try:
        os.replace(fresh, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise FileError(f"{path}: another command made this folder meanwhile; choose another name") from error


def _remove_dead(folder: Path) -> None:
    """Remove a half-made folder, unless its maker lives."""
    with contextlib.suppress(FileError), FolderLock(folder, "cidesign distill"):
        shutil.rmtree(folder, ignore_errors=True)


def remove_remains(path: Path) -> None:
    """Remove what a killed process left half-written in a run folder; its lock must be held."""
    for name in WRITTEN:
        for left in partials_of(path / name):
            with disk_errors(left):
                left.unlink()


def tidy_finished(path: Path) -> None:
    """Remove what a process left that was killed between the record of a finished run and its end."""
    # Where somebody works, or nobody may write, it stays; the run is whole with it.
    with contextlib.suppress(FileError), FolderLock(path, "cidesign distill --resume"):
        remove_remains(path)
        shutil.rmtree(path / CHECKPOINT_FILE.parent, ignore_errors=True)


class Ahead(NamedTuple):
    """Where a training stands: the epochs of this phase, those of all phases that are done, and the time left.

    `seconds_left` is by the pace of the last steps; None where none was timed yet.
    """

    of_phase: int
    done: int
    of_all: int
    seconds_left: float | None


@dataclass(frozen=True)
class EpochReport:
    """An epoch is done: the loss of training, and `metrics` of the validation images, with pulls of terms if any.

    `seconds` are those of all steps so far, `threads` how many computed at its end; `ahead` is no part of the record.
    """

    phase: str
    epoch: int
    step: int
    loss: float
    metrics: dict[str, float]
    seconds: float
    threads: int
    ahead: Ahead | None = None

    @property
    def line(self) -> JsonObject:
        """The line of `metrics.jsonl`."""
        head: JsonObject = {"phase": self.phase, "epoch": self.epoch, "step": self.step, "loss": self.loss}
        return {**head, **self.metrics, "seconds": self.seconds, "threads": self.threads}


def append_metrics(path: Path, report: EpochReport) -> int:
    """Add a line to `metrics.jsonl`; returns its length in bytes, which the checkpoint remembers."""
    with disk_errors(path / METRICS_FILE), (path / METRICS_FILE).open("a") as stream:
        stream.write(json.dumps(report.line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())  # a checkpoint that remembers this length must find it after a power cut too
        return stream.tell()


def metrics_lines(path: Path) -> list[JsonObject]:
    """The lines of `metrics.jsonl`; none before the first epoch."""
    file = path / METRICS_FILE
    if not file.exists():
        return []
    try:
        return [json.loads(line) for line in file.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise FileError(
            f"{file}: damaged ({first_line(error)}); put the file back, or start the run again with --force"
        ) from error


def trackers_of(path: Path) -> list[str]:
    """The names of the trackers that a run began with, and goes on with."""
    file = path / TRACKING_FILE
    if not file.exists():
        return []
    names = read_json(file, "list of trackers").get("log")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileError(f"{file}: damaged (it names no trackers); remove it to go on without any")
    return [str(name) for name in names]


def cut_metrics(path: Path, length_bytes: int) -> None:
    """Drop lines that were written after the checkpoint; the resumed run writes them again."""
    with disk_errors(path / METRICS_FILE), (path / METRICS_FILE).open("ab") as stream:
        found_bytes = stream.seek(0, os.SEEK_END)
        if found_bytes < length_bytes:
            raise FileError(
                f"{path / METRICS_FILE}: {found_bytes} bytes, but the checkpoint was written after {length_bytes}; put "
                "the file back, or start the run again with --force"
            )
        stream.truncate(length_bytes)
