"""The pictures of a run of shots."""

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle

from cidesign.constraints.gradients import GradientRule, Values, gradient_sizes, slew_sizes
from cidesign.pattern import NonCartesian
from cidesign.report.figures import REFERENCE, STUDENT, TEACHER, new_figure, png

FIRST = "#cc0000"
# So many shots have a colour of their own; the others are drawn fainter behind them.
SHOWN_SHOTS = 16
LOWEST_DB = -60


def trajectory(design: NonCartesian) -> bytes:
    """All samples of all shots in k-space, the first shot in a colour of its own, and the centre enlarged."""
    figure = new_figure(4.6)
    k, half = design.samples, [n / 2 for n in design.size]
    for axis, part in zip(figure.subplots(1, 2), (1.0, 0.25), strict=True):
        for number in range(len(k) - 1, -1, -1):
            colour, width = (FIRST, 1.2) if number == 0 else (STUDENT, 0.6)
            axis.plot(k[number, :, 1], k[number, :, 0], ".-", color=colour, linewidth=width, markersize=1.5)
        axis.add_patch(Rectangle((-half[1], -half[0]), 2 * half[1], 2 * half[0], fill=False, edgecolor=REFERENCE))
        axis.set_xlim(-1.05 * half[1] * part, 1.05 * half[1] * part)
        axis.set_ylim(1.05 * half[0] * part, -1.05 * half[0] * part)
        axis.set_aspect("equal")
        axis.set_xlabel("k to the right / (1/FOV)")
        axis.set_ylabel("k down / (1/FOV)")
        axis.set_title("all of k-space" if part == 1.0 else "its centre", fontsize=9)
    return png(figure)


def over_time(design: NonCartesian, rule: GradientRule) -> bytes:
    """|g| and |dg/dt| of every shot over the time from its start, and the limits of the scanner."""
    figure = new_figure(4.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    raster_ms = 1e-6 * design.raster_ns
    gradients, slews = gradient_sizes(design), slew_sizes(design)
    first_ms = 1e-6 * design.delay_ns
    last_ms = first_ms + 1e-6 * design.samples_per_shot * design.dwell_ns
    for axis, values, limit, title, start in (
        (upper, gradients, rule.gradient_mt_per_m, "|gradient| / (mT/m)", 0.0),
        (lower, slews, rule.slew_t_per_m_per_s, "|slew rate| / (T/m/s)", 0.5),
    ):
        at = (np.arange(values.shape[1]) + start) * raster_ms
        for number in range(len(values) - 1, -1, -1):
            colour, width = (FIRST, 1.3) if number == 0 else (STUDENT, 0.5)
            faint = 1.0 if number < SHOWN_SHOTS else 0.3
            axis.plot(at, values[number], color=colour, linewidth=width, alpha=faint)
        axis.axhline(limit, color=REFERENCE, linestyle="--", linewidth=1, label=f"design limit, {limit:g}")
        axis.axvspan(first_ms, last_ms, color=REFERENCE, alpha=0.1, label="sampled")
        axis.set_ylim(0, 1.15 * max(limit, float(values.max())))
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    upper.legend(fontsize=8, loc="upper right")
    lower.set_xlabel("time from the start of a shot / ms")
    return png(figure)


def point_spread(spreads: Mapping[str, Values]) -> bytes:
    """The largest |p| (2 H, 2 W) at each distance, in dB of the centre, by name; the first of them is the student's."""
    figure = new_figure(3.2)
    axis = figure.subplots()
    for (name, spread), colour in zip(spreads.items(), (STUDENT, TEACHER), strict=False):
        height, width = (n // 2 for n in spread.shape)
        down, right = np.arange(2 * height) - height, np.arange(2 * width) - width
        distance = np.rint(np.hypot(down[:, None], right)).astype(np.int64)
        reach = min(height, width)
        largest = np.array([spread[distance == radius].max() for radius in range(reach)])
        axis.plot(20 * np.log10(np.maximum(largest, 1e-9)), color=colour, label=name, linewidth=1.2)
    axis.set_ylim(LOWEST_DB, 2)
    axis.set_xlabel("distance / pixel")
    axis.set_ylabel("largest point spread / dB")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    return png(figure)
