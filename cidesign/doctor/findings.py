"""What was found, as fields: a status follows from no text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from cidesign.text import table

if TYPE_CHECKING:
    from cidesign.files import JsonObject

Status = Literal["ok", "missing", "not verified"]
Part = Literal["program", "packages", "extras", "ports", "computer"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for: what was found, what it is for, and what to do where it is not `ok`.

    `needed`: no command works without it.
    """

    part: Part
    name: str
    status: Status
    found: str
    use: str = ""
    fix: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """All that was looked at, in the order of the parts."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every package is there that all commands need."""
        return not [one for one in self.findings if one.needed and one.status == "missing"]

    @property
    def value(self) -> "JsonObject":
        """The values for --json."""
        return {"ok": self.ok, "findings": [asdict(one) for one in self.findings]}

    @property
    def text(self) -> str:
        """For people: a table for each part, and what to do below it."""
        parts = list(dict.fromkeys(one.part for one in self.findings))
        return "\n\n".join(_section(part, [one for one in self.findings if one.part == part]) for part in parts)


def _section(part: str, findings: Sequence[Finding]) -> str:
    rows = [(one.status, one.name, one.found, one.use) for one in findings]
    fixes = [f"  {one.name}: {one.fix}" for one in findings if one.fix and one.status != "ok"]
    return "\n".join([f"{part}", table(rows), *fixes])
