"""What a system is trained for and measured by: its loss, its metrics, and the columns that people see."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from cidesign.errors import InputError
from cidesign.modality import Modality
from cidesign.models.decoder import Predicted
from cidesign.models.decoders import DECODERS, decoder_class
from cidesign.run_settings import TrainingSettings

if TYPE_CHECKING:
    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.examples import Examples
    from cidesign.models.system import ImagingSystem

# name -> the module whose `TASK` it is.
TASKS = {"reconstruct": "cidesign.distill.tasks.reconstruct", "classify": "cidesign.distill.tasks.classify"}


class Column(NamedTuple):
    """A metric where people see it: its name in records, what it is called, its unit, and its decimals.

    `of_quality`: it is measured on what the modality compares, and is called so (`PSNR of the magnitude`).
    """

    metric: str
    name: str
    unit: str = ""
    digits: int = 2
    of_quality: bool = False

    def heading(self, between: str = " ", quality: str = "") -> str:
        """Name and unit: `PSNR dB`, or `PSNR of the magnitude / dB`."""
        name = self.name + (quality if self.of_quality else "")
        return f"{name}{between}{self.unit}" if self.unit else name

    def text(self, value: float) -> str:
        """The value without its unit."""
        return f"{value:.{self.digits}f}"


class Task(ABC):
    """The task of a system: what a prediction is held against, and how.

    Predictions are held against `targets`: the images x (B, C, H, W) themselves, or the numbers of their classes (B,)
    where `predicts` is classes.
    """

    name: ClassVar[str]
    # What a decoder predicts for it.
    predicts: ClassVar[Predicted] = "images"
    # Settings of a run, by their fields, where nobody says otherwise; those that a modality has not are left out.
    presets: ClassVar[Mapping[str, object]] = MappingProxyType({})
    # What systems are ranked by; larger is better.
    score: ClassVar[Column]
    # What the progress bar shows, from `score_of_loss`.
    bar: ClassVar[Column]
    # What is followed after every epoch, the score first, and what is recorded and shown of a finished run.
    followed: ClassVar[Sequence[Column]]
    shown: ClassVar[Sequence[Column]]
    # How `metrics` and what `means` adds are called in a table.
    headings: ClassVar[Mapping[str, str]]
    # What the score of a system varies by, from seed to seed.
    varies: ClassVar[str]

    @abstractmethod
    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """The scalar that training makes small."""

    @abstractmethod
    def score_of_loss(self, loss: float) -> float:
        """What the progress bar shows of a batch with this loss, at no cost."""

    @abstractmethod
    def scores(self, prediction: Tensor, targets: Tensor, kind: Modality) -> Tensor:
        """The score of each image (B,)."""

    @abstractmethod
    def measured(
        self, prediction: Tensor, linear: Tensor, targets: Tensor, kind: Modality, columns: Sequence[Column]
    ) -> dict[str, Tensor]:
        """The metrics of `columns`, each (B,); `linear` is the best linear estimate of the same measurements."""

    @abstractmethod
    def metrics(self, prediction: Tensor, targets: Tensor, kind: Modality) -> dict[str, Tensor]:
        """All metrics that systems are compared by, each (B,)."""

    def means(self, values: Mapping[str, Sequence[Tensor]], scenes: int) -> dict[str, float]:
        """Metrics of all images, from their batches; those that have no value for an image leave it out.

        `scenes`: how many independent ones the images are of.
        """
        return {name: float(torch.cat(list(parts)).nanmean()) for name, parts in values.items()}

    def require(self, settings: TrainingSettings, kind: Modality) -> None:
        """Raise `InputError` for settings that this task cannot be trained with."""
        if decoder_class(settings.decoder).predicts != self.predicts:
            fitting = [name for name in DECODERS if decoder_class(name).predicts == self.predicts]
            raise InputError(
                f"decoder {settings.decoder}: it does not predict {self.predicts}, which task {self.name} is about; "
                f"use {', '.join(fitting)}"
            )

    def settled(self, settings: TrainingSettings, images: "TrainingImages") -> TrainingSettings:
        """The settings with what is found in the images; raises `InputError` for images that this task cannot use."""
        return settings

    def labels(self, settings: TrainingSettings, measured: "MeasuredSet") -> Tensor | None:
        """What images to measure a system on are held against, None: themselves; raises `InputError` without it."""
        return None

    def finish(self, system: "ImagingSystem", validation: "Examples", settings: TrainingSettings) -> None:
        """What is done to a system at the end of its training, before it is measured."""
        return


@cache
def task_named(name: str) -> Task:
    """The task of a name; raises `InputError` for one that there is not."""
    if name not in TASKS:
        raise InputError(f"task {name}: there are {', '.join(TASKS)}")
    found: Task = importlib.import_module(TASKS[name]).TASK
    return found
