"""What the pictures of all modalities share: one size, one set of colours, PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cidesign.report.html import Spot

TEACHER, STUDENT, LINEAR, TRUTH, REFERENCE = "#b45f06", "#0b5394", "#6aa84f", "#000000", "#7f7f7f"
# Teachers before the last one, from the freest on.
EARLIER_TEACHERS = ("#e69138", "#f1c232", "#a64d79", "#674ea7")
# The score of a task, then what else it follows.
CURVES = ("o-", "x:", "+--")
WIDTH_INCHES = 9.0
DPI = 110
PANEL_TEXT_INCHES = 0.24
# So near to a point of a curve, what it is can be read.
POINT_INCHES = 0.25


class Epoch(NamedTuple):
    """One epoch of training: the name of its phase, and what its task follows on the validation images."""

    phase: str
    values: tuple[float, ...]
    # What else is known of its training, by the names in the metrics file.
    others: Mapping[str, float] = MappingProxyType({})


class Drawn(NamedTuple):
    """A picture as PNG, and what is where in it."""

    png: bytes
    spots: tuple[Spot, ...]


def new_figure(height_inches: float) -> Figure:
    """A figure of the page's width whose labels keep clear of each other."""
    return Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def png(figure: Figure, dpi: float = DPI) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    # Without the version in the file, the same data give the same bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def lay_out(figure: Figure, dpi: float = DPI) -> None:
    """Give everything its place, as `png` of the same resolution will."""
    figure.set_dpi(dpi)
    figure.draw_without_rendering()


def panel_spot(axis: Axes, text: str, size: tuple[int, int] = (0, 0), most: float = 0.0) -> Spot:
    """The place of a panel that shows an image of `size` pixels; its figure must have been laid out."""
    box = axis.get_position()
    return Spot(box.x0, 1 - box.y1, box.width, box.height, text, *size, most)


def point_spot(axis: Axes, x: float, y: float, text: str) -> Spot:
    """The place of a point of a curve; its figure must have been laid out."""
    figure = axis.get_figure(root=True)
    if figure is None:
        raise TypeError("an axis without a figure has no place")
    across, down = axis.transData.transform((x, y)) / figure.bbox.size
    width, height = POINT_INCHES / figure.get_size_inches()
    return Spot(across - width / 2, 1 - down - height / 2, width, height, text)


def teacher_colours(count: int) -> list[str]:
    """One colour for each teacher of a ladder; the last one, which guides the student, has always the same."""
    return [*(EARLIER_TEACHERS[number % len(EARLIER_TEACHERS)] for number in range(count - 1)), TEACHER]


def training_curves(epochs: Sequence[Epoch], labels: Mapping[str, str], names: Sequence[str], axis_title: str) -> Drawn:
    """What the task follows over the epochs of all phases in order; `labels` name the phases, `names` the followed."""
    figure = new_figure(3.4)
    axis = figure.subplots()
    phases = list(dict.fromkeys(epoch.phase for epoch in epochs))
    colours = [*(teacher_colours(len(phases) - 1) if phases[1:] else ()), STUDENT]
    points: list[tuple[int, float, str]] = []
    for phase, colour in zip(phases, colours, strict=True):
        at = [number for number, epoch in enumerate(epochs, start=1) if epoch.phase == phase]
        part = [epoch for epoch in epochs if epoch.phase == phase]
        titles = [labels.get(phase, phase), *(f"its {name}" for name in names[1:])]
        for index, title in enumerate(titles):
            values = [epoch.values[index] for epoch in part]
            axis.plot(at, values, CURVES[index % len(CURVES)], color=colour, label=title)
            said = [
                f"{title}, epoch {number}: {value:.5g} ({axis_title})" for number, value in zip(at, values, strict=True)
            ]
            points += zip(at, values, said, strict=True)
        if at[-1] < len(epochs):
            axis.axvline(at[-1] + 0.5, color=REFERENCE, linewidth=0.8)
    axis.set_xlim(0.5, len(epochs) + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("epoch, counted over all phases")
    axis.set_ylabel(f"validation {axis_title}")
    axis.ticklabel_format(axis="y", useOffset=False)  # a curve that hardly moves is read by its values, too
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    lay_out(figure)
    spots = tuple(point_spot(axis, *point) for point in points if np.isfinite(point[1]))
    return Drawn(png(figure), spots)


def image_grid(
    rows: Mapping[str, NDArray[np.floating]],
    captions: Mapping[str, Sequence[str]],
    bar: tuple[float, str] | None = None,
) -> Drawn:
    """Named rows of images, (M, h, w) or (M, h, w, 3), one below another on one scale from 0.

    Grey up to 1 without a `bar`; else heat up to its number, with a colour bar of its label that ends in an arrow
    where a value is above it.
    """
    images = next(iter(rows.values()))
    count, height, width = images.shape[:3]
    panel_inches = (WIDTH_INCHES - (1.2 if bar else 0.4)) / count
    text_inches = PANEL_TEXT_INCHES if captions else 0.06
    figure = new_figure(len(rows) * (panel_inches * height / width + text_inches) + 0.1)
    axes = figure.subplots(len(rows), count, squeeze=False)
    top, colours = (1.0, "gray") if bar is None else (bar[0], "magma")
    drawn = None
    places: list[tuple[Axes, str]] = []
    for line, (name, part) in zip(axes, rows.items(), strict=True):
        for position, axis in enumerate(line):
            drawn = axis.imshow(part[position], cmap=colours, vmin=0, vmax=top)
            bare(axis)
            said = f"{name}, image {position + 1}"
            if name in captions:
                axis.set_xlabel(captions[name][position], fontsize=8, labelpad=2)
                said += f": {captions[name][position]}"
            places.append((axis, said))
        line[0].set_ylabel(name, fontsize=9)
    if bar is not None and drawn is not None:
        above = max(float(part.max()) for part in rows.values()) > top
        figure.colorbar(drawn, ax=list(axes.flat), label=bar[1], extend="max" if above else "neither", shrink=0.8)
    dpi = fine_enough(width, panel_inches)
    lay_out(figure, dpi)
    # The grey of what is drawn in colours is no value.
    most = top if bar is None and images.ndim == 3 else 0.0
    spots = tuple(panel_spot(axis, said, (height, width), most) for axis, said in places)
    return Drawn(png(figure, dpi), spots)


def bare(axis: Axes) -> None:
    """No ticks: the pixels of an image are counted in its caption."""
    axis.set_xticks([])
    axis.set_yticks([])


def fine_enough(pixels: int, inches: float) -> float:
    """A resolution at which every pixel of an image that is `inches` wide has a dot of its own."""
    return max(DPI, pixels / inches)


# Fonts that differ between machines would change line breaks; DejaVu comes with matplotlib.
mpl.rcParams["font.family"] = "DejaVu Sans"
