"""`cidesign sweep report`: one self-contained page about a sweep."""

from pathlib import Path

import click

from cidesign.cli.output import json_option, result
from cidesign.cli.sweep.options import baseline_option, by_option, metric_option, names_in, out_option, spec_argument


@click.command("report")
@spec_argument
@out_option
@by_option
@baseline_option
@metric_option
@json_option
def command(
    spec: Path, out: Path | None, by: str | None, baseline: str | None, metric: str | None, as_json: bool
) -> None:
    """Write report.html into the folder of the sweep of SPEC, in the place of an older one.

    It holds the table, curves over the epochs with the spread over seeds, what failed and why, and all points; those
    whose runs have a report (`cidesign report`) lead to it.
    """
    from cidesign.sweep.handle import handle_of

    page = handle_of(spec, out).report(names_in(by), baseline, metric)
    result({"report": str(page)}, f"report: {page}", as_json)
