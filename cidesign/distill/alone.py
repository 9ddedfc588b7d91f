"""Training without a teacher: end-to-end (E2E) systems, and decoders for fixed designs.  What a student must beat."""

from collections.abc import Callable

from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.threads import training_threads
from cidesign.distill.examples import Examples, Stored
from cidesign.distill.loop import StepReport, make_optimiser, train_phase
from cidesign.distill.systems import SystemMaker
from cidesign.distill.tasks.base import task_named
from cidesign.models.system import ImagingSystem
from cidesign.pattern import Design


def train_alone(
    maker: SystemMaker,
    train: Stored,
    epochs: int,
    design: Design | None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    validation: Examples | None = None,
) -> ImagingSystem:
    """A system under the student's constraints, trained on the task alone; in eval mode.

    It starts as a student without teacher does, with the same draws, rates and order of images.  With a `design` the
    optics are that design and stay so; without one they are learnt (E2E).  `train` (M, C, H, W) as stored.  A task that
    sets something right at the end of a training does it with `validation`, where it is given.
    """
    settings = maker.settings.changed(student_epochs=epochs)
    system = maker.system("student")
    if design is not None:
        maker.place(system, design)
    progress, optimiser = Progress("student"), make_optimiser(system, settings)
    with training_threads(settings) as threads:
        for _ in train_phase(system, None, optimiser, train, settings, progress, on_step, threads):
            pass
    if validation is not None:
        task_named(settings.task).finish(system, validation, settings)
    system.encoder.explore(1.0, None)
    return system.eval().requires_grad_(False)
