"""One run from its settings to its finished folder, resumable at every step."""

import contextlib
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cidesign import __version__
from cidesign.data.source import TrainingImages, load_images
from cidesign.distill.checkpoint import Progress, load_checkpoint, restore, save_checkpoint, trained_digest
from cidesign.distill.computing.ranks import Interrupted as Interrupted
from cidesign.distill.computing.ranks import Ranks, joined
from cidesign.distill.computing.threads import require_processors, training_threads
from cidesign.distill.examples import Examples, training_examples
from cidesign.distill.finish import exact, finish_run
from cidesign.distill.listening import Listener as Listener
from cidesign.distill.listening import Quiet, Told
from cidesign.distill.loop import (
    as_floats,
    evaluate,
    generator_for,
    make_optimiser,
    phases_of,
    train_phase,
)
from cidesign.distill.losses import gradients_of_terms
from cidesign.distill.needs import needs_of
from cidesign.distill.recipes import recipe_said
from cidesign.distill.run_folder import (
    EpochReport,
    append_metrics,
    cut_metrics,
    metrics_lines,
    placed,
    remove_remains,
    tidy_finished,
    trackers_of,
)
from cidesign.distill.streams import Stream
from cidesign.distill.systems import SystemMaker, settled_start
from cidesign.distill.tasks.base import task_named
from cidesign.distill.teachers import StoredTeacher
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import JsonObject, canonical_json, refuse_existing, sha256_bytes
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.locks import FolderLock, refuse_held
from cidesign.models.system import ImagingSystem, load_kept_teacher, require_decoder
from cidesign.models.teacher_record import read_teacher_record
from cidesign.pattern import Design
from cidesign.physics.base import looking_at
from cidesign.records import now_utc
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Choices, Run, RunRecord, library_versions
from cidesign.tracking.base import Tracked, Tracker, require_trackers, tracking

START = "cidesign distill"


def start_run(
    path: Path,
    settings: TrainingSettings,
    profile: HardwareProfile,
    force: bool,
    listener: Listener,
    design: Design | None = None,
    teacher: StoredTeacher | None = None,
    choices: Choices | None = None,
    log: Sequence[str] = (),
) -> Run:
    """Train a new run in folder `path`; an old one is replaced only with `force`, after reading the images.

    `design` and `teacher` are those that `settings.design` and `settings.teacher` name, where they do; `choices` is
    what is kept of why the settings are these.  `log` names trackers, which are told what `metrics.jsonl` is.
    Processes that torchrun started train it together; the first of them writes and tells, the listeners of the others
    hear of images and steps alone.
    """
    if (design is None) != (settings.design is None):
        raise InputError(f"design {settings.design}: the settings and the design itself go together; give both")
    if (teacher is None) != (settings.teacher is None):
        raise InputError(f"teacher {settings.teacher}: the settings and the teacher itself go together; give both")
    with joined() as ranks, contextlib.ExitStack() as held:
        heard = listener if ranks.first else Quiet(listener)
        ranks.require(settings)
        if ranks.size > 1 and settings.threads is not None and settings.device == "cpu":
            require_processors(settings.threads, ranks)
        ranks.require_same("settings", _identity(settings, profile, design, teacher))
        require_trackers(log if ranks.first else ())
        old = _replaced(path, force, held) if ranks.first else None
        if (said := recipe_said(settings)) is not None:
            heard.remark(said)
        heard.needs(needs_of(settings, profile, None if teacher is None else teacher.record, ranks=ranks))
        images = load_images(settings, profile)
        settings, began = settled_start(task_named(settings.task).settled(settings, images), profile, images.train)
        if began is not None:
            heard.remark(began)
        if teacher is not None:
            teacher.require_classes(settings)
        ranks.require_same(f"images of {settings.data}", images.digest)
        heard.images(images)
        if ranks.first:
            record = new_record(settings, profile, images, design, teacher, choices)
            held.enter_context(placed(path, record, design, teacher, old, log))
        ranks.wait()  # for the folder
        return _train(Run(path), images, heard, ranks)


def _replaced(path: Path, force: bool, held: contextlib.ExitStack) -> FolderLock | None:
    """The lock of the run that a new one replaces, None where there is none; raises `FileError` for what stays."""
    require_free(path, force)
    if not path.exists():
        return None
    if not (path / "run.json").is_file():
        raise FileError(f"{path}: this folder is not a run, so --force does not replace it; choose another name")
    return held.enter_context(FolderLock(path, f"{START} --force"))


def _identity(
    settings: TrainingSettings, profile: HardwareProfile, design: Design | None, teacher: StoredTeacher | None
) -> str:
    """What processes that train together must have been given alike."""
    digests = [
        profile.digest,
        None if design is None else design.design_digest,
        None if teacher is None else teacher.record.weights_digest,
    ]
    return settings.model_dump_json() + canonical_json(digests).decode()


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
    with joined() as ranks, contextlib.ExitStack() as held:
        if ranks.of_first(Run(path).complete):
            if ranks.first:
                tidy_finished(path)
            return Run(path)
        heard = listener if ranks.first else Quiet(listener)
        if ranks.first:
            lock = held.enter_context(FolderLock(path, f"{START} --resume"))
            if lock.took_over is not None:
                heard.remark(f"{lock.took_over} was killed; going on from the last checkpoint")
        if ranks.of_first((run := Run(path)).complete):  # another command has finished it just now
            return run
        if ranks.first:
            require_trackers(trackers_of(path))
            remove_remains(path)
        ranks.require(run.settings)
        require_decoder(run)
        teacher = None if run.settings.teacher is None else read_teacher_record(run)
        heard.needs(needs_of(run.settings, run.profile, teacher, resumed=True, ranks=ranks))
        images = load_images(run.settings, run.profile)
        if images.digest != run.record.data_digest:
            raise FileError(f"{path}: {other_images(run.settings.data)}; start a new run")
        heard.images(images)
        return _train(run, images, heard, ranks)


