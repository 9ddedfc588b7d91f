"""Points of a sweep as rows: means and standard errors over seeds, and differences to a baseline, seed by seed."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from cidesign.distill.tasks.base import Column, task_named
from cidesign.errors import InputError
from cidesign.modality import modality
from cidesign.run_settings import unknown
from cidesign.sweep.finished import Finished
from cidesign.text import joined

State = Literal["done", "running", "failed", "to do"]
Value = bool | int | float | str | tuple["Value", ...] | None
Key = tuple[tuple[str, Value], ...]
SEED = "seed"
STUDENT, E2E = "student", "E2E"


@dataclass(frozen=True)
class Entry:
    """A point of a sweep as tables see it.

    `system`: `student`, `E2E`, or the name of a fixed design.  `values`: of the axes that it depends on, without the
    seed.  `beside`: the names of the points that a student is held against.  `found` is None until it is done; `why`
    says more of its state, for people.  `teacher_seconds`: its share of the cost of a teacher that several points take,
    None where that is not known.
    """

    name: str
    system: str
    task: str
    modality: str
    values: Mapping[str, Value]
    seed: int
    state: State
    found: Finished | None = None
    why: str = ""
    teacher_seconds: float | None = 0.0
    beside: tuple[str, ...] = ()


class Mean(NamedTuple):
    """A mean over a number of `seeds`, None over none, and its standard error, None over fewer than two."""

    value: float | None
    standard_error: float | None
    seeds: int


class Lacking(NamedTuple):
    """Why there is no number, for people."""

    why: str


class Baseline(NamedTuple):
    """What rows are held against: a system, or with an `axis` all points with one value of it."""

    title: str
    axis: str | None = None
    value: Value = None

    def holds(self, entry: Entry) -> bool:
        """Whether a point is of the baseline itself."""
        if self.axis is None:
            return entry.system == self.title
        return self.axis in entry.values and entry.values[self.axis] == self.value

    def fits(self, entry: Entry, other: Entry) -> bool:
        """Whether `other` is what `entry` is held against: of the baseline, and alike in the seed and in all other axes
        that both depend on; where points stand beside it, one of these."""
        if not self.holds(other) or other.seed != entry.seed:
            return False
        if self.axis is None and entry.beside:
            return other.name in entry.beside
        if self.axis is not None and other.system != (entry.system if self.axis in entry.values else STUDENT):
            return False
        shared = (set(entry.values) & set(other.values)) - {self.axis}
        return all(entry.values[name] == other.values[name] for name in shared)


@dataclass(frozen=True)
class Row:
    """The points of one system that have the same values of the axes which a table is made by.

    `mean` is over `seeds`; the other seeds are `missing`, each with the reason.  `difference`: the row less its
    baseline, over the seeds that both have, None where it is the baseline itself or there is none; the seeds of the row
    that have no pair are `unpaired`.
    """

    system: str
    values: Mapping[str, Value]
    entries: tuple[Entry, ...]
    mean: Mean
    seeds: tuple[int, ...]
    missing: Mapping[int, str]
    difference: Mean | None
    unpaired: Mapping[int, str]

    @property
    def title(self) -> str:
        """What the row is, in a few words."""
        return self.titled(list(self.values))

    def titled(self, names: Sequence[str]) -> str:
        """The system and the values of some axes."""
        return ", ".join([self.system, *(f"{name}={value_text(self.values[name])}" for name in names)])

    @property
    def epochs(self) -> tuple[tuple[int, int], ...]:
        """The epochs of teacher and student of its finished points, each pair of numbers once."""
        found = {(one.found.teacher_epochs, one.found.student_epochs) for one in self.entries if one.found}
        return tuple(sorted(found))

    @cached_property
    def seconds(self) -> tuple[float, float] | None:
        """Seconds of training of a finished point on average, with its share of a teacher's, and that share alone.

        None where there is no such point, or where one does not say what it took.
        """
        done = [one for one in self.entries if one.found]
        if not done or any(
            one.found is None or one.found.seconds is None or one.teacher_seconds is None for one in done
        ):
            return None
        own = [one.found.seconds or 0.0 for one in done if one.found]
        shares = [one.teacher_seconds or 0.0 for one in done]
        return statistics.fmean(own) + statistics.fmean(shares), statistics.fmean(shares)


@dataclass(frozen=True)
class Table:
    """Rows of all points of a sweep; a seed's value in a row is the mean over the values of the axes in `left_out`."""

    column: Column
    by: tuple[str, ...]
    left_out: Mapping[str, tuple[Value, ...]]
    baseline: Baseline | None
    rows: tuple[Row, ...]
    entries: tuple[Entry, ...]

    @property
    def complete(self) -> bool:
        """Whether all points are done."""
        return all(one.state == "done" for one in self.entries)


