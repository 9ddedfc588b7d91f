"""`cidesign reconstruct`: images from a capture."""

from pathlib import Path

import click

from cidesign.cli.assignments import keyword_values, refuse_options, set_option
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result, table


@click.command("reconstruct")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="[RUN] CAPTURE")
@click.option("--calibration", type=click.Path(path_type=Path), help="Calibration folder of this bench.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write [default: RUN/images or RUN/hadamard].")
@click.option(
    "--reader",
    type=click.Choice(["folder", "hadamard"]),
    default="folder",
    show_default=True,
    help="What CAPTURE is: a capture folder (or .npy, .csv), or a full-basis Hadamard capture (.npz, .mat).",
)
@click.option("--region", type=int, help="Detector region of a Hadamard capture [default: the middle one].")
@set_option
@force_option
@json_option
def command(
    paths: tuple[Path, ...],
    calibration: Path | None,
    out: Path | None,
    reader: str,
    region: int | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Reconstruct CAPTURE with the student of RUN, beside linear baselines and with diagnostics.

    RUN is a run folder; without it the newest one below runs/ is used.  Images are written as PNG, float TIFF and
    npz, in reflectance of the white reference.

    With --reader hadamard, CAPTURE holds a reading for every Hadamard pattern.  The readings that any other
    patterns would have given follow from them: the student's patterns are compared with the coarsest Hadamard
    patterns and random ones.  Needs no calibration.

    For an MRI run CAPTURE holds raw k-space (see `cidesign calibrate`); zero-filled and other baselines stand beside.
    """
    from cidesign.errors import InputError
    from cidesign.files import refuse_existing
    from cidesign.reconstruct.bench import reconstruct_capture
    from cidesign.reconstruct.hadamard import reconstruct_hadamard
    from cidesign.reconstruct.outcome import RECORD_FILE, write_outcome
    from cidesign.runs import Run, SinglePixelRun, open_run

    if len(paths) > 2:
        raise InputError(f"{len(paths)} paths are given; name the run and the capture, or the capture alone")
    capture = paths[-1]
    found = open_run(paths[0] if len(paths) == 2 else None, Run)
    if len(paths) == 1:
        note(f"run: {found.path} (the newest)")
    if found.settings.modality == "mri":
        _reconstruct_kspace(found.path, capture, calibration, out, assignments, force, as_json)
        return
    if assignments:
        raise click.UsageError("--set means nothing for a run of the modality single-pixel")
    opened = SinglePixelRun(found.path)
    folder = out or opened.path / ("hadamard" if reader == "hadamard" else "images")
    refuse_existing(folder, force)
    if reader == "hadamard":
        if calibration is not None:
            raise InputError("--calibration: a Hadamard capture is in arbitrary units and takes none; leave it out")
        outcome = reconstruct_hadamard(opened, capture, region)
    else:
        if region is not None:
            raise InputError("--region: only Hadamard captures have regions; add --reader hadamard")
        if calibration is None:
            raise InputError(
                f"--calibration is missing; make one with `cidesign calibrate {capture} --run {opened.path} --out CAL`"
            )
        outcome = reconstruct_capture(opened, capture, calibration)
    write_outcome(folder, outcome, force)
    for text in outcome.remarks:
        note(f"note: {text}")
    text = f"{folder}: {outcome.heading}\n{table(outcome.rows, outcome.header)}"
    result({"folder": str(folder), "file": str(folder / RECORD_FILE), **outcome.record}, text, as_json)
    next_step(f"cidesign report {quoted(opened.path)} --include {quoted(folder)}")


def _reconstruct_kspace(
    run: Path,
    capture: Path,
    calibration: Path | None,
    out: Path | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    from cidesign.cli.mri_capture import reconstruct_mri
    from cidesign.errors import InputError
    from cidesign.runs import MriRun

    refuse_options(
        click.get_current_context(), ("paths", "calibration", "out", "assignments", "force", "as_json"), "mri"
    )
    if calibration is None:
        raise InputError(
            f"--calibration is missing; make one with `cidesign calibrate {capture} --run {run} --out CAL`"
        )
    folder = out or run / "images"
    fields = keyword_values(reconstruct_mri, assignments, ("force",))
    result(*reconstruct_mri(MriRun(run), capture, calibration, folder, force=force, **fields), as_json)
    next_step(f"cidesign report {quoted(run)} --include {quoted(folder)}")
