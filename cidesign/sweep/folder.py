"""The folder of a sweep: its spec and points, and where each point stands, read from the run folders and their locks.

sweep.json                  the spec and all points
teachers/NAME, points/NAME  run folders as `cidesign distill` makes them
jobs/NAME/attempts.json     when and where a point was worked on, and how that ended
jobs/NAME/log.txt           what its workers said
jobs/NAME/.lock             held while somebody works on it
"""

import os
import socket
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from cidesign import __version__
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import canonical_json, read_json, write_json
from cidesign.locks import HeldError, Holder, refuse_held
from cidesign.records import Strict, first_problem, now_utc
from cidesign.run_settings import shown_value, unknown
from cidesign.runs import Run
from cidesign.sweep.point import Point
from cidesign.sweep.spec import SweepSpec

RECORD_FILE, ATTEMPTS_FILE, LOG_FILE, JOBS = "sweep.json", "attempts.json", "log.txt", "jobs"
SCHEMA_VERSION = 1
Status = Literal["done", "running", "failed", "to do"]
STATUSES: tuple[Status, ...] = ("done", "running", "failed", "to do")


class Attempt(Strict):
    """Somebody worked on a point; `ended_utc` None: still does, or was killed.  `exit` is that of the command."""

    started_utc: str
    host: str
    pid: int
    ended_utc: str | None = None
    exit: int | None = None
    error: str | None = None


class Attempts(Strict):
    """The content of `attempts.json`, the last one last."""

    attempts: tuple[Attempt, ...] = ()


class SweepRecord(Strict):
    """The content of `sweep.json`; `points` are those of the spec, and what a search proposed."""

    schema_version: Literal[1]
    kind: Literal["sweep"]
    created_utc: str
    cidesign_version: str
    spec: SweepSpec
    points: tuple[Point, ...]


class State(NamedTuple):
    """Where a point stands: `where` somebody works on it, or `why` its last attempt failed; and how many there were."""

    status: Status
    where: Holder | None = None
    why: str | None = None
    attempts: int = 0


class Sweep:
    """An opened sweep folder; raises `FileError` when it is none, damaged, or of another version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / RECORD_FILE).is_file():
            raise FileError(
                f"{path}: this folder is not a sweep (it has no {RECORD_FILE}); `cidesign sweep run SPEC` makes one"
            )
        raw = read_json(path / RECORD_FILE, "sweep record")
        if raw.get("schema_version") != SCHEMA_VERSION:
            raise FileError(
                f"{path}: {RECORD_FILE} has schema version {raw.get('schema_version')!r}, cidesign {__version__} reads "
                f"{SCHEMA_VERSION}; use the version of cidesign that wrote it"
            )
        try:
            self.record = SweepRecord.model_validate(raw)
        except ValidationError as error:
            raise FileError(f"{path}: {RECORD_FILE} is damaged: {first_problem(error)}") from error

    @property
    def spec(self) -> SweepSpec:
        """What was asked for."""
        return self.record.spec

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, stored teachers first."""
        return self.record.points

    @cached_property
    def by_name(self) -> Mapping[str, Point]:
        """The points by their names."""
        return {point.name: point for point in self.points}

    def point(self, name: str) -> Point:
        """The point of a name; raises `InputError`, with the nearest one, where there is none."""
        if name not in self.by_name:
            raise InputError(unknown(f"point {name}", list(self.by_name)).replace("setting", "point"))
        return self.by_name[name]

    def run_path(self, point: Point) -> Path:
        """Its run folder."""
        return self.path / point.place

    def job_path(self, point: Point) -> Path:
        """The folder of its lock, attempts and log."""
        return self.path / JOBS / point.name

    def log(self, point: Point) -> Path:
        """What its workers said."""
        return self.job_path(point) / LOG_FILE

    def attempts(self, point: Point) -> tuple[Attempt, ...]:
        """What was tried, the last one last."""
        path = self.job_path(point) / ATTEMPTS_FILE
        if not path.exists():
            return ()
        try:
            return Attempts.model_validate(read_json(path, "record of attempts")).attempts
        except ValidationError as error:
            raise FileError(f"{path}: is damaged: {first_problem(error)}; remove it and repeat") from error

    def begin(self, point: Point) -> None:
        """Record that this process works on a point, whose lock it holds."""
        self._keep(point, (*self.attempts(point), _begun(None)))

    def end(self, point: Point, exit_code: int, error: str | None, pid: int | None = None) -> None:
        """Record how the last attempt at a point ended; that of a process `pid`, which may not have begun it."""
        *before, last = self.attempts(point) or (_begun(pid),)
        if pid is not None and last.pid != pid:
            before, last = [*before, last], _begun(pid)
        ended = last.model_copy(update={"ended_utc": now_utc(), "exit": exit_code, "error": error})
        self._keep(point, (*before, ended))

    def with_points(self, points: tuple[Point, ...]) -> "Sweep":
        """The sweep with more points, which a search proposed; its lock must be held."""
        more = self.record.model_copy(update={"points": (*self.points, *points)})
        write_json(self.path / RECORD_FILE, more.model_dump(mode="json"))
        return Sweep(self.path)

    def _keep(self, point: Point, attempts: tuple[Attempt, ...]) -> None:
        write_json(self.job_path(point) / ATTEMPTS_FILE, Attempts(attempts=attempts).model_dump(mode="json"))

    def done(self, point: Point) -> bool:
        """Whether its run is complete; raises `FileError` for a run folder that is damaged."""
        path = self.run_path(point)
        return (path / "run.json").exists() and Run(path).complete

    def state(self, point: Point) -> State:
        """Where a point stands."""
        try:
            attempts = self.attempts(point)
            if self.done(point):
                return State("done", attempts=len(attempts))
        except CidesignError as error:
            return State("failed", why=str(error))
        if (where := self._holder(point)) is not None:
            return State("running", where, attempts=len(attempts))
        why = attempts[-1].error if attempts else None
        return State("to do" if why is None else "failed", why=why, attempts=len(attempts))

    def states(self) -> dict[str, State]:
        """Where all points stand, by name."""
        return {point.name: self.state(point) for point in self.points}

    def _holder(self, point: Point) -> Holder | None:
        for folder in (self.job_path(point), self.run_path(point)):
            try:
                refuse_held(folder)
            except HeldError as error:
                return error.holder or _NAMELESS
        return None

    def strangers(self) -> list[Path]:
        """Run folders here that are no point's: what was taken out of the spec keeps its runs."""
        known = {self.run_path(point) for point in self.points}
        found = {record.parent for record in self.path.glob("*/[!.]*/run.json")}
        return sorted(found - known)


