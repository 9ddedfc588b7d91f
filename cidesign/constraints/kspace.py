"""The rules of a Cartesian line budget, checked in NumPy; `relax_kspace` trains against them."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from cidesign.checks import Check, exceeds
from cidesign.errors import InputError, LimitError
from cidesign.pattern import CartesianLines, centre_block


@dataclass(frozen=True)
class LineBudget:
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

    @property
    def acceleration(self) -> float:
        """R = lines / acquired, calibration lines counted as acquired."""
        return self.lines / self.acquired

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


def lines_for(lines: int, acceleration: float) -> int:
    """L with R = lines / L; raises `InputError` naming both neighbours when no whole number of lines gives R."""
    exact = lines / acceleration
    if abs(exact - round(exact)) > 1e-6:
        fewer, more = max(floor(exact), 1), ceil(exact)
        raise InputError(
            f"acceleration {acceleration:g} of {lines} lines is {exact:.4g} lines; {fewer} lines give "
            f"R = {lines / fewer:.4g} and {more} lines R = {lines / more:.4g}: choose with --lines {fewer} or {more}"
        )
    return round(exact)
