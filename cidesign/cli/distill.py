"""`cidesign distill`: train teacher and student for a device."""

import signal
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cidesign.cli.output import force_option, json_option, next_step, note, quoted, result, table

if TYPE_CHECKING:
    from cidesign.runs import Run


@click.command("distill")
@click.option("--profile", "profile_name", help="A known profile, or your own .toml file.")
@click.option("--out", type=click.Path(path_type=Path), help="The run folder [default: runs/PROFILE-PRESET].")
@click.option("--data", help="A folder of images [default: procedural images].")
@click.option("--preset", type=click.Choice(["quick", "standard", "paper"]), default="quick", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
@click.option("--side", type=int, help="Super-pixels along a side of the image [default: the preset's].")
@click.option("--patterns", type=int, help="Number of patterns [default: 10 % of the super-pixels].")
@click.option("--bit-depth", type=click.IntRange(1, 8), default=1, show_default=True)
@click.option(
    "--encoding",
    type=click.Choice(["complementary", "offset"]),
    default="complementary",
    show_default=True,
    help="How signed patterns are shown: each with its complement, or once with one all-on frame.",
)
@click.option(
    "--photoelectrons",
    type=click.FloatRange(min=1),
    default=1e7,
    show_default=True,
    help="Light: photoelectrons in one all-on frame of a white scene.",
)
@click.option(
    "--read-noise",
    type=click.FloatRange(min=0),
    default=100.0,
    show_default=True,
    help="Standard deviation of the detector's read noise, in photoelectrons.",
)
@click.option("--exposure-us", type=float, help="Exposure of a frame [default: the shortest the device allows].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--resume", is_flag=True, help="Finish the interrupted run in --out (or the newest one).")
@force_option
@json_option
def command(
    profile_name: str | None,
    out: Path | None,
    data: str | None,
    preset: str,
    seed: int,
    side: int | None,
    patterns: int | None,
    bit_depth: int,
    encoding: Any,
    photoelectrons: float,
    read_noise: float,
    exposure_us: float | None,
    device: str,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Design the patterns for a device: train a teacher with free optics, then a student that the device can show."""
    if resume:
        _refuse_changes(click.get_current_context())
        _report(_resume(out), as_json)
        return
    if profile_name is None:
        raise click.UsageError(
            "--profile is needed, for example --profile dlp4500 (`cidesign profiles list` shows all)"
        )
    from cidesign.distill.presets import Request, check_profile, settings_for
    from cidesign.hardware_profiles.loader import load_dmd

    profile = load_dmd(profile_name)
    request = Request(
        preset, seed, data, side, patterns, bit_depth, encoding, photoelectrons, read_noise, exposure_us, device
    )
    settings = settings_for(request)
    check_profile(settings, profile)
    path = out or Path("runs") / f"{profile.id}-{preset}"
    note(
        f"profile {profile.id}, preset {preset}: {settings.patterns} patterns of {settings.side} x {settings.side}, "
        f"{settings.bit_depth} bit, {settings.encoding}; run folder {path}"
    )
    from cidesign.distill.job import start_run

    with _Display(path) as display:
        run = start_run(path, settings, profile, force, display.listener)
    _report(run, as_json)


def _refuse_changes(context: click.Context) -> None:
    """A resumed run keeps its settings; an option that would be ignored is a mistake worth stopping for."""
    given = [
        name
        for name in context.params
        if name not in ("out", "resume", "as_json")
        and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        option = "--" + given[0].removesuffix("_name").replace("_", "-")
        raise click.UsageError(f"{option} cannot be given with --resume: a resumed run keeps its own settings")


def _resume(out: Path | None) -> "Run":
    from cidesign.distill.job import resume_run
    from cidesign.runs import newest_run

    path = out or newest_run()
    note(f"resuming {path}")
    with _Display(path) as display:
        return resume_run(path, display.listener)


class _Display:
    """The progress bar, and Ctrl-C: the first one stops after the step with a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "_Display":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from cidesign.distill.job import Interrupted, Listener

        display = self
        self.stop = False
        self.progress = Progress(
            TextColumn("{task.description:8s}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("loss {task.fields[loss]:.5f}  PSNR {task.fields[psnr]:5.2f} dB"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        tasks: dict[str, Any] = {}

        class Shown(Listener):
            def images(self, images: Any) -> None:
                note(f"training images: {images.description}")
                for remark in images.notes:
                    note(f"note: {remark}")
                if images.skipped:
                    note(f"skipped {len(images.skipped)} unreadable files:")
                    for line in images.skipped[:20]:
                        note(f"  {line}")

            def step(self, report: Any) -> None:
                if report.phase not in tasks:
                    tasks[report.phase] = display.progress.add_task(
                        report.phase, total=report.steps, completed=report.step - 1, loss=0.0, psnr=0.0
                    )
                display.progress.update(
                    tasks[report.phase], completed=report.step, loss=report.loss, psnr=report.psnr_db
                )
                if display.stop:
                    raise Interrupted

            def epoch(self, values: dict[str, Any]) -> None:
                display.progress.console.print(
                    f"{values['phase']} epoch {values['epoch']}: validation {values['psnr_db']:.2f} dB "
                    f"(its linear estimate {values['linear_psnr_db']:.2f} dB)",
                    highlight=False,
                )

        self.listener = Shown()
        self.before = signal.signal(signal.SIGINT, self._on_interrupt)
        self.progress.start()
        return self

    def _on_interrupt(self, number: int, frame: types.FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from cidesign.distill.job import Interrupted

        self.progress.stop()
        signal.signal(signal.SIGINT, self.before)
        if kind is Interrupted:
            note(f"stopped; nothing is lost. Go on with `cidesign distill --resume --out {quoted(self.path)}`")
            raise click.exceptions.Exit(130)


def _report(run: "Run", as_json: bool) -> None:
    from cidesign.constraints.sequence import plan_sequence, video_time_us
    from cidesign.units import format_duration_us

    settings, metrics = run.settings, run.record.metrics
    frames = len(run.design.frames())
    plan = plan_sequence(run.profile, frames, settings.bit_depth, settings.exposure_us)
    video_us = video_time_us(run.profile, frames, settings.bit_depth, plan.exposure_us)
    rows = [
        (
            name,
            f"{metrics[f'{name}_psnr_db']:.2f}",
            f"{metrics[f'{name}_ssim']:.3f}",
            f"{metrics[f'{name}_linear_psnr_db']:.2f}",
        )
        for name in ("teacher", "student")
    ]
    times = (
        f"one image takes {frames} frames of {plan.exposure_us} us: {format_duration_us(plan.total_us)} on the device"
    )
    if video_us is not None:
        times += f" from flash, {format_duration_us(video_us)} streamed over HDMI"
    lines = [
        f"{run.path}: {settings.patterns} patterns of {settings.side} x {settings.side} for {run.profile.id}",
        table(rows, ("system", "PSNR dB", "SSIM", "linear estimate dB")),
        "(validation images; the teacher's real-valued optics cannot be built)",
        times,
        *(f"note: {remark}" for remark in plan.notes),
    ]
    value = {
        "run": str(run.path),
        "design_digest": run.record.design_digest,
        "metrics": metrics,
        "frames": frames,
        "exposure_us": plan.exposure_us,
        "acquisition_us": plan.total_us,
        "video_us": video_us,
    }
    result(value, "\n".join(lines), as_json)
    next_step(f"cidesign export {quoted(run.path)}")
