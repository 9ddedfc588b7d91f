"""What a reconstruction leaves behind: each image as PNG, float TIFF and npz, a comparison, and a record."""

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.files import replacing_folder, save_npz, write_bytes, write_json

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
class Outcome:
    """Images to write, panels of the comparison (`columns` in a row), and the record of `reconstruction.json`."""

    images: list[NamedImage]
    panels: list[NamedImage]
    columns: int
    heading: str
    record: dict[str, Any]
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    remarks: list[str] = field(default_factory=list)


def write_outcome(folder: Path, outcome: Outcome, force: bool) -> None:
    """Write an outcome in one step; raises `FileError` when `folder` exists and `force` is not set."""
    with replacing_folder(folder, force) as temporary:
        for named in outcome.images:
            write_image(temporary, named)
        write_bytes(temporary / COMPARISON_FILE, draw_panels(outcome.panels, outcome.columns, outcome.heading))
        write_json(temporary / RECORD_FILE, outcome.record)


def write_image(folder: Path, named: NamedImage) -> None:
    """Write NAME.png (8 bit, 0 black to 1 white), NAME.tiff (float32, unscaled) and NAME.npz (array `image`)."""
    import tifffile

    save_npz(folder / f"{named.name}.npz", {"image": named.image})
    tifffile.imwrite(folder / f"{named.name}.tiff", named.image, photometric="minisblack", metadata=None)
    write_bytes(folder / f"{named.name}.png", grey_png(named.image))


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


def draw_panels(panels: list[NamedImage], columns: int, heading: str) -> bytes:
    """A PNG with the images side by side in grey, 0 black to 1 white, titles above and captions below."""
    from matplotlib.figure import Figure

    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PANEL_INCHES * columns, (PANEL_INCHES + 0.55) * rows + 0.3), layout="constrained", dpi=130)
    figure.suptitle(heading, fontsize=9)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, panel in zip(axes.flat, panels, strict=False):
        axis.imshow(panel.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", origin="upper")
        axis.set_title(panel.title, fontsize=8)
        axis.text(0.5, -0.03, panel.caption, transform=axis.transAxes, ha="center", va="top", fontsize=7)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def rounded(values: NDArray[np.float64]) -> list[float]:
    """Numbers for a JSON record, four digits after the point."""
    return [round(float(value), 4) for value in values]


def shown(value: float | None, form: str) -> str:
    """A number for a table, `-` where there is none."""
    return "-" if value is None else format(value, form)
