"""The gate: what a calibration was checked against, and whether a reconstruction may use it.

Every modality states its checks as a list of `Check`; what follows from them is the same for all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator, Field, PlainSerializer

from cidesign.calibration.essential import essential_check
from cidesign.checks import Check, FaultName, FileFault, Status
from cidesign.errors import LimitError
from cidesign.files import JsonObject
from cidesign.records import Finite, Strict

Verdict = Literal["passed", "failed", "not verified"]


def _of_bench(check: Check) -> Check:
    worded = isinstance(check.value, str) or isinstance(check.limit, str)
    if check.status == "remark" or worded or check.source or check.fault in get_args(FileFault):
        raise ValueError("remarks, values in words, sources and faults of files are not of a bench")
    if len(check.name) > _LONGEST_NAME or len(check.text) > LONGEST_TEXT:
        raise ValueError(f"a name has at most {_LONGEST_NAME} letters, a text {LONGEST_TEXT}")
    return check


_LONGEST_NAME, LONGEST_TEXT = 60, 1000
# What a bench's record holds of all checks.
# No limit of a bench has a source, so that records do not name one.
BenchCheck = Annotated[
    Check, AfterValidator(_of_bench), PlainSerializer(lambda check: check.model_dump(mode="json", exclude={"source"}))
]


class NotLookedAt(Strict):
    """An essential check that was not made: the calibration target that it takes, what goes unseen without it, and why.

    `when`: at the calibration, or with the capture that it was used for.
    """

    check: Annotated[str, Field(max_length=60)]
    target: Annotated[str, Field(max_length=200)]
    unseen: Annotated[str, Field(max_length=500)]
    why: Annotated[str, Field(max_length=LONGEST_TEXT)]
    when: Literal["calibration", "capture"] = "calibration"


class Verification(Strict):
    """All checks of a calibration; `score` is that of the held-out data, None where there were none."""

    score: Finite | None
    score_meaning: Annotated[str, Field(max_length=500)]
    checks: Annotated[list[BenchCheck], Field(max_length=200)]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that forbid a reconstruction."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def not_looked_at(self) -> tuple[NotLookedAt, ...]:
        """The essential checks that could not be made, less those that another one stands for."""
        made = {check.name for check in self.checks if check.status != "not checked"}
        return tuple(
            NotLookedAt(check=found[0], target=found[1].target, unseen=found[1].unseen, why=check.text)
            for check in self.checks
            if check.status == "not checked"
            and (found := essential_check(check.name)) is not None
            and not made.intersection(found[1].or_else)
        )

    @property
    def verdict(self) -> Verdict:
        """`failed` when any check failed; `not verified` when an essential one was not made, or none at all."""
        if self.failed:
            return "failed"
        return "not verified" if self.not_looked_at or not self.checks else "passed"

    @property
    def faults(self) -> tuple[str, ...]:
        """What is or was wrong with the bench, named once each, worst status first."""
        order: dict[Status, int] = {"failed": 0, "warning": 1, "corrected": 2}
        found = sorted((check for check in self.checks if check.status in order), key=lambda c: order[c.status])
        return tuple(dict.fromkeys(check.fault for check in found if check.fault is not None))


class Judgement(NamedTuple):
    """What a result rests on: the verification of its calibration, and that of the capture it was made from.

    `same`: the capture is the one that was calibrated, so that what was looked at then need not be looked at again.
    """

    calibration: Verification
    capture: Verification
    same: bool = False

    @property
    def not_looked_at(self) -> tuple[NotLookedAt, ...]:
        """Essential checks that were not made at the calibration, and others that were not made with the capture."""
        before = self.calibration.not_looked_at
        named = {one.check for one in before}
        now = () if self.same else self.capture.not_looked_at
        return before + tuple(one.model_copy(update={"when": "capture"}) for one in now if one.check not in named)

    @property
    def verdict(self) -> Verdict:
        """The worse of both."""
        if "failed" in (self.calibration.verdict, self.capture.verdict):
            return "failed"
        return "not verified" if self.not_looked_at or self.calibration.verdict == "not verified" else "passed"

    @property
    def words(self) -> str:
        """The verdict in one line, with everything that was not looked at."""
        accepted = "; ACCEPTED all the same" if self.verdict == "failed" else ""
        missing = f"; {missing_words(self.not_looked_at)}" if self.not_looked_at else ""
        return f"verification: {self.verdict}{accepted}{missing}"

    @property
    def entry(self) -> JsonObject:
        """For the record of a result."""
        return {"verdict": self.verdict, "not_looked_at": [one.model_dump(mode="json") for one in self.not_looked_at]}


def missing_words(missing: Sequence[NotLookedAt]) -> str:
    """What was not looked at, when, by the calibration target that it takes, and what would go unseen."""
    places = {"calibration": "at the calibration", "capture": "in this capture"}
    grouped: dict[tuple[str, str], list[NotLookedAt]] = {}
    for one in missing:
        grouped.setdefault((one.when, one.target), []).append(one)
    parts = [
        f"{', '.join(one.check for one in ones)} (missing {places[when]}: {target}): unseen would go "
        + "; ".join(dict.fromkeys(one.unseen for one in ones))
        for (when, target), ones in grouped.items()
    ]
    return "NOT LOOKED AT: " + ". ".join(parts)


def verdict_words(found: Verification) -> str:
    """The verdict of a calibration in one line, with its score, and with what was not looked at."""
    score = "none" if found.score is None else f"{found.score:.4f} ({found.score_meaning})"
    missing = f"; {missing_words(found.not_looked_at)}" if found.not_looked_at else ""
    return f"verification: {found.verdict}; score {score}{missing}"


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
            "again, or repeat with --accept-failed to go on at your own risk",
            fault=first.fault,
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
