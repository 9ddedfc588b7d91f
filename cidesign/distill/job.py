"""One run from its settings to its finished folder, resumable at every step."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cidesign import __version__
from cidesign.data.source import TrainingImages, load_images
from cidesign.distill.checkpoint import FILE as CHECKPOINT_FILE
from cidesign.distill.checkpoint import Progress, load_checkpoint, restore, save_checkpoint
from cidesign.distill.loop import StepReport, evaluate, evaluation_batches, generator_for, make_optimiser, train_phase
from cidesign.errors import CidesignError, FileError
from cidesign.files import canonical_json, disk_errors, refuse_existing, sha256_bytes
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.models.system import ImagingSystem, build_system
from cidesign.physics.designs import low_frequency_cosines
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.metrics import ssim
from cidesign.runs import Run, RunRecord, RunSettings, library_versions, now_utc, write_record

METRICS_FILE = "metrics.jsonl"
PRIOR_IMAGES = 10_000
# Training moves the latent weights of a low-pass design; half-way to 0, a pattern's pixels can still change sign.
START_MAGNITUDE = 0.5


class Interrupted(Exception):
    """Training was asked to stop; the checkpoint holds the last finished step."""


class Listener:
    """What a run tells while it trains; the command line overrides what it shows."""

    def images(self, images: TrainingImages) -> None:
        """The training images are ready."""

    def step(self, report: StepReport) -> None:
        """A step is done; raise `Interrupted` to stop with a checkpoint of exactly this step."""

    def epoch(self, values: dict[str, Any]) -> None:
        """An epoch is done; `values` is the line of `metrics.jsonl`."""


def start_run(path: Path, settings: RunSettings, profile: DmdProfile, force: bool, listener: Listener) -> Run:
    """Train a new run in folder `path`; an old one is replaced only with `force`, after reading the images."""
    if (path / "run.json").is_file() and not force and not Run(path).complete:
        raise FileError(
            f"{path}: an unfinished run is here; finish it with `cidesign distill --resume --out {path}`, "
            "or repeat with --force to replace it"
        )
    refuse_existing(path, force)
    images = load_images(settings)
    listener.images(images)
    if path.exists() and not (path / "run.json").is_file():
        raise FileError(f"{path}: this folder is not a run, so --force does not replace it; choose another name")
    record = RunRecord(
        schema_version=1,
        kind="run",
        modality="single-pixel",
        status="training",
        created_utc=now_utc(),
        cidesign_version=__version__,
        versions=library_versions(),
        settings=settings,
        profile=profile.model_dump(mode="json"),
        profile_digest=profile.digest,
        data_digest=images.digest,
        teacher_digest=None,
        design_digest=None,
        metrics={},
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with disk_errors(path):
            fresh.mkdir(parents=True)
            write_record(fresh, record)
            if path.exists():  # only now, when the disk has taken the new run
                shutil.rmtree(path)
            os.replace(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return _train(Run(path), images, listener)


def resume_run(path: Path, listener: Listener) -> Run:
    """Finish an interrupted run; the result has the same bits as an uninterrupted one on the same machine."""
    run = Run(path)
    if run.complete:
        raise FileError(f"{path}: this run is finished already; nothing to resume")
    images = load_images(run.settings)
    if images.digest != run.record.data_digest:
        raise FileError(
            f"{path}: the images of {run.settings.data} are not those this run started with; start a new run"
        )
    listener.images(images)
    return _train(run, images, listener)


def _train(run: Run, images: TrainingImages, listener: Listener) -> Run:
    settings = run.settings
    # Same seed, same bits: algorithms whose result depends on the order of threads are refused by torch.  A GPU has
    # no other algorithm for some steps; there torch warns, and cuBLAS needs this workspace to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=settings.device != "cpu")
    train = torch.from_numpy(images.train).to(settings.device)
    validation = torch.from_numpy(images.validation).to(settings.device)
    torch.manual_seed(settings.seed)
    teacher, student = _new_systems(run, train)
    found = load_checkpoint(run.path)
    progress, tensors = found if found else (Progress("teacher"), {})
    _cut_metrics(run.path, progress.metrics_bytes)
    if progress.phase == "teacher":
        _run_phase(run, teacher, None, (train, validation), progress, tensors, listener)
        _warm_start(student, teacher)
        progress = Progress("student", metrics_bytes=progress.metrics_bytes, seconds=progress.seconds)
        save_checkpoint(run.path, progress, student, teacher, make_optimiser(student, settings))
        tensors = {}
    else:
        restore(tensors, student, teacher, make_optimiser(student, settings))
    teacher.eval().requires_grad_(False)
    teacher_digest = _weights_digest(teacher)
    _run_phase(run, student, teacher, (train, validation), progress, tensors, listener)
    if _weights_digest(teacher) != teacher_digest:
        raise CidesignError(f"{run.path}: the frozen teacher changed while the student trained; please report this")
    return _finish(run, teacher, student, validation, progress, teacher_digest)


def _new_systems(run: Run, train: Tensor) -> tuple[ImagingSystem, ImagingSystem]:
    """Teacher and student before training, from the run's seed alone."""
    settings = run.settings
    prior = fit_prior(train[:PRIOR_IMAGES].float()[:, None] / 255)
    design = torch.from_numpy(low_frequency_cosines(settings.side, settings.patterns)) * START_MAGNITUDE
    systems = []
    for constrained in (False, True):
        system = build_system(settings, run.profile, design, constrained).to(settings.device)
        system = system.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        system.decoder.set_prior(prior)
        if settings.precision == "bfloat16":
            system.decoder.unet.training_dtype = torch.bfloat16
        systems.append(system)
    return systems[0], systems[1]


