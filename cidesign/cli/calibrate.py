"""`cidesign calibrate`: what the bench really does, and whether that may be believed."""

from dataclasses import asdict
from pathlib import Path

import click

from cidesign import api, benchwork
from cidesign.benchwork import typed
from cidesign.calibration.plan import plan_text
from cidesign.calibration.verify import CHECK_HEADER, check_rows, require_passed, verdict_words
from cidesign.cli.assignments import assigned, options, set_option
from cidesign.cli.computer.words import run_folders
from cidesign.cli.display.waiting import waiting
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.files import Json, JsonObject, refuse_existing
from cidesign.modality import modality
from cidesign.runs import Run
from cidesign.text import table

# With --fine-tune these belong to the training: passes over the images, how many there are, and their seed.
TRAINING_SETTINGS = ("epochs", "images", "seed")


@click.command("calibrate")
@click.argument("capture", type=click.Path(path_type=Path), required=False)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    shell_complete=run_folders,
    help="Run (or design folder) whose device was used [default: the newest run].",
)
@click.option("--out", type=click.Path(path_type=Path), help="Calibration folder to write [default: RUN/calibration].")
@click.option(
    "--instrument",
    type=click.Path(path_type=Path),
    help="A TOML file that describes the instrument, instead of captures of its calibration; CAPTURE, a scene, is then "
    "held against it and may be left out.",
)
@click.option(
    "--plan", is_flag=True, help="Print what to capture, in which order and why; with --out also write what helps."
)
@click.option(
    "--fine-tune",
    is_flag=True,
    help="Then adapt the student's decoder to the calibrated operator; without CAPTURE, to the calibration in --out.",
)
@set_option
@force_option
@json_option
def command(
    capture: Path | None,
    run: Path | None,
    out: Path | None,
    instrument: Path | None,
    plan: bool,
    fine_tune: bool,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate the bench of a run from CAPTURE, and verify on data that the fit did not use.

    CAPTURE is a capture folder with what --plan lists; for an MRI run also raw k-space of a scanner (ISMRMRD, Siemens
    twix, BART, fastMRI-style HDF5, npy).  Every check is printed with what it resembles when it fails.  A calibration
    that fails is written, never over an earlier one, and `cidesign reconstruct` refuses it; this command then leaves
    with 3.  One whose captures lack what it takes to judge it (known card, white target, phantom) is not verified: it
    is written and can be used, this command leaves with 0, and its last line says what was NOT LOOKED AT.  With
    --fine-tune, --set also takes epochs, images and seed of the training.

    With --instrument the bench of a coded-aperture camera is described: its mask as an image or a cube, the step from
    band to band, the lamp; what the file leaves out is as designed.  A white target in CAPTURE verifies it; without
    one it is not verified, and a scene in which the mask shows otherwise than described is refused.
    """
    found = api.open_designed(run)
    if run is None:
        note(f"run: {found.path} (the newest)")
    if plan:
        _print_plan(found, out, capture, force, as_json)
        return
    folder = out or found.known_as / "calibration"
    named = assigned(assignments)
    if capture is None and instrument is None:
        if not fine_tune:
            raise click.UsageError("name the CAPTURE to calibrate from, or ask for --plan or --fine-tune")
        result(*_fine_tuned(found, folder, named, force), as_json)
        return
    refuse_existing(folder, force)
    training = _training_of(found, named) if fine_tune else {}
    with waiting():
        done = benchwork.calibrate(found, capture, folder, instrument=instrument, force=force, **options(named))
    verification, place = done.verification, done.calibration.path
    text = f"{done.written.text}\n\n{table(check_rows(verification.checks), CHECK_HEADER)}"
    value: dict[str, Json] = {
        **done.written.value,
        "verdict": verification.verdict,
        "not_looked_at": [one.model_dump() for one in verification.not_looked_at],
    }
    if verification.verdict == "failed":
        result(value, f"{text}\n{verdict_words(verification)}", as_json)
        require_passed(place, verification, False)
    if fine_tune:
        value["fine_tune"], more = _fine_tuned(found, place, training, force)
        text += f"\n{more}"
    _suggest(found, capture, place)
    # The verdict is the last line on the screen, whatever came before.
    result(value, f"{text}\n{verdict_words(verification)}", as_json)
    if as_json and verification.verdict == "not verified":
        note(verdict_words(verification))


def _suggest(run: Run, capture: Path | None, calibration: Path) -> None:
    scene = "CAPTURE" if capture is None else quoted(capture)
    next_step(
        f"cidesign reconstruct {quoted(run.known_as)} {scene} --calibration {quoted(calibration)} "
        f"--out {quoted(calibration.parent / 'images')}"
    )


def _training_of(run: "Run", named: dict[str, object]) -> dict[str, object]:
    """The settings of fine-tuning, taken from all; what cannot be tuned is refused before anything is calibrated."""
    from cidesign.reconstruct.fine_tune import fine_tuning_of

    training = {name: named.pop(name) for name in TRAINING_SETTINGS if name in named}
    fine_tuning_of(run, options(training))
    return training


def _fine_tuned(run: "Run", folder: Path, settings: dict[str, object], force: bool) -> tuple[JsonObject, str]:
    from cidesign.reconstruct.fine_tune import fine_tune_for

    done = fine_tune_for(run, folder, force=force, say=note, **options(settings))
    return done.value, done.text


def _print_plan(run: "Run", out: Path | None, capture: Path | None, force: bool, as_json: bool) -> None:
    if capture is not None:
        raise click.UsageError("--plan says what to capture; it takes no CAPTURE")
    kind, opened = modality(run.settings.modality), typed(run)
    bench = kind.bench()
    steps = bench.plan(opened)
    text = plan_text(steps)
    if out is not None:
        if not bench.plan_files(opened, out, force):
            raise click.UsageError(f"--out with --plan: a {kind.name} run has no files that help; leave it out")
        text += f"\nwritten: {out} (the card to print, its picture as an array, a capture.json to complete)"
    result({"steps": [asdict(step) for step in steps]}, text, as_json)
