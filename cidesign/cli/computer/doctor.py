"""`cidesign doctor`: what this computer has, and what is missing for what."""

import click

from cidesign.cli.output import json_option, result

# Not through `cidesign.api`: this command works where what the others load is missing.
from cidesign.doctor.examine import doctor


@click.command("doctor")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Versions, packages, ports with their permissions, processors, memory, GPU and disk, and what is missing for what.

    Each line is ok, missing or not verified, and what to type stands below it.  Leaves with 0, unless a package is
    missing that every command needs: then with 1.
    """
    found = doctor()
    result(found.value, found.text, as_json)
    if not found.ok:
        context.exit(1)
