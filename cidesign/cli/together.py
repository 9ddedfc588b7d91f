"""The processes of one training, as the command line starts them: one of them has the terminal."""

import contextlib
import os
from collections.abc import Iterator

import click


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
