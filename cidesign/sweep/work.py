"""One point of a sweep in this process: started, or resumed where it was begun."""

import contextlib
import signal
import types
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.teachers import NONE, Chosen, chosen_settings
from cidesign.errors import CidesignError, FileError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.locks import FolderLock, HeldError
from cidesign.signals import Ended, break_off, exit_code_of, signals_to
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.resolve import Asked, Resolved, Resolver

WORK = "cidesign sweep work"


class Worked(NamedTuple):
    """What came of it: `done` now or `already`, `held` by another process, or `stopped` by a signal with a checkpoint.

    `exit_code` is the command's; `said` is one line for people.
    """

    status: Literal["done", "already", "held", "stopped"]
    said: str
    exit_code: int = 0


def work(folder: Path, name: str, listener: Listener | None = None) -> Worked:
    """Train one point of the sweep in `folder` to its end, going on from its checkpoint where there is one.

    May be repeated, by several processes at once: what is done stays, and one works on a point at a time.  SIGTERM,
    SIGHUP or Ctrl-C finish the step and write a checkpoint.  Every attempt is recorded with how it ended.  Raises what
    training raises, and `FileError` where a teacher that the point needs is not done.
    """
    sweep = Sweep(folder)
    point = sweep.point(name)
    if sweep.done(point):
        return Worked("already", f"{name}: done already")
    for need in point.needs:
        if not sweep.done(sweep.point(need)):
            raise FileError(f"{name}: needs {need}, which is not trained yet; `cidesign sweep work {folder} {need}`")
    try:
        sweep.job_path(point).mkdir(parents=True, exist_ok=True)
        with FolderLock(sweep.job_path(point), WORK):
            return _attempt(sweep, point, listener or Listener())
    except HeldError as error:
        return Worked("held", f"{name}: {error}")


def _attempt(sweep: Sweep, point: Point, listener: Listener) -> Worked:
    if sweep.done(point):  # by the last holder, just now
        return Worked("already", f"{point.name}: done already")
    sweep.begin(point)
    with _Stopping(listener) as stopping:
        try:
            _train(sweep, point, stopping)
        except Interrupted:
            code = exit_code_of(stopping.stopped_by or signal.SIGTERM)
            sweep.end(point, code, None)
            return Worked("stopped", f"{point.name}: stopped; a checkpoint is written", code)
        except HeldError as error:  # somebody trains the run folder by another command
            sweep.end(point, 0, None)
            return Worked("held", f"{point.name}: {error}")
        except BaseException as error:
            code, text = _ended(error)
            sweep.end(point, code, text)
            raise
    sweep.end(point, 0, None)
    return Worked("done", f"{point.name}: done")


def _ended(error: BaseException) -> tuple[int, str | None]:
    """Exit code and line of an attempt that an exception ended; a signal is no failure."""
    if isinstance(error, CidesignError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return error.exit_code if isinstance(error, Ended) else exit_code_of(signal.SIGINT), None
    said = " ".join(str(error).split())
    return 1, f"{type(error).__name__}{': ' * bool(said)}{said}"


def _train(sweep: Sweep, point: Point, listener: Listener) -> None:
    path = sweep.run_path(point)
    if (path / "run.json").exists():
        resume_run(path, listener)
        return
    profile, chosen = _chosen(sweep, point)
    for text in chosen.said:
        listener.remark(text)
    start_run(path, chosen.settings, profile, False, listener, chosen.design, chosen.teacher, chosen.choices)


def _chosen(sweep: Sweep, point: Point) -> tuple[HardwareProfile, Chosen]:
    """The settings of a point that begins; raises `FileError` where they are no longer those that were planned."""
    resolver = Resolver()
    asked = _asked(point)
    needed = sweep.point(point.needs[0]) if point.needs else None
    teacher = None if needed is None else resolver.resolved(_asked(needed), only_teacher=True)
    fixed = None if point.fixed is None else _fixed(resolver, point)
    found = resolver.resolved(asked, point.kind == "teacher", teacher, fixed)
    digest = found.digest(asked, point.kind, None if needed is None else needed.digest, point.fixed)
    if digest != point.digest:
        raise FileError(
            f"{point.name}: profile, design or defaults are not those that it was planned with, by cidesign "
            f"{sweep.record.cidesign_version}; `cidesign sweep run` with its spec plans anew"
        )
    values: dict[str, Any] = dict(point.settings)
    if sweep.spec.jobs.threads is not None:
        values.setdefault("threads", sweep.spec.jobs.threads)
    given = fixed or _given(found, point)
    stored = str(sweep.run_path(needed)) if needed is not None else point.teacher or NONE
    return found.profile, chosen_settings(found.profile, point.preset, given, stored, point.kind == "teacher", values)


def _asked(point: Point) -> Asked:
    return Asked(point.profile, point.preset, point.design, point.teacher, point.settings)


def _given(found: Resolved, point: Point) -> GivenDesign | None:
    return None if found.design is None or point.design is None else GivenDesign(point.design, found.design)


def _fixed(resolver: Resolver, point: Point) -> GivenDesign:
    """The fixed design of a point, made again: nothing about training decides it."""
    values = {name: value for name, value in point.settings.items() if name not in ("teacher_epochs", "student_epochs")}
    run = resolver.resolved(_asked(point)._replace(settings=values))
    name = str(point.fixed)
    return GivenDesign(name, resolver.fixed_designs(run)[name])


class _Stopping(Listener):
    """Hands on what a run tells, and stops it at the end of a step where a signal asked for that."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._training = False
        self.stopped_by: int | None = None
        self._handlers = contextlib.ExitStack()

    def __enter__(self) -> "_Stopping":
        self._handlers.enter_context(signals_to(self._on_signal))
        return self

    def __exit__(self, *raised: object) -> None:
        self._handlers.close()

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        if not self._training:  # while images are read there is nothing to finish
            break_off(number, frame)
        self.stopped_by = self.stopped_by or number

    def remark(self, text: str) -> None:
        self._listener.remark(text)

    def needs(self, needs: Any) -> None:
        self._listener.needs(needs)

    def images(self, images: Any) -> None:
        self._training = True
        self._listener.images(images)

    def pace(self, pace: Any) -> None:
        self._listener.pace(pace)

    def step(self, report: Any) -> None:
        self._listener.step(report)
        if self.stopped_by is not None:
            raise Interrupted

    def epoch(self, report: Any) -> None:
        self._listener.epoch(report)
