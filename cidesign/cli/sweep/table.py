"""`cidesign sweep table`: means over seeds, and differences to a baseline."""

from pathlib import Path

import click

from cidesign.cli.output import force_option, json_option, note, result
from cidesign.cli.sweep.options import baseline_option, by_option, metric_option, names_in, out_option, spec_argument


@click.command("table")
@spec_argument
@out_option
@by_option
@baseline_option
@metric_option
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="A file to write the table to, as CSV.")
@force_option
@json_option
def command(
    spec: Path,
    out: Path | None,
    by: str | None,
    baseline: str | None,
    metric: str | None,
    csv_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show the finished points of the sweep of SPEC: mean and standard error over seeds.

    With what a baseline reaches: differences of points with the same seed, the same values of all other settings and
    the same images, and how many such pairs there are.  What is missing is said.
    """
    from cidesign.files import refuse_existing, write_bytes
    from cidesign.sweep.handle import handle_of
    from cidesign.sweep.table_text import csv_of, json_of, text_of

    if csv_file is not None:
        refuse_existing(csv_file, force)
    found = handle_of(spec, out).table(names_in(by), baseline, metric)
    if csv_file is not None:
        write_bytes(csv_file, csv_of(found).encode())
        note(f"table: {csv_file}")
    result(json_of(found), text_of(found), as_json)
