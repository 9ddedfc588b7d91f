"""The end of a run: weights, design and the final record."""

import contextlib
import shutil
from collections.abc import Iterator

from cidesign.distill.checkpoint import FILE as CHECKPOINT_FILE
from cidesign.distill.checkpoint import Progress
from cidesign.distill.examples import Examples
from cidesign.distill.loop import evaluate
from cidesign.distill.tasks.base import task_named
from cidesign.files import disk_errors
from cidesign.models.optics import optics_for
from cidesign.models.system import ImagingSystem, comparable_teacher
from cidesign.runs import DESIGN_FILE, Run, write_record


def finish_run(
    run: Run,
    teacher: ImagingSystem | None,
    student: ImagingSystem | None,
    validation: Examples,
    progress: Progress,
) -> Run:
    """Write weights, design and the final record; the record comes last, so a finished run is a whole one.

    `student` is None where a teacher alone is trained.  A stored teacher is measured where it sees the same images.
    """
    settings = run.settings
    design = None
    metrics = {"training_seconds": round(progress.seconds, 3), "validation_images": float(len(validation))}
    if progress.processes > 1:
        metrics["training_processes"] = float(progress.processes)
    for name, system in (("teacher", teacher), ("student", student)):
        if system is None:
            continue
        if system is student or comparable_teacher(run):
            with exact(system):
                values = evaluate(system, validation, settings, task_named(settings.task).shown)
                metrics |= {f"{name}_{key}": value for key, value in values.items()}
        if system is student or settings.teacher is None:
            system.save(run.path / f"{name}.safetensors")
    if student is not None:
        student.encoder.explore(1.0, None)
        design = run.given_design() or optics_for(settings, run.profile).design(student.encoder)
        design.save(run.path / DESIGN_FILE)
    changes = {
        "status": "complete",
        "teacher_digest": None if teacher is None else teacher.digest(),
        "design_digest": None if design is None else design.design_digest,
        "metrics": metrics,
    }
    write_record(run.path, run.record.model_copy(update=changes))
    with disk_errors(run.path):
        if (run.path / CHECKPOINT_FILE.parent).exists():  # without any training there is none
            shutil.rmtree(run.path / CHECKPOINT_FILE.parent)
    return Run(run.path)


@contextlib.contextmanager
def exact(system: ImagingSystem) -> Iterator[None]:
    """Evaluate in float32, as reconstruction does, whatever format trained the network."""
    shortened, system.decoder.training_dtype = system.decoder.training_dtype, None
    try:
        yield
    finally:
        system.decoder.training_dtype = shortened
