"""What the commands of a sweep have in common."""

from pathlib import Path

import click

spec_argument = click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The folder of the sweep [default: runs/NAME of the spec's file]."
)
yes_option = click.option("--yes", "accept_many", is_flag=True, help="More than 1,000 points are meant.")
by_option = click.option(
    "--by", metavar="NAME[,NAME]", help="Settings that a row has one value of [default: all that vary but the seed]."
)
baseline_option = click.option(
    "--baseline",
    metavar="NAME",
    help="What rows are held against: E2E, a fixed design, or a value as in ladder=real [default: E2E if there is].",
)
metric_option = click.option("--metric", metavar="NAME", help="What is shown, as in ssim [default: the task's score].")


def names_in(text: str | None) -> list[str] | None:
    """Names between commas; of an empty text none at all."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
