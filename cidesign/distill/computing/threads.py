"""How many threads training computes with: a count that is given, or the fastest of those that were timed.

A step waits for the slowest of its threads.  On a machine with nothing else to do all processors together are the
fastest; beside other programs a single thread can be ten times as fast as two.  So counts are timed, and now and then
again, by steps of training themselves: nothing is computed for the clock alone.
"""

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence

import torch

from cidesign.distill.computing.machine import processors
from cidesign.distill.computing.ranks import ALONE, Ranks
from cidesign.errors import LimitError
from cidesign.run_settings import TrainingSettings

# Of a count, the first step makes threads and fills caches; the median of so many that follow is its time.
TIMED_STEPS = 3
# Another count is taken when it is faster by this, and given up after one step that is slower by that.
GAIN, HOPELESS = 0.03, 1.5
# The median of so many steps in a row is what a step takes now: no single hiccup is a change of load.
WINDOW = 5
# Twice or half of what a step took when the count was chosen: other programs have come or gone.
CHANGED = 2.0
# Another look may cost this share of the time since the last one: when a change is seen; when none is and all threads
# compute; and when fewer do, since a single one may not notice that other programs have ended.
SHARE_CHANGED, SHARE_OF_ALL, SHARE_OF_FEWER = 0.1, 0.01, 0.03
LEAST_STEPS = 50

Look = Generator[int, float, float]


class Threads:
    """The thread count of a training, step by step.

    `counts` rise; the first look starts from the last one, or, where a training goes on, `current` is kept until there
    is a reason to look.  From the count in effect its neighbours are timed, and further ones in the direction in which
    steps get faster.  `clock` is in seconds, `use` sets the count.
    """

    def __init__(
        self,
        counts: Sequence[int],
        current: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        use: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.counts, self._clock, self._use = list(counts), clock, use
        # Counts of another machine, or beyond what is allowed here, go to the nearest.
        nearest = min(range(len(counts)), key=lambda at: (abs(counts[at] - (current or counts[-1])), at))
        self._at = self._in_use = nearest
        self.last_s = 0.0
        self._usual_s: float | None = None
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._since_s, self._since_steps, self._cost_s = 0.0, 0, 0.0
        self._tried_s: dict[int, list[float]] = {}
        self._settled = current is not None or len(counts) == 1
        self._look = None if self._settled else self._neighbours()
        self._asked = self._at if self._look is None else next(self._look)
        self._use(self.count)

    @property
    def count(self) -> int:
        """The count in effect; one that is only being timed is not."""
        return self.counts[self._at]

    @property
    def chosen(self) -> int | None:
        """The count that a training which is interrupted now goes on with; None while the first look is not over."""
        return self.count if self._settled else None

    @property
    def step_s(self) -> float | None:
        """What a step takes with the count in effect; None before it is known."""
        return statistics.median(self._recent) if self._recent else self._usual_s

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One step of training, which is timed (`last_s`); after it the count in effect is in use again."""
        self._set(self._asked)
        started = self._clock()
        yield
        self.last_s = self._clock() - started
        self._note(self.last_s)
        self._set(self._at)

    def _set(self, at: int) -> None:
        if at != self._in_use:
            self._use(self.counts[at])
            self._in_use = at

    def _note(self, seconds: float) -> None:
        if self._look is not None:
            self._tried_s.setdefault(self._asked, []).append(seconds)
            try:
                self._asked = self._look.send(seconds)
            except StopIteration as done:
                self._end_look(done.value)
            return
        self._recent.append(seconds)
        self._since_s += seconds
        self._since_steps += 1
        if len(self._recent) == WINDOW and len(self.counts) > 1 and self._due(statistics.median(self._recent)):
            self._tried_s = {}
            self._look = self._neighbours()
            self._asked = next(self._look)

    def _due(self, now_s: float) -> bool:
        """Whether to look again: a changed load soon, else once the last look has paid for itself."""
        usual_s = self._usual_s = self._usual_s or now_s
        if now_s >= CHANGED * usual_s or now_s <= usual_s / CHANGED:
            return self._cost_s <= SHARE_CHANGED * self._since_s
        share = SHARE_OF_ALL if self.count == self.counts[-1] else SHARE_OF_FEWER
        return self._since_steps >= LEAST_STEPS and self._cost_s <= share * self._since_s

    def _end_look(self, step_s: float) -> None:
        self._look, self._asked, self._settled = None, self._at, True
        self._usual_s = step_s
        # The next one times the neighbours again.
        beside = [*self._tried_s.get(self._at - 1, []), *self._tried_s.get(self._at + 1, [])]
        self._cost_s = sum(max(0.0, seconds - step_s) for seconds in beside)
        self._since_s, self._since_steps = 0.0, 0
        self._recent.clear()

    def _neighbours(self) -> Look:
        """Go to the fastest count; yields which one (its place) the next step is to use, and returns its time."""
        best_s = yield from self._timed(self._at, float("inf"))
        self._usual_s = best_s
        for direction in (-1, 1):
            start = self._at
            while 0 <= (beside := self._at + direction) < len(self.counts):
                seconds = yield from self._timed(beside, HOPELESS * best_s)
                if seconds > (1 - GAIN) * best_s:
                    break
                self._at, best_s = beside, seconds
                self._recent.clear()
                self._usual_s = best_s
            if self._at != start:
                break
        return best_s

    def _timed(self, at: int, hopeless_s: float) -> Look:
        yield at
        seconds: list[float] = []
        while len(seconds) < TIMED_STEPS and (not seconds or seconds[-1] <= hopeless_s):
            seconds.append((yield at))
        return statistics.median(seconds)


def counts_up_to(most: int) -> list[int]:
    """1, 2, 4 ... and `most` itself."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


@contextlib.contextmanager
def training_threads(settings: TrainingSettings, current: int | None = None, ranks: Ranks = ALONE) -> Iterator[Threads]:
    """The threads of a training, which the process has only until its end.

    None in the settings: the fastest of up to as many as torch uses by itself (`OMP_NUM_THREADS`); on a GPU there is
    nothing to choose.  `current` is the count that an interrupted training had come to.  Several `ranks` share out the
    processors of their machine and time nothing: all would wait for the one that tries.
    """
    before = torch.get_num_threads()
    counts = [settings.threads or before]
    if settings.threads is None and settings.device == "cpu":
        counts = counts_up_to(before) if ranks.size == 1 else [max(1, processors() // ranks.local_size)]
    try:
        yield Threads(counts, current)
    finally:
        torch.set_num_threads(before)


def require_processors(threads: int, ranks: Ranks = ALONE) -> None:
    """Raise `LimitError` for more threads than this machine can run at once, so many in each of `ranks` there."""
    most = max(processors(), torch.get_num_threads())
    if ranks.size > 1 and threads > (fair := max(1, most // ranks.local_size)):
        raise LimitError(
            f"threads {threads}: so many in each of {ranks.local_size} processes, and {most} can run at once on this "
            f"machine; use {fair}, or leave it out"
        )
    if threads > most:
        raise LimitError(
            f"threads {threads}: {most} can run at once on this machine, and more would only wait for one another; use "
            f"1 to {most}, or leave it out"
        )