def _warm_start(student: ImagingSystem, teacher: ImagingSystem) -> None:
    """The student starts from the teacher's optics, within what its levels span, and from its decoder."""
    with torch.no_grad():
        student.encoder.weight.copy_(teacher.encoder.weight.clamp(-1, 1))
    student.decoder.load_state_dict(teacher.decoder.state_dict())


def _run_phase(
    run: Run,
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    images: tuple[Tensor, Tensor],
    progress: Progress,
    tensors: dict[str, Tensor],
    listener: Listener,
) -> None:
    """Train one phase to its end, with a checkpoint after each epoch and at an interruption."""
    optimiser = make_optimiser(system, run.settings)
    if tensors:
        restore(tensors, system, teacher, optimiser)
    train, validation = images
    try:
        for epoch, loss in train_phase(system, teacher, optimiser, train, run.settings, progress, listener.step):
            values = {
                "phase": progress.phase,
                "epoch": epoch,
                "step": progress.step,
                "loss": loss,
                **evaluate(system, validation, run.settings),
                "seconds": round(progress.seconds, 3),
            }
            progress.metrics_bytes = _append_metrics(run.path, values)
            save_checkpoint(run.path, progress, system, teacher, optimiser)
            listener.epoch(values)
    except Interrupted:
        save_checkpoint(run.path, progress, system, teacher, optimiser)
        raise


def _finish(
    run: Run,
    teacher: ImagingSystem,
    student: ImagingSystem,
    validation: Tensor,
    progress: Progress,
    teacher_digest: str,
) -> Run:
    """Write weights, design and the final record; the record comes last, so a finished run is a whole one."""
    settings = run.settings
    metrics = {"training_seconds": round(progress.seconds, 3)}
    for name, system in (("teacher", teacher), ("student", student)):
        with _exact(system):
            values = evaluate(system, validation, settings)
            metrics |= {f"{name}_{key}": value for key, value in values.items()}
            metrics[f"{name}_ssim"] = _mean_ssim(system, validation, settings)
        system.save(run.path / f"{name}.safetensors")
    design = student.encoder.pattern(settings.encoding, run.profile.id, run.profile.digest)
    design.save(run.path / "design.npz")
    changes = {
        "status": "complete",
        "teacher_digest": teacher_digest,
        "design_digest": design.design_digest,
        "metrics": metrics,
    }
    write_record(run.path, run.record.model_copy(update=changes))
    with disk_errors(run.path):
        shutil.rmtree(run.path / CHECKPOINT_FILE.parent)
    return Run(run.path)


@torch.no_grad()
def _mean_ssim(system: ImagingSystem, images: Tensor, settings: RunSettings) -> float:
    generator = generator_for(settings, 3, "teacher", 0)
    values = []
    for x in evaluation_batches(images):
        values.append(ssim(system(x, generator).image, x))
    return float(torch.cat(values).mean())


@contextlib.contextmanager
def _exact(system: ImagingSystem) -> Iterator[None]:
    """Evaluate in float32, as reconstruction does, whatever format trained the network."""
    shortened, system.decoder.unet.training_dtype = system.decoder.unet.training_dtype, None
    try:
        yield
    finally:
        system.decoder.unet.training_dtype = shortened


def _weights_digest(system: ImagingSystem) -> str:
    """SHA-256 over all weights, names included."""
    state = system.state_dict()
    names = canonical_json(sorted(state))
    return sha256_bytes(names, *(state[name].cpu().contiguous().numpy().tobytes() for name in sorted(state)))


def _append_metrics(path: Path, values: dict[str, Any]) -> int:
    """Add a line to `metrics.jsonl`; returns its length in bytes, which the checkpoint remembers."""
    with disk_errors(path / METRICS_FILE), (path / METRICS_FILE).open("a") as stream:
        stream.write(json.dumps(values) + "\n")
        return stream.tell()


def _cut_metrics(path: Path, length_bytes: int) -> None:
    """Drop lines that were written after the checkpoint; the resumed run writes them again."""
    with disk_errors(path / METRICS_FILE), (path / METRICS_FILE).open("ab") as stream:
        stream.truncate(length_bytes)
