"""The figures of a report, as PNG bytes."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan

COLOURS = {"teacher": "#b45f06", "student": "#0b5394", "starting design": "#7f7f7f"}
WIDTH_INCHES = 9.0


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the date and version in the file, the same data give the same bytes.
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def pattern_grid(levels: NDArray[np.uint8], max_level: int, columns: int = 12, rows: int = 4) -> bytes:
    """The first patterns (K, n, n) side by side: white is on during the whole exposure."""
    count = min(len(levels), columns * rows)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * rows / columns + 0.3))
    axes = figure.subplots(rows, columns, squeeze=False)
    for position, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        if position >= count:
            axis.set_axis_off()
        else:
            axis.imshow(levels[position], cmap="gray", vmin=0, vmax=max_level, interpolation="nearest")
            axis.set_title(str(position), fontsize=6, pad=1)
    figure.suptitle(f"patterns 0 to {count - 1} of {len(levels)} (white: mirrors on)", fontsize=9)
    return _png(figure)


def singular_values(operators: dict[str, NDArray[np.float64]]) -> bytes:
    """Singular values of each operator (K, N): how much of the image each measured direction carries."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.2))
    axis = figure.subplots()
    for name, matrix in operators.items():
        values = np.linalg.svd(matrix, compute_uv=False)
        label = f"{name} (condition number {values[0] / values[-1]:.3g})" if values[-1] > 0 else f"{name} (singular)"
        axis.semilogy(np.arange(1, len(values) + 1), values, label=label, color=COLOURS.get(name))
    axis.set_xlabel("index")
    axis.set_ylabel("singular value of A")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return _png(figure)


def training_curves(lines: Sequence[dict[str, Any]]) -> bytes:
    """Validation PSNR over the epochs of teacher and student, with the linear estimate's."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.2))
    axis = figure.subplots()
    for position, line in enumerate(lines, start=1):
        line["position"] = position
    for phase in ("teacher", "student"):
        part = [line for line in lines if line["phase"] == phase]
        x = [line["position"] for line in part]
        axis.plot(x, [line["psnr_db"] for line in part], "o-", color=COLOURS[phase], label=phase)
        axis.plot(
            x, [line["linear_psnr_db"] for line in part], ":", color=COLOURS[phase], label=f"{phase}, linear estimate"
        )
    axis.set_xlabel("epoch (teacher, then student)")
    axis.set_ylabel("validation PSNR / dB")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return _png(figure)


def image_rows(rows: dict[str, NDArray[np.float32]], captions: dict[str, list[str]]) -> bytes:
    """Named rows of images (M, n, n) in [0, 1], one below another, all on the same grey scale."""
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * len(rows) / count * 1.12))
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for position, axis in enumerate(line):
            axis.imshow(images[position], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if name in captions:
                axis.set_xlabel(captions[name][position], fontsize=7, labelpad=1)
        line[0].set_ylabel(name, fontsize=9)
    return _png(figure)


def sequence_timing(plan: SequencePlan, video_us: int | None) -> bytes:
    """When each frame starts when images come from flash, and over HDMI where the device has it."""
    figure = Figure(figsize=(WIDTH_INCHES, 2.6))
    axis = figure.subplots()
    starts_us = np.cumsum([0, *(entry.period_us for entry in plan.entries)])
    axis.plot(
        starts_us / 1000,
        np.arange(len(starts_us)),
        drawstyle="steps-post",
        color=COLOURS["student"],
        label=f"from flash: {plan.total_us / 1000:.1f} ms",
    )
    if video_us is not None:
        axis.plot(
            [0, video_us / 1000],
            [0, len(plan.entries)],
            color=COLOURS["teacher"],
            label=f"streamed over HDMI: {video_us / 1000:.1f} ms",
        )
    axis.set_xlabel("time / ms")
    axis.set_ylabel("frames shown")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return _png(figure)


# Fonts that differ between machines would change line breaks; DejaVu comes with matplotlib.
mpl.rcParams["font.family"] = "DejaVu Sans"
