"""What `distill` shows while it trains: what it takes, a progress bar, epochs, and how it is stopped."""

import contextlib
import signal
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cidesign.cli.output import note, quoted
from cidesign.signals import break_off, exit_code_of, signals_to
from cidesign.text import about, counted, elapsed, joined, to_go
from cidesign.units import format_bytes

if TYPE_CHECKING:  # torch loads when something is trained
    from cidesign.data.source import TrainingImages
    from cidesign.distill.needs import Needs, Pace
    from cidesign.distill.run_folder import EpochReport
    from cidesign.distill.tasks.base import Task

# Lines for people; evaluate's --json names all.
MOST_NAMED = 20


class Display:
    """The progress bar, and Ctrl-C, SIGTERM and SIGHUP: while it trains, the step is finished and a checkpoint written.

    A second Ctrl-C breaks off at once; batch systems and terminals send their signals twice and mean no more by it.
    `again` is what goes on with it; None: resuming the run in folder `path`.
    """

    def __init__(self, path: Path, task: str, again: str | None = None) -> None:
        from cidesign.distill.tasks.base import task_named

        self.again = again or f"Go on with `cidesign distill --resume --out {quoted(path)}`"
        self.task = task_named(task)
        self.training, self.on_terminal = False, sys.stderr.isatty()
        self.stopped_by: int | None = None
        self.handlers = contextlib.ExitStack()

    def __enter__(self) -> "Display":
        from cidesign.distill.job import Interrupted, Listener

        display = self
        self.progress = Progress(
            TextColumn("{task.description:8s}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("loss {task.fields[loss]:.5f}  {task.fields[score]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # Elsewhere a bar is control characters in a file: there each epoch is a line.
            disable=not self.on_terminal,
        )
        tasks: dict[str, TaskID] = {}
        bar = self.task.bar

        class Shown(Listener):
            def remark(self, text: str) -> None:
                note(f"note: {text}")

            def needs(self, needs: Any) -> None:
                if needs.steps:
                    note(f"training: {needs_said(needs)}")

            def pace(self, pace: Any) -> None:
                display.say(pace_said(pace))

            def images(self, images: Any) -> None:
                display.training = True
                _note_images(images)

            def step(self, report: Any) -> None:
                if report.phase not in tasks:
                    tasks[report.phase] = display.progress.add_task(
                        report.phase, total=report.steps, completed=report.step - 1, loss=0.0, score=""
                    )
                shown = f"{bar.name} {bar.text(report.score):>5s} {bar.unit}".rstrip()
                display.progress.update(tasks[report.phase], completed=report.step, loss=report.loss, score=shown)
                if display.stopped_by is not None:
                    raise Interrupted

            def epoch(self, report: Any) -> None:
                display.say(epoch_said(report, display.task))

        self.listener = Shown()
        self.handlers.enter_context(signals_to(self._on_signal))
        self.progress.start()
        return self

    def say(self, text: str) -> None:
        """One line, above the bar where there is one."""
        if self.on_terminal:
            self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            note(text)

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        again = self.stopped_by is not None and number == signal.SIGINT
        if again or not self.training:  # while images are read there is nothing to finish
            break_off(number, frame)
        self.stopped_by = self.stopped_by or number

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from cidesign.distill.job import Interrupted

        self.progress.stop()
        self.handlers.close()
        if kind is Interrupted:
            note(f"stopped; nothing is lost. {self.again}")
            raise click.exceptions.Exit(exit_code_of(self.stopped_by or signal.SIGINT))


def epoch_said(report: "EpochReport", task: "Task") -> str:
    """An epoch in one line: where training stands, what was reached, the loss, the time of all steps and what is left.

    `student epoch 2/4 (6 of 8 in all): validation 28.84 dB (its linear estimate 27.36 dB), loss 0.00131; 0:02:10 so
    far, less than a minute to go`.
    """
    (score, *followed), metrics, ahead = task.followed, report.metrics, report.ahead
    beside = ", ".join(f"its {one.name} {one.text(metrics[one.metric])} {one.unit}" for one in followed)
    reached = f"{score.text(metrics[score.metric])} {score.unit}".rstrip() + (f" ({beside})" if beside else "")
    of = f"/{ahead.of_phase}" if ahead else ""
    in_all = f" ({ahead.done} of {ahead.of_all} in all)" if ahead and ahead.of_all != ahead.of_phase else ""
    left = f", {to_go(ahead.seconds_left)}" if ahead and ahead.done < ahead.of_all else ""
    # A weighted sum of terms is no number to hold beside the loss of a teacher, which has the task's alone.
    loss = f"loss {report.loss:.5f}"
    if "loss_task" in metrics:
        loss = f"loss {metrics['loss_task']:.5f} ({report.loss:.5f} with the weighted guiding terms)"
    return (
        f"{report.phase} epoch {report.epoch}{of}{in_all}: validation {reached}, {loss}; "
        f"{elapsed(report.seconds)} so far{left}"
    )


def pace_said(pace: "Pace") -> str:
    """How long it will take."""
    by = "" if pace.threads is None else f", {counted(pace.threads, 'thread')}"
    if pace.chosen:
        return f"{about(pace.seconds_left)} to go at this pace ({pace.seconds_per_step:.2g} s a step{by})"
    return (
        f"at most {about(pace.seconds_left)} to go ({pace.seconds_per_step:.2g} s a step{by}; fewer threads are "
        "still being timed)"
    )


def _note_images(images: "TrainingImages") -> None:
    """What is trained on, and what is not, and why."""
    note(f"training images: {images.description}")
    for remark in images.notes:
        note(f"note: {remark}")
    if images.skipped:
        note(f"left out of {len(images.skipped)} files what cannot be used:")
        for line in images.skipped[:MOST_NAMED]:
            note(f"  {line}")
        if len(images.skipped) > MOST_NAMED:
            note(f"  ... and of {len(images.skipped) - MOST_NAMED} more")


def needs_said(needs: "Needs") -> str:
    """Steps and memory, and when the time will be known."""
    memories = []
    for memory in needs.memories:
        there = "what is free is not known" if memory.there_bytes is None else f"of {format_bytes(memory.there_bytes)}"
        memories.append(f"about {format_bytes(memory.needed_bytes)} of {memory.name} ({there})")
    taken = joined(memories, "and") if memories else f"memory not known: {needs.unknown}"
    steps = f"{counted(needs.steps, 'step')} in {counted(needs.epochs, 'epoch')}"
    return f"{steps}; {taken}; the time is told after the first steps"
