"""The terms of the student's loss: task, bottleneck features, sensing operators, and the teacher's predictions."""

import math
from collections.abc import Mapping
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


def add_gradients(
    terms: Terms,
    settings: TrainingSettings,
    first_task_loss: float,
    log_variances: dict[str, float],
    part: Part,
    share: float,
) -> tuple[Tensor, dict[str, float | Tensor]]:
    """Add the gradients of `share` times the weighted sum of the terms to the weights of the system.

    Returns the sum, and what each term is multiplied by in it, both without gradient and the same for every `part` of
    the images.  Effective forms are made comparable: task and output by the first value of the task, features relative
    to the teacher's, and the operators' distance is scale-free by itself.  (First values would not do for the last two:
    a student that starts as its teacher starts near zero there.)  With `uncertainty` weighting weights are divided by
    learnt variances, with `gradient` weighting they are found on the way back, see `_Balance`.
    """
    scale = scales_of(settings, first_task_loss)
    asked = {name: getattr(settings, f"weight_{name}") * scale.get(name, 1.0) for name in terms.values}
    weights: dict[str, float | Tensor] = {**asked}
    if settings.weighting == "gradient" and len(terms.values) > 1:
        balance = _Balance(terms, {name: getattr(settings, f"weight_{name}") for name in asked}, part, share)
        weights = {"task": asked["task"], **balance.back(asked["task"] * terms.values["task"])}
        return weighted_sum(terms, weights).detach(), weights
    if settings.weighting == "uncertainty":
        weights = {name: weight * math.exp(-log_variances.get(name, 0.0)) for name, weight in asked.items()}
    loss = weighted_sum(terms, weights)
    (share * loss).backward()  # type: ignore[no-untyped-call]
    return loss.detach(), weights


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


class _Balance:
    """Guiding terms that join the task's gradient where they act, on its one way back.

    There each has its weight's share of the gradient that arrives: the output term on the prediction, the decoder term
    on the features, and at the end the encoder term on the optics.  What arrives is the task's, and of terms that have
    joined it before, which weigh little.
    """

    def __init__(self, terms: Terms, shares: Mapping[str, float], part: Part, share: float) -> None:
        self.places, self.shares, self.part, self.share = terms.places, shares, part, share
        self.weights: dict[str, Tensor] = {}
        # MRI lines that are fixed for the rest of the training have a term without gradient.
        self.own = {
            name: torch.autograd.grad(value, terms.places[name], retain_graph=True)[0]
            for name, value in terms.values.items()
            if name != "task" and value.requires_grad
        }
        self.still = [name for name in terms.values if name != "task" and name not in self.own]

    def back(self, task: Tensor) -> dict[str, Tensor]:
        """Go back from the weighted task; the weights of the other terms.

        Raises `CidesignError` where the task does not depend on the features: they do not lead to the prediction.
        """
        optics = self.places["encoder"]
        before = None if optics.grad is None else optics.grad.clone()
        hooks = [
            self.places[name].register_hook(lambda gradient, name=name: self._join(name, gradient))  # type: ignore[no-untyped-call]
            for name in ("output", "decoder")
            if name in self.own
        ]
        (self.share * task).backward()  # type: ignore[no-untyped-call]
        for hook in hooks:
            hook.remove()
        if "encoder" in self.own:
            arrived = torch.zeros_like(optics) if optics.grad is None else optics.grad
            new = self._join("encoder", arrived if before is None else arrived - before)
            optics.grad = new if before is None else before + new
        if self.own.keys() - self.weights.keys():
            raise CidesignError(
                "weighting gradient: the decoder's features do not lead to its prediction, so that no gradients can be "
                "balanced there; use weighting fixed, or a decoder whose features do"
            )
        return {**self.weights, **{name: torch.zeros((), device=optics.device) for name in self.still}}

    def _join(self, name: str, gradient: Tensor) -> Tensor:
        """The gradient that goes on from where a term acts; 0 times the term where it has none there."""
        own, shared = self.own[name], name == "encoder"
        length = self.part.norm(own, shared)
        arrived = self.part.norm(gradient / self.share, shared)
        weight = torch.where(length > 0, self.shares[name] * arrived / length.clamp_min(1e-30), 0.0).detach()
        self.weights[name] = weight
        return gradient + self.share * weight * own
