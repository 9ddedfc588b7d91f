"""The result of one check."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "fail", "not evaluated"]


@dataclass(frozen=True)
class CheckLine:
    """One check: what was found, the limit it was held against, and where that limit comes from."""

    check: str
    status: Status
    value: str
    limit: str
    source: str

    def __str__(self) -> str:
        limit = f"; limit {self.limit}" if self.limit else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.status}: {self.check}: {self.value}{limit}{source}"


def verdict(check: str, ok: bool, value: str, limit: str, source: str) -> CheckLine:
    """A check that was made."""
    return CheckLine(check, "pass" if ok else "fail", value, limit, source)


def not_evaluated(check: str, why: str, source: str = "") -> CheckLine:
    """A check that could not be made, and why; never taken for a pass."""
    return CheckLine(check, "not evaluated", why, "", source)
