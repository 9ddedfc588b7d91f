"""The gate: what a calibration was checked against, and whether a reconstruction may use it.

Every modality states its checks as a list of `Check`; what follows from them is the same for all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cidesign.calibration.faults import FaultName
from cidesign.errors import LimitError

Status = Literal["passed", "corrected", "warning", "failed", "not checked"]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class Check(BaseModel):
    """One thing that was looked at.

    `value` is compared with `limit`, both in `unit`; None where the check is of another kind.  `corrected` means that
    something was wrong and the calibration allows for it.  `fault` is what the finding resembles; `text` says in plain
    words what was found and, where it is not `passed`, what to do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=60)]
    status: Status
    text: Annotated[str, Field(max_length=1000)]
    value: _Finite | None = None
    limit: _Finite | None = None
    unit: Annotated[str, Field(max_length=60)] = ""
    fault: FaultName | None = None


class Verification(BaseModel):
    """All checks of a calibration; `score` is that of the data kept out of the fit, None where there were none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: _Finite | None
    score_meaning: Annotated[str, Field(max_length=500)]
    checks: Annotated[list[Check], Field(max_length=200)]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that forbid a reconstruction."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def verdict(self) -> Literal["passed", "failed"]:
        """`failed` when any check failed."""
        return "failed" if self.failed else "passed"

    @property
    def faults(self) -> tuple[FaultName, ...]:
        """What is or was wrong with the bench, named once each, worst status first."""
        order: dict[Status, int] = {"failed": 0, "warning": 1, "corrected": 2}
        found = sorted((check for check in self.checks if check.status in order), key=lambda c: order[c.status])
        return tuple(dict.fromkeys(check.fault for check in found if check.fault is not None))


def require_passed(path: Path, verification: Verification, accept_failed: bool) -> list[str]:
    """Refuse what failed; returns remarks on what was accepted all the same, and on what is only a warning.

    Raises `LimitError` that names the first failed check, its value and limit, and what it resembles.
    """
    failed = verification.failed
    if failed and not accept_failed:
        first = failed[0]
        resembles = f"; this resembles: {first.fault}" if first.fault else ""
        more = f" (and {len(failed) - 1} more failed checks)" if len(failed) > 1 else ""
        raise LimitError(
            f"{path}: failed its verification: {first.name}: {first.text}{resembles}{more}. Put it right and calibrate "
            "again, or repeat with --accept-failed to go on at your own risk"
        )
    remarks = [f"ACCEPTED although failed: {check.name}: {check.text}" for check in failed]
    return remarks + [f"{check.name}: {check.text}" for check in verification.checks if check.status == "warning"]


def check_rows(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    """Rows of a table for people: status, check, value, limit, resembles, text."""
    return [
        (
            check.status,
            check.name,
            "-" if check.value is None else f"{check.value:.4g} {check.unit}".strip(),
            "-" if check.limit is None else f"{check.limit:.4g}",
            check.fault or "-",
            check.text,
        )
        for check in checks
    ]


CHECK_HEADER = ("status", "check", "value", "limit", "resembles", "in words")


def finding(
    name: str,
    wrong: bool,
    right_text: str,
    wrong_text: str,
    *,
    status: Status = "corrected",
    value: float | None = None,
    limit: float | None = None,
    unit: str = "",
    fault: FaultName | None = None,
) -> Check:
    """A check that is `passed`, or, where something is wrong, `status` with the fault that it resembles."""
    return Check(
        name=name,
        status=status if wrong else "passed",
        text=wrong_text if wrong else right_text,
        value=value,
        limit=limit,
        unit=unit,
        fault=fault if wrong else None,
    )
