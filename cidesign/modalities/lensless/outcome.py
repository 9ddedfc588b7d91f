"""The images that the reconstruction of a lensless capture leaves behind, in colour or grey."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cidesign.files import save_npz, write_bytes
from cidesign.io.ome_tiff import write_ome_tiff

GAMMA = 2.2
PANEL_INCHES = 2.4


@dataclass(frozen=True)
class ColourImage:
    """An image (C, H, W) in float32, row 0 at the top; `name` is the stem of its files, `title` stands above it."""

    name: str
    title: str
    image: NDArray[np.float32]
    caption: str = ""

    @property
    def array(self) -> NDArray[np.float32]:
        """The image."""
        return self.image

    @property
    def picture(self) -> NDArray[np.float64]:
        """(H, W, 3) as a screen shows it: red, green, blue, or grey; with gamma, cut off outside 0 to 1."""
        channels = self.image if len(self.image) == 3 else np.repeat(self.image.mean(axis=0)[None], 3, axis=0)
        return np.asarray(np.clip(np.moveaxis(channels, 0, -1), 0, 1) ** (1 / GAMMA), dtype=np.float64)

    def write(self, folder: Path) -> None:
        """Write NAME.npz (`cube` (C, H, W)), NAME.tiff (float32, unscaled) and NAME.png (8 bit, gamma 2.2)."""
        save_npz(folder / f"{self.name}.npz", {"cube": self.image})
        write_ome_tiff(folder / f"{self.name}.tiff", self.image)
        target = io.BytesIO()
        Image.fromarray(np.rint(255 * self.picture).astype(np.uint8)).save(target, format="PNG")
        write_bytes(folder / f"{self.name}.png", target.getvalue())


def draw_images(images: Sequence[ColourImage], heading: str) -> bytes:
    """A PNG with the images side by side."""
    figure = Figure(figsize=(PANEL_INCHES * len(images), PANEL_INCHES + 0.8), layout="constrained", dpi=130)
    figure.suptitle(heading, fontsize=9)
    for axis, one in zip(figure.subplots(1, len(images), squeeze=False)[0], images, strict=True):
        axis.imshow(one.picture, interpolation="nearest")
        axis.set_title(one.title, fontsize=8)
        axis.set_xlabel(one.caption, fontsize=7)
        axis.set_xticks([])
        axis.set_yticks([])
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
