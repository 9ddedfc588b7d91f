"""What a reconstruction leaves behind: each image as PNG, float TIFF and npz, a comparison, maps, and a record."""

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.verify import Judgement
from cidesign.files import replacing_folder, save_npz, write_bytes, write_json
from cidesign.text import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RECORD_FILE = "reconstruction.json"
COMPARISON_FILE = "comparison.png"
PANEL_INCHES = 2.4


@dataclass(frozen=True)
class NamedImage:
    """An image (n, n) in float32, row 0 at the top; `name` is the stem of its files, `title` stands above it."""

    name: str
    title: str
    image: NDArray[np.float32]
    caption: str = ""


@dataclass(frozen=True)
class NamedMap:
    """A map (n, n) beside the images, in their unit, drawn with a colour bar of its own.

    `text` says in words what is drawn; `signed` maps are drawn around 0; `top` is the end of the colour bar (None: the
    map's largest value).
    """

    name: str
    title: str
    image: NDArray[np.float32]
    text: str
    caption: str = ""
    signed: bool = False
    top: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Images to write, panels of the comparison (`columns` in a row), and the record of `reconstruction.json`.

    `maps` are written as the images are and drawn below the panels; `pictures` are more PNG files, by their stems.
    `judgement`: what the images rest on; None where no calibration was used.
    """

    images: list[NamedImage]
    panels: list[NamedImage]
    columns: int
    heading: str
    record: dict[str, Any]
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    remarks: list[str] = field(default_factory=list)
    judgement: Judgement | None = None
    maps: list[NamedMap] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


class Shown(Protocol):
    """What of an outcome is printed, whatever was reconstructed."""

    @property
    def heading(self) -> str:
        """What was reconstructed, in one line."""

    @property
    def record(self) -> dict[str, Any]:
        """The content of `reconstruction.json`."""

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table of the reconstructions."""

    @property
    def header(self) -> tuple[str, ...]:
        """The titles of its columns."""

    @property
    def remarks(self) -> list[str]:
        """What is said below it."""

    @property
    def judgement(self) -> Judgement | None:
        """What the images rest on; None where no calibration was used."""


def shown_outcome(outcome: Shown, folder: Path) -> tuple[dict[str, Any], str]:
    """The JSON value of an outcome; its table with the remarks below, and the verdict that it rests on in the end."""
    notes = [f"note: {text}" for text in outcome.remarks]
    verdict = [] if outcome.judgement is None else [outcome.judgement.words]
    text = "\n".join([f"{folder}: {outcome.heading}", table(outcome.rows, outcome.header), *notes, *verdict])
    return {"folder": str(folder), "file": str(folder / RECORD_FILE), **outcome.record}, text


def written(outcome: Outcome, folder: Path, force: bool) -> tuple[dict[str, Any], str]:
    """Write an outcome; its JSON value, and its table with the remarks below."""
    write_outcome(folder, outcome, force)
    return shown_outcome(outcome, folder)


def write_outcome(folder: Path, outcome: Outcome, force: bool) -> None:
    """Write an outcome in one step; raises `FileError` when `folder` exists and `force` is not set."""
    with replacing_folder(folder, force) as temporary:
        for named in outcome.images:
            write_image(temporary, named)
        for one in outcome.maps:
            write_map(temporary, one)
        for stem, png in outcome.pictures.items():
            write_bytes(temporary / f"{stem}.png", png)
        comparison = draw_panels(outcome.panels, outcome.columns, outcome.heading, outcome.maps)
        write_bytes(temporary / COMPARISON_FILE, comparison)
        write_json(temporary / RECORD_FILE, outcome.record)


def write_image(folder: Path, named: NamedImage) -> None:
    """Write NAME.png (8 bit, 0 black to 1 white), NAME.tiff (float32, unscaled) and NAME.npz (array `image`)."""
    _write_values(folder, named.name, named.image)
    write_bytes(folder / f"{named.name}.png", grey_png(named.image))


def write_map(folder: Path, named: NamedMap) -> None:
    """Write NAME.png (in colour, with its colour bar), NAME.tiff (float32, unscaled) and NAME.npz (array `image`)."""
    _write_values(folder, named.name, named.image)
    write_bytes(folder / f"{named.name}.png", map_png(named))


def map_png(named: NamedMap) -> bytes:
    """A PNG of a map in colour, with its colour bar."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.9, 3.4), layout="constrained", dpi=130)
    axis = figure.subplots()
    _draw_map(axis, named)
    axis.set_axis_on()
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    return _png(figure)


def _write_values(folder: Path, stem: str, image: NDArray[np.float32]) -> None:
    import tifffile

    save_npz(folder / f"{stem}.npz", {"image": image})
    tifffile.imwrite(folder / f"{stem}.tiff", image, photometric="minisblack", metadata=None)


def grey_png(image: NDArray[np.float32]) -> bytes:
    """An 8-bit grey PNG, level = round(255 x); values outside [0, 1] are cut off (see `cut_off`)."""
    from PIL import Image

    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(levels).save(target, format="PNG")
    return target.getvalue()


def cut_off(image: NDArray[np.float32]) -> dict[str, float | int]:
    """Range of an image, and how many pixels a PNG cannot show: those below 0 and those above 1."""
    return {
        "minimum": float(image.min()),
        "maximum": float(image.max()),
        "pixels_below_0": int(np.count_nonzero(image < 0)),
        "pixels_above_1": int(np.count_nonzero(image > 1)),
    }


def draw_panels(panels: list[NamedImage], columns: int, heading: str, maps: list[NamedMap] | None = None) -> bytes:
    """A PNG with the images side by side in grey, 0 black to 1 white, titles above and captions below.

    The maps follow in rows of their own, each with its colour bar.
    """
    from matplotlib.figure import Figure

    shown_maps = maps or []
    columns = max(columns, min(len(shown_maps), 4))
    rows = math.ceil(len(panels) / columns) + math.ceil(len(shown_maps) / columns)
    # Colour bars take their width from the panels of all rows.
    width = PANEL_INCHES * columns * (1.25 if shown_maps else 1.0)
    figure = Figure(figsize=(width, (PANEL_INCHES + 0.55) * rows + 0.3), layout="constrained", dpi=130)
    figure.suptitle(heading, fontsize=9)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        axis.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", origin="upper")
        axis.set_title(panel.title, fontsize=8)
        axis.text(0.5, -0.03, panel.caption, transform=axis.transAxes, ha="center", va="top", fontsize=7)
    for axis, one in zip(axes[math.ceil(len(panels) / columns) :].flat, shown_maps, strict=False):
        _draw_map(axis, one)
        axis.text(0.5, -0.03, one.caption, transform=axis.transAxes, ha="center", va="top", fontsize=7)
    return _png(figure)


def _draw_map(axis: "Axes", named: NamedMap) -> None:
    top = float(np.abs(named.image).max()) if named.top is None else named.top
    top = max(top, 1e-9)
    colours, low = ("RdBu_r", -top) if named.signed else ("magma", 0.0)
    drawn = axis.imshow(named.image, cmap=colours, vmin=low, vmax=top, interpolation="nearest", origin="upper")
    axis.set_title(named.title, fontsize=8)
    bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.75, pad=0.02, aspect=25)
    bar.ax.tick_params(labelsize=6)


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def rounded(values: NDArray[np.float64]) -> list[float]:
    """Numbers for a JSON record, four digits after the point."""
    return [round(float(value), 4) for value in values]


def shown(value: float | None, form: str) -> str:
    """A number for a table, `-` where there is none."""
    return "-" if value is None else format(value, form)
