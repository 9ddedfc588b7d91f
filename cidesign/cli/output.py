"""Where output goes: results to stdout (one JSON object with --json), everything else to stderr."""

import json
import shlex
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
