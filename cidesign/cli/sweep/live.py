"""What a driver shows: one table of all runs where there is a terminal, a line for each event where not."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cidesign.cli.output import note
from cidesign.sweep.folder import State, Sweep
from cidesign.sweep.local import Job, Watcher
from cidesign.sweep.takes import metrics_of
from cidesign.text import about, counted


class Lines(Watcher):
    """A line for each event."""

    def say(self, text: str) -> None:
        """One line."""
        note(text)

    def started(self, sweep: Sweep, job: Job) -> None:
        gpu = "" if job.slot.gpu is None else f", GPU {job.slot.gpu}"
        begun = len(metrics_of(sweep, job.point))
        on = f", on from epoch {begun}" if begun else ""
        self.say(f"started {job.point.name} (worker {job.slot.number}{gpu}, process {job.process.pid}{on})")

    def ended(self, sweep: Sweep, job: Job, state: State, again: bool) -> None:
        taken = f"{time.monotonic() - job.since:.0f} s"
        if state.status == "done":
            self.say(f"done {job.point.name} ({taken})")
        elif state.status == "failed":
            self.say(f"failed {job.point.name} ({taken}): {state.why}{'; tried again' if again else ''}")
        elif state.status == "running":
            self.say(f"{job.point.name}: another process works on it")
        else:
            self.say(f"stopped {job.point.name} ({taken})")

    def remark(self, text: str) -> None:
        self.say(text)


class Board(Lines):
    """The same above a table of what runs."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def tick(self, sweep: Sweep, jobs: Sequence[Job], left: int) -> None:
        table = Table("point", "phase", "epochs", "loss", "time", "left", box=None, pad_edge=False)
        for job in jobs:
            table.add_row(*_row(sweep, job))
        table.caption = f"{counted(left, 'point')} waiting"
        table.caption_justify = "left"
        self._live.update(table)


def _row(sweep: Sweep, job: Job) -> tuple[str, ...]:
    """Of a worker: what its finished epochs say."""
    lines, epochs = metrics_of(sweep, job.point), job.point.epochs
    elapsed = f"{time.monotonic() - job.since:.0f} s"
    if not lines:
        return job.point.name, "starting", f"0/{epochs}", "", elapsed, ""
    last = lines[-1]
    left = float(last["seconds"]) / len(lines) * (epochs - len(lines))
    loss = f"{last['loss']:.5f}" if isinstance(last.get("loss"), float) else ""
    return job.point.name, str(last.get("phase", "")), f"{len(lines)}/{epochs}", loss, elapsed, about(left)


@contextlib.contextmanager
def watching(on_terminal: bool) -> Iterator[Watcher]:
    """What shows a driver's work while the context lasts."""
    if not on_terminal:
        yield Lines()
        return
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=2) as live:
        yield Board(live)
