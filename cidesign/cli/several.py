"""Commands that torchrun started several times: one training, one voice, one error line."""

import os

import click

from cidesign.errors import InputError

# Commands whose processes work together.
TOGETHER = ("distill",)


def require_alone(command: str | None) -> None:
    """Raise `InputError` for a command that was started several times and works in one process."""
    if command in TOGETHER or os.environ.get("WORLD_SIZE", "1") == "1":
        return
    if not speaks():
        raise click.exceptions.Exit(InputError.exit_code)
    raise InputError(
        f"{command}: works in one process, and WORLD_SIZE is {os.environ['WORLD_SIZE']}; start it without torchrun, or "
        "unset WORLD_SIZE"
    )


def speaks() -> bool:
    """Whether this process tells what went wrong in all of them alike; one that torchrun did not start always does."""
    return os.environ.get("RANK", "0") == "0" or "WORLD_SIZE" not in os.environ
