"""What a search proposes next: Optuna is told anew of all points each time, and learns from those that are done.

The run folders are the database, so no study of Optuna's is kept beside them: it would have to agree with the folders
after every kill, and trials that ran then would run in it for ever.  A study that is rebuilt from the points, with a
sampler whose seed follows from the space and from the number of trials, proposes the same again after a kill.
"""

import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from pydantic import JsonValue

from cidesign.distill.tasks.base import task_named
from cidesign.errors import CidesignError, InputError
from cidesign.files import canonical_json, sha256_bytes
from cidesign.run_settings import unknown
from cidesign.sweep.entries import entries_of
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.points import Expanded, PointMaker, Refused, combinations
from cidesign.sweep.spec import Range, Search, SweepSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# So many proposals in a row that are known, or refused: what is left of the space is not worth more.
MOST_IN_VAIN = 50
# Values of a range that has steps lie on one, up to rounding.
ON_STEP = 1e-8
# Metrics of which the smaller is the better.
LOSSES = ("log_loss",)

Proposal = Mapping[str, JsonValue]


class Objective(NamedTuple):
    """The metric of students that a search is about, and whether more of it is better."""

    metric: str
    maximized: bool


class Trial(NamedTuple):
    """What became of a proposal: the mean `value` of its metric over the grid, None until all its points are done, and
    where one of them failed."""

    proposal: Proposal
    value: float | None
    failed: bool


class Proposed(NamedTuple):
    """New points, before them the teachers they need; what was refused of the proposals; and whether the search has
    `ended`: it has all its trials, or finds nothing new in its space."""

    points: tuple[Point, ...]
    refused: tuple[Refused, ...]
    ended: bool


def objective_of(spec: SweepSpec, search: Search) -> Objective:
    """What a search is about; raises `InputError` for a metric that finished runs do not have."""
    if "task" in {**spec.grid, **search.space}:
        raise InputError("[search] task: is varied, and scores of several tasks cannot be compared; name one in [base]")
    task = task_named(str(spec.base.get("task", "reconstruct")))
    metric = search.metric or task.score.metric
    known = [column.metric for column in task.shown]
    if metric not in known:
        raise InputError(f"[search] metric {unknown(metric, known)}")
    wanted = search.direction or ("minimize" if metric in LOSSES else "maximize")
    return Objective(metric, wanted == "maximize")


def next_points(sweep: Sweep, wanted: int) -> Proposed:
    """Up to `wanted` new proposals, as points that are not in the sweep yet; none where the spec has no [search].

    Each proposal is trained with all combinations of the grid.  Points of the sweep that are neither done nor failed
    count as running.  Raises `InputError` without the extra `sweep`, and what is wrong with every proposal where none
    can be trained.
    """
    search = sweep.spec.search
    if search is None:
        return Proposed((), (), True)
    objective = objective_of(sweep.spec, search)
    trials = trials_of(sweep, search, objective)
    maker = PointMaker(sweep.spec)
    asked, refused = _new(maker, search, objective, trials, wanted)
    if refused and not trials and not asked:
        raise refused[0].error
    there = {point.digest for point in sweep.points}
    for proposal in asked:
        for values in combinations(sweep.spec):
            maker.add({**values, **proposal})
    made = maker.expanded() if asked else Expanded((), ())
    points = tuple(point for point in made.points if point.digest not in there)
    all_made = len(trials) + len(asked) >= search.trials
    return Proposed(points, (*refused, *made.refused), all_made or len(asked) < wanted or not points)


def trials_of(sweep: Sweep, search: Search, objective: Objective) -> list[Trial]:
    """What became of the proposals so far, in the order in which they were made."""
    entries = {one.name: one for one in entries_of(sweep)}
    together: dict[bytes, list[Point]] = {}
    for point in sweep.points:
        if point.kind == "run" and set(search.space) <= set(point.values):
            together.setdefault(canonical_json(_proposal(point, search)), []).append(point)
    trials = []
    for points in together.values():
        states = {entries[point.name].state for point in points}
        found = [entries[point.name].found for point in points]
        values = [one.metrics.get(objective.metric, float("nan")) for one in found if one is not None]
        mean = statistics.fmean(values) if len(values) == len(points) else None
        # A metric that is not a number is a failure to learn from, too.
        failed = "failed" in states or (mean is not None and mean != mean)
        trials.append(Trial(_proposal(points[0], search), None if failed else mean, failed))
    return trials


