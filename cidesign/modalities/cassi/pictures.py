"""Spectral cubes as pictures: false colours, single bands, spectra of a few pixels, and what the readings leave."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

GAMMA = 2.2
SHOWN_BANDS = 5
SHOWN_PIXELS = 4
PANEL_INCHES = 1.5
DPI = 120
# Residuals of more deviations than this are drawn alike.
RESIDUAL_RANGE = 4.0
STYLES = {
    "truth": ("s-", "#000000"),
    "student": ("o-", "#0b5394"),
    "linear": ("x:", "#6aa84f"),
    "gap_tv": ("^--", "#b45f06"),
    "tikhonov": (".:", "#7f7f7f"),
}


class NamedCube(NamedTuple):
    """A cube (L, H, W) in float32, row 0 at the top; `name` is the stem of its files, `title` stands above it."""

    name: str
    title: str
    cube: NDArray[np.float32]
    caption: str = ""


def false_colour_bands(bands_nm: Sequence[float]) -> tuple[int, int, int]:
    """Which bands are shown as red, green and blue.

    Those nearest to 620, 550 and 460 nm where the bands span these; else the last, the middle and the first.
    """
    if bands_nm[0] <= 480 and bands_nm[-1] >= 600:
        distances = [np.abs(np.asarray(bands_nm) - wanted_nm) for wanted_nm in (620, 550, 460)]
        red, green, blue = (int(distance.argmin()) for distance in distances)
        if len({red, green, blue}) == 3:
            return red, green, blue
    return len(bands_nm) - 1, len(bands_nm) // 2, 0


def false_colours(cubes: NDArray[np.floating], bands_nm: Sequence[float]) -> NDArray[np.floating]:
    """Cubes (..., L, H, W) as pictures (..., H, W, 3) in [0, 1], with the gamma that screens expect."""
    picture = np.clip(cubes[..., list(false_colour_bands(bands_nm)), :, :], 0, 1) ** (1 / GAMMA)
    return np.moveaxis(picture, -3, -1)


def distinct_pixels(cube: NDArray[np.floating], count: int) -> list[tuple[int, int]]:
    """(row, column) of `count` pixels of a cube (L, H, W): the brightest, then each the least like those before."""
    flat = cube.reshape(len(cube), -1)
    chosen = [int(np.linalg.norm(flat, axis=0).argmax())]
    while len(chosen) < min(count, flat.shape[1]):
        apart = np.min([np.linalg.norm(flat - flat[:, [pixel]], axis=0) for pixel in chosen], axis=0)
        chosen.append(int(apart.argmax()))
    return [(pixel // cube.shape[2], pixel % cube.shape[2]) for pixel in chosen]


def colour_png(cube: NDArray[np.floating], bands_nm: Sequence[float]) -> bytes:
    """An 8-bit RGB PNG of a cube (L, H, W) in false colours, pixel by pixel; what lies outside [0, 1] is cut off."""
    levels = np.rint(255 * false_colours(cube, bands_nm)).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(levels).save(target, format="PNG")
    return target.getvalue()


def draw_cubes(cubes: Sequence[NamedCube], bands_nm: Sequence[float], heading: str) -> bytes:
    """A PNG: one row for each cube, in false colours and some of its bands in grey from 0 to 1."""
    shown = np.unique(np.linspace(0, len(bands_nm) - 1, SHOWN_BANDS).round().astype(int)).tolist()
    columns = 1 + len(shown)
    figure = Figure(
        figsize=((PANEL_INCHES + 0.1) * columns + 1.0, (PANEL_INCHES + 0.45) * len(cubes) + 0.6),
        layout="constrained",
        dpi=DPI,
    )
    figure.suptitle(heading, fontsize=9)
    axes = figure.subplots(len(cubes), columns, squeeze=False)
    for row, named in zip(axes, cubes, strict=True):
        row[0].imshow(false_colours(named.cube, bands_nm), interpolation="nearest")
        row[0].set_ylabel(named.title, fontsize=8)
        row[0].set_xlabel(named.caption, fontsize=7)
        for axis, band in zip(row[1:], shown, strict=True):
            axis.imshow(named.cube[band], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    red, green, blue = (f"{bands_nm[band]:g}" for band in false_colour_bands(bands_nm))
    axes[0, 0].set_title(f"{red}, {green}, {blue} nm\nas red, green, blue", fontsize=7)
    for axis, band in zip(axes[0, 1:], shown, strict=True):
        axis.set_title(f"{bands_nm[band]:g} nm", fontsize=8)
    return _png(figure)


def draw_spectra(cubes: Sequence[NamedCube], bands_nm: Sequence[float]) -> bytes:
    """A PNG: spectra of a few pixels in all cubes; the pixels are chosen by the first cube, and marked in it."""
    pixels = distinct_pixels(cubes[0].cube, SHOWN_PIXELS)
    figure = Figure(figsize=(9.0, 4.6), layout="constrained", dpi=DPI)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.15, 1, 1))
    place = figure.add_subplot(grid[:, 0])
    place.imshow(false_colours(cubes[0].cube, bands_nm), interpolation="nearest")
    place.set_title(f"{cubes[0].title}, false colours", fontsize=8)
    place.set_xlabel("column / pixel", fontsize=8)
    place.set_ylabel("row / pixel", fontsize=8)
    axes = [figure.add_subplot(grid[number // 2, 1 + number % 2]) for number in range(len(pixels))]
    for number, (axis, (row, column)) in enumerate(zip(axes, pixels, strict=True), start=1):
        place.plot(column, row, "o", markersize=13, color="black")
        place.plot(column, row, "o", markersize=11, color="white")
        place.text(column, row, str(number), ha="center", va="center", fontsize=7)
        for named in cubes:
            marker, colour = STYLES.get(named.name, STYLES["student"])
            axis.plot(
                bands_nm, named.cube[:, row, column], marker, color=colour, label=named.title, markersize=3, linewidth=1
            )
        axis.set_title(f"{number}: row {row}, column {column}", fontsize=8)
        axis.set_xlabel("wavelength / nm", fontsize=8)
        axis.set_ylabel("reflectance", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return _png(figure)


def draw_residuals(
    y: NDArray[np.float64], residuals: Mapping[str, NDArray[np.float64]], used: NDArray[np.bool_]
) -> bytes:
    """A PNG: the readings y, and by title the residuals in deviations, all (h, w); readings not used in blue."""
    figure = Figure(figsize=(2.6 * (1 + len(residuals)), 3.0), layout="constrained", dpi=DPI)
    axes = figure.subplots(1, 1 + len(residuals), squeeze=False)[0]
    drawn = axes[0].imshow(np.where(used, y, np.nan), cmap="gray", interpolation="nearest")
    axes[0].set_title("readings y (grey) and pixels not used (blue)", fontsize=7)
    figure.colorbar(drawn, ax=axes[0], location="bottom", shrink=0.8)
    for axis, (title, residual) in zip(axes[1:], residuals.items(), strict=True):
        values = np.where(used, residual, np.nan)
        drawn = axis.imshow(values, cmap="PuOr", vmin=-RESIDUAL_RANGE, vmax=RESIDUAL_RANGE, interpolation="nearest")
        axis.set_title(f"{title}: (A x - y) / deviation", fontsize=7)
        figure.colorbar(drawn, ax=axis, location="bottom", shrink=0.8)
    for axis in axes:
        axis.set_facecolor("#9fc5e8")
        axis.tick_params(labelsize=6)
    return _png(figure)


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    # Without the version in the file, the same data give the same bytes.
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
