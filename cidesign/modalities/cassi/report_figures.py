"""The pictures of a coded-aperture run."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cidesign.modalities.cassi.encoders.designed import Dispersion
from cidesign.pattern import ApertureMask
from cidesign.physics.metrics import sam_degrees
from cidesign.report.figures import (
    LINEAR,
    REFERENCE,
    STUDENT,
    TEACHER,
    TRUTH,
    WIDTH_INCHES,
    fine_enough,
    new_figure,
    png,
)

# Larger masks are also shown in part, large enough to see their pixels.
DETAIL_PX = 32
DARK = "#2b2b2b"
LABELLED_BANDS = 12


def mask(design: ApertureMask) -> bytes:
    """The mask at its pixels with a scale bar, and a part of a large one."""
    height, width = design.levels.shape
    with_detail = max(height, width) > 2 * DETAIL_PX
    figure = Figure(figsize=(WIDTH_INCHES if with_detail else 5.4, 4.9), layout="constrained")
    axes = figure.subplots(1, 2 if with_detail else 1, squeeze=False)[0]
    _draw_mask(axes[0], design, (0, height), (0, width))
    axes[0].set_title(f"whole mask, {design.open_fraction:.1%} open", fontsize=9)
    if with_detail:
        top, left = (max(0, (length - DETAIL_PX) // 2) for length in (height, width))
        _draw_mask(axes[1], design, (top, min(top + DETAIL_PX, height)), (left, min(left + DETAIL_PX, width)))
        axes[1].set_title("a part from its middle", fontsize=9)
    return png(figure, fine_enough(width, 3.4))


def _draw_mask(axis: Axes, design: ApertureMask, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    part = design.levels[slice(*rows), slice(*columns)]
    extent = (columns[0] - 0.5, columns[1] - 0.5, rows[1] - 0.5, rows[0] - 0.5)
    axis.imshow(part, cmap="gray", vmin=-0.2, vmax=1, interpolation="nearest", extent=extent)
    axis.set_xlabel("code pixel, column")
    axis.set_ylabel("code pixel, row")
    axis.locator_params(integer=True)
    length_um = round_length(part.shape[1] * design.pitch_um / 3)
    end = 1 - length_um / design.pitch_um / part.shape[1]
    # Below the picture and its axis: a bar inside would hide code.
    axis.plot(
        [end, 1],
        [-0.17, -0.17],
        transform=axis.transAxes,
        color=TRUTH,
        linewidth=4,
        clip_on=False,
        solid_capstyle="butt",
    )
    axis.text((end + 1) / 2, -0.19, f"{length_um:g} um", transform=axis.transAxes, ha="center", va="top", fontsize=9)


def round_length(length: float) -> float:
    """The largest 1, 2 or 5 times a power of ten up to `length` > 0."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))


def detector(
    scene: NDArray[np.floating], y: NDArray[np.floating], optics: Dispersion, bands_nm: Sequence[float]
) -> bytes:
    """A scene (H, W, 3) beside its detector image in photoelectrons, with the reach of every band along its axis."""
    along_columns = optics.axis == "columns"
    height, width = y.shape
    picture_inches = 5.0 if along_columns else 3.2
    tall_inches = picture_inches * height / width
    if along_columns:
        figure = new_figure(tall_inches + 3.3)
        grid = figure.add_gridspec(2, 2, width_ratios=(2.4, 5.0), height_ratios=(tall_inches, 1.4))
        left, right, reach = (figure.add_subplot(grid[at]) for at in ((0, 0), (0, 1), (1, 1)))
    else:
        figure = new_figure(tall_inches + 1.2)
        grid = figure.add_gridspec(1, 3, width_ratios=(2.4, 3.2, 2.0))
        left, right, reach = (figure.add_subplot(grid[0, column]) for column in range(3))
    left.imshow(scene, interpolation="nearest")
    left.set_title("scene, false colour", fontsize=9)
    left.set_xlabel("column / pixel")
    left.set_ylabel("row / pixel")
    drawn = right.imshow(y, cmap="gray", interpolation="nearest", vmin=min(0.0, float(y.min())))
    right.set_title("detector image", fontsize=9)
    right.set_xlabel("detector column / pixel")
    right.set_ylabel("detector row / pixel")
    figure.colorbar(drawn, ax=right, label="photoelectrons", location="top", shrink=0.8, aspect=30)
    _draw_reach(reach, optics, bands_nm, (width if along_columns else height) - optics.span_px)
    # Square pixels leave the image smaller than its place: the bars must follow it, to stand by the pixels they mean.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    image, bars = right.get_position(), reach.get_position()
    if along_columns:
        reach.set_position((image.x0, bars.y0, image.width, bars.height))
    else:
        reach.set_position((bars.x0, image.y0, bars.width, image.height))
    return png(figure)


