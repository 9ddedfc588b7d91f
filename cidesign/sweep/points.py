"""The points of a sweep: all combinations of its grid, the teachers they share, and what they are held against."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue

from cidesign.distill.given import GivenDesign
from cidesign.distill.presets import OF_OWN_TEACHERS, OF_TEACHERS
from cidesign.errors import CidesignError, InputError
from cidesign.sweep.point import Kind, Point, described, name_of
from cidesign.sweep.resolve import Asked, Resolved, Resolver
from cidesign.sweep.spec import SweepSpec

# Of a run with a stored teacher, what has no say in the teacher.
OF_STUDENTS = ("student_epochs", "strategy", *(name for name in OF_TEACHERS if name not in OF_OWN_TEACHERS))
# What is no setting by name.
WITH_ARGUMENTS = ("profile", "preset", "design", "teacher")


class Refused(NamedTuple):
    """A combination that cannot be trained, and why."""

    what: str
    error: CidesignError


@dataclass(frozen=True)
class Expanded:
    """The points of a spec, stored teachers first, what was refused, and the settings of points by their digests."""

    points: tuple[Point, ...]
    refused: tuple[Refused, ...]
    resolved: Mapping[str, Resolved] = field(default_factory=dict)


def combinations(spec: SweepSpec) -> Iterator[dict[str, JsonValue]]:
    """The values of the grid, the last setting varying fastest."""
    for values in itertools.product(*spec.grid.values()):
        yield dict(zip(spec.grid, values, strict=True))


def points_of(spec: SweepSpec, proposed: Iterable[Mapping[str, JsonValue]] = ()) -> Expanded:
    """All points of the grid; raises `CidesignError` where all of them are refused for one reason.

    Where there is a [search] they are those `proposed` so far, each the values of one run: of the grid and the space.
    """
    maker = PointMaker(spec)
    for values in combinations(spec) if spec.search is None else proposed:
        maker.add(values)
    return maker.expanded()


@dataclass
class PointMaker:
    """Points of a spec, one combination of values after another; what several share is made once."""

    spec: SweepSpec
    resolver: Resolver = field(default_factory=Resolver)
    _points: dict[str, Point] = field(default_factory=dict)
    _refused: list[Refused] = field(default_factory=list)
    _resolved: dict[str, Resolved] = field(default_factory=dict)

    def add(self, values: Mapping[str, JsonValue]) -> Point | None:
        """Add the run of these values, with the teacher that it needs and what it is held against.

        None where it cannot be trained, which `expanded` tells.
        """
        try:
            made = self._made(dict(values))
        except CidesignError as error:
            self._refused.append(Refused(described("run", None, dict(values)), error))
            return None
        for point in made:
            self._points.setdefault(point.digest, point)
        return made[-1]

    def expanded(self) -> Expanded:
        """What was added; raises `CidesignError` where all was refused for one reason."""
        if not self._points and len({str(one.error) for one in self._refused}) == 1:
            raise self._refused[0].error
        teachers = [point for point in self._points.values() if point.kind == "teacher"]
        others = [point for point in self._points.values() if point.kind != "teacher"]
        return Expanded((*teachers, *others), tuple(self._refused), self._resolved)

    def _made(self, values: dict[str, JsonValue]) -> list[Point]:
        """The run last, before it what it needs and what is beside it."""
        made: list[Point] = []
        needed = None
        if self.spec.teacher is not None:
            teacher, needed = self._teacher(values)
            made.append(teacher)
        asked = self._asked(values, OF_OWN_TEACHERS if needed else ())
        resolved = self.resolver.resolved(asked, needed=needed)
        needs = tuple(point.name for point in made)
        beside = [*self._end_to_end(values, resolved), *self._fixed(values, resolved)]
        run = self._point("run", values, asked, resolved, made[0].digest if made else None)
        run = run.model_copy(update={"needs": needs, "beside": tuple(point.name for point in beside)})
        there = self._points.get(run.digest)
        if there is not None and there.values != values:
            raise InputError(f"is the same run as {described('run', None, there.values)}; leave one of them out")
        return [*made, *beside, run]

    def _teacher(self, values: dict[str, JsonValue]) -> tuple[Point, Resolved]:
        own = self.spec.teacher or {}
        shared = {name: value for name, value in values.items() if name not in (*OF_STUDENTS, *own, "design")}
        asked = self._asked(values, (*OF_STUDENTS, "design"), own)
        resolved = self.resolver.resolved(asked, only_teacher=True)
        return self._point("teacher", shared, asked, resolved), resolved

    def _end_to_end(self, values: dict[str, JsonValue], run: Resolved) -> list[Point]:
        if not self.spec.compare.e2e:
            return []
        epochs: dict[str, JsonValue] = {"strategy": "e2e", "student_epochs": _together(run)}
        asked = self._asked(values, (*OF_TEACHERS, "teacher"), epochs)
        return [self._point("e2e", _of_students(values), asked, self.resolver.resolved(asked))]

    def _fixed(self, values: dict[str, JsonValue], run: Resolved) -> list[Point]:
        wanted = self.spec.compare.fixed
        if not wanted:
            return []
        designs = self.resolver.fixed_designs(run)
        names = tuple(designs) if isinstance(wanted, bool) else wanted
        for name in names:
            if name not in designs:
                known = "; ".join(designs) or "none of this size"
                raise InputError(f"[compare] fixed {name}: there is no such design here; known are {known}")
        epochs: dict[str, JsonValue] = {"teacher_epochs": 0, "student_epochs": _together(run)}
        asked = self._asked(values, (*OF_TEACHERS, "teacher"), epochs)
        points = []
        for name in names:
            resolved = self.resolver.resolved(asked, fixed=GivenDesign(name, designs[name]))
            point = self._point("fixed", _of_students(values), asked, resolved, None, name)
            points.append(point)
        return points

    def _asked(
        self, values: Mapping[str, JsonValue], without: tuple[str, ...], own: Mapping[str, JsonValue] | None = None
    ) -> Asked:
        together = {name: value for name, value in {**self.spec.base, **values}.items() if name not in without}
        together |= own or {}
        texts = {name: _text(name, together.pop(name, None)) for name in WITH_ARGUMENTS}
        return Asked(texts["profile"], texts["preset"] or "quick", texts["design"], texts["teacher"], together)

    def _point(
        self,
        kind: Kind,
        values: dict[str, JsonValue],
        asked: Asked,
        resolved: Resolved,
        needed: str | None = None,
        fixed: str | None = None,
    ) -> Point:
        digest = resolved.digest(asked, kind, needed, fixed)
        self._resolved.setdefault(digest, resolved)
        return Point(
            name=name_of(kind, fixed, values, digest),
            kind=kind,
            values=values,
            profile=asked.profile or resolved.profile.id,
            profile_digest=resolved.profile.digest,
            preset=asked.preset,
            settings=asked.settings,
            design=asked.design,
            teacher=asked.teacher,
            fixed=fixed,
            digest=digest,
            steps=resolved.steps,
            epochs=resolved.epochs,
        )


def _of_students(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What is varied that is not about a teacher, nor the epochs, which are those of both together."""
    return {name: value for name, value in values.items() if name not in (*OF_TEACHERS, "teacher", "student_epochs")}


def _together(run: Resolved) -> int:
    """T + S: what E2E and fixed designs train for, as `evaluate` has it."""
    return run.teacher_epochs + run.settings.student_epochs


def _text(name: str, value: JsonValue) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise InputError(f"{name}: a text is needed, as in {name} = '...'")
