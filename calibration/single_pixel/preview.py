"""The pictures of a single-pixel calibration: detector, light, and how the patterns lie on the scene."""

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.fit import TargetFit
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.response import Response, WhiteLevels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_photon_transfer(levels: WhiteLevels, response: Response) -> bytes:
    """A PNG with two panels: variance against signal with the fitted line, and the departure from linearity."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    transfer, linearity = figure.subplots(1, 2)
    signal = levels.mean_counts - response.dark_counts.value
    gain, intercept = response.gain_counts_per_photoelectron, response.photon_transfer_intercept_counts2

    # A variance from M successive differences scatters by sqrt(3 / M) of itself.
    scatter = levels.variance_counts2 * (3.0 / levels.repeats) ** 0.5
    transfer.errorbar(signal, levels.variance_counts2, yerr=scatter, fmt="o", markersize=4, label="white frames")
    transfer.plot(0, response.read_noise_counts.value**2, "s", markersize=4, label="dark frames")
    line = np.array([0.0, float(signal.max())])
    transfer.plot(line, gain.value * line + intercept.value, label=f"gain {gain.value:.4g} ± {gain.standard_error:.2g}")
    transfer.set(xlabel="mean above dark (counts)", ylabel="variance (counts²)", title="photon transfer")
    transfer.legend(frameon=False, fontsize=8)

    scale = response.scale_counts.value
    departure = 100 * (signal - scale * levels.light_fraction) / scale
    error = 100 * (levels.variance_counts2 / levels.repeats) ** 0.5 / scale
    linearity.errorbar(levels.light_fraction, departure, yerr=error, fmt="o", markersize=4)
    linearity.axhline(0.0, linewidth=0.8, color="grey")
    linearity.set(xlabel="light fraction", ylabel="departure (% of full white)", title="linearity")

    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


# The longest title is as wide as its panel.
TITLE_POINTS = 9


def draw_operator(operator: SpcOperator, fit: TargetFit | None, picture: NDArray[np.float64] | None) -> bytes:
    """A PNG with three panels: the illumination, the patterns' field on the known card, and the held-out test."""
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    light, place, test = figure.subplots(1, 3)
    # Where no pattern reaches, no illumination can be told.
    reached = np.where(operator.all_on > 0, operator.illumination, np.nan)
    drawn = light.imshow(reached, cmap="viridis", interpolation="nearest")
    figure.colorbar(drawn, ax=light, shrink=0.85)
    light.set(title="light on the scene, 1: its mean", xlabel="super-pixels", ylabel="super-pixels")
    _draw_field(place, operator, picture)
    if fit is None:
        test.set_axis_off()
        test.text(0.5, 0.5, "no held-out patterns:\nnot verified", ha="center", va="center", fontsize=11)
    else:
        held = fit.held_out
        test.plot(held.predicted, held.measured, "o", markersize=4)
        ends = [float(held.predicted.min()), float(held.predicted.max())]
        test.plot(ends, ends, linewidth=0.8, color="grey")
        card, place_words = ("known card", "") if operator.fitted else ("white reference", "place not verified; ")
        title = f"held-out patterns ({card})\n{place_words}relative residual {held.relative_residual:.2%}"
        test.set(xlabel="predicted y", ylabel="measured y", title=title)
    for axes in (light, place, test):
        axes.title.set_fontsize(TITLE_POINTS)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def _draw_field(axes: "Axes", operator: SpcOperator, picture: NDArray[np.float64] | None) -> None:
    """The card with the outline of the patterns' field; dots mark where their first row begins and ends."""
    side = operator.illumination.shape[0]
    axes.imshow(np.zeros((side, side)) if picture is None else picture, cmap="gray", vmin=0, vmax=1)
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]) * (side - 1)
    rows, columns = _on_scene(operator, corners)
    axes.plot(columns, rows, color="tab:orange", linewidth=1.5)
    axes.plot(columns[0], rows[0], "o", color="tab:red", markersize=9, label="first super-pixel")
    axes.plot(columns[1], rows[1], "s", color="tab:blue", markersize=7, label="end of the first row")
    known = "known card" if picture is not None else "no known card"
    left, right = -0.15 * side, 1.15 * side
    axes.set(title=f"the patterns' field on the scene ({known})", xlim=(left, right), ylim=(right + 0.1 * side, left))
    axes.legend(fontsize=7, loc="lower center", ncols=2)


def _on_scene(operator: SpcOperator, points: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns on the scene of super-pixels (M, 2) of a pattern: turned by the orientation, then placed."""
    place, side = operator.placement, operator.illumination.shape[0]
    row, column = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    turn = place.orientation
    if turn.transpose:
        row, column = column, row
    row = side - 1 - row if turn.flip_vertical else row
    column = side - 1 - column if turn.flip_horizontal else column
    centre, angle = (side - 1) / 2, np.deg2rad(place.rotation_deg)
    down, right = row - centre, column - centre
    rows = centre + place.down_px + np.sin(angle) * right + np.cos(angle) * down
    columns = centre + place.right_px + np.cos(angle) * right - np.sin(angle) * down
    return rows, columns