def other_images(data: str) -> str:
    """What to say of a run whose images are not found again."""
    return (
        f"the images drawn from {data} are not those that this run started with: files were changed, or its cidesign "
        "cut them in another way"
    )


def _train(run: Run, images: TrainingImages, listener: Listener, ranks: Ranks) -> Run:
    found = load_checkpoint(run)
    if found is not None and found[0].processes != ranks.size:
        listener.remark(
            f"{run.path}: processes that share each batch: {found[0].processes} until now, and {ranks.size} from here "
            "on; the draws of noise and the last digits become others"
        )
    with contextlib.ExitStack() as held:
        threads = held.enter_context(training_threads(run.settings, found[0].threads if found else None, ranks))
        trackers: list[Tracker] = []
        if ranks.first:
            cut_metrics(run.path, found[0].metrics_bytes if found else 0)
            if names := trackers_of(run.path):
                trackers = held.enter_context(tracking(names, _tracked(run), metrics_lines(run.path)))
        per_epoch = len(images.train) // run.settings.batch
        _train_phases(run, images, found, Told(run.settings, per_epoch, listener, threads, ranks, trackers))
    ranks.wait()  # for the record
    return Run(run.path)


def _tracked(run: Run) -> Tracked:
    settings: JsonObject = {"profile": run.profile.id, **run.settings.model_dump(mode="json")}
    # Of this run alone, also when its folder is renamed.
    identity = sha256_bytes(run.record.created_utc.encode(), run.settings_text.encode())[:16]
    return Tracked(run.path, identity, settings)


def _train_phases(
    run: Run, images: TrainingImages, found: tuple[Progress, dict[str, Tensor]] | None, told: Told
) -> None:
    settings, ranks = run.settings, told.ranks
    # Same seed, same bits: algorithms whose result depends on the order of threads are refused by torch.  A GPU has
    # no other algorithm for some steps; there torch warns, and cuBLAS needs this workspace to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=settings.device != "cpu")
    stored = training_examples(images, settings.device)
    torch.manual_seed(settings.seed)
    maker = SystemMaker(settings, run.profile, stored[0].images, run.given_design())
    phases = phases_of(settings)
    progress, tensors = found if found else (Progress(phases[0]), {})
    progress.processes = ranks.size
    teacher = None if settings.teacher is None else maker.prepared(load_kept_teacher(run))
    for phase in phases[phases.index(progress.phase) :]:
        system = maker.system(phase)
        begins = progress.phase != phase or not tensors
        if begins and teacher is not None and (phase != "student" or settings.start == "teacher"):
            maker.warm_start(system, teacher)
        if progress.phase != phase:
            kept = {name: getattr(progress, name) for name in ("metrics_bytes", "seconds", "threads", "processes")}
            progress = Progress(phase, **kept)
            if ranks.first:
                save_checkpoint(run, progress, system, teacher, make_optimiser(system, settings))
        elif phase == "student" and len(phases) > 1:
            teacher = maker.system(phases[-2])
            restore(tensors, system, teacher, make_optimiser(system, settings))
        guide = teacher.eval().requires_grad_(False) if teacher is not None and phase == "student" else None
        guide_digest = guide.digest() if guide is not None else None
        _run_phase(run, system, guide, stored, progress, tensors, told)
        if guide is not None and guide.digest() != guide_digest:
            raise CidesignError(f"{run.path}: the frozen teacher changed while the student trained; please report this")
        if ranks.first:
            with exact(system):
                task_named(settings.task).finish(system, stored[1], settings)
        ranks.take_over(system)
        if ranks.first and phase == phases[-1]:
            trained, student = (guide, system) if phase == "student" else (system, None)
            told.finished(finish_run(run, trained, student, stored[1], progress))
        teacher = system


def _run_phase(
    run: Run,
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    images: tuple[Examples, Examples],
    progress: Progress,
    tensors: dict[str, Tensor],
    told: Told,
) -> None:
    """Train one phase to its end, with a checkpoint after each epoch and at an interruption.

    The `tensors` of a checkpoint are taken: nothing of them is held while it trains.  Of several ranks the first one
    measures and writes while the others wait.
    """
    ranks = told.ranks
    ranks.take_over(system)  # arithmetic of different machines may have begun it with other last digits
    optimiser = make_optimiser(system, run.settings)
    if tensors:
        restore(tensors, system, teacher, optimiser)
        tensors.clear()
    train, validation = images
    threads, on_step = told.threads, functools.partial(told.step, progress)
    try:
        for epoch, loss, terms in train_phase(
            system, teacher, optimiser, train, run.settings, progress, on_step, threads, ranks
        ):
            if not ranks.first:
                continue
            metrics = {
                **evaluate(system, validation, run.settings),
                **terms,
                **_gradients(system, teacher, validation, run.settings, progress),
            }
            seconds = round(progress.seconds, 3)
            report = EpochReport(progress.phase, epoch, progress.step, loss, metrics, seconds, threads.count)
            progress.metrics_bytes = append_metrics(run.path, report)
            save_checkpoint(run, progress, system, teacher, optimiser)
            told.epoch(progress, report)
    except Interrupted:
        if ranks.first:
            save_checkpoint(run, progress, system, teacher, optimiser)
        raise
    if ranks.size > 1:
        ranks.require_same(f"weights after the phase {progress.phase}", trained_digest(system, optimiser))


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
