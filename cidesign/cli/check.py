"""`cidesign check`: a design or its device files against the limits of the device."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.checks import Check
from cidesign.cli.assignments import assigned, set_option
from cidesign.cli.computer.words import profile_names, run_folders
from cidesign.cli.output import json_option, next_step, quoted, result
from cidesign.designs.checking import Listener, check_path
from cidesign.designs.folder import is_design_folder
from cidesign.text import MARKS

if TYPE_CHECKING:
    from cidesign.designs.checking import CheckReport


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path), shell_complete=run_folders)
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME",
    shell_complete=profile_names,
    help="Check against this profile [default: the design's own].",
)
@click.option(
    "--tone",
    type=click.Choice(["clear", "chrome"]),
    help="What the 1-pixels of a single mask file become on the plate.",
)
@click.option(
    "--orientation",
    type=click.Choice(["any", "as-written"]),
    help="How the slice of a single .seq file may lie; any refuses what an oblique slice would break "
    "[default: as written, with a remark].",
)
@set_option
@json_option
def command(
    path: Path, profile_name: str | None, assignments: tuple[str, ...], as_json: bool, **given: str | None
) -> None:
    """Check PATH: a run or design folder (and its export if there is one), an export folder, or a single file.

    Files are read back from disk by readers of their own and compared with the design bit for bit.  A single mask
    (TIFF, GDSII, OASIS), sequence (.seq), picture or folder of frames of anyone's is checked against --profile; --set
    cell=NAME takes one cell of a layout.  Leaves with 3 when a limit of the device is violated, and with 5 when a file
    is damaged, was edited, or cannot be evaluated at all.
    """
    settings: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    for name, value in assigned(assignments).items():
        if name in settings:
            raise click.UsageError(f"--set {name}: {name} is given twice")
        settings[name] = value
    report = check_path(path, profile_name, settings, None if as_json else _shown())
    result(report.value, report.text, as_json)
    report.require_ok()
    _say_next(report)


def _shown() -> "Listener":
    class Shown(Listener):
        def folder(self, path: Path) -> None:
            click.echo(f"{path}:")

        def found(self, path: Path, check: Check) -> None:
            click.echo(f"{MARKS[check.status]}  {check.name}: {check.text}")

    return Shown()


def _say_next(report: "CheckReport") -> None:
    if report.exports and report.run is not None and is_design_folder(report.run):
        return  # what comes next depends on the device
    if report.exports:
        run = report.run or Path("RUN")
        next_step(f"cidesign simulate {quoted(run)} --out {quoted(run / 'capture')}")
    elif report.run:
        next_step(f"cidesign export {quoted(report.run)}")
