"""What the reconstruction of a spectral cube leaves behind: arrays, pictures and a record."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.verify import Judgement
from cidesign.files import replacing_folder, save_npz, write_bytes, write_json
from cidesign.modalities.cassi.pictures import NamedCube, colour_png, draw_cubes, draw_residuals, draw_spectra
from cidesign.reconstruct.outcome import COMPARISON_FILE, RECORD_FILE, NamedMap, map_png

SPECTRA_FILE = "spectra.png"
RESIDUALS_FILE = "residuals.png"


@dataclass(frozen=True)
class CubeMap:
    """Values (L, H, W) beside the cubes, in their unit; `text` says in words what is drawn of them."""

    name: str
    title: str
    cube: NDArray[np.float32]
    text: str
    caption: str

    @property
    def over_bands(self) -> NamedMap:
        """What is drawn: the root mean square (H, W) over the bands."""
        mean = np.sqrt(np.mean(self.cube.astype(np.float64) ** 2, axis=0)).astype(np.float32)
        return NamedMap(self.name, f"{self.title}\n{self.caption}", mean, self.text)


@dataclass(frozen=True)
class CubeOutcome:
    """Cubes to write, the truth first where it is known, and the record of `reconstruction.json`.

    `y`, `residuals` (by title, in deviations) and `used` (h, w) are those of the detector.
    """

    cubes: list[NamedCube]
    bands_nm: list[float]
    y: NDArray[np.float64]
    residuals: dict[str, NDArray[np.float64]]
    used: NDArray[np.bool_]
    heading: str
    record: dict[str, Any]
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    remarks: list[str]
    judgement: Judgement
    maps: list[CubeMap] = field(default_factory=list)


def write_cube_outcome(folder: Path, outcome: CubeOutcome, force: bool) -> None:
    """Write an outcome in one step; raises `FileError` when `folder` exists and `force` is not set."""
    with replacing_folder(folder, force) as temporary:
        for named in outcome.cubes:
            write_cube(temporary, named, outcome.bands_nm)
        for one in outcome.maps:
            _write_values(temporary, one.name, one.cube, outcome.bands_nm)
            write_bytes(temporary / f"{one.name}.png", map_png(one.over_bands))
        write_bytes(temporary / COMPARISON_FILE, draw_cubes(outcome.cubes, outcome.bands_nm, outcome.heading))
        write_bytes(temporary / SPECTRA_FILE, draw_spectra(outcome.cubes, outcome.bands_nm))
        write_bytes(temporary / RESIDUALS_FILE, draw_residuals(outcome.y, outcome.residuals, outcome.used))
        write_json(temporary / RECORD_FILE, outcome.record)


def write_cube(folder: Path, named: NamedCube, bands_nm: list[float]) -> None:
    """Write NAME.npz (`cube` (L, H, W), `wavelengths_nm` (L,)), NAME.tiff (L float32 pages, unscaled) and NAME.png
    (false colours)."""
    _write_values(folder, named.name, named.cube, bands_nm)
    write_bytes(folder / f"{named.name}.png", colour_png(named.cube, bands_nm))


def _write_values(folder: Path, stem: str, cube: NDArray[np.float32], bands_nm: list[float]) -> None:
    import tifffile

    save_npz(folder / f"{stem}.npz", {"cube": cube, "wavelengths_nm": np.array(bands_nm)})
    tifffile.imwrite(folder / f"{stem}.tiff", cube, photometric="minisblack", metadata=None)
