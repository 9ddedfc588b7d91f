"""The cubes and maps that the reconstruction of a spectral scene leaves behind."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.files import save_npz, write_bytes
from cidesign.io.envi import write_envi
from cidesign.io.ome_tiff import write_ome_tiff
from cidesign.modalities.cassi.pictures import NamedCube, colour_png, false_colour_bands
from cidesign.reconstruct.outcome import NamedMap, map_png


@dataclass(frozen=True)
class CubeMap:
    """Values (L, H, W) beside the cubes, in their unit; `text` says in words what is drawn of them."""

    name: str
    title: str
    cube: NDArray[np.float32]
    text: str
    caption: str
    bands_nm: list[float]

    @property
    def array(self) -> NDArray[np.float32]:
        """The values."""
        return self.cube

    def write(self, folder: Path) -> None:
        """Write NAME.npz, NAME.tiff and NAME.hdr as of a cube, and NAME.png of the mean over the bands."""
        _write_values(folder, self.name, self.cube, self.bands_nm)
        write_bytes(folder / f"{self.name}.png", map_png(self.over_bands))

    @property
    def over_bands(self) -> NamedMap:
        """What is drawn: the root mean square (H, W) over the bands."""
        mean = np.sqrt(np.mean(self.cube.astype(np.float64) ** 2, axis=0)).astype(np.float32)
        return NamedMap(self.name, f"{self.title}\n{self.caption}", mean, self.text)


@dataclass(frozen=True)
class CubeImage:
    """A cube as it is written: its `bands_nm` go with it."""

    named: NamedCube
    bands_nm: list[float]

    @property
    def name(self) -> str:
        """The stem of its files."""
        return self.named.name

    @property
    def array(self) -> NDArray[np.float32]:
        """The cube (L, H, W)."""
        return self.named.cube

    def write(self, folder: Path) -> None:
        """Write NAME.npz (`cube` (L, H, W), `wavelengths_nm` (L,)), NAME.tiff (OME, a float32 channel for each band),
        NAME.hdr with NAME.raw (ENVI), all unscaled, and NAME.png (false colours)."""
        _write_values(folder, self.name, self.array, self.bands_nm)
        write_bytes(folder / f"{self.name}.png", colour_png(self.array, self.bands_nm))


def _write_values(folder: Path, stem: str, cube: NDArray[np.float32], bands_nm: list[float]) -> None:
    save_npz(folder / f"{stem}.npz", {"cube": cube, "wavelengths_nm": np.array(bands_nm)})
    write_ome_tiff(folder / f"{stem}.tiff", cube, bands_nm)
    said = f"cidesign reconstruction: {stem}"
    write_envi(folder / f"{stem}.hdr", cube, bands_nm, false_colour_bands(bands_nm), said)
