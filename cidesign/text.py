"""Text for people: tables, times and totals."""

import math
from collections import Counter
from collections.abc import Sequence


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] | None = None) -> str:
    """Rows as left-aligned columns, two spaces apart."""
    lines = [header, *rows] if header else list(rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def counted(count: int, word: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def joined(words: Sequence[str], last: str) -> str:
    """`a, b or c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def about(seconds: float) -> str:
    """A time for planning: `less than a minute`, `about 12 minutes`, `about 7.5 hours`, `about 3.2 days`."""
    if seconds < 60:
        return "less than a minute"
    units = ((5_400, 60, "minute"), (172_800, 3_600, "hour"), (math.inf, 86_400, "day"))
    unit_s, unit = next((size_s, name) for below_s, size_s, name in units if seconds < below_s)
    value = seconds / unit_s
    text = f"{value:.0f}" if unit == "minute" or value >= 10 else f"{value:.1f}"
    return f"about {text} {unit}{'' if text == '1' else 's'}"


def seconds_left(done: float, total: float, elapsed_s: float) -> float | None:
    """What is left of `total` equal pieces of work after `done` of them: elapsed (total - done) / done.

    None before anything is done; 0 where more is done than was expected.
    """
    return None if done <= 0 else elapsed_s * max(total - done, 0.0) / done


def to_go(seconds: float | None) -> str:
    """A time left for a line about work that goes on: `about 12 minutes to go`."""
    return "how long is not known yet" if seconds is None else f"{about(seconds)} to go"


def elapsed(seconds: float) -> str:
    """A time gone by: `0:01:05`, `26:00:00`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


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
