"""Which points of the two phase-encode directions of a 3-D Cartesian scan are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import JsonObject
from cidesign.pattern.lines import CartesianLines, centre_block
from cidesign.pattern.trajectory import MAX_MATRIX, Trajectory


@dataclass(frozen=True)
class CartesianPoints(Trajectory):
    """Which points (ky, kz) of a 3-D Cartesian scan are measured; every point is a readout of its own.

    `acquired` (P, 2), int64, in rising order: a step in 0..lines-1 and a partition in 0..partitions-1; lines // 2 and
    partitions // 2 are the centre of k-space.  The `calibration` (lines, partitions) around the centre are all among
    them (ACS).  `readout` is the number of samples of a readout, without oversampling.
    """

    lines: int
    partitions: int
    readout: int
    acquired: NDArray[np.int64]
    calibration: tuple[int, int]
    profile_id: str
    profile_digest: str

    kind, is_cartesian, array_name = "points", True, "points"

    def __post_init__(self) -> None:
        found = self.acquired
        if found.dtype != np.int64 or found.ndim != 2 or found.shape[1:] != (2,) or not len(found):
            raise InputError(f"trajectory: points must be int64 of shape (P, 2), not {found.dtype} {found.shape}")
        for name, size in (("lines", self.lines), ("partitions", self.partitions), ("samples", self.readout)):
            if not 1 <= size <= MAX_MATRIX:
                raise InputError(f"trajectory: a matrix of {size} {name} is none; use 1 to {MAX_MATRIX}")
        if np.any(found.min(axis=0) < 0) or np.any(found.max(axis=0) >= self.matrix):
            raise InputError(
                f"trajectory: points from {found.min(axis=0).tolist()} to {found.max(axis=0).tolist()} are outside a "
                f"matrix of {self.lines} lines and {self.partitions} partitions"
            )
        if np.any(np.diff(found[:, 0] * self.partitions + found[:, 1]) <= 0):
            raise InputError("trajectory: the points must rise and none may occur twice")
        if any(not 0 <= part <= size for part, size in zip(self.calibration, self.matrix, strict=True)):
            raise InputError(
                f"trajectory: a calibration region of {self.calibration[0]} x {self.calibration[1]} in a matrix of "
                f"{self.lines} x {self.partitions}"
            )
        missing = int((self.calibration_mask > self.mask).sum())
        if missing:
            raise InputError(f"trajectory: {missing} points of the calibration region are missing")

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines, and partitions."""
        return self.lines, self.partitions

    @property
    def acceleration(self) -> float:
        """R = points of the matrix / points acquired, calibration region included, corners counted."""
        return self.lines * self.partitions / len(self.acquired)

    @property
    def samples(self) -> NDArray[np.float64]:
        """(P, readout, 3) in 1/FOV: line, partition, readout."""
        steps = self.acquired - (self.lines // 2, self.partitions // 2)
        along = np.arange(self.readout) - self.readout // 2
        whole = np.empty((len(steps), self.readout, 3))
        whole[..., :2], whole[..., 2] = steps[:, None], along
        return whole

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(lines, partitions), 1 where the point is acquired."""
        mask = np.zeros(self.matrix, dtype=np.uint8)
        mask[tuple(self.acquired.T)] = 1
        return mask

    @cached_property
    def calibration_mask(self) -> NDArray[np.uint8]:
        """(lines, partitions), 1 in the calibration region."""
        return calibration_region(self.matrix, self.calibration)

    def stored(self) -> tuple[NDArray[Any], JsonObject]:
        """The points, their matrix, and the calibration region."""
        header: JsonObject = {
            "lines": self.lines,
            "partitions": self.partitions,
            "readout": self.readout,
            "calibration": list(self.calibration),
        }
        return self.acquired, header

    @classmethod
    def of_stored(cls, array: NDArray[Any], header: Mapping[str, Any]) -> Self:
        """The points of what `stored` gave."""
        lines, partitions = header["calibration"]
        return cls(
            int(header["lines"]),
            int(header["partitions"]),
            int(header["readout"]),
            array,
            (int(lines), int(partitions)),
            str(header["profile_id"]),
            str(header["profile_digest"]),
        )


def calibration_region(matrix: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(lines, partitions), 1 in the block of `size` around the centre of k-space."""
    mask = np.zeros(matrix, dtype=np.uint8)
    rows, columns = (centre_block(whole, part) for whole, part in zip(matrix, size, strict=True))
    mask[rows.start : rows.stop, columns.start : columns.stop] = 1
    return mask


Cartesian = CartesianLines | CartesianPoints


def as_points(design: Cartesian) -> CartesianPoints:
    """What a Cartesian scan measures as points: a 2-D scan has one partition."""
    if isinstance(design, CartesianPoints):
        return design
    return CartesianPoints(
        design.lines,
        1,
        design.readout,
        np.stack([design.acquired, np.zeros_like(design.acquired)], axis=1),
        (design.calibration_lines, 1),
        design.profile_id,
        design.profile_digest,
    )
