"""Pictures of an SD-CASSI calibration: the mask as drawn and as captured, the dispersion, and the white target."""

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.optics import Array
from cidesign.calibration.cassi.verify import WhiteResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cidesign.calibration.cassi.calibrate import CassiOutcome

SMALL = 8


def draw_mask(outcome: "CassiOutcome") -> bytes:
    """A PNG: the mask as drawn (turned as it stands in the bench), as seen in the middle band, and the difference."""
    masks, bands_nm = outcome.calibration.operator.masks, outcome.layout.wavelengths_nm
    band = len(bands_nm) // 2
    seen, drawn = masks[band].astype(np.float64), outcome.lines.seen
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    mounting = outcome.placement.mounting
    title = "drawn" if mounting.as_drawn else f"drawn, {mounting.text}"
    _image(figure, left, drawn, title, "gray", (0.0, 1.0))
    _image(figure, middle, seen, f"captured, at {bands_nm[band]:g} nm", "gray", (0.0, 1.0))
    _image(figure, right, seen - drawn, "captured - drawn", "RdBu_r", (-0.6, 0.6))
    for axes in (left, middle, right):
        axes.set(xlabel="column (code pixel)", ylabel="row (code pixel)")
    return _png(figure)


def draw_dispersion(outcome: "CassiOutcome") -> bytes:
    """A PNG: the positions of the lines with the fitted curve and the profile's bands, and what the fit leaves."""
    fit, layout = outcome.dispersion, outcome.layout
    axis = layout.axis
    bands_nm = layout.wavelengths_nm
    least = fit.at(bands_nm[[int(layout.shift_px.argmin())]])[0]
    smooth_nm = np.linspace(min(fit.lines_nm.min(), bands_nm.min()), max(fit.lines_nm.max(), bands_nm.max()), 200)
    curve, places = fit.at(smooth_nm) - least, fit.positions - least
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    along, rest = figure.subplots(1, 2)
    (line,) = along.plot(smooth_nm, curve[:, axis], label="along the dispersion")
    along.plot(fit.lines_nm, places[:, axis], "o", color=line.get_color(), markersize=4, label="lines")
    along.plot(bands_nm, layout.shift_px, "x", color="black", markersize=6, label="profile")
    (line,) = along.plot(smooth_nm, curve[:, 1 - axis], label="across it")
    along.plot(fit.lines_nm, places[:, 1 - axis], "o", color=line.get_color(), markersize=4)
    along.set(xlabel="wavelength (nm)", ylabel="shift (code pixels)", title="dispersion")
    along.legend(frameon=False, fontsize=SMALL)
    residual = fit.residual_px
    rest.plot(fit.lines_nm, residual[:, axis], "o-", markersize=4, linewidth=0.8, label="along")
    rest.plot(fit.lines_nm, residual[:, 1 - axis], "s-", markersize=4, linewidth=0.8, label="across")
    rest.axhline(0.0, linewidth=0.8, color="grey")
    largest = max(1.3 * float(np.abs(residual).max()), 1e-3)
    rest.set(
        xlabel="wavelength (nm)",
        ylabel="line - curve (code pixels)",
        title="what the curve leaves",
        ylim=(-largest, largest),
    )
    rest.legend(frameon=False, fontsize=SMALL)
    return _png(figure)


def draw_instrument(calibration: CassiCalibration, capture: CassiCapture | None) -> bytes:
    """A PNG: the mask as the detector should see it in the first and in the last band, and the capture beside them."""
    images, scene = calibration.operator.band_images(), None
    if capture is not None and "scene" in capture.arrays:
        scene = calibration.measurements(capture.scene)[0]
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2 if scene is None else 3)
    for axes, band, name in zip(panels, (0, -1), ("first", "last"), strict=False):
        _image(figure, axes, images[band].astype(np.float64), f"the mask in the {name} band", "gray", (0.0, 1.0))
    if scene is not None:
        _image(figure, panels[2], scene, "captured", "gray", (0.0, float(np.percentile(scene, 99.9)) or 1.0))
    for axes in panels:
        axes.set(xlabel="column", ylabel="row")
    return _png(figure)


def draw_white(white: WhiteResult) -> bytes:
    """A PNG: the white target as measured, as predicted, and the difference, on one scale each."""
    top = float(np.percentile(white.predicted, 99.9)) or 1.0
    difference = np.where(white.lit, white.measured - white.predicted, 0.0)
    largest = max(float(np.percentile(np.abs(difference[white.lit]), 99.5)) if white.lit.any() else 0.0, 0.02 * top)
    figure = Figure(figsize=(12.5, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _image(figure, left, white.measured, "white target, measured", "viridis", (0.0, top))
    _image(figure, middle, white.predicted, "predicted (gain and offset fitted)", "viridis", (0.0, top))
    title = f"measured - predicted: relative residual {white.relative_residual:.3f}"
    _image(figure, right, difference, title, "RdBu_r", (-largest, largest))
    for axes in (left, middle, right):
        axes.set(xlabel="column", ylabel="row")
    return _png(figure)


def _image(figure: "Figure", axes: "Axes", image: Array, title: str, colours: str, limits: tuple[float, float]) -> None:
    shown = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title, fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL)
    figure.colorbar(shown, ax=axes, shrink=0.85).ax.tick_params(labelsize=SMALL)


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110)
    return target.getvalue()
