"""Pictures of points of k-space: which are acquired, how dense they lie, and what they make of one bright pixel."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cidesign.modalities.mri.points.merit import ring_density
from cidesign.modalities.mri.report_figures import ACQUIRED, CALIBRATION, CENTRE, LOWEST_DB, SKIPPED, densities
from cidesign.pattern import CartesianPoints
from cidesign.physics.encoder_metrics import point_spread
from cidesign.report.figures import REFERENCE, fine_enough, new_figure, png

CORNER = "#bbbbbb"
ENERGY_DB = -70


def points(design: CartesianPoints, corners: NDArray[np.bool_], power: NDArray[np.float64]) -> bytes:
    """The points in k-space, and beside them the power (lines, partitions) in dB of the largest."""
    kinds = design.mask.astype(np.int64)
    kinds[design.calibration_mask == 1] = 2
    kinds[corners & (kinds == 0)] = 3
    entries = [
        ("not acquired", SKIPPED), ("acquired", ACQUIRED), ("calibration (ACS)", CALIBRATION),
        ("corner, never acquired", CORNER),
    ]  # fmt: skip
    figure = new_figure(4.6)
    left, right = figure.subplots(1, 2)
    colours = ListedColormap([colour for _, colour in entries])
    left.imshow(kinds, cmap=colours, vmin=0, vmax=len(entries) - 1, interpolation="nearest")
    crossed = left.plot(
        design.partitions // 2, design.lines // 2, "x", color=CENTRE, markersize=6, label="centre of k-space", ls=""
    )
    shown = [Patch(facecolor=colour, edgecolor=REFERENCE, label=name) for name, colour in entries]
    handles = [patch for kind, patch in enumerate(shown) if bool((kinds == kind).any())]
    figure.legend(handles=[*handles, *crossed], loc="outside upper center", ncols=5, fontsize=8)
    level = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-300), 1e-12))
    drawn = right.imshow(level, cmap="viridis", vmin=ENERGY_DB, vmax=0, interpolation="nearest")
    figure.colorbar(drawn, ax=right, label="energy / dB of the largest", shrink=0.85)
    for axis in (left, right):
        axis.set_xlabel("partition, along kz")
        axis.set_ylabel("line, along ky")
    return png(figure, fine_enough(max(design.matrix), 3.5))


def point_spreads(weights: Mapping[str, NDArray[np.float64]]) -> bytes:
    """|p| of weights (lines, partitions) >= 0 by name, in dB of the centre, one picture each."""
    figure = new_figure(4.2)
    axes = figure.subplots(1, len(weights), squeeze=False)[0]
    for axis, (name, weight) in zip(axes, weights.items(), strict=True):
        level = 20 * np.log10(np.maximum(point_spread(weight), 1e-9))
        height, width = weight.shape
        extent = (-(width // 2) - 0.5, width - width // 2 - 0.5, height - height // 2 - 0.5, -(height // 2) - 0.5)
        drawn = axis.imshow(level, cmap="magma", vmin=LOWEST_DB, vmax=0, interpolation="nearest", extent=extent)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("distance along kz's direction / pixel")
        axis.set_ylabel("distance along ky's direction / pixel")
    figure.colorbar(drawn, ax=list(axes), label="point spread / dB of the centre", shrink=0.85)
    return png(figure, fine_enough(max(weight.shape), 3.5))


def point_density(weights: Mapping[str, NDArray[np.float64]], rings: int) -> bytes:
    """The share of points acquired over the distance from the centre of k-space, of shares (lines, partitions)."""
    steps = {name: (ring_density(weight, rings), np.linspace(0, 1, rings + 1)) for name, weight in weights.items()}
    across = "distance from the centre of k-space / that of the ellipse"
    return densities(steps, across, "share of points acquired")