def table_of(
    entries: Sequence[Entry], by: Sequence[str] | None = None, baseline: str | None = None, metric: str | None = None
) -> Table:
    """The table of points; `by`: axes, None for all but the seed.

    A row's value for a seed is the mean over the axes that are left out, and counts only where all points of that seed
    are done; mean and standard error (sample deviation over the root of the number) are over such seeds.  A difference
    to the `baseline` (a system, or AXIS=VALUE) is that of points with the same seed, equal other axes and the same
    images.  Raises `InputError` for names that there are not.
    """
    if not entries:
        raise InputError("this sweep has no points to make a table of")
    axes = values_of(entries)
    taken = tuple(axes) if by is None else tuple(dict.fromkeys(by))
    for name in taken:
        if name == SEED:
            raise InputError("--by seed: means are over seeds; leave it out, every seed is in the points of the report")
        if name not in axes:
            raise InputError(f"--by {unknown(name, list(axes))}" if axes else f"--by {name}: only seeds vary here")
    column = column_of(entries, metric)
    held = None if baseline is None else baseline_of(entries, axes, baseline)
    if held is not None and held.axis not in (None, *taken):
        raise InputError(f"--baseline {baseline}: this table is a mean over {held.axis}; add {held.axis} to --by")
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for one in entries:
        key = (one.system, *((name, one.values[name]) for name in taken if name in one.values))
        groups.setdefault(key, []).append(one)
    others: dict[int, list[Entry]] = {}
    for one in entries:
        if held is not None and held.holds(one):
            others.setdefault(one.seed, []).append(one)
    rows = tuple(_row(group, taken, held, others, column.metric) for group in groups.values())
    left_out = {name: values for name, values in axes.items() if name not in taken}
    return Table(column, taken, left_out, held, tuple(sorted(rows, key=_place)), tuple(entries))


def values_of(entries: Iterable[Entry]) -> dict[str, tuple[Value, ...]]:
    """The axes of points and the values of each, in the order in which they come."""
    found: dict[str, dict[Value, None]] = {}
    for one in entries:
        for name, value in one.values.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def column_of(entries: Sequence[Entry], metric: str | None) -> Column:
    """How a metric is called; the score of the points' task where none is named.

    Raises `InputError` for a metric that no finished point has, and where there is none but several tasks.
    """
    tasks = dict.fromkeys(one.task for one in entries)
    scores = {task_named(name).score.metric for name in tasks}
    if metric is None and len(scores) > 1:
        raise InputError(f"points are to {joined(list(tasks), 'or')}, which are not measured alike; give a --metric")
    name = metric or scores.pop()
    done = [one.found for one in entries if one.found]
    known = list(dict.fromkeys(known for found in done for known in found.metrics))
    shown = {column.metric: column for task in tasks for column in (*task_named(task).shown, task_named(task).score)}
    if name not in (known if done else shown):
        raise InputError(f"--metric {unknown(name, known or list(shown))}")
    column = shown.get(name, Column(name, name, digits=4))
    quality = modality(entries[0].modality).quality if column.of_quality else ""
    return column._replace(name=column.name + quality)


def baseline_of(entries: Sequence[Entry], axes: Mapping[str, Sequence[Value]], text: str) -> Baseline:
    """The baseline of a name or of AXIS=VALUE; raises `InputError` where no point is of it."""
    systems = list(dict.fromkeys(one.system for one in entries))
    for system in systems:
        if system.casefold() == text.casefold():
            return Baseline(system)
    name, _, value_said = text.partition("=")
    if name == SEED:
        raise InputError(f"--baseline {text}: differences are seed by seed; name a system, or a value of another axis")
    for value in axes.get(name, ()):
        if _is_said(value, value_said):
            return Baseline(f"{name}={value_text(value)}", name, value)
    known = [*systems, *(f"{axis}={value_text(value)}" for axis, values in axes.items() for value in values[:3])]
    raise InputError(f"--baseline {text}: no point of this sweep is of it; there are {', '.join(known)}")


