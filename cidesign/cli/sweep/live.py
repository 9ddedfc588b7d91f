"""What a driver shows: one table of all runs where there is a terminal, a line for each event where not."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cidesign.cli.output import note
from cidesign.sweep.folder import State, Sweep
from cidesign.sweep.local import Job, Watcher
from cidesign.sweep.takes import metrics_of
from cidesign.text import about, counted, elapsed, to_go


class Lines(Watcher):
    """A line for each event, and for each epoch."""

    def __init__(self) -> None:
        # Of each point: the epochs that were told, or were there before its worker began.
        self._epochs: dict[str, int] = {}

    def say(self, text: str) -> None:
        """One line."""
        note(text)

    def started(self, sweep: Sweep, job: Job) -> None:
        gpu = "" if job.slot.gpu is None else f", GPU {job.slot.gpu}"
        begun = len(metrics_of(sweep, job.point))
        self._epochs[job.point.name] = begun
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

    def tick(self, sweep: Sweep, jobs: Sequence[Job], left: int) -> None:
        """A line for each epoch that is done: where its point stands, and what is left of it and of all points."""
        standings = [standing_of(sweep, job) for job in jobs]
        for job, standing in zip(jobs, standings, strict=True):
            if standing is None or standing.done == self._epochs.get(job.point.name):
                continue
            self._epochs[job.point.name] = standing.done
            in_all = all_left_s([one for one in standings if one is not None], left, len(jobs))
            more = "" if len(jobs) + left == 1 else f" ({to_go(in_all)} for all points)"
            self.say(f"{job.point.name}: {standing.said}, {to_go(standing.left_s)}{more}")


class Standing(NamedTuple):
    """Of a point: epochs that are done and those of all, what the last one said, and seconds for each and left."""

    done: int
    epochs: int
    phase: str
    loss: float | None
    score: str
    taken_s: float

    @property
    def each_s(self) -> float:
        """Seconds of an epoch."""
        return self.taken_s / self.done

    @property
    def left_s(self) -> float:
        """Seconds that are left of the point."""
        return self.each_s * (self.epochs - self.done)

    @property
    def said(self) -> str:
        """The last epoch in words."""
        loss = "" if self.loss is None else f", loss {self.loss:.5f}"
        return f"{self.phase} epoch {self.done}/{self.epochs}{loss}{self.score}; {elapsed(self.taken_s)} so far"


def all_left_s(standings: Sequence[Standing], waiting: int, workers: int) -> float | None:
    """What is left of all points where so many wait: as long as those that work take in the mean, on so many workers.

    None before any of these has finished an epoch.
    """
    if not standings:
        return None
    whole_s = sum(one.each_s * one.epochs for one in standings) / len(standings)
    running_s = sum(one.left_s for one in standings) / len(standings) * workers
    return (running_s + waiting * whole_s) / workers


def standing_of(sweep: Sweep, job: Job) -> Standing | None:
    """What the finished epochs of a worker's point say; None before the first one."""
    lines = metrics_of(sweep, job.point)
    if not lines:
        return None
    last = lines[-1]
    loss, score = last.get("loss"), last.get("psnr_db")
    return Standing(
        len(lines),
        job.point.epochs,
        str(last.get("phase", "")),
        loss if isinstance(loss, float) else None,
        f", PSNR {score:.2f} dB" if isinstance(score, float) else "",
        float(last["seconds"]),
    )


class Board(Lines):
    """The same above a table of what runs."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def tick(self, sweep: Sweep, jobs: Sequence[Job], left: int) -> None:
        table = Table("point", "phase", "epochs", "loss", "time", "left", box=None, pad_edge=False)
        for job in jobs:
            table.add_row(*_row(sweep, job))
        standings = [one for job in jobs if (one := standing_of(sweep, job)) is not None]
        in_all = f"; {to_go(all_left_s(standings, left, len(jobs)))} for all points" if standings else ""
        table.caption = f"{counted(left, 'point')} waiting{in_all}"
        table.caption_justify = "left"
        self._live.update(table)


def _row(sweep: Sweep, job: Job) -> tuple[str, ...]:
    """Of a worker: what its finished epochs say."""
    standing, gone = standing_of(sweep, job), f"{time.monotonic() - job.since:.0f} s"
    if standing is None:
        return job.point.name, "starting", f"0/{job.point.epochs}", "", gone, ""
    loss = "" if standing.loss is None else f"{standing.loss:.5f}"
    epochs = f"{standing.done}/{standing.epochs}"
    return job.point.name, standing.phase, epochs, loss, gone, about(standing.left_s)


@contextlib.contextmanager
def watching(on_terminal: bool) -> Iterator[Watcher]:
    """What shows a driver's work while the context lasts."""
    if not on_terminal:
        yield Lines()
        return
    with Live(console=Console(stderr=True), transient=True, refresh_per_second=2) as live:
        yield Board(live)
