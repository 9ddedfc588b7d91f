"""One run from its settings to its finished folder, resumable at every step."""

import contextlib
import functools
import os
from pathlib import Path

import torch
from torch import Tensor

from cidesign import __version__
from cidesign.data.source import TrainingImages, load_images
from cidesign.distill.checkpoint import Progress, load_checkpoint, restore, save_checkpoint
from cidesign.distill.examples import Examples, training_examples
from cidesign.distill.finish import exact, finish_run
from cidesign.distill.loop import (
    StepReport,
    as_floats,
    evaluate,
    generator_for,
    make_optimiser,
    phases_of,
    train_phase,
)
from cidesign.distill.losses import gradients_of_terms
from cidesign.distill.needs import Needs, Pace, needs_of, steps_left
from cidesign.distill.recipes import recipe_said
from cidesign.distill.run_folder import (
    EpochReport,
    append_metrics,
    cut_metrics,
    placed,
    remove_remains,
    tidy_finished,
)
from cidesign.distill.streams import Stream
from cidesign.distill.systems import SystemMaker
from cidesign.distill.tasks.base import task_named
from cidesign.distill.teachers import StoredTeacher
from cidesign.distill.threads import Threads, training_threads
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import refuse_existing
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.locks import FolderLock, refuse_held
from cidesign.models.system import ImagingSystem, load_kept_teacher, require_decoder
from cidesign.models.teacher_record import read_teacher_record
from cidesign.pattern import Design
from cidesign.physics.base import looking_at
from cidesign.records import now_utc
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Choices, Run, RunRecord, library_versions

START = "cidesign distill"
# By then, counted from the first step, it is told how long training takes, even if threads are still being timed.
TOLD_AFTER_S, TOLD_AFTER_STEPS = 20.0, 5


class Interrupted(Exception):
    """Training was asked to stop; the checkpoint holds the last finished step."""


class Listener:
    """What a run tells while it trains; the command line overrides what it shows."""

    def remark(self, text: str) -> None:
        """Something that the user should know and need not act on."""

    def needs(self, needs: Needs) -> None:
        """What training will take; there are no images yet."""

    def images(self, images: TrainingImages) -> None:
        """The training images are ready."""

    def pace(self, pace: Pace) -> None:
        """How long it will take, told after the first steps; twice where these are slow."""

    def step(self, report: StepReport) -> None:
        """A step is done; raise `Interrupted` to stop with a checkpoint of exactly this step."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch is done."""


def start_run(
    path: Path,
    settings: TrainingSettings,
    profile: HardwareProfile,
    force: bool,
    listener: Listener,
    design: Design | None = None,
    teacher: StoredTeacher | None = None,
    choices: Choices | None = None,
) -> Run:
    """Train a new run in folder `path`; an old one is replaced only with `force`, after reading the images.

    `design` and `teacher` are those that `settings.design` and `settings.teacher` name, where they do; `choices` is
    what is kept of why the settings are these.
    """
    if (design is None) != (settings.design is None):
        raise InputError(f"design {settings.design}: the settings and the design itself go together; give both")
    if (teacher is None) != (settings.teacher is None):
        raise InputError(f"teacher {settings.teacher}: the settings and the teacher itself go together; give both")
    require_free(path, force)
    with contextlib.ExitStack() as held:
        old = None
        if path.exists():
            if not (path / "run.json").is_file():
                raise FileError(
                    f"{path}: this folder is not a run, so --force does not replace it; choose another name"
                )
            old = held.enter_context(FolderLock(path, f"{START} --force"))
        if (said := recipe_said(settings)) is not None:
            listener.remark(said)
        listener.needs(needs_of(settings, profile, None if teacher is None else teacher.record))
        images = load_images(settings, profile)
        settings = task_named(settings.task).settled(settings, images)
        if teacher is not None:
            teacher.require_classes(settings)
        listener.images(images)
        record = new_record(settings, profile, images, design, teacher, choices)
        held.enter_context(placed(path, record, design, teacher, old))
        return _train(Run(path), images, listener)


