"""`cidesign sweep work`: one point in this process, as drivers and batch systems start it."""

import os
import sys
from pathlib import Path

import click

from cidesign.cli.memory import keep_freed_memory
from cidesign.cli.output import note
from cidesign.errors import FileError


@click.command("work", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path), metavar="SWEEP")
@click.argument("point", metavar="POINT")
@click.option("--leashed", is_flag=True, help="End when standard input is closed: the driver holds its other end.")
@click.option("--to-the-end", is_flag=True, help="Leave with 5 where somebody else works on it: it is not done.")
def command(folder: Path, point: str, leashed: bool, to_the_end: bool) -> None:
    """Train one POINT of the sweep in the folder SWEEP, or go on with it; what is done already is left as it is."""
    if leashed:
        from cidesign.sweep.leash import end_with

        end_with(sys.stdin)
    keep_freed_memory()
    from cidesign.cli.display.distill import epoch_said, needs_said, pace_said
    from cidesign.distill.job import Listener
    from cidesign.distill.needs import Needs, Pace
    from cidesign.distill.run_folder import EpochReport
    from cidesign.distill.tasks.base import task_named
    from cidesign.sweep.folder import Sweep
    from cidesign.sweep.slurm.task import IN_SLURM, take_over
    from cidesign.sweep.work import work

    if IN_SLURM in os.environ:
        sweep = Sweep(folder)
        take_over(sweep, sweep.point(point))

    task = task_named(str(Sweep(folder).point(point).settings.get("task", "reconstruct")))

    class Said(Listener):
        def remark(self, text: str) -> None:
            note(f"note: {text}")

        def needs(self, needs: Needs) -> None:
            note(f"training: {needs_said(needs)}")

        def pace(self, pace: Pace) -> None:
            note(pace_said(pace))

        def epoch(self, report: EpochReport) -> None:
            note(epoch_said(report, task))

    worked = work(folder, point, Said())
    note(worked.said)
    unfinished = to_the_end and worked.status == "held"
    raise click.exceptions.Exit(FileError.exit_code if unfinished else worked.exit_code)
