"""`cidesign report`: one self-contained page about a run."""

from pathlib import Path

import click

from cidesign import api
from cidesign.cli.computer.words import run_folders
from cidesign.cli.output import force_option, json_option, note, result


@click.command("report")
@click.argument("run", required=False, type=click.Path(path_type=Path), shell_complete=run_folders)
@click.option(
    "--include",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A calibration or reconstruction folder to show; may be repeated.",
)
@force_option
@json_option
def command(run: Path | None, include: tuple[Path, ...], force: bool, as_json: bool) -> None:
    """Write RUN/report.html: the design, what it measures, training, reconstructions of unseen scenes, settings.

    Page and output begin with one line: what was designed, whether it may be built (passed, failed or not verified, as
    `cidesign check` finds for the design and for exports in the run folder), and the limit of which most is taken.

    With --include also the verdict, checks and pictures of a calibration, and images and diagnostics of a capture.

    RUN is a run folder; without it the newest one below runs/ is used.  The page holds all its pictures, which are
    also written to RUN/figures.
    """
    opened = api.open_designed(run)
    if run is None:
        note(f"run: {opened.path}")
    report = api.report(opened, include, force=force)
    figures = [str(path) for path in report.pictures]
    value = {"report": str(report.page), "figures": figures, **report.verdict.value()}
    result(value, f"{report.verdict.line}\nreport: {report.page}", as_json)
