"""The result of a check: of a design, of files, of a calibration or of a capture.

What follows from one (an exit code, a count, a verdict) follows from its fields; `text` is made last, for people, and
nothing reads it back.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from cidesign.records import Finite, Positive, Strict

# `corrected`: something was wrong and is allowed for; `remark`: worth knowing, neither a pass nor a failure.
# Records of benches know no remark, those of files no `corrected` and no `warning`.
Status = Literal["passed", "corrected", "warning", "remark", "not checked", "failed"]
# What is wrong with a bench or a scanner, in words: `lost-trigger`; those of a bench are in the table beside its twin.
FaultName = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=40)]
# What is wrong with a file: it breaks a limit of the device, or that of nerve stimulation, or it is damaged, was edited
# or is not the design.
FileFault = Literal["limit", "stimulation", "file"]


# Whole microseconds and pixels leave a design a little off a limit that it was made for.
ALIKE = 0.01


class Check(Strict):
    """One thing that was looked at.

    `value` is compared with `limit`, both in `unit` where they are numbers; None where the check is of another kind.
    `source` is where the limit comes from, and `fault` what a check that did not pass resembles.  `text` says in plain
    words what was found and, where it is not `passed`, what to do.
    """

    name: Annotated[str, Field(min_length=1, max_length=400)]
    status: Status
    text: str
    value: Finite | str | None = None
    limit: Finite | str | None = None
    unit: Annotated[str, Field(max_length=60)] = ""
    fault: FaultName | FileFault | None = None
    source: str = ""

    def __str__(self) -> str:
        return self.text


class Limit(Strict):
    """How near a design comes to one limit: `value` must be `sense` `limit`, both > 0 and in `unit` ("": a count).

    `source` is where the limit comes from.
    """

    name: Annotated[str, Field(min_length=1, max_length=400)]
    value: Positive
    sense: Literal["at least", "at most", "exactly"]
    limit: Positive
    unit: Annotated[str, Field(max_length=60)] = ""
    source: str = ""

    @property
    def share(self) -> float:
        """How much of what is allowed is taken: value / limit, or limit / value where that is a least one."""
        over, under = self.value / self.limit, self.limit / self.value
        return over if self.sense == "at most" else under if self.sense == "at least" else max(over, under)

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name}: {self.value:.6g}{unit}, {self.sense} {self.limit:.6g}{unit}"


def binding(limits: Sequence[Limit]) -> Limit | None:
    """The limit of which most is taken, the first of those that are as near to within `ALIKE`; None without any."""
    most = max((limit.share for limit in limits), default=0.0)
    return next((limit for limit in limits if limit.share >= (1 - ALIKE) * most), None)


Report = Callable[[Check], None]


def passed(name: str, text: str) -> Check:
    """Found right."""
    return Check(name=name, status="passed", text=text)


def remarked(name: str, text: str) -> Check:
    """Something to know, of which nothing here says that it is wrong."""
    return Check(name=name, status="remark", text=text)


def not_checked(name: str, why: str) -> Check:
    """A check that could not be made, and why; never taken for a pass."""
    return Check(name=name, status="not checked", text=why)


def exceeds(rule: str, where: str, value: str, limit: str, fix: str) -> Check:
    """A broken rule: what, where, the value, the limit and the way out."""
    text = f"{where}: {rule} is {value}, the limit is {limit}; {fix}"
    return Check(name=rule, status="failed", text=text, value=value, limit=limit, fault="limit")


# The words for the checks of designs and files, as they are printed and as records of exports hold them.
WORDS: dict[Status, str] = {"passed": "pass", "failed": "fail", "not checked": "not evaluated", "remark": "remark"}


def printed(check: Check) -> dict[str, str]:
    """A check of a design or of its files for --json."""
    return {"check": check.name, "result": check.text, "status": WORDS[check.status]}
