"""The classes that the decoder of a run makes of a capture, and what their probabilities rest on."""

from typing import NamedTuple

import torch
from torch import Tensor

from cidesign.errors import FileError
from cidesign.models.class_decoder import probabilities
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Encoder
from cidesign.reconstruct.classes import Classes
from cidesign.reconstruct.record import ClassesEntry, ClassProbability
from cidesign.runs import Run

MEANING = (
    "probabilities hold for scenes like the pictures of the training, told the operator that measured them: their one "
    "temperature was fitted on {seen} validation images, of which {right:.1f} % (standard error {error:.1f} %) were "
    "named rightly, and after so few none is above {most:.3f}. Some class is always named, also where a scene is of "
    "none, and patterns that lie mirrored or shifted can make it surely wrong"
)


class Told(NamedTuple):
    """What a decoder of classes is told: the measurements (1, ...), their operator, and measurements (draws, ...) as
    they could have come out, noise and calibration drawn again."""

    y: Tensor
    encoder: Encoder
    redrawn: Tensor


@torch.no_grad()
def classes_of(run: Run, system: ImagingSystem, told: Told) -> Classes:
    """The classes that the decoder of a run makes of measurements."""
    names = run.settings.classes or ()
    seen, right, error = _validated(run)
    logits = system.decoder(told.y, told.encoder).prediction
    again = system.decoder(told.redrawn, told.encoder).prediction.argmax(dim=1)
    found = probabilities(logits, seen)[0].tolist()
    order = sorted(range(len(names)), key=lambda number: -found[number])
    most = float(probabilities(torch.tensor([[1e3, *[0.0] * (len(names) - 1)]]), seen)[0, 0])
    return Classes(
        ClassesEntry(
            classes=[ClassProbability(name=names[number], probability=found[number]) for number in order],
            draws=len(told.redrawn),
            agreeing=int((again == logits.argmax(dim=1)).sum()),
            meaning=MEANING.format(seen=seen, right=right, error=error, most=most),
        )
    )


def _validated(run: Run) -> tuple[int, float, float]:
    """How many validation images there were, how many percent were named rightly, and the standard error of that."""
    metrics = run.record.metrics
    try:
        accuracy, error = (metrics[f"student_accuracy_{name}percent"] for name in ("", "error_"))
        return int(metrics["validation_images"]), accuracy, error
    except KeyError as missing:
        raise FileError(f"{run.path}: run.json does not hold {missing}; this record is damaged") from missing
