"""What a system is trained for and measured by: its loss, its metrics, and the columns that people see."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar, NamedTuple

from torch import Tensor

from cidesign.errors import InputError
from cidesign.modality import Modality

# name -> the module whose `TASK` it is.
TASKS = {"reconstruct": "cidesign.distill.reconstruct_task"}


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
    """The task of a system: what a prediction is held against, and how."""

    name: ClassVar[str]
    # What systems are ranked by; larger is better.
    score: ClassVar[Column]
    # What is followed after every epoch, the score first, and what is recorded and shown of a finished run.
    followed: ClassVar[Sequence[Column]]
    shown: ClassVar[Sequence[Column]]
    # How `metrics` are called in a table.
    headings: ClassVar[Mapping[str, str]]
    # Whether a prediction is the image, so that reconstructions without a network are held against it.
    of_images: ClassVar[bool] = False

    @abstractmethod
    def loss(self, prediction: Tensor, x: Tensor) -> Tensor:
        """The scalar that training makes small, of predictions for images x (B, C, H, W)."""

    @abstractmethod
    def score_of_loss(self, loss: float) -> float:
        """About the score of a batch with this loss, at no cost: what the progress bar shows."""

    @abstractmethod
    def scores(self, prediction: Tensor, x: Tensor, kind: Modality) -> Tensor:
        """The score of each image (B,)."""

    @abstractmethod
    def measured(
        self, prediction: Tensor, linear: Tensor, x: Tensor, kind: Modality, columns: Sequence[Column]
    ) -> dict[str, Tensor]:
        """The metrics of `columns`, each (B,); `linear` is the best linear estimate of the same measurements."""

    @abstractmethod
    def metrics(self, prediction: Tensor, x: Tensor, kind: Modality) -> dict[str, Tensor]:
        """All metrics that systems are compared by, each (B,)."""


@cache
def task_named(name: str) -> Task:
    """The task of a name; raises `InputError` for one that there is not."""
    if name not in TASKS:
        raise InputError(f"task {name}: there are {', '.join(TASKS)}")
    found: Task = importlib.import_module(TASKS[name]).TASK
    return found
