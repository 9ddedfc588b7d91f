"""The result of a check: of a design, of files, of a calibration or of a capture.

What follows from one (an exit code, a count, a verdict) follows from its fields; `text` is made last, for people, and
nothing reads it back.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from cidesign.records import Finite, Strict

# `corrected`: something was wrong and is allowed for; `remark`: worth knowing, neither a pass nor a failure.
# Records of benches know no remark, those of files no `corrected` and no `warning`.
Status = Literal["passed", "corrected", "warning", "remark", "not checked", "failed"]
# What is wrong with a bench or a scanner, in words: `lost-trigger`; those of a bench are in the table beside its twin.
FaultName = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*$", max_length=40)]
# What is wrong with a file: it breaks a limit of the device, or that of nerve stimulation, or it is damaged, was edited
# or is not the design.
FileFault = Literal["limit", "stimulation", "file"]


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
