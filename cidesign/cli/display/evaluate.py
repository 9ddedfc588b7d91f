"""What `evaluate` shows while it trains what a run is compared with: bars, or lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import TaskID

from cidesign.cli.display.bars import bars
from cidesign.cli.output import note
from cidesign.distill.comparison.evaluation import EvaluationListener
from cidesign.text import counted, elapsed, seconds_left, to_go

if TYPE_CHECKING:
    from cidesign.distill.comparison.compare import Measured
    from cidesign.distill.loop import StepReport

# The time that all systems take is told by then, counted from the first step.
TOLD_AFTER_S, TOLD_AFTER_STEPS = 20.0, 5


class Course:
    """How far the training of several systems of equally many steps is; `clock` is in seconds."""

    def __init__(self, names: Sequence[str], epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.names, self.epochs = list(names), epochs
        self._clock, self._began_s, self._told = clock, clock(), False

    def step(self, name: str, report: "StepReport") -> str | None:
        """A line to print after a step: early how long all will take, and later each epoch; None in between."""
        if name not in self.names:
            return None
        before, gone_s = self.names.index(name), self._clock() - self._began_s
        if report.step == 1 and before == 0:
            # The first step also prepares; the pace is that of those after it.
            self._began_s, gone_s = self._clock(), 0.0
        left_s = seconds_left(before * report.steps + report.step, len(self.names) * report.steps, gone_s)
        if not self._told and (gone_s >= TOLD_AFTER_S or report.step > TOLD_AFTER_STEPS):
            self._told = True
            return f"{to_go(left_s)} for {counted(len(self.names), 'system')} at this pace"
        if report.step % max(report.steps // self.epochs, 1):
            return None
        epoch = report.step * self.epochs // report.steps
        last = before + 1 == len(self.names) and report.step == report.steps
        return (
            f"{name} ({before + 1} of {len(self.names)}): epoch {epoch}/{self.epochs}, loss {report.loss:.5f}; "
            f"{elapsed(gone_s)} so far{'' if last else f', {to_go(left_s)}'}"
        )


class Shown(EvaluationListener):
    """The listener of the command: remarks, and how far the training is."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._progress = bars(disable=not self._on_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._course: Course | None = None

    def __enter__(self) -> "Shown":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _say(self, text: str) -> None:
        if self._on_terminal:
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            note(text)

    def measured_on(self, measured: "Measured") -> None:
        """What should be known of the images."""
        for remark in measured.notes:
            self._say(f"note: {remark}")

    def remark(self, text: str) -> None:
        """A note."""
        self._say(f"note: {text}")

    def left_out(self, names: list[str]) -> None:
        """What `--no-training` leaves out."""
        self._say(f"not trained yet, left out: {'; '.join(names)}")

    def training(self, names: list[str], epochs: int) -> None:
        """What is trained, and for how long."""
        self._say(f"{len(names)} systems are trained now, {epochs} epochs each: {'; '.join(names)}")
        self._course = Course(names, epochs)

    def step(self, name: str, report: "StepReport") -> None:
        """The bar moves; where there is none, an epoch is a line."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=report.steps)
        self._progress.update(self._tasks[name], completed=report.step)
        if self._course is not None and (line := self._course.step(name, report)) is not None:
            self._say(line)

    def done(self, name: str) -> None:
        """The bar is full, also of what needed no training."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name)
        self._progress.update(self._tasks[name], total=1, completed=1)
