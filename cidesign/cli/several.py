"""Commands that torchrun started several times: one training, one voice, one error line."""

import contextlib
import os
from collections.abc import Iterator

import click

from cidesign.errors import CidesignError, InputError

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
    """Whether this process tells what went wrong in all of them alike."""
    from cidesign.distill.computing.ranks import world

    try:
        return world().first
    except CidesignError:
        return True


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Join the processes that were started together; only the first one writes to the terminal, errors apart."""
    from cidesign.distill.computing.ranks import OtherRankFailed, joined

    try:
        with joined() as ranks, contextlib.ExitStack() as held:
            if not ranks.first:
                nowhere = held.enter_context(open(os.devnull, "w"))
                held.enter_context(contextlib.redirect_stdout(nowhere))
                held.enter_context(contextlib.redirect_stderr(nowhere))
            yield
    except OtherRankFailed as error:
        raise click.exceptions.Exit(error.exit_code) from error
