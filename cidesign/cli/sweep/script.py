"""`cidesign sweep script`: what is to do as a script for SLURM, a Job for Kubernetes, or a list for other engines."""

import json
import sys
from pathlib import Path

import click

from cidesign.cli.output import note
from cidesign.cli.sweep.options import out_option, spec_argument, yes_option
from cidesign.text import counted


@click.command("script")
@spec_argument
@out_option
@click.option("--slurm", "kind", flag_value="slurm", help="A bash script that submits itself as an array.")
@click.option("--kubernetes", "kind", flag_value="kubernetes", help="An indexed Job (JSON) for `kubectl create -f -`.")
@click.option("--json", "kind", flag_value="json", help="All points, what each needs, and the command that trains it.")
@click.option("--image", help="Kubernetes: the image that has cidesign in it.")
@click.option("--claim", help="Kubernetes: the claim of the volume that is mounted at the current folder.")
@yes_option
def command(
    spec: Path, out: Path | None, kind: str | None, image: str | None, claim: str | None, accept_many: bool
) -> None:
    """Print a script for the points of SPEC that are to do, to be edited and started by hand.

    The folder of the sweep is made and nothing is started.  What a task asks for is said in [slurm], for Kubernetes
    too.  Print it again for what is then still to do.
    """
    if kind is None:
        raise click.UsageError("what for? say --slurm, --kubernetes or --json")
    if kind == "kubernetes" and (image is None or claim is None):
        raise click.UsageError("--kubernetes needs --image NAME and --claim NAME")
    if kind != "kubernetes" and (image, claim) != (None, None):
        raise click.UsageError("--image and --claim are for --kubernetes")
    from cidesign.errors import InputError
    from cidesign.sweep.handle import handle_of
    from cidesign.sweep.slurm.scripts import Place, kubernetes_job, listed, slurm_script, to_do
    from cidesign.sweep.slurm.submission import prepared

    plan = handle_of(spec, out).plan(accept_many=accept_many)
    slurm = plan.spec.slurm
    if kind == "slurm" and slurm is None:
        raise InputError("[slurm] is missing in the spec; it needs a time limit: write [slurm] and minutes = 60 below")
    with prepared(plan) as sweep:
        todo = to_do(sweep)
    if kind == "json":
        click.echo(json.dumps(listed(sweep, sys.executable), indent=2))
        return
    if not todo.first and not todo.then:
        note(f"{plan.path}: all points are done; there is nothing to print")
        return
    here = Path.cwd()
    if slurm is not None and kind == "slurm":
        click.echo(slurm_script(todo, slurm, sys.executable, here), nl=False)
        return
    place = Place(str(image), str(claim))
    click.echo(kubernetes_job(todo, slurm, plan.spec.jobs.retries, place, here), nl=False)
    if todo.first and todo.then:
        waiting = counted(len(todo.then), "point")
        note(f"{waiting} wait for these teachers: print the next Job when this one is complete")
