"""`cidesign evaluate`: a run beside E2E training, fixed designs and its teacher."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cidesign.cli.output import json_option, next_step, note, quoted, result
from cidesign.text import table

if TYPE_CHECKING:
    from cidesign.distill.compare import Comparison, Row

HEADINGS = {
    "psnr_db": "PSNR dB",
    "complex_psnr_db": "complex PSNR dB",
    "ssim": "SSIM",
    "hfen_db": "detail error dB",
    "sam_degrees": "spectral angle deg",
    "condition_number": "condition number",
    "row_coherence": "row coherence",
    "open_fraction": "open fraction",
    "acceleration": "R",
    "side_lobe": "side lobe",
}


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--data", help="Images to measure on: a file or folder [default: the run's validation images].")
@click.option(
    "--no-training", is_flag=True, help="Only what is trained already: the student, its teacher, the kept ones."
)
@json_option
def command(run: Path | None, data: str | None, no_training: bool, as_json: bool) -> None:
    """Compare a run with end-to-end training (E2E), fixed designs and its teacher.

    All of the pictures, cubes or slices of --data are measured, except those that the run was trained on.

    E2E and a decoder for every fixed design are trained like the student, for as many epochs as teacher and student
    together, and kept in RUN/baselines.  RUN is a run folder; without it the newest one below runs/ is used.
    """
    from cidesign.distill.compare import Comparison
    from cidesign.runs import Run, open_run

    opened = open_run(run, Run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    comparison = Comparison(opened, data)
    measured = comparison.measured_on
    for remark in measured.notes:
        note(f"note: {remark}")
    rows = comparison.own()
    missing = [name for name in comparison.others() if not comparison.known(name)]
    if missing and no_training:
        note(f"not trained yet, left out: {'; '.join(missing)}")
    elif missing:
        note(f"{len(missing)} systems are trained now, {comparison.epochs} epochs each: {'; '.join(missing)}")
    rows += _others(comparison, [name for name in comparison.others() if name not in missing or not no_training])
    columns = [*rows[0].images, *rows[0].optics]
    shown = [
        (row.name, *(f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}" for value in _values(row))) for row in rows
    ]
    value = {
        "run": str(opened.path),
        "images": measured.where,
        "count": len(measured.images),
        "pictures": measured.pictures,
        "trained_on_and_left_out": measured.left_out,
        "held_out": measured.held_out,
        "skipped": list(measured.skipped),
        "notes": list(measured.notes),
        "epochs": comparison.epochs,
        "rows": [{"name": row.name, "images": row.images, "optics": row.optics} for row in rows],
    }
    head = f"{len(measured.images)} {measured.where}; equal noise for all; one seed ({opened.settings.seed})"
    if measured.skipped:
        head += f"\n{len(measured.skipped)} left out:\n" + "\n".join(f"  {line}" for line in measured.skipped)
    lines = [head, table(shown, ("system", *(HEADINGS[name] for name in columns))), *_remarks(rows)]
    result(value, "\n".join(lines), as_json)
    next_step(f"cidesign export {quoted(opened.path)}")


def _values(row: "Row") -> list[float]:
    return [*row.images.values(), *row.optics.values()]


def _remarks(rows: "list[Row]") -> list[str]:
    """What the table says in one line: the student against the best of the others."""
    if len(rows) < 3:
        return []
    best = max(rows[2:], key=lambda row: row.images["psnr_db"])
    gain = rows[0].images["psnr_db"] - best.images["psnr_db"]
    return [
        f"student - {best.name} (the best of the others, with the same number of epochs in total): {gain:+.2f} dB; "
        "differences of a few tenths of a dB vary from seed to seed"
    ]


def _others(comparison: "Comparison", names: list[str]) -> "list[Row]":
    from rich.console import Console
    from rich.progress import Progress

    rows = []
    with Progress(console=Console(stderr=True)) as progress:
        for name in names:
            task = progress.add_task(name, total=None)

            def show(report: Any, task: Any = task) -> None:
                progress.update(task, total=report.steps, completed=report.step)

            rows.append(comparison.other(name, show))
            progress.update(task, total=1, completed=1)
    return rows