def require_free(path: Path, force: bool) -> None:
    """Raise `FileError` where the folder of a new run is taken and, without `force`, is not to be replaced."""
    if (path / "run.json").is_file() and not force and not Run(path).complete:
        refuse_held(path)
        raise FileError(
            f"{path}: an unfinished run is here; finish it with `cidesign distill --resume --out {path}`, "
            "or repeat with --force to replace it"
        )
    refuse_existing(path, force)


def new_record(
    settings: TrainingSettings,
    profile: HardwareProfile,
    images: TrainingImages,
    design: Design | None,
    teacher: StoredTeacher | None = None,
    choices: Choices | None = None,
) -> RunRecord:
    """The record of a run that begins; `design` is the one that is given, None where the optics are learnt, and
    `teacher` the stored one, None where the run trains its own."""
    decided = choices or Choices()
    return RunRecord(
        schema_version=2,
        kind="run",
        status="training",
        created_utc=now_utc(),
        cidesign_version=__version__,
        versions=library_versions(),
        settings=settings,
        profile=profile.model_dump(mode="json"),
        profile_digest=profile.digest,
        data_digest=images.digest,
        teacher_digest=None if teacher is None else teacher.record.weights_digest,
        design_digest=None if design is None else design.design_digest,
        metrics={},
        strategy=decided.strategy,
        teacher_choice=decided.teacher,
    )


def resume_run(path: Path, listener: Listener) -> Run:
    """Finish an interrupted run; the result has the same bits as an uninterrupted one on the same machine, where the
    number of threads is fixed or was chosen alike.

    A finished run is returned as it is.  Raises `FileError` when another process trains it.
    """
    if (run := Run(path)).complete:
        tidy_finished(path)
        return run
    with FolderLock(path, f"{START} --resume") as lock:
        if lock.took_over is not None:
            listener.remark(f"{lock.took_over} was killed; going on from the last checkpoint")
        if (run := Run(path)).complete:  # another process has finished it just now
            return run
        remove_remains(path)
        require_decoder(run)
        teacher = None if run.settings.teacher is None else read_teacher_record(run)
        listener.needs(needs_of(run.settings, run.profile, teacher, resumed=True))
        images = load_images(run.settings, run.profile)
        if images.digest != run.record.data_digest:
            raise FileError(f"{path}: {other_images(run.settings.data)}; start a new run")
        listener.images(images)
        return _train(run, images, listener)


def other_images(data: str) -> str:
    """What to say of a run whose images are not found again."""
    return (
        f"the images drawn from {data} are not those that this run started with: files were changed, or its cidesign "
        "cut them in another way"
    )


def _train(run: Run, images: TrainingImages, listener: Listener) -> Run:
    found = load_checkpoint(run)
    with training_threads(run.settings, found[0].threads if found else None) as threads:
        return _train_phases(run, images, found, listener, threads)