def _is_said(value: Value, text: str) -> bool:
    if value_text(value) == text:
        return True
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and float(text) == value
    except ValueError:
        return False


def value_text(value: Value) -> str:
    """A value of an axis for people: lists with commas, numbers short."""
    if isinstance(value, tuple):
        return ",".join(value_text(one) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and standard error: the sample deviation over the root of the number."""
    if not values:
        return Mean(None, None, 0)
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Mean(statistics.fmean(values), error, len(values))


def _row(
    group: Sequence[Entry],
    by: Sequence[str],
    baseline: Baseline | None,
    others: Mapping[int, Sequence[Entry]],
    metric: str,
) -> Row:
    """The row of a group; `others` are the points of the baseline by their seeds."""
    points: dict[tuple[int, Key], list[Entry]] = {}
    for one in group:
        points.setdefault((one.seed, _rest(one, by)), []).append(one)
    rests = list(dict.fromkeys(rest for _, rest in points))
    seeds = sorted({one.seed for one in group})
    values: dict[int, float] = {}
    missing: dict[int, str] = {}
    differences: dict[int, float] = {}
    unpaired: dict[int, str] = {}
    compared = baseline is not None and not all(baseline.holds(one) for one in group)
    for seed in seeds:
        found = [_only_value(points.get((seed, rest), ()), metric) for rest in rests]
        if lacking := next((one for one in found if isinstance(one, Lacking)), None):
            missing[seed] = lacking.why
            continue
        values[seed] = _numbers_mean(found)
        if baseline is not None and compared:
            apart = [_difference(points[seed, rest][0], others.get(seed, ()), baseline, metric) for rest in rests]
            if lacking := next((one for one in apart if isinstance(one, Lacking)), None):
                unpaired[seed] = lacking.why
            else:
                differences[seed] = _numbers_mean(apart)
    return Row(
        system=group[0].system,
        values={name: group[0].values[name] for name in by if name in group[0].values},
        entries=tuple(group),
        mean=mean_of(list(values.values())),
        seeds=tuple(values),
        missing=missing,
        difference=mean_of(list(differences.values())) if compared else None,
        unpaired=unpaired,
    )


def _place(row: Row) -> int:
    """Students first, then what they are held against."""
    return (STUDENT, E2E).index(row.system) if row.system in (STUDENT, E2E) else 2


def _rest(entry: Entry, by: Sequence[str]) -> Key:
    """The axes of a point that a table is not made by."""
    return tuple((name, value) for name, value in entry.values.items() if name not in by)


def _numbers_mean(values: Sequence[float | Lacking]) -> float:
    return statistics.fmean(one for one in values if not isinstance(one, Lacking))


def _only_value(points: Sequence[Entry], metric: str) -> float | Lacking:
    """The metric of the one point that there should be, or why there is none."""
    if len(points) > 1:
        return Lacking(f"{' and '.join(one.name for one in points)} are not told apart by what varies")
    if not points:
        return Lacking("not all values of the axes that are left out are in the sweep for this seed")
    return _value(points[0], metric)


def _value(entry: Entry, metric: str) -> float | Lacking:
    """The metric of a point, or why there is none."""
    if entry.found is None:
        return Lacking(f"{entry.name}: failed ({entry.why})" if entry.state == "failed" else entry.state)
    if metric not in entry.found.metrics:
        return Lacking(f"{entry.name}: has no {metric}")
    value = entry.found.metrics[metric]
    return value if math.isfinite(value) else Lacking(f"{entry.name}: its {metric} is not finite ({value})")


def _difference(entry: Entry, there: Sequence[Entry], baseline: Baseline, metric: str) -> float | Lacking:
    """The metric of a point less that of its pair among those that are `there`, or why there is none."""
    others = [one for one in there if baseline.fits(entry, one)]
    if len(others) != 1:
        count = "several points" if others else "no point"
        return Lacking(f"{count} of {baseline.title} to hold {entry.name} against")
    own, its = _value(entry, metric), _value(others[0], metric)
    if isinstance(own, Lacking) or isinstance(its, Lacking):
        return its if isinstance(its, Lacking) else own
    if entry.found and others[0].found and entry.found.data_digest != others[0].found.data_digest:
        return Lacking(f"{entry.name} and {others[0].name} saw other images (their digests differ)")
    return own - its
