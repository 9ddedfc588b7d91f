"""`cidesign simulate`: a digital twin of the bench."""

import tomllib
from pathlib import Path

import click

from cidesign import api, benchwork
from cidesign.calibration.faults import parse_faults
from cidesign.cli.assignments import assigned, options, set_option
from cidesign.cli.computer.words import run_folders
from cidesign.cli.display.waiting import waiting
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.errors import InputError
from cidesign.files import read_limited, refuse_existing
from cidesign.modality import modality


@click.command("simulate")
@click.argument("run", type=click.Path(path_type=Path), required=False, shell_complete=run_folders)
@click.option("--out", type=click.Path(path_type=Path), help="Capture folder to write [default: RUN/capture].")
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    help="What to look at: a picture, cube or slice in any file that --data takes [default: a procedural one, never a "
    "training image].",
)
@click.option(
    "--bench",
    type=click.Path(path_type=Path),
    help="A TOML file with the tables [settings] (names as with --set) and [faults] (name = strength).",
)
@click.option(
    "--fault",
    "fault_texts",
    multiple=True,
    metavar="NAME[=STRENGTH]",
    help="Something that is wrong with the bench; may be repeated, a wrong name lists them.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise and the scene.")
@set_option
@force_option
@json_option
def command(
    run: Path | None,
    out: Path | None,
    scene: Path | None,
    bench: Path | None,
    fault_texts: tuple[str, ...],
    seed: int,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Simulate what the bench of RUN would record: a scene, and the calibration captures that go with it.

    The folder holds what `cidesign calibrate --plan` lists: dark and white frames and targets (single-pixel camera);
    dark, flat, narrow lines and a white target (SD-CASSI); a noise scan and a phantom (MRI).  Faults are those of the
    whole bench: all captures of the folder show them.

    RUN is a run folder, or a design folder; without it the newest run below runs/ is used.
    """
    found = api.open_designed(run)
    if run is None:
        note(f"run: {found.path} (the newest)")
    folder = out or found.known_as / "capture"
    refuse_existing(folder, force)
    settings, stored_faults = read_bench_file(bench)
    # What is typed counts more than what stands in the file.
    typed = parse_faults(fault_texts, modality(found.settings.modality).bench().faults)
    faults = stored_faults | {str(name): strength for name, strength in typed.items()}
    named = {**settings, **assigned(assignments)}
    with waiting():
        done = benchwork.simulate(
            found, folder, faults=faults, scene=scene, seed=seed, force=force, **options(named, "seed")
        )
    result(*done.printed, as_json)
    calibration = folder.parent / "calibration"
    next_step(f"cidesign calibrate {quoted(folder)} --run {quoted(found.known_as)} --out {quoted(calibration)}")


def read_bench_file(path: Path | None) -> tuple[dict[str, object], dict[str, float]]:
    """The tables of a `bench.toml`: [settings] (names as with --set) and [faults] (name = strength).

    Raises `InputError` for a file that is no such TOML.
    """
    if path is None:
        return {}, {}
    try:
        content = tomllib.loads(read_limited(path, "bench file", 1_000_000).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: this bench file is no TOML ({error})") from error
    unknown = sorted(set(content) - {"settings", "faults"})
    if unknown or not all(isinstance(part, dict) for part in content.values()):
        raise InputError(
            f"{path}: a bench file has the tables [settings] and [faults]; found {', '.join(sorted(content))}"
        )
    faults = content.get("faults", {})
    wrong = [name for name, value in faults.items() if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise InputError(f"{path}: faults.{wrong[0]} is no number; write the strength of the fault")
    return content.get("settings", {}), faults
