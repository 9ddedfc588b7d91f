"""`cidesign distill`: train teacher and student for a device."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cidesign.cli.assignments import assigned_texts
from cidesign.cli.computer.words import profile_names, run_folders
from cidesign.cli.display.distill import Display
from cidesign.cli.memory import keep_freed_memory
from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result
from cidesign.cli.together import together
from cidesign.designs.given import read_given
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality, modality_for
from cidesign.models.decoders import DECODERS
from cidesign.runs import Run, newest_unfinished_run
from cidesign.text import table
from cidesign.tracking.base import TRACKERS, require_trackers

if TYPE_CHECKING:  # torch loads when something is trained
    from cidesign.distill.given import GivenDesign
    from cidesign.distill.job import Listener
    from cidesign.run_settings import TrainingSettings

# Names of the run's record, and the options that they are.
NOT_BY_SET = {
    "preset": "--preset NAME", "design": "--design NAME", "teacher": "--teacher RUN", "only_teacher": "--only-teacher",
    "strategy": "--strategy NAME",
}  # fmt: skip


@click.command("distill")
@click.option(
    "--profile", "profile_name", shell_complete=profile_names, help="A known profile, or your own .toml file."
)
@click.option(
    "--design",
    type=click.Path(path_type=Path),
    help="A design that exists, and stays as it is: a design folder, a run, or a file with --profile.  Only the "
    "decoder is trained; nothing with --decoder linear.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder [default: runs/PROFILE-PRESET(-teacher)].")
@click.option(
    "--teacher",
    metavar="RUN",
    shell_complete=run_folders,
    default="auto",
    show_default=True,
    help="A finished run whose teacher is taken, for this device, size or budget; auto: one below runs/ that "
    "--only-teacher stored, where one fits; none: train one.",
)
@click.option("--only-teacher", is_flag=True, help="Train a teacher alone, to be stored for many students.")
@click.option("--data", help="Images, spectral cubes or MR slices: a file or folder [default: procedural ones].")
@click.option("--preset", type=click.Choice(["quick", "standard", "paper"]), default="quick", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="[default: 1]")
@click.option("--side", type=int, help="Pixels along a side of the image; lines of an MRI matrix [default: preset's].")
@click.option("--device", help="auto, cpu, cuda, cuda:1 ... [default: auto]")
@click.option(
    "--threads", type=int, help="Threads that compute on the CPU [default: as many as are fastest while it trains]."
)
@click.option("--task", help="reconstruct [default], or classify: which class a scene is of, from labelled --data.")
@click.option(
    "--decoder", help=f"{', '.join(DECODERS)}, or one of an installed package [default: unet; classifier for classes]."
)
@click.option(
    "--ladder",
    help="Teachers, the freest first: real,4-bit or real@204 (DMD), real (aperture), R2,R3 or soft (MRI); auto: a few "
    "are trained and stored, and the one is taken from which the student starts best.",
)
@click.option(
    "--start",
    type=click.Choice(["teacher", "fresh"]),
    help="Where the student begins: at its teacher's optics and decoder [default], or anew.",
)
@click.option(
    "--losses",
    type=click.Choice(["effective", "published"]),
    help="Guiding terms on what is built and free of scale [default], or as published.",
)
@click.option(
    "--weighting",
    type=click.Choice(["fixed", "gradient", "uncertainty"]),
    help="Guiding terms balanced by their gradients [default, with the default weights], terms with fixed weights, or "
    "all by learnt variances.",
)
@click.option(
    "--weight-decoder",
    type=click.FloatRange(0, 1e6),
    help="Guiding term on features [default: 0.1 of the task's gradient; 0 where another weight is given].",
)
@click.option("--weight-encoder", type=click.FloatRange(0, 1e6), help="Guiding term on operators [default: likewise].")
@click.option(
    "--weight-output",
    type=click.FloatRange(0, 1e6),
    help="Guiding term on the teacher's predictions, soft labels [default: 0].",
)
@click.option(
    "--recipe",
    type=click.Choice(["published"]),
    help="Settings taken together: the published method, as a baseline. What is given by name as well wins.",
)
@click.option(
    "--teacher-epochs", type=click.IntRange(0, 100_000), help="[default: the preset's]; 0 with --design: no teacher."
)
@click.option(
    "--student-epochs",
    type=click.IntRange(0, 100_000),
    help="[default: the preset's; end to end: those of teacher and student]",
)
@click.option(
    "--strategy",
    type=click.Choice(["auto", "distill", "e2e"]),
    default="auto",
    show_default=True,
    help="A student of a teacher (distill), or optics and decoder trained end to end without one (e2e); auto: end to "
    "end only where it was measured to be ahead, and nothing is asked of a teacher.",
)
@click.option(
    "--photoelectrons",
    type=click.FloatRange(min=1),
    help="Light: photoelectrons in one all-on frame of a white scene (DMD) [default: 1e7], or in the brightest "
    "pixel (aperture) [default: 20000].",
)
@click.option(
    "--read-noise",
    type=click.FloatRange(min=0),
    help="Standard deviation of the detector's read noise, in photoelectrons [default: 100 (DMD), 5 (aperture)].",
)
@click.option("--patterns", type=int, help="DMD: number of patterns [default: 10 % of the super-pixels].")
@click.option("--bit-depth", type=click.IntRange(1, 8), help="DMD: bits of a pattern [default: 1].")
@click.option(
    "--encoding",
    type=click.Choice(["complementary", "offset"]),
    help="DMD: signed patterns are shown each with its complement [default], or once with one all-on frame.",
)
@click.option("--exposure-us", type=float, help="DMD: exposure of a frame [default: the shortest allowed].")
@click.option(
    "--sampling",
    help="MRI: what is measured of k-space: lines of a 2-D Cartesian scan [default], or points of a 3-D one.",
)
@click.option("--acceleration", type=float, help="MRI: R, lines or points over those acquired [default: 4].")
@click.option("--lines", type=int, help="MRI: lines acquired, ACS lines included, instead of --acceleration.")
@click.option("--shots", type=int, help="MRI, radial, spiral or free: how many shots, instead of --acceleration.")
@click.option(
    "--points",
    type=int,
    help="MRI: points acquired (--sampling points), ACS region included, instead of --acceleration.",
)
@click.option(
    "--acs-lines",
    type=int,
    help="MRI: central lines that are always acquired, for coil maps (auto-calibration) [default: 1/16 of all; of "
    "points 1/8, and acs_partitions likewise].",
)
@click.option("--coils", type=click.IntRange(1, 64), help="MRI: receive coils [default: 1].")
@click.option(
    "--noise",
    type=click.FloatRange(min=1e-6),
    help="MRI: standard deviation of a sample's real and imaginary part, largest pixel = 1 [default: 0.01].",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any setting of the run by its name (images=2000, channels=32); a wrong name lists them. Repeatable.",
)
@click.option(
    "--log",
    multiple=True,
    type=click.Choice(list(TRACKERS)),
    help="Show the training there too: tensorboard (events in RUN/tensorboard) or wandb (offline unless you are logged "
    "in); extras of these names. Repeatable.",
)
@click.option("--resume", is_flag=True, help="Finish the interrupted run in --out (or the newest one).")
@force_option
@json_option
@together()
def command(
    profile_name: str | None,
    design: Path | None,
    teacher: str,
    only_teacher: bool,
    out: Path | None,
    preset: str,
    assignments: tuple[str, ...],
    log: tuple[str, ...],
    resume: bool,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Design a measurement: train a teacher with freer optics, then a student that the device can realise.

    The kind of the profile decides what is designed: patterns of a micromirror device, a coded aperture, or
    what an MRI scan measures (--sampling).  With --design nothing is: a decoder is made for a design that exists.
    A teacher is worth storing (--only-teacher): each student that starts from it (--teacher RUN) needs a part of the
    epochs, also for another bit depth, number of patterns or lines, light, size or device.
    """
    keep_freed_memory()
    if resume:
        _refuse_changes(click.get_current_context())
        _report(_resume(out), as_json)
        return
    require_trackers(log)
    _require_device(profile_name, design)
    from cidesign.distill.choices.ladder import with_best_teacher
    from cidesign.distill.job import start_run
    from cidesign.distill.teachers import chosen_settings, usual_folder

    asked = None if profile_name is None else load_profile(profile_name)
    texts = assigned_texts(assignments)
    sampling = options.get("sampling") or texts.get("sampling")
    found = None if design is None else read_given(design, asked, sampling)
    for text in found.said if found else ():
        note(f"understood: {text}")
    profile = found.profile if found else cast(HardwareProfile, asked)
    given = found.given if found else None
    chosen = chosen_settings(profile, preset, given, teacher, only_teacher, _values(profile, options, texts, given))
    settings = chosen.settings
    path = out or usual_folder(profile, settings)
    alone = f"a teacher ({', '.join(settings.ladder)}) for " if only_teacher else ""
    what = _described(settings, profile, given)
    note(f"profile {profile.id}, preset {settings.preset}: {alone}{what}; run folder {path}")
    for text in chosen.said:
        note(text)

    @contextlib.contextmanager
    def listen(where: Path) -> "Iterator[Listener]":
        with Display(where, settings.task, "Repeat the command, without --force, to go on") as shown:
            yield shown.listener

    chosen = with_best_teacher(chosen, path, profile, force, note, listen)
    with Display(path, settings.task) as display:
        run = start_run(
            path, chosen.settings, profile, force, display.listener, chosen.design, chosen.teacher, chosen.choices, log
        )
    _report(run, as_json)


