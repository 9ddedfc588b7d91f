"""What bench commands show while they compute: a bar, or lines where there is no terminal, once it takes long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import TaskID

from cidesign.cli.display.bars import bars
from cidesign.cli.output import note
from cidesign.progress import Part, heard_by
from cidesign.text import seconds_left, to_go

# What is done by then was not worth a word; and how often a line is written where there is no bar.
QUIET_S, LINE_EVERY_S = 3.0, 30.0


class Lines:
    """A line about a part that takes long, by and by; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._name, self._began_s, self._next_s = clock, "", 0.0, 0.0

    def at(self, part: Part) -> str | None:
        """What to write now: nothing for a part that is done, or of which nothing is done yet."""
        now_s = self._clock()
        if part.name != self._name:
            self._name, self._began_s, self._next_s = part.name, now_s, now_s + QUIET_S
        if not 0 < part.share < 1 or now_s < self._next_s:
            return None
        self._next_s = now_s + LINE_EVERY_S
        left_s = seconds_left(part.share, 1.0, now_s - self._began_s)
        return f"{part.name}: {100 * part.share:.0f} %, {to_go(left_s)}"


class Bar:
    """The part that is computed, as a bar with the time left, which vanishes when all is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began_s = clock, clock()
        # Steps may take a minute each.
        self._progress = bars(transient=True, speed_estimate_period=600.0)
        self._task: tuple[str, TaskID] | None = None

    def at(self, part: Part) -> None:
        """The bar of a part, in place of that of another; none while nothing has taken long."""
        if self._clock() - self._began_s < QUIET_S:
            return
        self._progress.start()
        if self._task is None or self._task[0] != part.name:
            if self._task is not None:
                self._progress.remove_task(self._task[1])
            self._task = part.name, self._progress.add_task(part.name, total=1.0)
        self._progress.update(self._task[1], completed=part.share)

    def end(self) -> None:
        """Nothing is left on the screen."""
        self._progress.stop()


@contextmanager
def waiting() -> Iterator[None]:
    """While this is open, whoever waits for a computation of this thread sees how far it is."""
    if not sys.stderr.isatty():
        lines = Lines()

        def written(part: Part) -> None:
            if (line := lines.at(part)) is not None:
                note(line)

        with heard_by(written):
            yield
        return
    bar = Bar()
    try:
        with heard_by(bar.at):
            yield
    finally:
        bar.end()
