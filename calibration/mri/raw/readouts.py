"""Labelled readouts, as scanners store them, and what a header says of the matrix they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.raw.child import FIELDS
from cidesign.calibration.mri.raw.flags import FlagTable, Kinds
from cidesign.calibration.mri.raw.ramps import ReadoutGradient
from cidesign.errors import FileError

# What tells one line of one image from another.
PLACES = ("line", "partition", "slice", "contrast", "phase", "repetition", "set", "encoding")


@dataclass(frozen=True)
class Matrix:
    """What a header says of the matrix, each with the header's own name of the field.

    `recorded`: samples of a readout with oversampling, None where only the readouts say it; `fov_mm`: without it, along
    readout, phase encoding and slice, None where the header does not say it; `gradient`: of the readout, None where it
    is flat.
    """

    lines: int
    centre_line: int
    samples: int
    fields: Mapping[str, str]
    recorded: int | None = None
    fov_mm: tuple[float, float, float] | None = None
    gradient: ReadoutGradient | None = None


@dataclass(frozen=True)
class Readouts:
    """Readouts in the order they are stored.

    `table` (R, columns of `FIELDS`) int64, `flags` (R,) as `kinds_of` knows them, `data` flat, coil after coil per
    readout, `places` (R, n) positions and directions by the header's name, `trajectory` flat, sample after sample of
    each readout that has one.
    """

    path: Path
    source: str
    table: NDArray[np.int64]
    flags: NDArray[np.uint64]
    data: Samples
    kinds_of: FlagTable
    places: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    trajectory: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    @property
    def kinds(self) -> Kinds:
        """Noise, no image, sampled backwards."""
        return self.kinds_of.kinds(self.flags)

    @property
    def imaging(self) -> NDArray[np.bool_]:
        """The readouts (R,) of images."""
        kinds = self.kinds
        return ~kinds.noise & ~kinds.skip

    @property
    def slices(self) -> int:
        """How many slices have an image."""
        return len(set(self.column("slice")[self.imaging].tolist()))

    def column(self, name: str) -> NDArray[np.int64]:
        """One column of the table."""
        column: NDArray[np.int64] = self.table[:, FIELDS.index(name)]
        return column

    def only(self, kept: NDArray[np.bool_]) -> "Readouts":
        """Some of the readouts."""
        sizes = self.column("samples") * self.column("channels")
        return replace(
            self,
            table=self.table[kept],
            flags=self.flags[kept],
            data=self.data[np.repeat(kept, sizes)],
            trajectory=self.trajectory[np.repeat(kept, self._placed)],
            places={name: values[kept] for name, values in self.places.items()},
        )

    def with_embedded(self, chosen: NDArray[np.bool_]) -> tuple["Readouts", int]:
        """Calibration readouts among `chosen` (R,) as lines of the image, where it has not measured them; how many."""
        added = self.kinds_of.calibration_only(self.flags) & chosen
        places = np.stack([self.column(name) for name in PLACES], axis=1)
        measured = {tuple(place) for place in places[self.imaging].tolist()}
        added &= np.array([tuple(place) not in measured for place in places.tolist()], dtype=np.bool_)
        flags = self.flags | np.where(added, np.uint64(1 << self.kinds_of.calibration_and_imaging), np.uint64(0))
        return replace(self, flags=flags), int(added.sum())

    def samples(self, chosen: NDArray[np.bool_]) -> list[Samples]:
        """(coils, samples) of each chosen readout as it was recorded; all with as many coils."""
        sizes = self.column("samples") * self.column("channels")
        starts = np.concatenate([[0], np.cumsum(sizes)])
        indices = np.flatnonzero(chosen)
        kinds = {(int(self.column("channels")[i]), int(self.column("samples")[i])) for i in indices}
        if len(kinds) != 1:
            raise FileError(
                f"{self.path}: readouts of different coils x samples "
                f"({', '.join(f'{c} x {s}' for c, s in sorted(kinds))}) cannot be one image"
            )
        ((channels, count),) = kinds
        return [self.data[starts[i] : starts[i + 1]].reshape(channels, count) for i in indices]

    @property
    def _placed(self) -> NDArray[np.int64]:
        """(R,), how many numbers the trajectory of each readout has."""
        return self.column("samples") * self.column("trajectory_dimensions")

    def trajectories(self, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(chosen, samples, dimensions), where samples lie by the file; all chosen readouts of one size."""
        (samples,), (dimensions,) = (
            set(self.column(name)[chosen].tolist()) for name in ("samples", "trajectory_dimensions")
        )
        return self.trajectory[np.repeat(chosen, self._placed)].reshape(-1, samples, dimensions)

    def time(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """When each chosen readout was taken among them: by its scan counter, or, without one, as stored."""
        counter = self.column("counter")[chosen]
        if len(np.unique(counter)) < len(counter):
            return np.arange(len(counter))
        return np.argsort(np.argsort(counter))
