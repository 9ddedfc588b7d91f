"""Where points stand, for people and for programs."""

from collections.abc import Mapping

from cidesign.files import JsonObject
from cidesign.sweep.folder import State, Sweep, counts
from cidesign.sweep.point import Point
from cidesign.sweep.takes import metrics_of


def where_or_why(state: State) -> str:
    """`on node7, process 812`, or why it failed."""
    if state.where is not None:
        return f"on {state.where.host}, process {state.where.pid}, since {state.where.since_utc}"
    return state.why or ""


def epochs_said(sweep: Sweep, point: Point, state: State) -> str:
    """Epochs that are done, of how many."""
    done = point.epochs if state.status == "done" else len(metrics_of(sweep, point))
    return f"{done}/{point.epochs}"


def rows_of(sweep: Sweep, states: Mapping[str, State], every: bool) -> list[tuple[str, ...]]:
    """Point, status, epochs, and where or why; of points that are done or wait only where `every` one is asked for."""
    shown = [point for point in sweep.points if every or states[point.name].status in ("running", "failed")]
    return [
        (point.name, (state := states[point.name]).status, epochs_said(sweep, point, state), where_or_why(state))
        for point in shown
    ]


def value_of(sweep: Sweep, states: Mapping[str, State]) -> JsonObject:
    """The same for programs, all points."""
    points = []
    for point in sweep.points:
        state = states[point.name]
        points.append(
            {
                "name": point.name, "kind": point.kind, "values": point.values, "status": state.status,
                "host": state.where.host if state.where else None, "pid": state.where.pid if state.where else None,
                "why": state.why, "attempts": state.attempts, "run": str(sweep.run_path(point)),
            }
        )  # fmt: skip
    others = [str(path) for path in sweep.strangers()]
    return {"sweep": str(sweep.path), "counts": counts(states), "points": points, "of_no_point": others}
