"""Which class an image is of, from the readings: the decoder gives a logit for each class."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cidesign.data.image_sets import MeasuredSet
from cidesign.data.source import TrainingImages
from cidesign.distill.examples import Examples
from cidesign.distill.loop import evaluation_batches, evaluation_noise
from cidesign.distill.tasks.base import Column, Task
from cidesign.errors import InputError
from cidesign.modality import Modality
from cidesign.models.class_decoder import ClassDecoder, best_temperature
from cidesign.models.decoder import Predicted
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings
from cidesign.text import joined

_ACCURACY = Column("accuracy_percent", "accuracy", "%", digits=1)
_LOG_LOSS = Column("log_loss", "log loss", "nat", digits=3)
_ERROR = "accuracy_error_percent"
NEEDED = (
    "a class for every picture is needed: a folder for each class (DATA/cat/1.png, DATA/dog/1.png), or labels beside "
    "the pictures in a file (.npz with images and labels, idx)"
)


def standard_error(share: float, count: int) -> float:
    """Of a proportion that was found to be `share` of `count`: sqrt(q (1 - q) / (n + 3)), q = (share n + 1) / (n + 2).

    The standard deviation of what is left open where nothing was known before (a beta distribution); near
    sqrt(p (1 - p) / n) for many, and not 0 where all of a few were right.
    """
    expected = (share * count + 1) / (count + 2)
    return math.sqrt(expected * (1 - expected) / (count + 3))


class Classify(Task):
    """Cross-entropy, accuracy in percent with its standard error, and log loss, which counts how sure errors are."""

    name = "classify"
    predicts: ClassVar[Predicted] = "classes"
    # A digit that is mirrored or turned is another one or none, and a part of it is no digit.
    presets = MappingProxyType({"decoder": "classifier", "augmentation": "shifts", "pictures": "whole", "classes": ()})
    score = _ACCURACY
    bar = Column("", "the right class gets", "%", digits=1)
    followed = (_ACCURACY, _LOG_LOSS)
    shown = (_ACCURACY, Column(_ERROR, "standard error", "%", digits=1), _LOG_LOSS)
    headings: ClassVar[Mapping[str, str]] = {
        "accuracy_percent": "accuracy %", _ERROR: "standard error %", "log_loss": "log loss",
    }  # fmt: skip
    varies = "a difference within two standard errors, and a little more, is chance"

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of logits (B, classes) and numbers of classes (B,)."""
        return cross_entropy(prediction, targets)

    def score_of_loss(self, loss: float) -> float:
        """exp(-loss): the probability that the right class gets (geometric mean), in percent."""
        return 100 * math.exp(-loss)

    def scores(self, prediction: Tensor, targets: Tensor, kind: Modality) -> Tensor:
        """100 where the class with the largest logit is right, else 0."""
        return 100.0 * (prediction.argmax(dim=1) == targets).float()

    def measured(
        self, prediction: Tensor, linear: Tensor, targets: Tensor, kind: Modality, columns: Sequence[Column]
    ) -> dict[str, Tensor]:
        """Accuracy and log loss; the standard error follows from all images together."""
        return self.metrics(prediction, targets, kind)

    def metrics(self, prediction: Tensor, targets: Tensor, kind: Modality) -> dict[str, Tensor]:
        """Accuracy in percent, and -ln of the probability that the right class gets."""
        return {
            _ACCURACY.metric: self.scores(prediction, targets, kind),
            _LOG_LOSS.metric: cross_entropy(prediction, targets, reduction="none"),
        }

    def means(self, values: Mapping[str, Sequence[Tensor]], scenes: int) -> dict[str, float]:
        """Means, and the standard error of the accuracy, see `standard_error`."""
        found = super().means(values, scenes)
        accuracy = found[_ACCURACY.metric]
        error = 100 * standard_error(accuracy / 100, scenes)
        return {_ACCURACY.metric: accuracy, _ERROR: error, _LOG_LOSS.metric: found[_LOG_LOSS.metric]}

    def require(self, settings: TrainingSettings, kind: Modality) -> None:
        """Images with classes, and a decoder of classes."""
        if not kind.has_classes:
            raise InputError(
                f"task {self.name}: images of {kind.name} runs are read without classes; it is for single-pixel runs"
            )
        if settings.data == "procedural":
            raise InputError(f"task {self.name}: procedural images have no classes; give --data, in which {NEEDED}")
        if settings.student_epochs == 0:
            raise InputError("student_epochs 0: a decoder of classes knows nothing untrained; give 1 or more")
        super().require(settings, kind)

    def settled(self, settings: TrainingSettings, images: TrainingImages) -> TrainingSettings:
        """The settings with the names of the classes."""
        if images.labels is None:
            raise InputError(f"{settings.data}: task {self.name}: {NEEDED}")
        return settings.changed(classes=images.classes)

    def labels(self, settings: TrainingSettings, measured: MeasuredSet) -> Tensor | None:
        """The numbers that the run has for the classes of the images."""
        if measured.labels is None:
            raise InputError(f"task {self.name}: {NEEDED}")
        known = settings.classes or ()
        foreign = [name for name in measured.classes if name not in known]
        if foreign:
            raise InputError(
                f"class {foreign[0]}: the run knows {joined(known, 'and')} alone; name the folders or labels like these"
            )
        numbers = torch.tensor([known.index(name) for name in measured.classes])
        return numbers[torch.from_numpy(measured.labels)]

    @torch.no_grad()
    def finish(self, system: ImagingSystem, validation: Examples, settings: TrainingSettings) -> None:
        """Make the decoder as sure as it is right on the validation images: one temperature for all its logits."""
        system.encoder.explore(1.0, None)
        generator = evaluation_noise(settings)
        decoder = cast(ClassDecoder, system.decoder)
        with system.encoder.unchanged():
            logits = torch.cat(
                [
                    decoder(system.encoder(x, generator), system.encoder).prediction
                    for x in evaluation_batches(validation.images, system.encoder)
                ]
            )
        decoder.soften(best_temperature(logits, cast(Tensor, validation.labels)))


TASK = Classify()