def _proposal(point: Point, search: Search) -> Proposal:
    return {name: point.values[name] for name in search.space}


def _new(
    maker: PointMaker, search: Search, objective: Objective, trials: Sequence[Trial], wanted: int
) -> tuple[list[Proposal], list[Refused]]:
    """New proposals that can be trained, and what was refused of others; tried with what the `maker` works out once."""
    told, found = list(trials), list[Proposal]()
    refused: list[Refused] = []
    known = {canonical_json(dict(trial.proposal)) for trial in trials}
    in_vain = 0
    while len(found) < wanted and len(trials) + len(found) < search.trials and in_vain < MOST_IN_VAIN:
        proposal = asked_after(search, objective, told)
        key = canonical_json(dict(proposal))
        alone = PointMaker(maker.spec, maker.resolver)
        new = key not in known
        if new and all(alone.add({**values, **proposal}) for values in combinations(maker.spec)):
            found.append(proposal)
            in_vain = 0
        else:
            in_vain += 1
            refused += _refused(alone) if new else []
        told.append(Trial(proposal, None, failed=key not in known and proposal not in found))
        known.add(key)
    return found, refused


def _refused(maker: PointMaker) -> list[Refused]:
    try:
        return list(maker.expanded().refused)
    except CidesignError as error:  # all of it is refused for one reason
        return [Refused("a proposal of [search]", error)]


def asked_after(search: Search, objective: Objective, told: Sequence[Trial]) -> Proposal:
    """What the sampler proposes after the trials that are `told`; always the same after the same."""
    with _silent_optuna() as optuna:
        kinds = {name: _distribution(space) for name, space in search.space.items()}
        study = optuna.create_study(
            direction="maximize" if objective.maximized else "minimize",
            # Points that run count as bad ones, so that several workers do not all try the same place.
            sampler=optuna.samplers.TPESampler(seed=_seed(search, objective, len(told)), constant_liar=True),
        )
        for trial in told:
            study.add_trial(_as_told(trial, search, kinds))
        asked = study.ask(dict(kinds)).params
    return {
        name: asked[name] if isinstance(space, Range) else space[asked[name]] for name, space in search.space.items()
    }


@contextmanager
def _silent_optuna() -> Iterator[ModuleType]:
    """Optuna, which says nothing while it is used; raises `InputError` where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise InputError("[search] is done by Optuna, which is not installed: pip install 'cidesign[sweep]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(space: Range | Sequence[JsonValue]) -> "BaseDistribution":
    """A range as it is, choices by their numbers: Optuna takes no lists, and cannot tell 1 from true."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(space, Range):
        return CategoricalDistribution(range(len(space)))
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.log, step=int(space.step or 1))
    return FloatDistribution(float(space.low), float(space.high), log=space.log, step=space.step)


def _as_told(trial: Trial, search: Search, kinds: Mapping[str, "BaseDistribution"]) -> "FrozenTrial":
    """A trial as Optuna has it; what its space does not hold any more is left out of it."""
    from optuna.trial import TrialState, create_trial

    params = {}
    for name, space in search.space.items():
        value = trial.proposal[name]
        param = value if isinstance(space, Range) else _number_of(value, space)
        if param is not None and _in_range(param, space):
            params[name] = param
    state = TrialState.FAIL if trial.failed else TrialState.RUNNING if trial.value is None else TrialState.COMPLETE
    return create_trial(
        state=state, value=trial.value, params=params, distributions={name: kinds[name] for name in params}
    )


def _number_of(value: JsonValue, choices: Sequence[JsonValue]) -> int | None:
    same = [number for number, one in enumerate(choices) if canonical_json(one) == canonical_json(value)]
    return same[0] if same else None


def _in_range(param: JsonValue, space: Range | Sequence[JsonValue]) -> bool:
    """Whether a range of today holds a value that was proposed in an earlier one."""
    if not isinstance(space, Range):
        return True
    if isinstance(param, bool) or not isinstance(param, int | float) or not space.low <= param <= space.high:
        return False
    steps = (param - space.low) / space.step if space.step else 0.0
    return abs(steps - round(steps)) < ON_STEP and not (space.whole and param != int(param))


def _seed(search: Search, objective: Objective, told: int) -> int:
    """The sampler's: another one for each trial, and not of how many trials there will be."""
    space = search.model_dump(mode="json")["space"]
    digest = sha256_bytes(canonical_json([space, objective.metric, objective.maximized]))
    return (int(digest[:8], 16) + told) % 2**32
