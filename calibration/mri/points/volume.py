"""Raw k-space of a 3-D scan: which points (ky, kz) were measured, and the slices that they are of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import NO_REFERENCE, RawKspace, Samples, Use, centred_ifft
from cidesign.errors import FileError
from cidesign.pattern import CartesianPoints

MOST_LISTED = 6


@dataclass(frozen=True)
class RawVolume:
    """The readouts of a 3-D scan without oversampling; the centre of k-space is (lines // 2, partitions // 2).

    `readouts` are those of the points (P, 2), which rise, one after the other: its own lines count them.  `truth`
    (n, lines, partitions) is known of a simulation: k is `readouts.gain` times that of the truth.
    """

    readouts: RawKspace
    points: NDArray[np.int64]
    matrix: tuple[int, int]
    truth: Samples | None = None

    def __post_init__(self) -> None:
        if len(self.points) != len(self.readouts.lines):
            raise FileError(f"{self.path}: {len(self.readouts.lines)} readouts of {len(self.points)} points")
        places = self.points @ (self.matrix[1], 1)
        inside = (self.points >= 0).all() and (self.points < self.matrix).all()
        if not inside or np.any(np.diff(places) <= 0):
            raise FileError(f"{self.path}: its points do not rise within {self.matrix[0]} x {self.matrix[1]}")

    @property
    def path(self) -> Path:
        """Where it was read from."""
        return self.readouts.path

    @property
    def k(self) -> Samples:
        """(coils, P, n)."""
        return self.readouts.k

    @property
    def coils(self) -> int:
        """Receive channels."""
        return self.readouts.coils

    @property
    def samples(self) -> int:
        """Of a readout: how many slices there are."""
        return int(self.k.shape[2])

    @property
    def complete(self) -> bool:
        """Whether every point of the matrix was measured."""
        return len(self.points) == self.matrix[0] * self.matrix[1]

    def through_centre(self, axis: int) -> RawKspace | None:
        """The points on the central partition (`axis` 0: its lines), or on the central line (1), as a 2-D scan.

        It is the scan of the object seen through the other direction.  None where nothing lies there.
        """
        other = self.matrix[1 - axis] // 2
        there = self.points[:, 1 - axis] == other
        if not there.any():
            return None
        scan, edges = self.readouts, self.readouts.edges
        return RawKspace(
            path=scan.path,
            source=scan.source,
            k=np.ascontiguousarray(scan.k[:, there]),
            lines=self.points[there, axis],
            matrix_lines=self.matrix[axis],
            digest=scan.digest,
            noise=scan.noise,
            edges=edges,
            oversampling=scan.oversampling,
            at_limit=scan.at_limit,
            noise_factor=scan.noise_factor,
        )


def placed(values: Samples, points: NDArray[np.int64], matrix: tuple[int, int]) -> Samples:
    """Readouts (coils, P, n) as slices of k-space (n, coils, lines, partitions), 0 where nothing was measured."""
    along = centred_ifft(values, (-1,))
    whole = np.zeros((values.shape[2], len(values), *matrix), dtype=np.complex64)
    whole[:, :, points[:, 0], points[:, 1]] = along.transpose(2, 0, 1)
    return whole


def require_points(raw: RawVolume, design: CartesianPoints) -> Use:
    """What a capture can be used for with a design: its own scan, or a full one to sample retrospectively.

    Raises `FileError` for another design, another matrix, and points that are missing or unexpected.
    """
    scan = raw.readouts
    if scan.design_digest is not None and scan.design_digest != design.design_digest:
        raise FileError(
            f"{raw.path}: was recorded with design {scan.design_digest[:12]}, not with this run's "
            f"{design.design_digest[:12]}; name the run whose points were measured"
        )
    found, wanted = (*raw.matrix, raw.samples), (*design.matrix, design.readout)
    if found != wanted:
        raise FileError(
            f"{raw.path}: a matrix of {' x '.join(map(str, found))} (lines, partitions, samples), the design has "
            f"{' x '.join(map(str, wanted))}; use the run of this matrix, or the capture of this design"
        )
    if np.array_equal(raw.points, design.acquired):
        return "prospective"
    if raw.complete:
        return "retrospective"
    measured, designed = (set(map(tuple, points.tolist())) for points in (raw.points, design.acquired))
    missing, unexpected = listed_points(designed - measured), listed_points(measured - designed)
    raise FileError(
        f"{raw.path}: {len(measured)} of {found[0]} x {found[1]} points were measured, the design has {len(designed)}: "
        f"missing {missing}; unexpected {unexpected}; {NO_REFERENCE}. Measure the points of the design, or all points"
    )


def listed_points(points: Iterable[Sequence[int] | NDArray[np.int64]]) -> str:
    """Points for one line of an error: `none`, or the first of them, rising."""
    rising = sorted((int(line), int(partition)) for line, partition in points)
    text = ", ".join(f"({line}, {partition})" for line, partition in rising[:MOST_LISTED])
    return f"{text} and {len(rising) - MOST_LISTED} more" if len(rising) > MOST_LISTED else text or "none"
