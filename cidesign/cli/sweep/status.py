"""`cidesign sweep status`: where every point stands."""

from pathlib import Path

import click

from cidesign.cli.output import json_option, result
from cidesign.cli.sweep.options import out_option, spec_argument
from cidesign.text import joined, table


@click.command("status")
@spec_argument
@out_option
@click.option("--all", "every", is_flag=True, help="Points that are done or wait, too.")
@json_option
def command(spec: Path, out: Path | None, every: bool, as_json: bool) -> None:
    """Say of the sweep of SPEC what is done, running where, failed why, to do, and in SLURM's queue."""
    from cidesign.sweep.folder import counts
    from cidesign.sweep.handle import handle_of
    from cidesign.sweep.slurm.queue import queue_of, standing_of
    from cidesign.sweep.standing import rows_of, value_of

    folder = handle_of(spec, out).folder
    states = folder.states()
    queue = queue_of(folder)
    rows = [*rows_of(folder, states, every), *standing_of(queue, states)]
    lines = [table(rows, ("point", "status", "epochs", ""))] if rows else []
    numbers = [f"{number} {status}" for status, number in counts(states).items() if number]
    lines.append(f"{folder.path}: {joined(numbers, 'and') if numbers else 'no points yet'}")
    lines += [f"no point of the spec: {path}" for path in folder.strangers()]
    queued = {name: one._asdict() for name, one in queue.items()}
    result({**value_of(folder, states), "queued": queued}, "\n".join(lines), as_json)
