"""`cidesign sweep plan`: what would be trained, and what that takes."""

from pathlib import Path

import click

from cidesign.cli.output import json_option, next_step, note, quoted, result
from cidesign.cli.sweep.options import out_option, spec_argument, yes_option
from cidesign.text import table

# Lines for people; --json names all.
MOST_LISTED = 60


@click.command("plan")
@spec_argument
@out_option
@yes_option
@json_option
def command(spec: Path, out: Path | None, accept_many: bool, as_json: bool) -> None:
    """Show all points of SPEC with their digests, what they take of disk, memory and time, and what cannot be trained.

    Nothing is started and nothing is written.
    """
    from cidesign.sweep.handle import handle_of
    from cidesign.sweep.planning import listed

    plan = handle_of(spec, out).plan(accept_many=accept_many)
    rows = listed(plan)
    if len(rows) > MOST_LISTED:
        note(f"the first {MOST_LISTED} of {len(rows)} points; --json names all")
    shown = table(rows[:MOST_LISTED], ("point", "kind", "status", "steps", "digest")) if rows else ""
    result(plan.value(), "\n".join([shown, *plan.lines()] if shown else plan.lines()), as_json)
    if plan.refused:
        raise click.exceptions.Exit(plan.refused[0].error.exit_code)
    if plan.to_do:
        next_step(f"cidesign sweep run {quoted(spec)}{f' --out {quoted(out)}' if out else ''}")
