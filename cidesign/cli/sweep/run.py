"""`cidesign sweep run`: all points that are not done."""

import sys
from pathlib import Path

import click

from cidesign.cli.output import json_option, next_step, note, quoted, result
from cidesign.cli.sweep.options import out_option, spec_argument, yes_option
from cidesign.text import joined


@click.command("run")
@spec_argument
@out_option
@click.option("--workers", type=click.IntRange(1, 1024), help="Runs at once [default: 1, or one for each GPU].")
@click.option("--gpus", metavar="0,1", help="GPUs by number; each worker has one of them.")
@click.option("--slurm", "on_slurm", is_flag=True, help="Submit what is to do as arrays, as [slurm] says, and leave.")
@yes_option
@json_option
def command(
    spec: Path,
    out: Path | None,
    workers: int | None,
    gpus: str | None,
    on_slurm: bool,
    accept_many: bool,
    as_json: bool,
) -> None:
    """Train all points of SPEC that are not done, here or on SLURM.

    Whatever ends it (Ctrl-C, a killed worker or driver, a power cut), the same command goes on: finished runs stay,
    begun ones resume from their checkpoints, failed ones are tried again.  A grid that was extended adds points.
    """
    from cidesign.cli.sweep.live import watching
    from cidesign.cli.sweep.slurm import submitted
    from cidesign.sweep.folder import counts
    from cidesign.sweep.handle import handle_of
    from cidesign.sweep.standing import rows_of, value_of

    if on_slurm and (workers is not None or gpus is not None):
        raise click.UsageError("--slurm: --workers and --gpus are of this machine; [slurm] has throttle and gpus")
    handle = handle_of(spec, out)
    named = [word.strip() for word in gpus.split(",")] if gpus is not None else []
    plan = handle.plan(accept_many=accept_many)
    for line in plan.lines():
        note(line)
    if on_slurm:
        submitted(plan, spec, out, as_json)
        return
    with watching(sys.stderr.isatty()) as watcher:
        ran = handle.run_plan(plan, workers=workers, gpus=named, watcher=watcher)
    numbers = [f"{number} {status}" for status, number in counts(ran.states).items() if number]
    failed = [f"{row[0]} {row[1]}: {row[3]}" for row in rows_of(ran.sweep, ran.states, every=False)]
    text = "\n".join([*failed, f"{plan.path}: {joined(numbers, 'and') if numbers else 'no points'}"])
    result(value_of(ran.sweep, ran.states), text, as_json)
    again = f"cidesign sweep run {quoted(spec)}{f' --out {quoted(out)}' if out else ''}"
    if any(state.status != "done" for state in ran.states.values()):
        next_step(f"{again}{f' --workers {workers}' if workers else ''}{f' --gpus {gpus}' if gpus else ''}")
    raise click.exceptions.Exit(ran.exit_code)
