"""Where output goes: results to stdout (one JSON object with --json), everything else to stderr."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
force_option = click.option("--force", is_flag=True, help="Replace what is there already.")


def result(value: Any, text: str, as_json: bool) -> None:
    """Print a command's result: `value` as JSON, or `text` for people."""
    click.echo(json.dumps(value, indent=2, allow_nan=False) if as_json else text)


def note(text: str) -> None:
    """Print a remark that is not part of the result."""
    click.echo(text, err=True)


def quoted(word: object) -> str:
    """A path or name as it must be typed in a shell."""
    return shlex.quote(str(word))


def next_step(command: str) -> None:
    """Print the command to type next."""
    click.echo(f"next: {command}", err=True)


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] | None = None) -> str:
    """Rows as left-aligned columns, two spaces apart."""
    lines = [header, *rows] if header else list(rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def totals(statuses: Sequence[str]) -> str:
    """How the checks came out: those that passed, and the others where there are any."""
    counts = Counter(statuses)
    passed = counts["pass"]
    if passed == len(statuses):
        return f"all {passed} checks passed"
    others = [("failed", counts["fail"]), ("not evaluated", counts["not evaluated"]), ("remarked on", counts["remark"])]
    return ", ".join([f"{passed} passed", *(f"{number} {status}" for status, number in others if number)])


# How the line of a check begins, by its status.
MARKS = {"pass": "ok", "not evaluated": "--", "remark": ".."}