def _values(
    profile: HardwareProfile, options: dict[str, Any], texts: dict[str, str], given: "GivenDesign | None"
) -> dict[str, Any]:
    """All settings that were typed, as options and with --set, by name."""
    from cidesign.distill.presets import values_of_texts

    typed = {name: value for name, value in options.items() if value is not None}
    for name in texts:
        _refuse_twice(name, typed)
    # Which names there are depends on these.
    names = [name for name in ("task", "decoder", "recipe", "sampling") if name in typed]
    deciding: dict[str, str] = {name: str(typed[name]) for name in names}
    return {**values_of_texts(profile, {**deciding, **texts}, given), **typed}


def _described(settings: "TrainingSettings", profile: HardwareProfile, given: "GivenDesign | None") -> str:
    """What is designed, and for which task."""
    described = modality(settings.modality).described(settings, profile)
    if given is not None:
        described += f", as they are in {given.name}"
    return described + f"; task {settings.task}" * (settings.task != "reconstruct")


def _require_device(profile_name: str | None, design: Path | None) -> None:
    if profile_name is None and design is None:
        raise click.UsageError(
            "--profile is needed, for example --profile dlp4500 (`cidesign profiles list` shows all)"
        )


def _refuse_twice(name: str, typed: Collection[str]) -> None:
    if name in NOT_BY_SET:
        raise click.UsageError(f"--set {name}: has an option of its own; write {NOT_BY_SET[name]}")
    if name in typed:
        raise click.UsageError(f"--set {name}: given as --{name.replace('_', '-')} too; give it once")


