"""`cidesign export`: device files from the design of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign import api, benchwork
from cidesign.cli.assignments import assigned
from cidesign.cli.computer.words import run_folders
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.designs.exporting import export_run, open_exportable
from cidesign.export.family import families, family_of
from cidesign.runs import newest_run
from cidesign.text import joined

if TYPE_CHECKING:
    from cidesign.export.family import AnyFamily


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path), required=False, shell_complete=run_folders)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [default: RUN/export].")
@click.option("--format", "formats", multiple=True, metavar="F", help="File format [default: by the device].")
@click.option("--exposure-us", type=float, help="DMD: exposure of each frame [default: as the run, or the shortest].")
@click.option("--period-us", type=float, help="DMD: time from frame to frame [default: the shortest legal one].")
@click.option(
    "--sync-every",
    type=int,
    metavar="N",
    help="DMD: begin with a blink code, and show all-on and all-off after every N patterns [default: neither].",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Aperture: a field of the order (tone=clear). MRI: one of the protocol (te_ms=5, kind=tse).",
)
@click.option(
    "--decoder",
    type=click.Choice(["onnx"]),
    help="In place of device files: the decoder with its operator frozen in, as ONNX [default name: RUN/decoder.onnx].",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="--decoder: freeze the operator of this calibration [default: the operator as designed].",
)
@force_option
@json_option
def command(
    run: Path | None,
    out: Path | None,
    formats: tuple[str, ...],
    assignments: tuple[str, ...],
    decoder: str | None,
    calibration: Path | None,
    force: bool,
    as_json: bool,
    **flags: float | None,
) -> None:
    """Write the files that the device, the mask shop or the scanner takes, with a manifest, and read them back.

    RUN is a run folder, or one that `cidesign design` wrote; without it the newest run below runs/ is used.  Several
    formats of a micromirror device go to one folder each below the output folder.

    With --decoder onnx the decoder leaves instead, for `cidesign reconstruct --decoder FILE.onnx` or any program that
    runs ONNX: readings in units of y = A x go in, images come out.  What was read back from disk is compared with the
    run's own decoder first.
    """
    if decoder is not None:
        unused = [name for name, value in {"format": formats, "set": assignments, **flags}.items() if value]
        if unused:
            raise click.UsageError(f"--decoder {decoder} writes no device files; leave out {_options_of(unused)}")
        _export_decoder(run, out, calibration, force, as_json)
        return
    if calibration is not None:
        raise click.UsageError("--calibration: device files hold the design; it goes with --decoder onnx")
    opened = open_exportable(newest_run() if run is None else run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    given = {name: value for name, value in flags.items() if value is not None}
    settings = _settings(family_of(opened.design), given, assignments)
    done = export_run(opened, out, formats, force, settings, note)
    result(done.value, done.text, as_json)
    next_step(f"cidesign check {quoted(done.folder)}")


def _export_decoder(run: Path | None, out: Path | None, calibration: Path | None, force: bool, as_json: bool) -> None:
    """Write the frozen decoder, and say what was compared."""
    opened = api.open_designed(run)
    if run is None:
        note(f"run: {opened.path} (the newest)")
    done = benchwork.freeze(opened, out or opened.known_as / "decoder.onnx", calibration, force=force)
    record = done.record
    operator = "the design" if record.calibration is None else f"the calibration {record.calibration}"
    text = (
        f"{done.path}: decoder {record.decoder}, {record.readings} readings to {record.side} x {record.side}, with the "
        f"operator of {operator}; read from disk, images differ from the run's by at most "
        f"{record.parity.largest_difference:.1g} ({record.parity.scenes} scenes, bound {record.parity.bound:g})"
    )
    value = record.model_dump(mode="json", exclude={"design_npz", "prior_variance"})
    result({"file": str(done.path), "size_bytes": done.path.stat().st_size, **value}, text, as_json)
    told = "" if calibration is None else f" --calibration {quoted(calibration)}"
    next_step(f"cidesign reconstruct --decoder {quoted(done.path)} CAPTURE{told}")


def _options_of(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _settings(family: "AnyFamily", given: Mapping[str, float], assignments: tuple[str, ...]) -> dict[str, object]:
    """What was given for the family by options or by --set; raises `UsageError` for what is another family's."""
    for one in families():
        if one is not family and set(one.flags) & set(given):
            raise click.UsageError(f"{_options(one)} are for {one.plural}; use --set")
    if assignments and family.flags:
        others = joined([one.plural for one in families() if not one.flags], "and")
        raise click.UsageError(f"--set is for {others}; {family.contents} take {_options(family)}")
    return {**given, **assigned(assignments)}


def _options(family: "AnyFamily") -> str:
    """The options of the command line that are a family's alone, in words."""
    *first, last = (f"--{name.replace('_', '-')}" for name in family.flags)
    return f"{', '.join(first)} and {last}" if first else last
