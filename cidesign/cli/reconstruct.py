"""`cidesign reconstruct`: images from a capture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cidesign import api, benchwork
from cidesign.cli.assignments import assigned, options, set_option
from cidesign.cli.computer.words import run_folders
from cidesign.cli.display.waiting import waiting
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.errors import InputError
from cidesign.files import refuse_existing
from cidesign.modality import modality_of_reader
from cidesign.runs import Run

# Captures of other kinds have readers of their own, which the modality of the run names.
FOLDER = "folder"


@click.command("reconstruct")
@click.argument(
    "paths",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
    metavar="[RUN] CAPTURE",
    shell_complete=run_folders,
)
@click.option(
    "--design",
    type=click.Path(path_type=Path),
    help="A design folder in place of RUN: no training is needed, the images are the best linear estimate and others.",
)
@click.option(
    "--decoder",
    type=click.Path(path_type=Path),
    help="A FILE.onnx of `cidesign export --decoder onnx` in place of RUN: torch is not needed, one image is made.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="Calibration folder of this bench [default: the bench as designed, which is not verified].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write [default: RUN/images or RUN/READER, beside CAPTURE where a reader needs no RUN].",
)
@click.option(
    "--accept-failed",
    is_flag=True,
    help="Go on with a calibration that failed its verification, or does not fit this capture any more.",
)
@click.option(
    "--reader",
    default=FOLDER,
    show_default=True,
    help="What CAPTURE is: a capture folder (or a bare array, or raw k-space), readings of Hadamard patterns (.npz, "
    ".mat, .npy, .csv), or a SPAS acquisition (NAME_spectraldata.npz with NAME_metadata.json).",
)
@click.option("--region", type=int, help="Detector region of a Hadamard capture [default: the middle one].")
@click.option("--band-nm", type=(float, float), help="Wavelengths of a SPAS capture to add up [default: all].")
@set_option
@force_option
@json_option
def command(
    paths: tuple[Path, ...],
    design: Path | None,
    decoder: Path | None,
    calibration: Path | None,
    out: Path | None,
    accept_failed: bool,
    reader: str,
    region: int | None,
    band_nm: tuple[float, float] | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Reconstruct CAPTURE with the student of RUN, beside baselines and with diagnostics.

    RUN is a run folder, or a design folder; without it the newest run below runs/ is used.  CAPTURE is a capture
    folder, or a file of readings alone.  Images are written as PNG, OME-TIFF (float32) and npz, cubes as ENVI too,
    slices of scans as NIfTI.  The decoder takes the calibrated operator; without a calibration that of the bench as it
    was designed, which nobody has verified.  A calibration that failed its verification is refused, and so is one that
    does not describe this capture: of another device, exposure or region, too old, or contradicted by the card, white
    target or phantom in the capture itself.  The last line, and `verdict` of reconstruction.json, say what the images
    rest on: passed, or not verified with what was not looked at.

    With --reader hadamard, CAPTURE holds a reading for every Hadamard pattern.  The readings that any other
    patterns would have given follow from them: the student's patterns are compared with the coarsest Hadamard
    patterns and random ones.  Needs no calibration.  The order in which the image is smooth, and the first reading,
    say how the readings are meant; --set order=NAME and --set patterns=signed|0/1|pairs|halves state it.  Of some of
    the patterns, or of a size (--set size=HxW) other than the run's, images are made of the rows that were shown.
    """
    if decoder is not None:
        if len(paths) > 1 or design is not None:
            raise InputError(f"--decoder {decoder}: takes the place of the run; name the capture alone")
        if reader != FOLDER or region is not None or band_nm is not None or assignments:
            raise InputError("--decoder: takes captures of its own patterns; leave --reader, its options and --set out")
        folder = out or decoder.with_name(f"{decoder.stem}-images")
        frozen = benchwork.reconstruct_frozen(
            decoder, paths[0], calibration, folder, accept_failed=accept_failed, force=force
        )
        result(*frozen.printed, as_json)
        return
    capture, named = paths[-1], assigned(assignments)
    if reader != FOLDER:
        if calibration is not None:
            raise InputError(f"--calibration: captures of the reader {reader} take none; leave it out")
        typed = {"region": region, "band_nm": band_nm}
        named |= {name: value for name, value in typed.items() if value is not None}
        _read(paths, design, reader, out, force, as_json, options(named))
        return
    run = _run_of(paths, design)
    folder = out or run.known_as / "images"
    if region is not None or band_nm is not None:
        raise InputError("--region and --band-nm: only other readers' captures have them; add --reader")
    refuse_existing(folder, force)
    with waiting():
        done = benchwork.reconstruct(
            run, capture, calibration, folder, accept_failed=accept_failed, force=force, **options(named)
        )
    result(*done.printed, as_json)
    next_step(f"cidesign report {quoted(run.known_as)} --include {quoted(folder)}")


def _read(
    paths: tuple[Path, ...],
    design: Path | None,
    reader: str,
    out: Path | None,
    force: bool,
    as_json: bool,
    settings: Mapping[str, Any],
) -> None:
    """Images of a capture of another kind."""
    # What needs no run is not given the newest one, which is of another camera.
    alone = len(paths) == 1 and design is None and modality_of_reader(reader) is not None
    run, capture = None if alone else _run_of(paths, design), paths[-1]
    folder = out or (capture.with_name(f"{capture.stem}-images") if run is None else run.known_as / reader)
    with waiting():
        done = benchwork.reconstruct_with_reader(run, capture, reader, folder, force=force, **settings)
    result(*done.printed, as_json)
    if run is not None:
        next_step(f"cidesign report {quoted(run.known_as)} --include {quoted(folder)}")


def _run_of(paths: tuple[Path, ...], design: Path | None) -> Run:
    """The run that was named, or that of a design without training."""
    if len(paths) > 2:
        raise InputError(f"{len(paths)} paths are given; name the run and the capture, or the capture alone")
    if design is not None:
        if len(paths) == 2:
            raise InputError(f"--design {design}: takes the place of the run {paths[0]}; name one of them")
        from cidesign.designs.untrained import untrained_run

        return untrained_run(design)
    run = api.open_designed(paths[0] if len(paths) == 2 else None)
    if len(paths) == 1:
        note(f"run: {run.path} (the newest)")
    return run
