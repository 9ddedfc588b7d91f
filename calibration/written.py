"""What the verbs of a bench give back beside objects: values for --json, and what is printed for people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cidesign.files import JsonObject
from cidesign.text import table


class Row(NamedTuple):
    """One estimate as it is shown; `truth` is what a simulated bench was set to, None where the bench is real."""

    name: str
    value: str
    unit: str
    error: str | None = None
    truth: str | None = None


def estimates_table(rows: Sequence[Row]) -> str:
    """The estimates, with their errors and the truth where any row has them."""
    with_error, with_truth = (any(getattr(row, name) is not None for row in rows) for name in ("error", "truth"))
    header = ("quantity", "value", *(["error"] if with_error else []), "unit")
    cells = [
        (
            row.name,
            row.value,
            *([row.error or ""] if with_error else []),
            row.unit,
            *([row.truth or ""] if with_truth else []),
        )
        for row in rows
    ]
    return table(cells, (*header, *(["simulated truth"] if with_truth else [])))


@dataclass(frozen=True)
class Written:
    """A folder that was written: the values for --json, and lines for people."""

    folder: Path
    value: JsonObject
    heading: str
    table: str
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What is printed for people."""
        return "\n".join([f"{self.folder}: {self.heading}", self.table, *(f"note: {note}" for note in self.notes)])
