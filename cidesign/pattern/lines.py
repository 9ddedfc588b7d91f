"""Which phase-encode lines of a 2-D Cartesian scan are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import JsonObject
from cidesign.pattern.trajectory import MAX_MATRIX, Trajectory


@dataclass(frozen=True)
class CartesianLines(Trajectory):
    """Which phase-encode lines of a 2-D Cartesian scan are measured.

    `acquired` (L,), int64, rising: line indices in 0..lines-1; line `lines // 2` is the centre of k-space.
    `calibration_lines` of them are the contiguous block around the centre (ACS), counted in L.  `readout` is the
    number of samples of a line, without oversampling.
    """

    lines: int
    readout: int
    acquired: NDArray[np.int64]
    calibration_lines: int
    profile_id: str
    profile_digest: str

    kind, is_cartesian, array_name = "lines", True, "acquired"

    def __post_init__(self) -> None:
        found = self.acquired
        if found.dtype != np.int64 or found.ndim != 1 or not len(found):
            raise InputError(f"trajectory: lines must be int64 of shape (L,), not {found.dtype} {found.shape}")
        if not (1 <= self.lines <= MAX_MATRIX and 1 <= self.readout <= MAX_MATRIX):
            raise InputError(
                f"trajectory: {self.lines} lines of {self.readout} samples are no matrix; both are 1 to {MAX_MATRIX}"
            )
        if int(found.min()) < 0 or int(found.max()) >= self.lines:
            raise InputError(f"trajectory: lines {found.min()}..{found.max()} are outside 0..{self.lines - 1}")
        if np.any(np.diff(found) <= 0):
            raise InputError("trajectory: the lines must rise and none may occur twice")
        if not 0 <= self.calibration_lines <= len(found):
            raise InputError(f"trajectory: {self.calibration_lines} calibration lines among {len(found)} lines")
        missing = sorted(set(centre_block(self.lines, self.calibration_lines)) - set(found.tolist()))
        if missing:
            raise InputError(f"trajectory: calibration lines {', '.join(map(str, missing))} are missing")

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines, and samples of a line."""
        return self.lines, self.readout

    @property
    def acceleration(self) -> float:
        """R = lines of the matrix / lines acquired, calibration lines included."""
        return self.lines / len(self.acquired)

    @property
    def samples(self) -> NDArray[np.float64]:
        """(L, readout, 2) in 1/FOV: phase encoding first, then the readout."""
        lines, along = self.acquired - self.lines // 2, np.arange(self.readout) - self.readout // 2
        return np.stack(np.broadcast_arrays(lines[:, None], along), axis=-1).astype(np.float64)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(lines,), 1 where the line is acquired."""
        mask = np.zeros(self.lines, dtype=np.uint8)
        mask[self.acquired] = 1
        return mask

    def stored(self) -> tuple[NDArray[Any], JsonObject]:
        """The lines, their matrix, and how many are calibration lines."""
        header: JsonObject = {
            "lines": self.lines,
            "readout": self.readout,
            "calibration_lines": self.calibration_lines,
        }
        return self.acquired, header

    @classmethod
    def of_stored(cls, array: NDArray[Any], header: Mapping[str, Any]) -> Self:
        """The lines of what `stored` gave."""
        return cls(
            int(header["lines"]),
            int(header["readout"]),
            array,
            int(header["calibration_lines"]),
            str(header["profile_id"]),
            str(header["profile_digest"]),
        )


def centre_block(lines: int, count: int) -> range:
    """The `count` contiguous lines around the centre of k-space, line lines // 2 among them."""
    first = lines // 2 - count // 2
    return range(first, first + count)