def _refuse_changes(context: click.Context) -> None:
    """A resumed run keeps its settings; an option that would be ignored is a mistake worth stopping for."""
    given = [
        name
        for name in context.params
        if name not in ("out", "resume", "as_json")
        and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        option = "--set" if given[0] == "assignments" else "--" + given[0].removesuffix("_name").replace("_", "-")
        raise click.UsageError(f"{option} cannot be given with --resume: a resumed run keeps its own settings")


def _resume(out: Path | None) -> "Run":
    from cidesign.distill.job import resume_run

    path = out or newest_unfinished_run()
    opened = Run(path)
    note(f"{path}: finished already; nothing to do" if opened.complete else f"resuming {path}")
    with Display(path, opened.settings.task) as display:
        return resume_run(path, display.listener)


def _report(run: "Run", as_json: bool) -> None:
    from cidesign.distill.tasks.base import task_named

    metrics, columns = run.record.metrics, task_named(run.settings.task).shown
    rows = [(name, *(column.text(metrics[f"{name}_{column.metric}"]) for column in columns)) for name in run.systems]
    kind, alone = modality(run.settings.modality), run.settings.only_teacher
    timing, remarks = ({}, []) if alone else kind.measurement(run)
    lines = [
        f"{run.path}: {'a teacher for ' * alone}{kind.described(run.settings, run.profile)}, for {run.profile.id}",
        table(rows, ("system", *(column.heading() for column in columns))),
        "(validation images; the teacher's optics are freer than the device allows)"
        if "teacher" in run.systems
        else "(validation images)",
        *remarks,
    ]
    record = run.record
    value = {
        "run": str(run.path), "design_digest": record.design_digest, "teacher_digest": record.teacher_digest,
        "metrics": metrics, **timing,
        "strategy": None if record.strategy is None else record.strategy.model_dump(),
        "teacher_choice": None if record.teacher_choice is None else record.teacher_choice.model_dump(),
    }  # fmt: skip
    result(value, "\n".join(lines), as_json)
    # A profile may be for several modalities.
    same = "" if modality_for(run.profile) is kind else f" --sampling {dict(run.settings)['sampling']}"
    next_step(
        f"cidesign distill --profile {run.profile.id}{same} --teacher {quoted(run.path)}"
        if alone
        else f"cidesign export {quoted(run.path)}"
    )
