"""`cidesign report`: one self-contained page about a run."""

from pathlib import Path

import click

from cidesign.cli.output import force_option, json_option, note, result

SCENES = 8
# Far from every seed that a run can train on (those are below 2**32, validation below 2**33).
SCENE_SEED = 2**40


@click.command("report")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--include",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A reconstruction folder to show; may be repeated.",
)
@force_option
@json_option
def command(run: Path | None, include: tuple[Path, ...], force: bool, as_json: bool) -> None:
    """Write RUN/report.html: patterns, singular values, training, reconstructions, timing on the device."""
    import numpy as np

    from cidesign.data.procedural import dead_leaves
    from cidesign.report.run_report import write_report
    from cidesign.runs import SinglePixelRun, open_run

    opened = open_run(run, SinglePixelRun)
    if run is None:
        note(f"run: {opened.path}")
    scenes = np.concatenate([dead_leaves(1, opened.settings.side, SCENE_SEED + number) for number in range(SCENES)])
    report = write_report(opened, scenes, list(include), force)
    value = {"report": str(report.page), "figures": [str(path) for path in report.pictures]}
    result(value, f"report: {report.page}", as_json)
