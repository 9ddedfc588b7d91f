"""A finished run beside what it must beat: E2E training, fixed designs, and its own teacher."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cidesign.data.source import TrainingImages, load_images, load_measured
from cidesign.distill.alone import train_alone
from cidesign.distill.comparison.evaluate import Held, measure
from cidesign.distill.comparison.optics_merit import optics_merits
from cidesign.distill.examples import Examples, training_examples
from cidesign.distill.job import other_images
from cidesign.distill.loop import StepReport
from cidesign.distill.systems import SystemMaker
from cidesign.distill.tasks.base import task_named
from cidesign.errors import FileError
from cidesign.files import partials_of, sha256_bytes
from cidesign.locks import FolderLock
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem, load_comparable_teacher, load_student
from cidesign.models.teacher_record import read_teacher_record, teacher_name, trained_epochs
from cidesign.pattern import Design
from cidesign.physics.merit import Merit
from cidesign.runs import Run

FOLDER = "baselines"
# The row of a run that was trained end to end.
END_TO_END = "E2E (this run)"


@dataclass(frozen=True)
class Measured:
    """What systems are measured on: images (M, C, H, W), where they are from, and what was left out and why.

    `pictures` is None for the run's own validation images; `left_out` are pictures that the run was trained on, and
    `held_out` is False when there are no others.  `labels` are the numbers of their classes, where a task asks.
    """

    images: NDArray[Any]
    where: str
    pictures: int | None
    left_out: int
    held_out: bool
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    labels: Tensor | None = None

    @property
    def scenes(self) -> int:
        """How many independent scenes the images are of: crops of one picture are alike."""
        return len(self.images) if self.pictures is None else self.pictures - self.left_out


@dataclass(frozen=True)
class Row:
    """One system of the comparison: image metrics, what needs no training beside them, and metrics of its optics.

    `scores`: the task's of each image (M,), by which systems are held against one another.
    """

    name: str
    images: dict[str, float]
    held_against: dict[str, Held]
    optics: dict[str, Merit]
    scores: Tensor


class Comparison:
    """Systems of one run on the same images, with the same noise.

    E2E and the decoders of fixed designs train for as many epochs as teacher and student together, on the same
    images in the same order.  Their weights are kept in RUN/baselines and not trained again.  `data` names other
    images to measure on, all of which are; without it, or when it is what the run was trained on, the run's validation
    images are used.
    """

    def __init__(self, run: Run, data: str | None) -> None:
        run.with_design()
        self.run, self.settings = run, run.settings
        found = load_images(self.settings, run.profile)
        if found.digest != run.record.data_digest:
            raise FileError(f"{run.path}: {other_images(self.settings.data)}, so nothing can be compared with it")
        device = self.settings.device
        self.train, self.validation = training_examples(found, device)
        self.maker = SystemMaker(self.settings, run.profile, self.train.images)
        self.measured_on = _measured(run, found, data)
        labels = self.measured_on.labels
        images = torch.from_numpy(self.measured_on.images).to(device)
        self.measured = Examples(images, None if labels is None else labels.to(device))
        self.kind = modality(self.settings.modality)
        self.designs = self.kind.fixed_designs(self.maker, run.profile)

    @property
    def epochs(self) -> int:
        """What E2E and the fixed designs train for: teacher and student together."""
        return sum(trained_epochs(self.run))

    def own(self) -> list[Row]:
        """The student and its teacher, where it has one that takes these images."""
        student, teacher = load_student(self.run), load_comparable_teacher(self.run)
        # Learnt end to end, it is E2E itself: no other is trained to be held against it.
        name = student.decoder.column if self.settings.strategy == "distill" else END_TO_END
        rows = [self._row(name, student)]
        return rows if teacher is None else [*rows, self._row(teacher_name(self.run), teacher)]

    def others(self) -> list[str]:
        """The names of E2E and of the fixed designs; nothing is learnt end to end where nothing is trained, or where
        the run itself was."""
        alone = self.epochs and self.settings.strategy == "distill"
        return ["E2E", *self.designs] if alone else list(self.designs)

    def other(self, name: str, on_step: Callable[[StepReport], None]) -> Row:
        """E2E or a fixed design; trained when it is not in the folder yet."""
        design = self.designs.get(name)
        path = self._path(name)
        if not path.is_file():
            with FolderLock(self.run.known_as, "cidesign evaluate"):
                for left in partials_of(path):
                    left.unlink()
                if not path.is_file():  # nor has the last holder trained it
                    self._trained(design, on_step).save(path)
        system = self.maker.system("student")
        if design is not None:
            # A design that no weights can express is held beside them.
            self.maker.place(system, design)
        try:
            system.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise FileError(f"{path}: these weights are damaged ({reason}); remove the file and repeat") from error
        system.encoder.explore(1.0, None)
        return self._row(name, system.eval().requires_grad_(False))

    def _trained(self, design: Design | None, on_step: Callable[[StepReport], None]) -> ImagingSystem:
        return train_alone(self.maker, self.train, self.epochs, design, on_step, self.validation)

    def known(self, name: str) -> bool:
        """Whether a system is in the folder already."""
        return self._path(name).is_file()

    def _path(self, name: str) -> Path:
        return self.run.known_as / FOLDER / f"{self._key(name, self.designs.get(name))}.safetensors"

    def _key(self, name: str, design: Design | None) -> str:
        """A file name that stands for the system and everything that decides it."""
        record = self.run.record
        parts = [self.run.settings_text, record.data_digest, record.profile_digest, name]
        parts.append(design.design_digest if design is not None else "")
        return sha256_bytes(*(part.encode() for part in parts))[:16]

    def _row(self, name: str, system: ImagingSystem) -> Row:
        system = system.to(self.settings.device)
        system.decoder.training_dtype = None
        found = measure(system, self.measured, self.settings, self.measured_on.scenes, self.kind.classical())
        merits = optics_merits(system, self.kind, self.measured.images, found.mean_square or None)
        return Row(name, found.metrics, found.held, merits, found.scores)


def _measured(run: Run, own: TrainingImages, data: str | None) -> Measured:
    settings, unknown = run.settings, _unknown(run)
    labels = None if own.labels is None else torch.from_numpy(own.labels[1])
    validation = Measured(own.validation, "validation images of the run", None, 0, True, (), unknown, labels)
    if data is None:
        return validation
    if data == "procedural":
        task_named(settings.task).require(settings.changed(data=data), modality(settings.modality))
        other = load_images(settings.changed(data=data), run.profile)
        return replace(validation, images=other.validation, where="procedural images")
    kind = modality(settings.modality).scene_word
    if settings.data != "procedural" and Path(data).resolve() == Path(settings.data).resolve():
        said = f"{data} is what this run was trained on: only the {kind}s that it kept for validation are measured"
        return replace(validation, skipped=own.skipped, notes=(said, *own.notes, *unknown))
    found = load_measured(settings, run.profile, data, own.trained)
    labels = task_named(settings.task).labels(settings, found)
    used = found.pictures - found.left_out
    entire = kind == "slice" or labels is not None
    where = f"{'images' if entire else 'crops'} of {used} {kind}{'' if used == 1 else 's'} of {data}"
    notes = [*found.notes, *unknown]
    if found.left_out:
        notes.insert(
            0, f"{found.left_out} of {found.pictures} {kind}s are among those the run was trained on: left out"
        )
    if not found.held_out:
        where += ", on which the run was trained"
        notes.insert(0, f"not held out: the run was trained on all of these {kind}s, so other images will look worse")
    return Measured(
        found.images, where, found.pictures, found.left_out, found.held_out, found.skipped, tuple(notes), labels
    )


def _unknown(run: Run) -> tuple[str, ...]:
    """What a stored teacher may have seen that nobody looked at: only the run's own pictures are left out."""
    if run.settings.teacher is None:
        return ()
    data = read_teacher_record(run).settings.data
    if data in ("procedural", run.settings.data):
        return ()
    return (f"not checked: whether the stored teacher was trained on some of these images (it was on {data})",)
