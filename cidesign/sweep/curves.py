"""The curves of a sweep: the score after each epoch, mean and standard error over seeds, a line for each row."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cidesign.report.figures import new_figure, png
from cidesign.sweep.table import E2E, STUDENT, Row, Value, value_text

# More lines than these cannot be told apart.
MOST_LINES, MOST_PANELS = 6, 24
MOST_AXES = 6
COLOURS = ("#0b5394", "#b45f06", "#38761d", "#a64d79", "#674ea7", "#bf9000")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = {STUDENT: "-", E2E: "--"}
PANEL_INCHES = 2.7


class Curve(NamedTuple):
    """The score over epochs, those of the teacher counted before: means over `seeds`, and their standard errors (of one
    seed zeros)."""

    row: Row
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    errors: tuple[float, ...]
    seeds: int


class Panel(NamedTuple):
    """Curves that are drawn together, and the values that they share."""

    title: str
    shared: tuple[str, ...]
    curves: tuple[Curve, ...]

    def label(self, curve: Curve) -> str:
        """What a curve is, beside what all of the panel share."""
        return curve.row.titled([name for name in curve.row.values if name not in self.shared])


def curve_of(row: Row, of_points: Mapping[str, Sequence[float]]) -> Curve | None:
    """The curve of a row over its counted seeds; `of_points`: the scores of points after each of their epochs, by name.

    None where the points were not trained alike, where one has no scores, and where no seed counts.
    """
    if len(row.epochs) != 1 or not row.seeds:
        return None
    teacher, student = row.epochs[0]
    of_seeds = []
    for seed in row.seeds:
        points = [of_points.get(one.name, ()) for one in row.entries if one.seed == seed]
        if any(len(scores) != student for scores in points) or not student:
            return None
        of_seeds.append(np.mean(np.asarray(points, dtype=np.float64), axis=0))
    values = np.stack(of_seeds)
    count = len(values)
    errors = values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(student)
    epochs = tuple(range(teacher + 1, teacher + student + 1))
    return Curve(row, epochs, tuple(values.mean(axis=0).tolist()), tuple(errors.tolist()), count)


def panels_of(curves: Sequence[Curve], by: Sequence[str]) -> list[Panel]:
    """Curves in as few panels as hold a few lines each: those with the same values of some axes stand together.

    A row that does not depend on such an axis stands in each panel that it belongs to.
    """
    fitting = []
    for shared in _subsets(by):
        there = [one.row for one in curves if all(name in one.row.values for name in shared)]
        keys = dict.fromkeys(tuple(row.values[name] for name in shared) for row in there)
        parts = {key: tuple(one for one in curves if _goes_with(one.row, shared, key)) for key in keys}
        all_there = len({one.row.title for one in chain(*parts.values())}) == len(curves)
        if parts and all_there and max(map(len, parts.values())) <= MOST_LINES:
            fitting.append([Panel(_said(shared, key), shared, part) for key, part in parts.items()])
    if fitting:
        return min(fitting, key=lambda panels: (len(panels), sum(len(panel.curves) for panel in panels)))
    chunks = range(0, len(curves), MOST_LINES)
    return [Panel("", (), tuple(curves[first : first + MOST_LINES])) for first in chunks]


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All selections of a few names; of many those of the first."""
    few = names[:MOST_AXES]
    return chain.from_iterable(combinations(few, count) for count in range(len(few) + 1))


def _goes_with(row: Row, names: Sequence[str], key: tuple[Value, ...]) -> bool:
    return all(row.values.get(name, value) == value for name, value in zip(names, key, strict=True))


def _said(names: Sequence[str], key: tuple[Value, ...]) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in zip(names, key, strict=True))


def drawn(panels: Sequence[Panel], axis_title: str) -> bytes:
    """The panels as PNG, two beside each other, each with a scale of its own."""
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure = new_figure(lines * (PANEL_INCHES + (1.0 if columns == 1 else 0.0)))
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True)
    # A label has one colour in all panels.
    labels = list(dict.fromkeys(panel.label(curve) for panel in panels for curve in panel.curves))
    for panel, axis in zip(panels, axes.flat, strict=False):
        _draw(panel, axis, labels)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel("epochs, those of the teacher counted before the student's", fontsize=9)
    figure.supylabel(f"validation {axis_title}", fontsize=9)
    return png(figure)


def _draw(panel: Panel, axis: Axes, labels: Sequence[str]) -> None:
    for curve in panel.curves:
        label = panel.label(curve)
        number = labels.index(label)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        low, high = np.subtract(curve.means, curve.errors), np.add(curve.means, curve.errors)
        axis.fill_between(curve.epochs, low, high, color=colour, alpha=0.2, linewidth=0)
        style = STYLES.get(curve.row.system, ":")
        axis.plot(curve.epochs, curve.means, style, color=colour, marker=marker, markersize=3, label=label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.grid(alpha=0.3)
    axis.set_title(panel.title, fontsize=9)
    axis.legend(fontsize=7, loc="best")
