"""The rules of a Cartesian budget of lines, checked in NumPy; training chooses among the same lines.

A budget says how many of the lines, or points, of a scan are measured, which of them always and which never.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, exceeds
from cidesign.errors import InputError, LimitError
from cidesign.pattern import CartesianLines, CartesianPoints, centre_block


class Budget(ABC):
    """Exactly `acquired` of the lines or points of a Cartesian scan are measured."""

    acquired: int

    @property
    @abstractmethod
    def always(self) -> NDArray[np.bool_]:
        """Those that are in every design, in the shape of the choice: (lines,) or (lines, partitions)."""

    @property
    @abstractmethod
    def never(self) -> NDArray[np.bool_]:
        """Those that are in none, in the same shape."""

    @property
    @abstractmethod
    def core(self) -> tuple[int, ...]:
        """The size of a block around the centre of k-space that a good design holds and that shows the phase."""

    @abstractmethod
    def trajectory(
        self, chosen: NDArray[np.bool_], readout: int, profile_id: str, profile_digest: str
    ) -> CartesianLines | CartesianPoints:
        """The lines or points that are `chosen`, read out with so many samples."""

    @abstractmethod
    def check(self, pattern: Any) -> list[Check]:
        """What of the budget a trajectory of its kind does not keep."""

    @property
    def most(self) -> int:
        """How many can be measured at most."""
        return int(np.count_nonzero(~self.never))

    @property
    def acceleration(self) -> float:
        """R = all over acquired, the calibration region counted as acquired."""
        return self.always.size / self.acquired


@dataclass(frozen=True)
class LineBudget(Budget):
    """Exactly `acquired` of `lines` phase-encode lines are measured; the `calibration` central ones always are."""

    lines: int
    acquired: int
    calibration: int

    def __post_init__(self) -> None:
        if not 1 <= self.acquired <= self.lines:
            raise LimitError(
                f"budget of {self.acquired} lines: the matrix has {self.lines}; choose 1 to {self.lines} lines"
            )
        if not 0 <= self.calibration <= self.acquired:
            # More than the matrix has, or fewer than none, fit at no acceleration.
            possible = 0 < self.calibration <= self.lines
            slower = f", or an acceleration of at most {self.lines / self.calibration:.4g}" if possible else ""
            raise LimitError(
                f"{self.calibration} calibration lines do not fit a budget of {self.acquired} lines of {self.lines}; "
                f"use 0 to {self.acquired}{slower}"
            )

    @cached_property
    def always(self) -> NDArray[np.bool_]:
        """(lines,), the calibration lines."""
        mask = np.zeros(self.lines, dtype=bool)
        mask[list(centre_block(self.lines, self.calibration))] = True
        return mask

    @cached_property
    def never(self) -> NDArray[np.bool_]:
        """(lines,), none."""
        return np.zeros(self.lines, dtype=bool)

    @property
    def core(self) -> tuple[int]:
        """Half of the budget, and all calibration lines."""
        return (max(self.calibration, self.acquired // 2, 1),)

    def trajectory(
        self, chosen: NDArray[np.bool_], readout: int, profile_id: str, profile_digest: str
    ) -> CartesianLines:
        """The lines that are chosen (lines,)."""
        lines = np.flatnonzero(chosen).astype(np.int64)
        return CartesianLines(self.lines, readout, lines, self.calibration, profile_id, profile_digest)

    def check(self, pattern: CartesianLines) -> list[Check]:
        """The budget is met exactly, in the right matrix, with all calibration lines."""
        found = []
        if pattern.lines != self.lines:
            found.append(exceeds("matrix", "trajectory", f"{pattern.lines} lines", f"{self.lines}", "use its own run"))
        if len(pattern.acquired) != self.acquired:
            limit = f"exactly {self.acquired} of {self.lines} lines"
            found.append(
                exceeds("line budget", "trajectory", f"{len(pattern.acquired)} lines", limit, "use the run's own lines")
            )
        wanted = centre_block(self.lines, self.calibration)
        missing = np.setdiff1d(np.asarray(wanted, dtype=np.int64), pattern.acquired)
        if len(missing):
            shown = ", ".join(str(line) for line in missing)
            found.append(
                exceeds(
                    "calibration lines",
                    "trajectory",
                    f"missing {shown}",
                    f"{self.calibration} central lines",
                    "add them",
                )
            )
        return found


def count_for(choices: int, acceleration: float, what: str = "lines") -> int:
    """L with R = choices / L; raises `InputError` naming both neighbours when no whole number gives R.

    `what` they are is also the option that says how many.
    """
    exact = choices / acceleration
    if abs(exact - round(exact)) > 1e-6:
        fewer, more = max(floor(exact), 1), ceil(exact)
        digits = max(4, len(str(choices)) + 1)
        raise InputError(
            f"acceleration {acceleration:g} of {choices} {what} is {exact:.{digits}g} {what}; {fewer} {what} "
            f"give R = {choices / fewer:.{digits}g} and {more} {what} R = {choices / more:.{digits}g}: "
            f"choose with --{what} {fewer} or {more}"
        )
    return round(exact)
