"""Outlines from a drawing file become cells: any axis-parallel polygons, exactly."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.aperture import Cells
from cidesign.errors import FileError
from cidesign.export.aperture.drawing import MAX_CELLS
from cidesign.export.aperture.gds.winding import drawn_edges

Points = NDArray[np.int64]
MAX_SHAPES = 20_000_000


class ForeignLayoutError(FileError):
    """A sound file that holds more than axis-parallel areas on a grid of 1 nm in one flat cell, as orders do not."""


@dataclass
class Outlines:
    """The closed outlines of a file, y up, in nm.

    `by_corners[k]` are arrays (n, k, 2) of outlines with k corners; none repeats its first corner at its end.  `layers`
    counts the outlines of each (layer, datatype).
    """

    path: Path
    cell_names: list[str] = field(default_factory=list)
    by_corners: dict[int, list[Points]] = field(default_factory=dict)
    layers: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, layer: tuple[int, int], outlines: Points) -> None:
        """Add outlines (n, k, 2) of one layer."""
        self.layers[layer] = self.layers.get(layer, 0) + len(outlines)
        if sum(self.layers.values()) > MAX_SHAPES:
            raise FileError(f"{self.path}: more than {MAX_SHAPES} shapes; a coded aperture has fewer")
        self.by_corners.setdefault(outlines.shape[1], []).append(outlines)

    def groups(self) -> list[Points]:
        """All outlines (n, k, 2), one array for each number of corners, the smallest first."""
        return [np.concatenate(self.by_corners[corners]) for corners in sorted(self.by_corners)]

    def largest(self) -> tuple[int, Points]:
        """The largest number of corners of one outline, and its first corner."""
        if not self.by_corners:
            return 0, np.zeros(2, dtype=np.int64)
        corners = max(self.by_corners)
        return corners, self.by_corners[corners][0][0, 0]

    def coordinates(self) -> tuple[Points, Points]:
        """Every x and every y (upwards) of a corner, once, in rising order."""
        none = np.empty((0, 2), dtype=np.int64)
        corners = np.concatenate([none, *(points.reshape(-1, 2) for points in self.groups())])
        return np.unique(corners[:, 0]), np.unique(corners[:, 1])

    def doubled(self) -> Points:
        """(n, 2) places where an outline has the same corner twice in a row."""
        places = [np.empty((0, 2), dtype=np.int64)]
        for points in self.groups():
            places.append(points[(points == np.roll(points, -1, axis=1)).all(axis=2)])
        return np.concatenate(places)

    def cells(self) -> Cells:
        """The union of all outlines as cells, y down, each filled where it winds round either way.

        Raises `FileError` for slanted edges and for too many cells.
        """
        edges = [np.empty((4, 0), dtype=np.int64), *(self._drawn_edges(points) for points in self.groups())]
        x_nm, top, bottom, turn = np.concatenate(edges, axis=1)
        if not len(x_nm):
            return Cells(np.zeros((0, 0), dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        x, y = np.unique(x_nm), np.unique(np.concatenate([top, bottom]))
        if len(x) * len(y) > MAX_CELLS:
            raise FileError(f"{self.path}: {len(y)} x {len(x)} cells; at most {MAX_CELLS} are read")
        # Each vertical edge turns everything to its right, between its ends, in or out of its outline's area.
        covered = np.zeros((len(y), len(x)), dtype=np.int32)
        column = np.searchsorted(x, x_nm)
        np.add.at(covered, (np.searchsorted(y, top), column), turn)
        np.add.at(covered, (np.searchsorted(y, bottom), column), -turn)
        np.cumsum(covered, axis=0, out=covered)
        np.cumsum(covered, axis=1, out=covered)
        return Cells((covered[:-1, :-1] > 0).astype(np.uint8), y, x)

    def _drawn_edges(self, points: Points) -> Points:
        following = np.roll(points, -1, axis=1)
        slanted = (following != points).all(axis=2)
        if slanted.any():
            x_um, y_um = points[slanted][0] / 1000
            raise ForeignLayoutError(
                f"{self.path}: an edge at x = {x_um:g} um, y = {y_um:g} um is slanted; a coded aperture has edges "
                "along x and y alone"
            )
        return drawn_edges(points, str(self.path))
