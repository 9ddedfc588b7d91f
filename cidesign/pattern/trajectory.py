"""Which lines of k-space a scan measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import JsonObject, canonical_json, sha256_bytes
from cidesign.pattern.store import load_design, save_design

# Far above any scan, and low enough that a damaged file cannot ask for gigabytes.
MAX_MATRIX = 65_536


@dataclass(frozen=True)
class Trajectory:
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
    def acceleration(self) -> float:
        """R = lines of the matrix / lines acquired, calibration lines included."""
        return self.lines / len(self.acquired)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(lines,), 1 where the line is acquired."""
        mask = np.zeros(self.lines, dtype=np.uint8)
        mask[self.acquired] = 1
        return mask

    @property
    def design_digest(self) -> str:
        """SHA-256 of the lines, the matrix, and the profile it was designed for."""
        return sha256_bytes(canonical_json(self._header()), np.ascontiguousarray(self.acquired).tobytes())

    def _header(self) -> JsonObject:
        return {
            "lines": self.lines,
            "readout": self.readout,
            "calibration_lines": self.calibration_lines,
            "profile_digest": self.profile_digest,
        }

    def save(self, path: Path) -> None:
        """Write the trajectory as npz (no pickle), in one step."""
        save_design(
            path, "acquired", self.acquired, {**self._header(), "profile_id": self.profile_id}, self.design_digest
        )

    @classmethod
    def load(cls, path: Path) -> "Trajectory":
        """Read a trajectory written by `save`; raises `FileError` when it is damaged or of a newer version."""

        def build(acquired: NDArray[Any], header: Mapping[str, Any]) -> "Trajectory":
            return cls(
                int(header["lines"]),
                int(header["readout"]),
                acquired,
                int(header["calibration_lines"]),
                str(header["profile_id"]),
                str(header["profile_digest"]),
            )

        return load_design(path, "acquired", build)


def centre_block(lines: int, count: int) -> range:
    """The `count` contiguous lines around the centre of k-space, line lines // 2 among them."""
    first = lines // 2 - count // 2
    return range(first, first + count)
