"""A finished run beside what it must beat: E2E training, fixed designs, and its own teacher."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors.torch import load_file

from cidesign.data.source import load_images
from cidesign.distill.alone import train_alone
from cidesign.distill.evaluate import fixed_designs, image_metrics, optics_metrics
from cidesign.distill.job import SystemMaker
from cidesign.distill.loop import StepReport
from cidesign.errors import FileError
from cidesign.files import sha256_bytes
from cidesign.models.system import ImagingSystem, load_student, load_teacher
from cidesign.pattern import Design
from cidesign.runs import Run

FOLDER = "baselines"


@dataclass(frozen=True)
class Row:
    """One system of the comparison: image metrics, and metrics of its optics."""

    name: str
    images: dict[str, float]
    optics: dict[str, float]


class Comparison:
    """Systems of one run on the same images, with the same noise.

    E2E and the decoders of fixed designs train for as many epochs as teacher and student together, on the same
    images in the same order.  Their weights are kept in RUN/baselines and not trained again.  `data` names other
    images to measure on; without it the run's validation images are used.
    """

    def __init__(self, run: Run, data: str | None) -> None:
        run.require_complete()
        self.run, self.settings = run, run.settings
        found = load_images(self.settings, run.profile)
        if found.digest != run.record.data_digest:
            raise FileError(f"{run.path}: the images of {self.settings.data} are not those this run was trained on")
        device = self.settings.device
        self.train = torch.from_numpy(found.train).to(device)
        self.maker = SystemMaker(self.settings, run.profile, self.train)
        self.images, self.where = found.validation, "validation images of the run"
        if data is not None:
            asked = self.settings.model_copy(update={"data": data})
            other = load_images(asked, run.profile)
            self.images, self.where = other.validation, f"images of {data}"
        self.measured = torch.from_numpy(self.images).to(device)
        self.designs = fixed_designs(self.maker, run.profile)

    @property
    def epochs(self) -> int:
        """What E2E and the fixed designs train for: teacher and student together."""
        return self.settings.teacher_epochs + self.settings.student_epochs

    def own(self) -> list[Row]:
        """The student and its teacher."""
        return [
            self._row("student", load_student(self.run)),
            self._row(f"teacher ({self.settings.ladder[-1]})", load_teacher(self.run)),
        ]

    def others(self) -> list[str]:
        """The names of E2E and of the fixed designs."""
        return ["E2E", *self.designs]

    def other(self, name: str, on_step: Callable[[StepReport], None]) -> Row:
        """E2E or a fixed design; trained when it is not in the folder yet."""
        design = self.designs.get(name)
        path = self.run.path / FOLDER / f"{self._key(name, design)}.safetensors"
        if path.is_file():
            system = self.maker.system("student")
            system.load_state_dict(load_file(path))
            system.encoder.explore(1.0, None)
            system = system.eval().requires_grad_(False)
        else:
            system = train_alone(self.maker, self.train, self.epochs, design, on_step)
            path.parent.mkdir(exist_ok=True)
            system.save(path)
        return self._row(name, system)

    def known(self, name: str) -> bool:
        """Whether a system is in the folder already."""
        return (self.run.path / FOLDER / f"{self._key(name, self.designs.get(name))}.safetensors").is_file()

    def _key(self, name: str, design: Design | None) -> str:
        """A file name that stands for the system and everything that decides it."""
        record = self.run.record
        parts = [record.settings.model_dump_json(), record.data_digest, record.profile_digest, name]
        parts.append(design.design_digest if design is not None else "")
        return sha256_bytes(*(part.encode() for part in parts))[:16]

    def _row(self, name: str, system: ImagingSystem) -> Row:
        system = system.to(self.settings.device)
        system.decoder.training_dtype = None
        return Row(name, image_metrics(system, self.measured, self.settings), optics_metrics(system.encoder))
