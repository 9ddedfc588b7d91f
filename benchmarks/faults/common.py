"""What the fault tables of all modalities share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from cidesign.calibration.faults import fault_of
from cidesign.calibration.verify import Verdict, Verification
from cidesign.checks import FaultName
from cidesign.errors import CidesignError
from cidesign.runs import Run

R = TypeVar("R", bound=Run)


@dataclass(frozen=True)
class Result:
    """One bench: findings in words, the faults named, and PSNR of the student; None where there is no image."""

    findings: tuple[str, ...]
    faults: tuple[FaultName, ...]
    uncalibrated_db: float | None
    calibrated_db: float | None
    oracle_db: float | None


# What was left out of a capture, the bench's faults, and the verdict: it must never be "passed".
Missing = list[tuple[str, dict[FaultName, float], Verdict]]


@dataclass(frozen=True)
class Case(Generic[R]):
    """A run with the function that simulates, calibrates and reconstructs one bench."""

    run: R
    function: Callable[[R, dict[FaultName, float], int, bool], Result]
    missing: Callable[[R, int], Missing]

    def __call__(self, faults: dict[FaultName, float], seed: int, images: bool) -> Result:
        """One bench with these faults."""
        return self.function(self.run, faults, seed, images)

    def without_targets(self, seed: int) -> Missing:
        """Verdicts of benches that were captured without some calibration target."""
        return self.missing(self.run, seed)


def named_by(error: CidesignError) -> tuple[FaultName, ...]:
    """The fault that a refusal says it resembles."""
    fault = fault_of(error)
    return () if fault is None else (fault,)


def findings(verification: Verification) -> tuple[str, ...]:
    """Every check that is neither passed nor left out."""
    return tuple(
        f"{check.name}: {check.status}"
        for check in verification.checks
        if check.status not in ("passed", "not checked")
    )


def psnr_db(image: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio for a data range of 1."""
    return -10 * float(np.log10(np.mean((image.astype(np.float64) - truth) ** 2)))


def mean_and_error(values: list[float | None]) -> str:
    """Mean and standard error, or `-`."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    error = np.std(known, ddof=1) / len(known) ** 0.5 if len(known) > 1 else 0.0
    return f"{np.mean(known):.2f} +- {error:.2f}"
