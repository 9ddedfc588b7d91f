"""What a spec would train, and what that takes, before anything is started."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cidesign.distill.computing.machine import free_bytes
from cidesign.errors import InputError, LimitError
from cidesign.files import JsonObject
from cidesign.sweep.folder import State, Sweep, counts, existing, named_alike
from cidesign.sweep.point import Point, described
from cidesign.sweep.points import Refused, points_of
from cidesign.sweep.spec import SweepSpec
from cidesign.sweep.takes import Pace, Takes, takes_of
from cidesign.text import about, counted, joined
from cidesign.units import format_bytes

# More points than these are meant rarely, and a slip of the pen makes them easily.
MANY = 1_000
MOST_NAMED = 5


@dataclass(frozen=True)
class Plan:
    """Points and where they stand, what was refused and why, and what those to do take.

    `seconds` are those of all of them one after another; None where nothing like one of them was trained here yet.
    """

    path: Path
    spec: SweepSpec
    points: tuple[Point, ...]
    refused: tuple[Refused, ...]
    states: Mapping[str, State]
    takes: Mapping[str, Takes]
    seconds: float | None
    disk_there_bytes: int
    memory_there_bytes: int | None

    @property
    def to_do(self) -> list[Point]:
        """What is not done."""
        return [point for point in self.points if self.states[point.name].status != "done"]

    @property
    def memory_bytes(self) -> int | None:
        """What the largest point to do takes; None where one of them does not tell."""
        found = [self.takes[point.name].memory_bytes for point in self.to_do]
        known = [count for count in found if count is not None]
        return max(known, default=0) if len(known) == len(found) else None

    def disk_bytes(self, workers: int = 1) -> int:
        """What the points to do add to the disk, with the checkpoints of those that train at once."""
        takes = [self.takes[point.name] for point in self.to_do]
        checkpoints = sorted((one.checkpoint_bytes for one in takes), reverse=True)[:workers]
        return sum(one.kept_bytes for one in takes) + sum(checkpoints)

    def require(self, workers: int = 1) -> None:
        """Raise the error of a point that was refused, and `LimitError` where disk or memory are too small here."""
        if self.refused:
            raise type(self.refused[0].error)(f"{_refusals(self.refused)}; nothing was started")
        needed = self.disk_bytes(workers)
        if needed > self.disk_there_bytes:
            raise LimitError(
                f"{self.path}: the runs take about {format_bytes(needed)} of disk, and "
                f"{format_bytes(self.disk_there_bytes)} are free there; make room, or name another disk with --out"
            )
        most, there = self.memory_bytes, self.memory_there_bytes
        if most and there is not None and workers > 1 and workers * most > there:
            raise LimitError(
                f"workers {workers}: each takes up to {format_bytes(most)} of memory, and {format_bytes(there)} are "
                f"free; use {max(1, there // most)}"
            )

    def value(self) -> JsonObject:
        """The plan for programs."""
        return {
            "sweep": str(self.path),
            "points": [
                {
                    "name": point.name, "kind": point.kind, "values": point.values, "digest": point.digest,
                    "needs": list(point.needs), "beside": list(point.beside), "steps": point.steps,
                    "status": self.states[point.name].status,
                }
                for point in self.points
            ],
            "refused": [{"point": one.what, "why": str(one.error)} for one in self.refused],
            "counts": counts(self.states),
            "steps": sum(point.steps for point in self.to_do),
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes(),
            "disk_free_bytes": self.disk_there_bytes,
            "memory_bytes_each": self.memory_bytes,
            "memory_free_bytes": self.memory_there_bytes,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """The plan for people, without the points themselves."""
        kinds = {"teacher": "stored teacher", "run": "run", "e2e": "end-to-end training", "fixed": "fixed design"}
        numbers = {word: sum(point.kind == kind for point in self.points) for kind, word in kinds.items()}
        made = joined([counted(number, word) for word, number in numbers.items() if number], "and")
        states = joined([f"{number} {status}" for status, number in counts(self.states).items() if number], "and")
        steps = sum(point.steps for point in self.to_do)
        time = "not known yet (nothing like it was trained here)" if self.seconds is None else about(self.seconds)
        memory = "not known" if self.memory_bytes is None else f"up to {format_bytes(self.memory_bytes)}"
        free = "not known" if self.memory_there_bytes is None else format_bytes(self.memory_there_bytes)
        lines = [
            f"{self.path}: {counted(len(self.points), 'point')} ({made}); {states}",
            f"to do: {counted(steps, 'step')}; training with one worker: {time}",
            f"disk: about {format_bytes(self.disk_bytes())} (free: {format_bytes(self.disk_there_bytes)}); memory of "
            f"each: {memory} (free here: {free})",
        ]
        if self.spec.search is not None:
            each = counted(self.spec.size, "run") if self.spec.grid else "1 run"
            lines.append(
                f"search: {counted(self.spec.search.trials, 'proposal')} of {each} each; what those take that are not "
                "proposed yet is not counted here"
            )
        return [*lines, *(f"refused: {one.what}: {one.error}" for one in self.refused)]


def _refusals(refused: tuple[Refused, ...]) -> str:
    named = "; ".join(f"{one.what}: {one.error}" for one in refused[:MOST_NAMED])
    more = f"; and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
    return f"{counted(len(refused), 'point')} cannot be trained: {named}{more}"


def plan(spec: SweepSpec, path: Path, accept_many: bool = False) -> Plan:
    """Plan a spec for a folder; raises `InputError` for many points that were not asked for with `accept_many`, and as
    `existing` and `points_of` do.  Nothing is written."""
    require_few(spec, accept_many)
    there = existing(path, spec)
    with one_thread():
        return _planned(spec, path, there)


def _planned(spec: SweepSpec, path: Path, there: Sweep | None) -> Plan:
    proposed = [point.values for point in there.points if point.kind == "run"] if there is not None else []
    expanded = points_of(spec, proposed)
    points = named_alike(expanded.points, there)
    states = {point.name: State("to do") if there is None else there.state(point) for point in points}
    takes = takes_of(expanded.resolved, points)
    pace = Pace(there)
    times = [
        pace.seconds(expanded.resolved[point.digest].settings, point.steps)
        for point in points
        if states[point.name].status != "done"
    ]
    known = [time for time in times if time is not None]
    seconds = sum(known) if len(known) == len(times) else None
    disk = shutil.disk_usage(_nearest(path)).free
    return Plan(path, spec, points, expanded.refused, states, takes, seconds, disk, free_bytes())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread meanwhile: arrays this small wait for a second one where a machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_few(spec: SweepSpec, accept_many: bool) -> None:
    """Raise `InputError` for a grid of very many points, unless they are accepted."""
    if spec.size > MANY and not accept_many:
        lengths = " x ".join(f"{len(values)} {name}" for name, values in spec.grid.items())
        raise InputError(f"[grid] has {spec.size} points ({lengths}); repeat with --yes where that is meant")


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def listed(plan: Plan) -> list[tuple[str, ...]]:
    """Name, kind, status, steps and digest of each point: rows of a table."""
    return [
        (point.name, described_kind(point), plan.states[point.name].status, str(point.steps), point.digest[:12])
        for point in plan.points
    ]


def described_kind(point: Point) -> str:
    """`run`, `teacher`, `E2E`, `fixed design low-pass cosines`."""
    return described(point.kind, point.fixed, {}) if point.kind != "run" else "run"
