"""The pictures of an MRI run."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cidesign.pattern import CartesianLines, centre_block
from cidesign.physics.encoder_metrics import line_density as density
from cidesign.report.figures import REFERENCE, STUDENT, TEACHER, fine_enough, new_figure, png

SKIPPED, ACQUIRED, CALIBRATION, CENTRE = "#eeeeee", STUDENT, "#e69138", "#cc0000"
LOWEST_DB = -50


def lines(design: CartesianLines, energy: NDArray[np.float64]) -> bytes:
    """The lines in k-space, and beside them the share of the energy of each, (lines,), on the same axis."""
    kinds = design.mask.astype(np.int64)
    kinds[list(centre_block(design.lines, design.calibration_lines))] = 2
    centre = design.lines // 2
    figure = new_figure(5.2)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    picture = np.repeat(kinds[:, None], design.readout, axis=1)
    left.imshow(
        picture,
        cmap=ListedColormap([SKIPPED, ACQUIRED, CALIBRATION]),
        vmin=0,
        vmax=2,
        interpolation="nearest",
        aspect="auto",
    )
    left.plot(design.readout // 2, centre, "x", color=CENTRE, markersize=9, markeredgewidth=2, clip_on=False)
    left.set_xlabel("readout sample, along kx")
    left.set_ylabel("phase-encode line, along ky")
    entries = [("acquired", ACQUIRED), ("calibration (ACS)", CALIBRATION), ("not acquired", SKIPPED)]
    handles = [Patch(facecolor=colour, edgecolor=REFERENCE, label=name) for name, colour in entries]
    crossed = left.plot([], [], "x", color=CENTRE, markeredgewidth=2, label="centre of k-space")
    figure.legend(handles=[*handles, *crossed], loc="outside upper center", ncols=4, fontsize=8)
    share_db = 10 * np.log10(np.maximum(energy, 1e-12))
    for kind, (name, colour) in ((1, entries[0]), (2, entries[1]), (0, ("not acquired", REFERENCE))):
        numbers = np.flatnonzero(kinds == kind)
        right.plot(share_db[numbers], numbers, "o" if kind else ".", color=colour, markersize=4, label=name)
    right.axhline(centre, color=CENTRE, linewidth=0.8)
    right.set_xlabel("energy of the line / dB of the whole")
    right.tick_params(labelleft=True)
    right.grid(alpha=0.3)
    return png(figure, fine_enough(design.lines, 4.0))


def line_density(shares: Mapping[str, NDArray[np.float64]], bins: int) -> bytes:
    """The share of lines acquired over the distance from the centre of k-space, of shares (lines,) by name, in `bins`
    equal parts; the first of them is the student's."""
    steps = {
        name: (density(share, bins), np.arange(bins + 1) * (len(share) // 2 + 1) / bins)
        for name, share in shares.items()
    }
    return densities(steps, "distance from the centre of k-space / lines", "share of lines acquired")


def densities(steps: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], across: str, up: str) -> bytes:
    """Shares (bins,) between edges (bins + 1,) by name, as steps; the first of them is the student's."""
    figure = new_figure(2.6)
    axis = figure.subplots()
    for (name, (shares, edges)), style in zip(steps.items(), (("-", STUDENT), ("--", TEACHER)), strict=False):
        axis.stairs(shares, edges, label=name, linestyle=style[0], color=style[1], linewidth=1.6, baseline=None)
    axis.set_ylim(-0.03, 1.05)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    return png(figure)


def lobe_text(amplitude: float) -> str:
    """A side lobe relative to the main lobe: percent, and dB where there is one."""
    return "none" if amplitude == 0 else f"{amplitude:.1%} of the main lobe ({20 * math.log10(amplitude):.1f} dB)"


def point_spread(weights: Mapping[str, NDArray[np.float64]], side_lobe: float) -> bytes:
    """|p| = |F^H w| of weights (lines,) >= 0 by name, in dB of the centre; the first of them is the student's."""
    figure = new_figure(3.4)
    axis = figure.subplots()
    for (name, weight), style in zip(weights.items(), (("o-", STUDENT), ("-", TEACHER)), strict=False):
        spread = np.abs(np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(weight))))
        level_db = 20 * np.log10(np.maximum(spread / spread[len(weight) // 2], 1e-9))
        at = np.arange(len(weight)) - len(weight) // 2
        axis.plot(at, level_db, style[0], color=style[1], label=name, markersize=3.5, linewidth=1)
    if side_lobe > 0:
        label = f"largest side lobe of the lines, {20 * math.log10(side_lobe):.1f} dB"
        axis.axhline(20 * math.log10(side_lobe), color=STUDENT, linestyle="--", linewidth=0.9, label=label)
    axis.set_ylim(LOWEST_DB, 2)
    axis.set_xlabel("distance along the phase-encode direction / pixel")
    axis.set_ylabel("point spread / dB of the centre")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    return png(figure)
