"""The picture of a registration: what the camera saw, which mirrors, and how far the fit is off."""

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from cidesign.calibration.camera.checks import MAX_RESIDUAL
from cidesign.calibration.camera.registration import Registration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

ARROWS_ACROSS, LEAST_EDGES, BINS = 16, 30, 60


def draw_registration(registration: Registration, title: str = "") -> bytes:
    """A PNG with five panels: white frame with the device's outline, columns, rows, residual arrows and histogram."""
    height, width = registration.camera.shape
    figure = Figure(figsize=(13.0, max(min(8.2 * height / width, 10.0), 5.0) + 1.2), layout="constrained")
    panels = figure.subfigures(2, 1, squeeze=False)
    upper, lower = panels[0, 0], panels[1, 0]
    white, columns, rows = upper.subplots(1, 3)
    arrows, spread, words = lower.subplots(1, 3, width_ratios=(1, 1, 1.1))
    _draw_white(registration, white)
    _draw_index(registration, upper, columns, "column")
    _draw_index(registration, upper, rows, "row")
    _draw_arrows(registration, arrows)
    _draw_spread(registration, spread)
    _draw_words(registration, words)
    if title:
        figure.suptitle(title)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110)
    return target.getvalue()


def _draw_white(registration: Registration, axis: "Axes") -> None:
    camera, white = registration.camera, registration.code.white_counts
    axis.imshow(white, cmap="gray", vmin=0, vmax=float(np.percentile(white, 99.5)), interpolation="nearest")
    outline = camera.outline(32)
    closed = np.concatenate([outline, outline[:1]])
    axis.plot(closed[:, 0], closed[:, 1], color="tab:orange", linewidth=1.4, label="mirrors' outline")
    lattice = camera.lattice
    ends = np.array([[0.0, 0.0], [lattice.columns - 1.0, (lattice.rows - 1) * lattice.row_pitch]])
    first, last = camera.to_camera(ends)
    axis.plot(*first, "o", color="tab:orange", markersize=6, linestyle="none", label="column 0, row 0")
    axis.plot(*last, "s", color="tab:cyan", markersize=5, linestyle="none", label="last mirror")
    _frame(registration, axis)
    height, width = camera.shape
    inside = np.all((outline > -0.5) & (outline < np.array([width, height]) - 0.5), axis=1)
    axis.set_title("white frame" if inside.any() else "white frame (mirrors reach beyond it)")
    if inside.any():
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, frameon=False)


def _draw_index(registration: Registration, figure: "Figure | SubFigure", axis: "Axes", which: str) -> None:
    code = registration.code
    index = code.column if which == "column" else code.row
    seen = index[code.valid]
    # Pixels between two mirrors are drawn as well: they are one mirror off at most.
    image = axis.imshow(
        np.where(code.lit, index, np.nan), cmap="viridis", vmin=float(seen.min()), vmax=float(seen.max()),
        interpolation="nearest",
    )  # fmt: skip
    step = code.column_step if which == "column" else code.row_step
    _frame(registration, axis)
    axis.set_title(f"{which} of the mirror" + ("" if step == 1 else f" (in steps of {step})"))
    bar = figure.colorbar(image, ax=axis, shrink=0.75)
    bar.ax.tick_params(labelsize=7)


def _draw_arrows(registration: Registration, axis: "Axes") -> None:
    """Means of the residuals over blocks, as arrows in the camera's picture."""
    across, down = registration.edge_residuals
    height, width = registration.camera.shape
    size = max(height, width) / ARROWS_ACROSS
    bins = (np.arange(0, height + size, size), np.arange(0, width + size, size))
    means = []
    for edges in (across, down):
        near = edges[np.abs(edges[:, 2]) < 1]
        total, _, _ = np.histogram2d(near[:, 1], near[:, 0], bins=bins, weights=near[:, 2])
        count, _, _ = np.histogram2d(near[:, 1], near[:, 0], bins=bins)
        means.append(np.where(count >= LEAST_EDGES, total / np.maximum(count, 1), np.nan))
    # From mirrors to the camera's picture, and long enough to be seen.
    jacobian = registration.camera.jacobian
    moved = np.einsum("ij,j...->i...", jacobian, np.stack(means))
    y, x = np.meshgrid(bins[0][:-1] + size / 2, bins[1][:-1] + size / 2, indexing="ij")
    longest = float(np.nanmax(np.hypot(*np.stack(means)))) if np.isfinite(means).any() else 0.0
    enlarged = size / max(longest * registration.camera.pixels_per_column, 1e-9)
    axis.quiver(x, y, *(moved * enlarged), angles="xy", scale_units="xy", scale=1, width=0.005, color="tab:red")
    _frame(registration, axis)
    axis.set_aspect("equal")
    axis.set_title(f"mean residual by block, longest {longest:.3f} column pitches", fontsize=10)


def _draw_spread(registration: Registration, axis: "Axes") -> None:
    across, down = registration.edge_residuals
    largest = max(float(np.percentile(np.abs(np.concatenate([across[:, 2], down[:, 2]])), 99)), 1e-3)
    span = np.linspace(-largest, largest, BINS).tolist()
    axis.hist(across[:, 2], span, histtype="step", color="tab:blue", label=f"{len(across)} edges between columns")
    axis.hist(down[:, 2], span, histtype="step", color="tab:green", label=f"{len(down)} edges between rows")
    if largest >= MAX_RESIDUAL:
        for limit, label in ((-MAX_RESIDUAL, "limit of the median"), (MAX_RESIDUAL, None)):
            axis.axvline(limit, color="tab:red", linewidth=0.8, linestyle="--", label=label)
    axis.set(xlabel="residual (column pitches)", ylabel="edges", title="residuals of stripe edges")
    axis.margins(y=0.25)
    axis.legend(frameon=False, fontsize=7, loc="upper left")


def _draw_words(registration: Registration, axis: "Axes") -> None:
    code, camera, view = registration.code, registration.camera, registration.camera.view
    lines = [
        f"camera                {camera.shape[1]} x {camera.shape[0]} px",
        f"mirrors               {code.columns} x {code.rows}, {camera.seen_fraction:.0%} in view",
        f"scale                 {camera.pixels_per_column:.3f} px per column",
        f"patterns seen         {view.orientation.text}",
        f"turned by             {view.rotation_degrees:+.2f} degrees",
        f"lattice               {registration.lattice_found}",
        f"lens                  {registration.lens_source}",
        f"contrast / noise      {code.contrast_counts:.0f} / {code.noise_counts:.2f} counts",
        f"known mirrors         {code.valid_fraction:.0%} of lit pixels",
        f"agree with the fit    {registration.agreeing_fraction:.1%} of them",
        f"residual, held out    {registration.held_out_columns:.3f} columns (median)",
        f"bend left             {registration.bend_columns:.3f} columns (rms)",
    ]
    axis.axis("off")
    axis.text(0, 0.95, "\n".join(lines), family="monospace", fontsize=9, va="top", linespacing=1.6)


def _frame(registration: Registration, axis: "Axes") -> None:
    """The camera's picture and no more, whatever is drawn beyond it."""
    height, width = registration.camera.shape
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    axis.tick_params(labelsize=7)
    axis.set_ylabel("camera y (px)", fontsize=7)
