"""`cidesign design`: a design of one's own, read from files, or a fixed one by its name."""

from pathlib import Path

import click

from cidesign import api
from cidesign.cli.assignments import assigned, options
from cidesign.cli.computer.words import profile_names, run_folders
from cidesign.cli.output import force_option, json_option, next_step, quoted, result


@click.command("design")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--profile", "profile_name", metavar="NAME", shell_complete=profile_names, help="The device, process or scanner."
)
@click.option(
    "--fixed",
    metavar="NAME",
    help="A design that is not learnt in place of files, as `evaluate` names it (low-pass cosines, centre block); a "
    "wrong name lists them.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    shell_complete=run_folders,
    help="With --fixed: that which stands beside this run, instead of --profile and --set.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Design folder to write.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the files leave open (polarity=inverted, order=column, pitch_um=10), or with --fixed settings of a run "
    "(patterns=102, side=32); a wrong name lists them.",
)
@force_option
@json_option
def command(
    files: tuple[Path, ...],
    profile_name: str | None,
    fixed: str | None,
    run: Path | None,
    out: Path,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Take patterns, a mask or k-space lines that exist already as a design for a device.

    Patterns: .npy, .npz, .mat, BMP, PNG, TIFF, a folder of frames, 24-bit images of 24 planes.  A mask: an array, a
    picture (grey too), GDSII, OASIS.  Lines: a list, a mask, a pattern of BART, or a scan (ISMRMRD, twix), whose own
    lines are taken.  Points (ky, kz) of a 3-D scan, with --set sampling=points: a mask, a list, a picture.  What the
    files leave open is asked for, never guessed; how they were understood is said, and drawn in preview.png.  `check`,
    `export` and `upload` go on with the folder as with a run.

    With --fixed NAME it is one of the designs that nothing is learnt for: of a --profile, with settings of a run by
    --set, or the very one that `evaluate` measured beside a --run.
    """
    if fixed is not None and files:
        raise click.UsageError(f"--fixed {fixed}: is a design already; leave {files[0]} out")
    if fixed is None and not files:
        raise click.UsageError("FILE... is missing: name files of patterns, a mask or lines, or a --fixed design")
    if fixed is None and run is not None:
        raise click.UsageError("--run: goes with --fixed NAME; a design of files needs --profile")
    if profile_name is None and run is None:
        raise click.UsageError("--profile is needed, for example --profile dlp4500 (`cidesign profiles list` has all)")
    named = options(assigned(assignments), "files", "fixed", "profile")
    if fixed is not None:
        folder = api.fixed_design(fixed, out, run=run, profile=profile_name, force=force, **named)
    else:
        folder = api.design(files, str(profile_name), out, force=force, **named)
    record = folder.record
    origin = ", ".join(one.name for one in record.sources)
    lines = [f"{out}: a design for {folder.profile.id}{f', from {origin}' if origin else ''}"]
    shown = record.model_dump(mode="json", include={"design_digest", "sources", "options", "said"})
    value = {"design": str(out), **shown}
    result(value, "\n".join([*lines, *(f"  {text}" for text in record.said)]), as_json)
    next_step(f"cidesign check {quoted(out)}")