def _draw_reach(axis: Axes, optics: Dispersion, bands_nm: Sequence[float], length_px: int) -> None:
    """One bar for each band, from the first to the last detector pixel that it reaches."""
    along_columns = optics.axis == "columns"
    colours = colormaps["turbo"](np.linspace(0.08, 0.92, len(bands_nm)))
    for band, colour in enumerate(colours):
        taps = optics.taps(band)
        first, last = taps[0][0] - 0.5, taps[-1][0] + length_px - 0.5
        if along_columns:
            axis.barh(band, last - first, left=first, height=0.8, color=colour)
        else:
            axis.bar(band, last - first, bottom=first, width=0.8, color=colour)
    labelled = range(0, len(bands_nm), -(-len(bands_nm) // LABELLED_BANDS))
    names = [f"{bands_nm[band]:g}" for band in labelled]
    end = length_px + optics.span_px - 0.5
    if along_columns:
        axis.set_yticks(list(labelled), names, fontsize=7)
        axis.set_ylabel("band / nm")
        axis.set_xlim(-0.5, end)
        axis.set_xlabel("detector column / pixel")
    else:
        axis.set_xticks(list(labelled), names, fontsize=7, rotation=90)
        axis.set_xlabel("band / nm")
        axis.set_ylim(end, -0.5)
        axis.set_ylabel("detector row / pixel")


def spectra(
    scene: NDArray[np.floating],
    pixels: Sequence[tuple[int, int]],
    cubes: Mapping[str, NDArray[np.floating]],
    bands_nm: Sequence[float],
) -> bytes:
    """The spectra of some pixels in named cubes (L, H, W), the first of them the truth; the pixels in the scene."""
    figure = new_figure(5.0)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.15, 1, 1))
    place = figure.add_subplot(grid[:, 0])
    place.imshow(scene, interpolation="nearest")
    place.set_xlabel("column / pixel")
    place.set_ylabel("row / pixel")
    axes = [figure.add_subplot(grid[number // 2, 1 + number % 2]) for number in range(len(pixels))]
    for number, (axis, (row, column)) in enumerate(zip(axes, pixels, strict=True), start=1):
        _mark(place, number, row, column)
        lines = {name: cube[:, row, column] for name, cube in cubes.items()}
        for (name, values), style in zip(lines.items(), _styles(lines), strict=True):
            axis.plot(bands_nm, values, style[0], color=style[1], label=name, markersize=3.5, linewidth=1.3)
        angles = _angles(list(lines.values())[1:], next(iter(lines.values())))
        shown = {name: angle for name, angle in zip(list(lines)[1:], angles, strict=True) if name != "linear estimate"}
        words = ", ".join(f"{name.partition(' (')[0]} {angle}" for name, angle in shown.items())
        axis.set_title(f"{number}: row {row}, column {column}\n{words}", fontsize=8)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    _same_scale(axes)
    for axis in axes:
        axis.set_xlabel("wavelength / nm", fontsize=8)
        axis.set_ylabel("reflectance", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return png(figure)


def _mark(place: Axes, number: int, row: int, column: int) -> None:
    """A ring around a pixel and its number beside it, inside the picture."""
    for colour, width in (("black", 3.0), ("white", 1.4)):
        place.plot(
            column, row, "o", markersize=9, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=width
        )
    left, right = place.get_xlim()
    aside = 9 if column < (left + right) / 2 else -9
    place.annotate(
        str(number),
        (column, row),
        xytext=(aside, 0),
        textcoords="offset points",
        ha="left" if aside > 0 else "right",
        va="center",
        fontsize=8,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
    )


def _styles(lines: Mapping[str, object]) -> list[tuple[str, str]]:
    """Line and colour of truth, student, and what else there is of linear estimate and teacher."""
    return [("s-", TRUTH), ("o-", STUDENT), ("x:", LINEAR), ("^--", TEACHER)][: len(lines)]


def _angles(spectra_hat: Sequence[NDArray[np.floating]], truth: NDArray[np.floating]) -> list[str]:
    x = torch.as_tensor(truth.copy())[None, :, None, None]
    angles = [float(sam_degrees(torch.as_tensor(other.copy())[None, :, None, None], x)) for other in spectra_hat]
    return ["-" if math.isnan(angle) else f"{angle:.1f}°" for angle in angles]


def _same_scale(axes: Sequence[Axes]) -> None:
    """One scale for all, from 0 on."""
    limits = np.array([axis.get_ylim() for axis in axes])
    lowest = min(0.0, float(limits[:, 0].min()))
    for axis in axes:
        axis.set_ylim(lowest, float(limits[:, 1].max()))


def band_psnr(values: Mapping[str, Sequence[float]], bands_nm: Sequence[float], rgb: tuple[int, int, int]) -> bytes:
    """PSNR of every band in dB, by name."""
    figure = new_figure(3.0)
    axis = figure.subplots()
    for band, colour in zip(rgb, ("#cc0000", "#38761d", "#3d85c6"), strict=True):
        axis.axvline(bands_nm[band], color=colour, alpha=0.35, linewidth=4)
    for (name, line), style in zip(values.items(), _styles({"truth": 0, **values})[1:], strict=True):
        axis.plot(bands_nm, line, style[0], color=style[1], label=name)
    axis.set_xlabel("wavelength of the band / nm")
    axis.set_ylabel("PSNR / dB")
    axis.grid(alpha=0.3, color=REFERENCE)
    axis.legend(fontsize=8)
    return png(figure)
