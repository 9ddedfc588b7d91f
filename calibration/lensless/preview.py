"""A picture of a lensless calibration: the PSF as drawn and as measured, and the second point."""

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from cidesign.calibration.lensless.optics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cidesign.calibration.lensless.calibrate import LenslessOutcome


def draw_psf(outcome: "LenslessOutcome") -> bytes:
    """A PNG: the drawing's PSF as the mask stands, the measured one with its rim, and what the fits leave."""
    psf, drawn = outcome.calibration.operator.psf.mean(axis=0), outcome.registration.psf.mean(axis=0)
    top = float(np.percentile(drawn, 99.8)) or 1.0
    second = outcome.second
    figure = Figure(figsize=(4.0 * (2 if second is None else 3), 3.7), layout="constrained")
    panels = figure.subplots(1, 2 if second is None else 3)
    _image(figure, panels[0], drawn, "as drawn, as the mask stands", "gray", (0.0, top))
    _image(figure, panels[1], psf, "measured; beyond the frame as drawn", "gray", (0.0, top))
    seen = outcome.calibration.measured
    panels[1].contour(seen, levels=[0.5], colors="#d95f02", linewidths=0.8)
    if second is not None:
        left = second.fit.residual.mean(axis=0) / float(second.fit.gains.mean())
        title = f"second point: measured - predicted ({second.relative_residual:.3f} of its structure)"
        _image(figure, panels[2], left, title, "RdBu_r", (-0.3 * top, 0.3 * top))
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110)
    return target.getvalue()


def _image(figure: Figure, axes: "Axes", image: Array, title: str, colours: str, limits: tuple[float, float]) -> None:
    shown = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="column (sample)", ylabel="row (sample)")
    figure.colorbar(shown, ax=axes, shrink=0.8)
