"""What a tracker is told, and which ones there are."""

import contextlib
import difflib
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from cidesign.errors import InputError
from cidesign.files import JsonObject

# name -> the module whose `TRACKER` it is.  The name is that of the package it needs, and of the extra that brings it.
TRACKERS = {"tensorboard": "cidesign.tracking.tensorboard", "wandb": "cidesign.tracking.wandb"}


class Tracked(NamedTuple):
    """A run that is tracked: its folder, a name that stays its own when the folder is renamed, and its settings."""

    folder: Path
    identity: str
    settings: JsonObject


class Tracker(ABC):
    """One tracker of one run."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, run: Tracked, lines: Sequence[JsonObject]) -> None:
        """Training begins or goes on; `lines` are those of `metrics.jsonl` so far, and nothing else is shown then."""

    @abstractmethod
    def epoch(self, line: JsonObject) -> None:
        """A line was added to `metrics.jsonl`: phase, epoch, step and metrics."""

    @abstractmethod
    def finish(self, metrics: Mapping[str, float] | None) -> None:
        """The run ends with the metrics of its record; None: it was stopped or failed, and may go on later."""


def require_trackers(names: Sequence[str]) -> None:
    """Raise `InputError` for a tracker that there is not, or whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            near = difflib.get_close_matches(name, TRACKERS, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"log {name}: no such tracker; {meant}There are {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"log {name}: the package {name} is not installed; install it with `pip install cidesign[{name}]`, or "
                "leave it out (metrics.jsonl holds the same numbers)"
            )


@contextlib.contextmanager
def tracking(names: Sequence[str], run: Tracked, lines: Sequence[JsonObject]) -> Iterator[list[Tracker]]:
    """The trackers of a run, started; one that is left without `finish` having been told of metrics is told None."""
    require_trackers(names)
    trackers: list[Tracker] = []
    try:
        for name in names:
            trackers.append(importlib.import_module(TRACKERS[name]).TRACKER())
            trackers[-1].start(run, lines)
        yield trackers
    except BaseException:
        for tracker in trackers:
            tracker.finish(None)
        raise


def numbers(line: JsonObject) -> dict[str, float]:
    """The numbers of a line by the names under which trackers show them: `student/psnr_db`."""
    return {
        f"{line['phase']}/{name}": float(value)
        for name, value in line.items()
        if isinstance(value, int | float) and name not in ("epoch", "step")
    }
