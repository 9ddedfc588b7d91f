"""What a reconstruction leaves behind: each image as PNG, OME-TIFF and npz, a comparison, maps, and a record."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cidesign.calibration.verify import Judgement
from cidesign.files import JsonObject, replacing_folder, save_npz, write_bytes, write_json
from cidesign.io.ome_tiff import write_ome_tiff
from cidesign.reconstruct.classes import Classes
from cidesign.reconstruct.record import RECORD_FILE, CutOff, ReconstructionRecord
from cidesign.text import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMPARISON = "comparison"
PANEL_INCHES = 2.4


@dataclass(frozen=True)
class NamedImage:
    """An image (n, n) in float32, row 0 at the top; `name` is the stem of its files, `title` stands above it."""

    name: str
    title: str
    image: NDArray[np.float32]
    caption: str = ""

    @property
    def array(self) -> NDArray[np.float32]:
        """The image."""
        return self.image

    def write(self, folder: Path) -> None:
        """Write NAME.png (8 bit, 0 black to 1 white), NAME.tiff (OME, float32, unscaled) and NAME.npz (`image`)."""
        _write_values(folder, self.name, self.image)
        write_bytes(folder / f"{self.name}.png", grey_png(self.image))


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

    @property
    def array(self) -> NDArray[np.float32]:
        """The map."""
        return self.image

    def write(self, folder: Path) -> None:
        """Write NAME.png (in colour, with its colour bar), NAME.tiff (OME, float32, unscaled), NAME.npz (`image`)."""
        _write_values(folder, self.name, self.image)
        write_bytes(folder / f"{self.name}.png", map_png(self))


class Leaf(Protocol):
    """Something of a reconstruction that is written as files of its own name."""

    @property
    def name(self) -> str:
        """The stem of its files."""

    @property
    def array(self) -> NDArray[np.generic]:
        """Its values."""

    def write(self, folder: Path) -> None:
        """Write its files."""


class Arrays(Mapping[str, NDArray[Any]]):
    """Arrays by name, which is an attribute as well: `images.student`."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name not in self._arrays:
            raise AttributeError(f"no image {name!r}; there are {', '.join(self.__dict__.get('_arrays', {}))}")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._arrays]


@dataclass(frozen=True)
class Reconstruction:
    """Images with their record; `rows` under `header` say what each explains, `heading` what was reconstructed.

    `leaves` and `map_leaves` are written as files each; `pictures` are further PNG files by their stems, drawn only
    when they are written.  `judgement`: what the images rest on; None where no calibration was used.
    """

    leaves: Sequence[Leaf]
    record: ReconstructionRecord
    heading: str
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    pictures: Mapping[str, Callable[[], bytes]]
    judgement: Judgement | None = None
    map_leaves: Sequence[Leaf] = ()
    folder: Path | None = None

    @property
    def images(self) -> Arrays:
        """The images (H, W) or cubes (L, H, W) by name."""
        return Arrays({leaf.name: leaf.array for leaf in self.leaves})

    @property
    def maps(self) -> Arrays:
        """Maps beside the images, in their unit."""
        return Arrays({leaf.name: leaf.array for leaf in self.map_leaves})

    @property
    def classes(self) -> Classes | None:
        """How probable each class is, of a run of classes; None of one of images."""
        return None if self.record.classes is None else Classes(self.record.classes)

    @property
    def remarks(self) -> list[str]:
        """What is said below the table."""
        return self.record.notes

    @property
    def value(self) -> JsonObject:
        """The record as JSON, with the place of the files where they were written."""
        place = {} if self.folder is None else {"folder": str(self.folder), "file": str(self.folder / RECORD_FILE)}
        return {**place, **self.record.value}

    def table(self) -> str:
        """What is printed: the table, remarks, and in the end the verdict."""
        notes = [f"note: {text}" for text in self.remarks]
        verdict = [] if self.judgement is None else [self.judgement.words]
        place = self.record.capture if self.folder is None else str(self.folder)
        named = [] if self.classes is None else [self.classes.headline, self.classes.table()]
        return "\n".join([f"{place}: {self.heading}", *named, table(self.rows, self.header), *notes, *verdict])

    @property
    def printed(self) -> tuple[JsonObject, str]:
        """The values for --json, and the lines for people."""
        return self.value, self.table()

    def write(self, folder: Path, force: bool = False) -> "Reconstruction":
        """Write all files in one step; raises `FileError` when `folder` exists and `force` is not set."""
        with replacing_folder(folder, force) as temporary:
            for leaf in (*self.leaves, *self.map_leaves):
                leaf.write(temporary)
            if self.classes is not None:
                self.classes.write(temporary)
            for stem, draw in self.pictures.items():
                write_bytes(temporary / f"{stem}.png", draw())
            write_json(temporary / RECORD_FILE, self.record.value)
        return replace(self, folder=folder)


def map_png(named: NamedMap) -> bytes:
    """A PNG of a map in colour, with its colour bar."""
    figure = Figure(figsize=(3.9, 3.4), layout="constrained", dpi=130)
    axis = figure.subplots()
    _draw_map(axis, named)
    axis.set_axis_on()
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    return _png(figure)


def _write_values(folder: Path, stem: str, image: NDArray[np.float32]) -> None:
    save_npz(folder / f"{stem}.npz", {"image": image})
    write_ome_tiff(folder / f"{stem}.tiff", image)


def grey_png(image: NDArray[np.float32]) -> bytes:
    """An 8-bit grey PNG, level = round(255 x); values outside [0, 1] are cut off (see `cut_off`)."""
    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(levels).save(target, format="PNG")
    return target.getvalue()


def cut_off(image: NDArray[np.float32]) -> CutOff:
    """Range of an image, and how many pixels a PNG cannot show: those below 0 and those above 1."""
    return CutOff(
        minimum=float(image.min()),
        maximum=float(image.max()),
        pixels_below_0=int(np.count_nonzero(image < 0)),
        pixels_above_1=int(np.count_nonzero(image > 1)),
    )


def draw_panels(panels: list[NamedImage], columns: int, heading: str, maps: list[NamedMap] | None = None) -> bytes:
    """A PNG with the images side by side in grey, 0 black to 1 white, titles above and captions below.

    The maps follow in rows of their own, each with its colour bar.
    """
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
