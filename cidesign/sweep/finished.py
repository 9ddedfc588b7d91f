"""What the folder of a finished run tells a comparison: its metrics, what it was trained on, and what it cost."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cidesign.errors import FileError
from cidesign.files import read_limited
from cidesign.models.teacher_record import trained_epochs
from cidesign.runs import Run

METRICS_FILE = "metrics.jsonl"
MAX_METRICS_BYTES = 50_000_000
STUDENT = "student"


class Line(NamedTuple):
    """One line of `metrics.jsonl`: `seconds` are those of all training steps so far."""

    phase: str
    epoch: int
    seconds: float
    threads: int | None
    values: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """A finished run: the metrics of its student, the epochs that went into its teacher and into itself, and the
    seconds that its own training steps took (of one processor, or of the device that trained it).
    """

    metrics: dict[str, float]
    data_digest: str
    profile_digest: str
    teacher_epochs: int
    student_epochs: int
    seconds: float | None
    on_processor: bool

    @property
    def epochs(self) -> int:
        """All that its student was trained with, its teacher's included."""
        return self.teacher_epochs + self.student_epochs


def read_finished(run: Run) -> Finished:
    """What a finished run tells; raises `FileError` for one that is unfinished or damaged."""
    run.require_complete()
    prefix = f"{STUDENT}_"
    teacher_epochs, student_epochs = trained_epochs(run)
    return Finished(
        metrics={name.removeprefix(prefix): v for name, v in run.record.metrics.items() if name.startswith(prefix)},
        data_digest=run.record.data_digest,
        profile_digest=run.record.profile_digest,
        teacher_epochs=teacher_epochs,
        student_epochs=student_epochs,
        seconds=seconds_of(run, read_lines(run)),
        on_processor=run.settings.device == "cpu",
    )


def read_lines(run: Run) -> list[Line]:
    """The lines of `metrics.jsonl`, none where nothing was trained yet; raises `FileError` for a damaged one.

    A last line without its end is being written now, and is left out.
    """
    path = run.path / METRICS_FILE
    if not path.is_file():
        return []
    content = read_limited(path, "metrics file", MAX_METRICS_BYTES)
    whole = content[: content.rfind(b"\n") + 1]
    try:
        return [_line(json.loads(text)) for text in whole.decode().splitlines()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise FileError(f"{path}: this metrics file is damaged ({error})") from error


def _line(raw: dict[str, object]) -> Line:
    numbers = {
        str(name): float(value)
        for name, value in raw.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    threads = numbers.get("threads")
    return Line(
        str(raw["phase"]), int(numbers["epoch"]), numbers["seconds"], None if threads is None else int(threads), numbers
    )


def seconds_of(run: Run, lines: Sequence[Line]) -> float | None:
    """The seconds that the training steps of a run took: of its processor threads together, or of its device.

    None where a line does not say how many threads computed.
    """
    total, before = 0.0, 0.0
    for line in lines:
        if run.settings.device != "cpu":
            workers = 1
        elif line.threads is None:
            return None
        else:
            workers = line.threads
        total += (line.seconds - before) * workers
        before = line.seconds
    return total


def student_scores(run: Run, metric: str) -> list[float]:
    """A metric of the student on the validation images after each of its epochs."""
    return [line.values[metric] for line in read_lines(run) if line.phase == STUDENT and metric in line.values]
