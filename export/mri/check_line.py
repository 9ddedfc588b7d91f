"""The result of one check."""

from dataclasses import dataclass
from typing import Literal

# A remark is worth knowing and breaks nothing; it is neither a pass nor a failure.
Status = Literal["pass", "fail", "not evaluated", "remark"]
# What a failure is of: a limit of the scanner, the limit of nerve stimulation, or the file, which is damaged, was
# edited or is not the design.
Breaks = Literal["limit", "stimulation", "file"]


@dataclass(frozen=True)
class CheckLine:
    """One check: what was found, the limit it was held against, where that comes from, and what a failure is of."""

    check: str
    status: Status
    value: str
    limit: str
    source: str
    breaks: Breaks = "file"

    def __str__(self) -> str:
        limit = f"; limit {self.limit}" if self.limit else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.status}: {self.check}: {self.value}{limit}{source}"


def verdict(check: str, ok: bool, value: str, limit: str, source: str, breaks: Breaks = "file") -> CheckLine:
    """A check that was made."""
    return CheckLine(check, "pass" if ok else "fail", value, limit, source, breaks)


def remark(check: str, value: str, limit: str = "", source: str = "") -> CheckLine:
    """Something to know, of which nothing here says that it is wrong."""
    return CheckLine(check, "remark", value, limit, source)


def not_evaluated(check: str, why: str, source: str = "") -> CheckLine:
    """A check that could not be made, and why; never taken for a pass."""
    return CheckLine(check, "not evaluated", why, "", source)
