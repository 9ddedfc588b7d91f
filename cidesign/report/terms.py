"""The terms of the student's loss over the epochs: what they are, how they pull on the optics, how they are weighed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cidesign.report.figures import LINEAR, REFERENCE, STUDENT, TEACHER, Epoch, new_figure, png
from cidesign.report.parts import Figure

# How names in the metrics file begin -> what is drawn, and the title of its axis.
PANELS = {
    "loss_": ("terms of the loss, unweighted", "value, no unit"),
    "gradient_": ("pull of each on the optics, unweighted", "norm of the gradient, no unit"),
    "weight_": ("what each counts in the sum", "weight, no unit"),
}
TERM_PREFIXES = tuple(PANELS)
COLOURS = {"task": STUDENT, "encoder": TEACHER, "decoder": LINEAR}
MARKERS = {"task": "o-", "encoder": "s--", "decoder": "^:"}


def terms_blocks(epochs: Sequence[Epoch]) -> list[str | Figure]:
    """One figure of what the epochs tell of the terms; nothing where they tell nothing."""
    numbered = [(number, epoch) for number, epoch in enumerate(epochs, start=1) if epoch.others]
    shown = {prefix: _series(numbered, prefix) for prefix in PANELS}
    shown = {prefix: series for prefix, series in shown.items() if series}
    if not shown:
        return []
    said = "; ".join(
        f"{PANELS[prefix][0]}: " + ", ".join(_said(name, values) for name, (_, values) in series.items())
        for prefix, series in shown.items()
    )
    first, last = numbered[0][0], numbered[-1][0]
    caption = (
        f"The terms of the student's loss over epochs {first} to {last}, counted over all phases (task: the images; "
        f"encoder: the operators of student and teacher; decoder: their features). First and last values: {said}. The "
        "pull is the norm of the gradient of a term on all weights of the optics, of one batch of validation images."
    )
    return [Figure("terms", term_curves(shown), caption)]


Series = dict[str, tuple[list[int], list[float]]]


def _series(numbered: Sequence[tuple[int, Epoch]], prefix: str) -> Series:
    """Epochs and finite values of each term, by its name."""
    found: Series = {}
    for number, epoch in numbered:
        for name, value in epoch.others.items():
            if name.startswith(prefix) and np.isfinite(value):
                at, values = found.setdefault(name.removeprefix(prefix), ([], []))
                at.append(number)
                values.append(value)
    return found


def _said(name: str, values: Sequence[float]) -> str:
    return f"{name} {values[0]:.3g} to {values[-1]:.3g}" if len(values) > 1 else f"{name} {values[0]:.3g}"


def term_curves(shown: dict[str, Series]) -> bytes:
    """A panel for each kind of value, by the beginning of its names; logarithmic where no value is below 0."""
    figure = new_figure(2.8)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    lines: dict[str, Line2D] = {}
    for axis, (prefix, series) in zip(axes, shown.items(), strict=True):
        title, unit = PANELS[prefix]
        for name, (at, values) in series.items():
            marker, colour = MARKERS.get(name, "d-."), COLOURS.get(name, REFERENCE)
            (line,) = axis.plot(at, values, marker, color=colour, label=name, markersize=4)
            lines.setdefault(name, line)
        _dressed(axis, title, unit, [value for _, values in series.values() for value in values])
    figure.legend(handles=list(lines.values()), loc="outside upper center", ncols=len(lines), fontsize=8)
    return png(figure)


def _dressed(axis: Axes, title: str, unit: str, values: Sequence[float]) -> None:
    above = [value for value in values if value > 0]
    if above and len(above) == len(values):
        axis.set_yscale("log")
    elif above and min(values) == 0:  # a term that moves nothing stands at 0, below the smallest
        axis.set_yscale("symlog", linthresh=min(above))
    axis.set_title(title, fontsize=9)
    axis.set_ylabel(unit, fontsize=8)
    axis.set_xlabel("epoch, counted over all phases", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.tick_params(labelsize=8, which="both")
    axis.grid(alpha=0.3)