def _train_phases(
    run: Run,
    images: TrainingImages,
    found: tuple[Progress, dict[str, Tensor]] | None,
    listener: Listener,
    threads: Threads,
) -> Run:
    settings = run.settings
    # Same seed, same bits: algorithms whose result depends on the order of threads are refused by torch.  A GPU has
    # no other algorithm for some steps; there torch warns, and cuBLAS needs this workspace to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=settings.device != "cpu")
    stored = training_examples(images, settings.device)
    torch.manual_seed(settings.seed)
    maker = SystemMaker(settings, run.profile, stored[0].images, run.given_design())
    phases = phases_of(settings)
    progress, tensors = found if found else (Progress(phases[0]), {})
    told = _Told(settings, len(stored[0]) // settings.batch, listener, threads)
    cut_metrics(run.path, progress.metrics_bytes)
    teacher = None if settings.teacher is None else maker.prepared(load_kept_teacher(run))
    for phase in phases[phases.index(progress.phase) :]:
        system = maker.system(phase)
        begins = progress.phase != phase or not tensors
        if begins and teacher is not None and (phase != "student" or settings.start == "teacher"):
            maker.warm_start(system, teacher)
        if progress.phase != phase:
            kept = {name: getattr(progress, name) for name in ("metrics_bytes", "seconds", "threads")}
            progress = Progress(phase, **kept)
            save_checkpoint(run, progress, system, teacher, make_optimiser(system, settings))
        elif phase == "student" and len(phases) > 1:
            teacher = maker.system(phases[-2])
            restore(tensors, system, teacher, make_optimiser(system, settings))
        guide = teacher.eval().requires_grad_(False) if teacher is not None and phase == "student" else None
        guide_digest = guide.digest() if guide is not None else None
        _run_phase(run, system, guide, stored, progress, tensors, told)
        if guide is not None and guide.digest() != guide_digest:
            raise CidesignError(f"{run.path}: the frozen teacher changed while the student trained; please report this")
        with exact(system):
            task_named(settings.task).finish(system, stored[1], settings)
        if phase == "student":
            return finish_run(run, guide, system, stored[1], progress)
        teacher = system
    return finish_run(run, teacher, None, stored[1], progress)


class _Told:
    """What a run tells its listener of its steps: each of them, and early how long all will take.

    Where the first steps are slow, it is told with the count that they have, and again when the count is chosen.
    """

    def __init__(self, settings: TrainingSettings, per_epoch: int, listener: Listener, threads: Threads) -> None:
        self.settings, self.per_epoch, self.listener, self.threads = settings, per_epoch, listener, threads
        self._steps, self._since_s = 0, 0.0
        self._paced: set[bool] = set()

    def step(self, progress: Progress, report: StepReport) -> None:
        """A step is done."""
        self._steps += 1
        self._since_s += self.threads.last_s
        chosen = self.threads.chosen is not None
        due = self._since_s >= TOLD_AFTER_S or (chosen and self._steps >= TOLD_AFTER_STEPS)
        if due and not self._paced & {True, chosen}:
            self._paced.add(chosen)
            step_s = self.threads.step_s or self.threads.last_s
            left = steps_left(self.settings, self.per_epoch, progress)
            count = self.threads.count if self.settings.device == "cpu" else None
            self.listener.pace(Pace(step_s * left, step_s, count, chosen))
        self.listener.step(report)


def _run_phase(
    run: Run,
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    images: tuple[Examples, Examples],
    progress: Progress,
    tensors: dict[str, Tensor],
    told: _Told,
) -> None:
    """Train one phase to its end, with a checkpoint after each epoch and at an interruption.

    The `tensors` of a checkpoint are taken: nothing of them is held while it trains.
    """
    optimiser = make_optimiser(system, run.settings)
    if tensors:
        restore(tensors, system, teacher, optimiser)
        tensors.clear()
    train, validation = images
    threads, on_step = told.threads, functools.partial(told.step, progress)
    try:
        for epoch, loss, terms in train_phase(
            system, teacher, optimiser, train, run.settings, progress, on_step, threads=threads
        ):
            metrics = {
                **evaluate(system, validation, run.settings),
                **terms,
                **_gradients(system, teacher, validation, run.settings, progress),
            }
            seconds = round(progress.seconds, 3)
            report = EpochReport(progress.phase, epoch, progress.step, loss, metrics, seconds, threads.count)
            progress.metrics_bytes = append_metrics(run.path, report)
            save_checkpoint(run, progress, system, teacher, optimiser)
            told.listener.epoch(report)
    except Interrupted:
        save_checkpoint(run, progress, system, teacher, optimiser)
        raise


def _gradients(
    system: ImagingSystem, teacher: ImagingSystem | None, seen: Examples, settings: TrainingSettings, progress: Progress
) -> dict[str, float]:
    """How strongly each term of the student's loss pulls on the optics, on one batch of validation images."""
    if teacher is None or not system.encoder.weight.requires_grad:
        return {}
    draws = generator_for(settings, Stream.GRADIENTS, progress.phase, progress.step)
    system.encoder.explore(0.0, draws)
    x = as_floats(seen.images[: settings.batch])
    with looking_at(system.encoder.places(None)[0], system.encoder, teacher.encoder):
        return gradients_of_terms(system, teacher, x, draws, settings, seen.targets(x, slice(len(x))))
