"""Text for people: tables and totals."""

from collections import Counter
from collections.abc import Sequence


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] | None = None) -> str:
    """Rows as left-aligned columns, two spaces apart."""
    lines = [header, *rows] if header else list(rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def totals(statuses: Sequence[str]) -> str:
    """How the checks came out: those that passed, and the others where there are any."""
    counts = Counter(statuses)
    passed = counts["passed"]
    if passed == len(statuses):
        return f"all {passed} checks passed"
    others = [("failed", counts["failed"]), ("not evaluated", counts["not checked"]), ("remarked on", counts["remark"])]
    return ", ".join([f"{passed} passed", *(f"{number} {status}" for status, number in others if number)])


# How the line of a check begins, by its status.
MARKS = {"passed": "ok", "failed": "xx", "not checked": "--", "remark": ".."}
