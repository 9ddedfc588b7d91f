"""`cidesign sweep`: many runs of one spec; one file per command, imported only when it runs."""

from collections.abc import Mapping
from typing import ClassVar

import click

from cidesign.cli import LazyGroup


class SweepGroup(LazyGroup):
    """The commands of a sweep; `work` is for drivers."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = {
        "plan": ("cidesign.cli.sweep.plan", "What a spec would train, and what that takes; starts nothing."),
        "run": ("cidesign.cli.sweep.run", "Train all points that are not done; again after anything."),
        "status": ("cidesign.cli.sweep.status", "What is done, running where, failed why, to do."),
        "script": ("cidesign.cli.sweep.script", "What is to do as a script for SLURM, or a Job for Kubernetes."),
        "table": ("cidesign.cli.sweep.table", "Means over seeds, and differences to a baseline seed by seed."),
        "report": ("cidesign.cli.sweep.report", "One self-contained page: the table, curves, and what failed."),
        "work": ("cidesign.cli.sweep.work", ""),
    }


@click.group("sweep", cls=SweepGroup)
def command() -> None:
    """Many runs of one spec: all combinations of settings, with stored teachers that runs share, and what they are
    held against.

    SPEC is a TOML file: [base] has any settings of a run, [grid] lists of values, whose combinations are the points.
    The runs of light.toml are in runs/light; that folder is all there is to know of a sweep, and can be named in place
    of the spec.
    """
