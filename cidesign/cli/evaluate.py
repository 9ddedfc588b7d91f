"""`cidesign evaluate`: a run beside E2E training, fixed designs and its teacher."""

from pathlib import Path

import click

from cidesign import api
from cidesign.cli.computer.words import run_folders
from cidesign.cli.memory import keep_freed_memory
from cidesign.cli.output import json_option, next_step, note, quoted, result


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path), required=False, shell_complete=run_folders)
@click.option("--data", help="Images to measure on: a file or folder [default: the run's validation images].")
@click.option(
    "--no-training", is_flag=True, help="Only what is trained already: the student, its teacher, the kept ones."
)
@json_option
def command(run: Path | None, data: str | None, no_training: bool, as_json: bool) -> None:
    """Compare a run with end-to-end training (E2E), fixed designs and its teacher.

    All of the pictures, cubes or slices of --data are measured, except those that the run was trained on.

    Of each design the linear estimate and total variation (TV; of some images) of the same readings are measured too;
    where they beat the network on these images, it is said.  A second table is of the optics alone: what they are worth
    without a network, and the least error that a linear estimate can have, beside what is reached.

    E2E and a decoder for every fixed design are trained like the student, for as many epochs as teacher and student
    together, and kept in RUN/baselines; a run that was trained end to end is that row itself.  RUN is a run folder;
    without it the newest one below runs/ is used.
    """
    keep_freed_memory()
    from cidesign.cli.display.evaluate import Shown

    opened = api.open_designed(run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    with Shown() as shown:
        found = api.evaluate(opened, data, train=not no_training, listener=shown)
    result(found.value(), found.text(), as_json)
    next_step(f"cidesign export {quoted(opened.known_as)}")
