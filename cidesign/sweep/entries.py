"""The points of a sweep folder as tables see them, with what their run folders hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import JsonValue

from cidesign.distill.tasks.base import task_named
from cidesign.errors import CidesignError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality_for
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.sweep.finished import read_finished, read_lines, seconds_of, student_scores
from cidesign.sweep.folder import Sweep
from cidesign.sweep.page import write_page
from cidesign.sweep.point import Point
from cidesign.sweep.table import E2E, SEED, STUDENT, Entry, Table, Value, table_of

# How E2E and fixed designs of the same values are told apart, which train for as long as different students.
EPOCHS = "epochs"


def entries_of(sweep: Sweep) -> list[Entry]:
    """All points with a student; a stored teacher is in the cost of those that take it."""
    takers = Counter(need for point in sweep.points for need in point.needs)
    modality_of = cache(lambda profile, sampling: modality_for(load_profile(profile), sampling).name)

    @cache
    def share_of(name: str) -> float | None:
        run = Run(sweep.run_path(sweep.point(name)))
        seconds = seconds_of(run, read_lines(run))
        return None if seconds is None else seconds / takers[name]

    def entry_of(point: Point) -> Entry:
        state = sweep.state(point)
        where = "" if state.where is None else f"on {state.where.host}"
        entry = Entry(
            name=point.name,
            system={"run": STUDENT, "e2e": E2E}.get(point.kind, point.fixed or point.kind),
            task=str(point.settings.get("task", "reconstruct")),
            modality=modality_of(point.profile, _sampling(point)),
            values={name: _frozen(value) for name, value in point.values.items() if name != SEED},
            seed=_seed(point),
            state=state.status,
            why=state.why or where,
            beside=point.beside,
        )
        if state.status != "done":
            return entry
        try:
            shares = [share_of(name) for name in point.needs]
            # What a teacher from outside the sweep took is written nowhere.
            share = None if point.teacher is not None or None in shares else sum(one or 0.0 for one in shares)
            return replace(entry, found=read_finished(Run(sweep.run_path(point))), teacher_seconds=share)
        except CidesignError as error:
            return replace(entry, state="failed", why=str(error))

    students = [point for point in sweep.points if point.kind != "teacher"]
    return _told_apart([(entry_of(point), point.epochs) for point in students])


def table_in(
    sweep: Sweep, by: Sequence[str] | None = None, baseline: str | None = None, metric: str | None = None
) -> Table:
    """The table of a sweep folder as it is now, see `table_of`; held against E2E where there is such and nothing else
    is named."""
    entries = entries_of(sweep)
    if baseline is None and any(one.system == E2E for one in entries):
        baseline = E2E
    return table_of(entries, by, baseline, metric)


def page_in(sweep: Sweep, table: Table) -> Path:
    """Write the report of a sweep: `report.html` in its folder, in the place of an older one."""
    places = {point.name: point.place for point in sweep.points}
    return write_page(sweep.path, table, places, scores_of(sweep, table.entries))


def scores_of(sweep: Sweep, entries: Sequence[Entry]) -> dict[str, list[float]]:
    """The score of the students of finished points after each of their epochs, by the names of the points."""
    done = [one for one in entries if one.found is not None]
    return {
        one.name: student_scores(Run(sweep.run_path(sweep.point(one.name))), task_named(one.task).score.metric)
        for one in done
    }


def _sampling(point: Point) -> str | None:
    """What chooses among the modalities of a profile; None where it is left to the first."""
    named = point.settings.get("sampling")
    return None if named is None else str(named)


def _seed(point: Point) -> int:
    found = point.settings.get(SEED)
    return found if isinstance(found, int) else int(TrainingSettings.model_fields[SEED].default)


def _told_apart(entries: list[tuple[Entry, int]]) -> list[Entry]:
    """Entries of which no two are alike: those that students are held against have their epochs where they need it."""
    alike = Counter((one.system, tuple(one.values.items()), one.seed) for one, _ in entries)
    if max(alike.values(), default=0) < 2:
        return [one for one, _ in entries]
    return [
        one if one.system == STUDENT else replace(one, values={**one.values, EPOCHS: epochs}) for one, epochs in entries
    ]


def _frozen(value: JsonValue) -> Value:
    if isinstance(value, dict):
        return tuple((name, _frozen(one)) for name, one in value.items())
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
