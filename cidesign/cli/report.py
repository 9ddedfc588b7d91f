"""`cidesign report`: one self-contained page about a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.cli.output import force_option, json_option, note, result

if TYPE_CHECKING:
    from torch import Tensor

    from cidesign.runs import Run

SCENES = 8
# Far from every seed that a run can train on (those are below 2**32, validation below 2**33).
SCENE_SEED = 2**40


@click.command("report")
@click.argument("run", required=False, type=click.Path(path_type=Path))
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

    With --include also the verdict, checks and pictures of a calibration, and images and diagnostics of a capture.

    RUN is a run folder; without it the newest one below runs/ is used.  The page holds all its pictures, which are
    also written to RUN/figures.
    """
    from cidesign.report.run_report import refuse_report, write_report
    from cidesign.runs import Run, open_run

    opened = open_run(run, Run)
    if run is None:
        note(f"run: {opened.path}")
    refuse_report(opened, force)  # before the scenes are drawn
    report = write_report(opened, _scenes(opened), list(include), force)
    value = {"report": str(report.page), "figures": [str(path) for path in report.pictures]}
    result(value, f"report: {report.page}", as_json)


def _scenes(run: "Run") -> "Tensor":
    """Images (M, C, n, n) that the run has not seen."""
    import numpy as np
    import torch

    from cidesign.distill.loop import as_floats
    from cidesign.modality import modality

    kind = modality(run.settings.modality)
    # Crops of one canvas of leaves are alike, so each scene has a canvas of its own; slices are drawn one by one.
    draws = [(SCENES, 0)] if kind.independent_draws else [(1, number) for number in range(SCENES)]
    parts = [kind.procedural_images(run.settings, run.profile, count, SCENE_SEED + number) for count, number in draws]
    return as_floats(torch.from_numpy(np.concatenate(parts)))