def _begun(pid: int | None) -> Attempt:
    return Attempt(started_utc=now_utc(), host=socket.gethostname(), pid=pid or os.getpid())


_NAMELESS = Holder(doing="another process", host="unknown", pid=0, since_utc="unknown", boot="", started="")


def place(path: Path, spec: SweepSpec, points: tuple[Point, ...]) -> Sweep:
    """Make the folder of a sweep, or take a spec whose grid grew into the one that is there; its lock must be held.

    Points that are there already keep their names, and what a search proposed stays.  Raises `FileError` for a folder
    of something else, and `InputError` for a sweep of another [base] or [teacher], naming what differs: results of both
    would stand in one table.
    """
    there = existing(path, spec)
    record = SweepRecord(
        schema_version=1,
        kind="sweep",
        created_utc=now_utc() if there is None else there.record.created_utc,
        cidesign_version=__version__,
        spec=spec,
        points=there.points if there is not None and spec.search is not None else named_alike(points, there),
    )
    if there is None or there.record != record:
        write_json(path / RECORD_FILE, record.model_dump(mode="json"))
    return Sweep(path)


def named_alike(points: tuple[Point, ...], there: Sweep | None) -> tuple[Point, ...]:
    """The points with the names that they have in a sweep that is there already."""
    if there is None:
        return points
    kept = {point.digest: point.name for point in there.points}
    names = {point.name: kept.get(point.digest, point.name) for point in points}
    return tuple(_renamed(point, names) for point in points)


def existing(path: Path, spec: SweepSpec) -> Sweep | None:
    """The sweep that is there, None where nothing is; raises as `place` does."""
    if not path.exists():
        return None
    if not (path / RECORD_FILE).is_file():
        if path.is_dir() and not any(entry.name[0] != "." for entry in path.iterdir()):
            return None
        raise FileError(f"{path}: exists and is not a sweep (it has no {RECORD_FILE}); name another place with --out")
    found = Sweep(path)
    if not found.points:  # a search that has proposed nothing yet
        return found
    for section, before, now in _unchanging(found.spec, spec):
        if canonical_json(before) != canonical_json(now):
            raise InputError(
                f"{path}: holds a sweep of another [{section}]: {_difference(before, now)}; put it back, or name "
                "another place with --out"
            )
    return found


def _unchanging(before: SweepSpec, now: SweepSpec) -> list[tuple[str, Any, Any]]:
    """The sections that cannot change: what all points share, and all that decides what a search proposes."""
    found: list[tuple[str, Any, Any]] = [("base", before.base, now.base), ("teacher", before.teacher, now.teacher)]
    if before.search is None and now.search is None:
        return found
    searches = [None if one.search is None else one.search.model_dump(mode="json") for one in (before, now)]
    for one in searches:
        if one is not None:
            del one["trials"]
    return [*found, ("search", searches[0], searches[1]), ("grid", before.grid, now.grid)]


def _difference(before: Mapping[str, object] | None, now: Mapping[str, object] | None) -> str:
    if before is None or now is None:
        return "it has none there" if before is None else "it has one there, and none in the spec"
    names = [name for name in {**before, **now} if before.get(name, _NONE) != now.get(name, _NONE)]
    told = [f"{name} {_told(before, name)} there, {_told(now, name)} in the spec" for name in names]
    return "; ".join(told) or "in a type of value"


_NONE = object()


def _told(values: Mapping[str, object], name: str) -> str:
    return shown_value(values[name]) if name in values else "not given"


def _renamed(point: Point, names: Mapping[str, str]) -> Point:
    others = {
        "needs": tuple(names[name] for name in point.needs),
        "beside": tuple(names[name] for name in point.beside),
    }
    return point.model_copy(update={"name": names[point.name], **others})


def counts(states: Mapping[str, State]) -> dict[str, int]:
    """How many points stand where."""
    found = Counter[str](state.status for state in states.values())
    return {status: found[status] for status in STATUSES}
