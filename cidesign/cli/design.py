"""`cidesign design`: a design of one's own, read from files."""

from pathlib import Path

import click

from cidesign import api
from cidesign.cli.assignments import assigned
from cidesign.cli.output import force_option, json_option, next_step, quoted, result


@click.command("design")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--profile", "profile_name", required=True, metavar="NAME", help="The device, process or scanner.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Design folder to write.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the files leave open (polarity=inverted, order=column, pitch_um=10); a wrong name lists them.",
)
@force_option
@json_option
def command(
    files: tuple[Path, ...], profile_name: str, out: Path, assignments: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Take patterns, a mask or k-space lines that exist already as a design for a device.

    Patterns: .npy, .npz, .mat, BMP, PNG, TIFF, a folder of frames, 24-bit images of 24 planes.  A mask: an array, a
    picture (grey too), GDSII, OASIS.  Lines: a list, a mask, a pattern of BART, or a scan (ISMRMRD, twix), whose own
    lines are taken.  What the files leave open is asked for, never guessed; how they were understood is said, and
    drawn in preview.png.  `check`, `export` and `upload` go on with the folder as with a run.
    """
    folder = api.design(files, profile_name, out, force=force, **assigned(assignments))
    record = folder.record
    lines = [f"{out}: a design for {folder.profile.id}, from {', '.join(one.name for one in record.sources)}"]
    shown = record.model_dump(mode="json", include={"design_digest", "sources", "options", "said"})
    value = {"design": str(out), **shown}
    result(value, "\n".join([*lines, *(f"  {text}" for text in record.said)]), as_json)
    next_step(f"cidesign check {quoted(out)}")
