"""The terms of the student's loss: task, bottleneck features, sensing operators, and the teacher's predictions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cidesign.distill.computing.ranks import WHOLE, Part
from cidesign.distill.tasks.base import task_named
from cidesign.errors import CidesignError
from cidesign.models.system import ImagingSystem
from cidesign.physics.encoder_metrics import gradient_norms
from cidesign.run_settings import TrainingSettings

# Of the log-variances, in each step; they settle within some hundred.
UNCERTAINTY_RATE = 0.02
# A term that is almost 0 (a student that starts as its teacher) is weighed by exp(this) at the most.
MOST_CERTAIN = 4.0


def decoder_loss(student: Tensor, teacher: Tensor, published: bool, part: Part = WHOLE) -> Tensor:
    """Squared difference of features (B, C, h, w), relative to the teacher's: |S - T|^2 / |T|^2.

    Of a `part` of the images, |T|^2 is that of all of them and the loss such that its mean over the parts is that of
    all.

    The published loss is the mean square itself (arXiv 2501.17898); divided by the teacher's own, its weight means
    the same for every decoder.
    """
    difference = (student - teacher).square()
    if published:
        return difference.mean()
    return difference.sum() / (part.of * part.total(teacher.square().sum()).clamp_min(1e-12))


class Terms(NamedTuple):
    """The terms that are switched on, by name, the task first; and where each of the others acts."""

    values: dict[str, Tensor]
    places: dict[str, Tensor]


def student_terms(
    system: ImagingSystem,
    teacher: ImagingSystem,
    x: Tensor,
    generator: torch.Generator,
    settings: TrainingSettings,
    targets: Tensor | None = None,
    part: Part = WHOLE,
) -> Terms:
    """The terms of images (B, C, H, W), which the teacher sees too; a `part` of those of a step.

    `targets` are what predictions are held against, None: the images.
    """
    published = settings.losses == "published"
    own = system(x, generator)
    values = {"task": task_named(settings.task).loss(own.prediction, x if targets is None else targets)}
    if settings.weight_decoder or settings.weight_output:
        with torch.no_grad():
            y = teacher.encoder(x, generator)
            wanted = teacher.decoder(y, teacher.encoder) if settings.weight_output else None
            features = wanted.features if wanted else teacher.decoder.bottleneck(y, teacher.encoder)
        if settings.weight_decoder:
            values["decoder"] = decoder_loss(own.features, features, published, part)
        if wanted:
            values["output"] = (own.prediction - wanted.prediction).square().mean()
    if settings.weight_encoder:
        values["encoder"] = system.encoder.encoder_loss(teacher.encoder, published)
    return Terms(values, {"decoder": own.features, "encoder": system.encoder.weight, "output": own.prediction})


def gradients_of_terms(
    system: ImagingSystem,
    teacher: ImagingSystem,
    x: Tensor,
    generator: torch.Generator,
    settings: TrainingSettings,
    targets: Tensor | None = None,
) -> dict[str, float]:
    """The norm of each term's gradient on the optics, unweighted, as `gradient_TERM`."""
    terms = student_terms(system, teacher, x, generator, settings, targets)
    return {f"gradient_{name}": norm for name, norm in gradient_norms(terms.values, [system.encoder.weight]).items()}


def term_weights(
    terms: Terms,
    settings: TrainingSettings,
    first_task_loss: float,
    log_variances: dict[str, float],
    part: Part = WHOLE,
) -> dict[str, float | Tensor]:
    """What each term is multiplied by in the sum that is minimised, without gradient.

    Effective forms are made comparable: task and output by the first value of the task, features relative to the
    teacher's, and the operators' distance is scale-free by itself.  (First values would not do for the last two: a
    student that starts as its teacher starts near zero there.)  With `gradient` weighting each guiding term's
    gradient, where it acts (decoder: on the features; encoder: on the optics; output: on the prediction), has its
    weight's share of the task's there.  With `uncertainty` weights are divided by learnt variances.  They are the same
    for every `part` of the images.
    """
    scale = scales_of(settings, first_task_loss)
    asked = {name: getattr(settings, f"weight_{name}") * scale.get(name, 1.0) for name in terms.values}
    if settings.weighting == "uncertainty":
        return {name: weight * math.exp(-log_variances.get(name, 0.0)) for name, weight in asked.items()}
    if settings.weighting == "fixed":
        return asked
    task = asked["task"] * terms.values["task"]
    guiding = {name: getattr(settings, f"weight_{name}") for name in terms.values if name != "task"}
    shares = {
        name: weight * _share(task, terms.values[name], terms.places[name], part, shared=name == "encoder")
        for name, weight in guiding.items()
    }
    return {"task": asked["task"], **shares}


def scales_of(settings: TrainingSettings, first_task_loss: float) -> dict[str, float]:
    """What makes terms comparable, by name: effective forms of the task's kind are divided by its first value."""
    return {} if settings.losses == "published" else {"task": 1 / first_task_loss, "output": 1 / first_task_loss}


def weighted_sum(terms: Terms, weights: dict[str, float | Tensor]) -> Tensor:
    """The sum that is minimised."""
    task, *others = (weights[name] * value for name, value in terms.values.items())
    return sum(others, torch.as_tensor(task))


def learn_variances(
    log_variances: dict[str, float], losses: dict[str, float], settings: TrainingSettings, first_task_loss: float
) -> None:
    """One step down the gradient of exp(-s) L + s for every term L, in place; s is the term's log-variance.

    (Kendall, Gal, Cipolla, CVPR 2018, twice their sum for regressions.)  L is the term as `scales_of` scales it.
    """
    scale = scales_of(settings, first_task_loss)
    for name, loss in losses.items():
        s = log_variances.get(name, 0.0)
        s -= UNCERTAINTY_RATE * (1 - math.exp(-s) * scale.get(name, 1.0) * loss)
        log_variances[name] = max(s, -MOST_CERTAIN)


def _share(task: Tensor, term: Tensor, place: Tensor, part: Part, shared: bool) -> Tensor:
    """|d task / d place| / |d term / d place| of all images, without gradient; 0 where the term has none.

    `shared`: the place is one for all images (optics), not a part of each (features, predictions).  Raises
    `CidesignError` where the task does not depend on the place: features that the prediction is not made of.
    """
    if not term.requires_grad:  # MRI lines that are fixed for the rest of the training
        return torch.zeros((), device=place.device)
    wanted, found = (
        torch.autograd.grad(value, place, retain_graph=True, allow_unused=True)[0] for value in (task, term)
    )
    if shared and (wanted is None or found is None):  # optics that have no say in this step
        return torch.zeros((), device=place.device)
    if wanted is None or found is None:
        raise CidesignError(
            "weighting gradient: the decoder's features do not lead to its prediction, so that no gradients can be "
            "balanced there; use weighting fixed, or a decoder whose features do"
        )
    length = part.norm(found, shared)
    if not float(length):
        return torch.zeros((), device=place.device)
    share: Tensor = part.norm(wanted, shared) / length
    return share.detach()
