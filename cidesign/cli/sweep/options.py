"""What the commands of a sweep have in common."""

from pathlib import Path

import click

spec_argument = click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The folder of the sweep [default: runs/NAME of the spec's file]."
)
yes_option = click.option("--yes", "accept_many", is_flag=True, help="More than 1,000 points are meant.")
