"""The terms of the student's loss: task, bottleneck features, and sensing operators."""

import torch
from torch import Tensor

from cidesign.distill.tasks import task_named
from cidesign.models.system import ImagingSystem
from cidesign.physics.encoder_metrics import gradient_norms
from cidesign.run_settings import TrainingSettings


def decoder_loss(student: Tensor, teacher: Tensor, published: bool) -> Tensor:
    """Squared difference of features (B, C, h, w), relative to the teacher's: |S - T|^2 / |T|^2.

    The published loss is the mean square itself (arXiv 2501.17898); divided by the teacher's own, its weight means
    the same for every decoder.
    """
    difference = (student - teacher).square()
    if published:
        return difference.mean()
    return difference.sum() / teacher.square().sum().clamp_min(1e-12)


def student_terms(
    system: ImagingSystem,
    teacher: ImagingSystem,
    x: Tensor,
    generator: torch.Generator,
    settings: TrainingSettings,
    targets: Tensor | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The terms that are switched on, by name, and the student's features; the teacher sees the same images.

    `targets` are what predictions are held against, None: the images.
    """
    published = settings.losses == "published"
    output = system(x, generator)
    terms = {"task": task_named(settings.task).loss(output.prediction, x if targets is None else targets)}
    if settings.weight_decoder:
        with torch.no_grad():
            wanted = teacher.decoder.bottleneck(teacher.encoder(x, generator), teacher.encoder)
        terms["decoder"] = decoder_loss(output.features, wanted, published)
    if settings.weight_encoder:
        terms["encoder"] = system.encoder.encoder_loss(teacher.encoder, published)
    return terms, output.features


def gradients_of_terms(
    system: ImagingSystem,
    teacher: ImagingSystem,
    x: Tensor,
    generator: torch.Generator,
    settings: TrainingSettings,
    targets: Tensor | None = None,
) -> dict[str, float]:
    """The norm of each term's gradient on the optics, unweighted, as `gradient_TERM`."""
    terms, _ = student_terms(system, teacher, x, generator, settings, targets)
    return {f"gradient_{name}": norm for name, norm in gradient_norms(terms, [system.encoder.weight]).items()}


def weighted_sum(
    terms: dict[str, Tensor], features: Tensor, weight: Tensor, settings: TrainingSettings, first_task_loss: float
) -> Tensor:
    """The sum that is minimised.

    Effective forms are made comparable: the task by its first value, features relative to the teacher's, and the
    operators' distance is scale-free by itself.  (First values would not do for the last two: a student that starts
    as its teacher starts near zero there.)  With `gradient` weighting each guiding term's gradient, where it acts
    (decoder: on the features; encoder: on the optics `weight`), has its weight's share of the task's there.
    """
    scale = 1.0 if settings.losses == "published" else 1 / first_task_loss
    task = settings.weight_task * scale * terms["task"]
    loss = task
    for name, place, factor in (
        ("decoder", features, settings.weight_decoder),
        ("encoder", weight, settings.weight_encoder),
    ):
        if name in terms:
            share = _share(task, terms[name], place) if settings.weighting == "gradient" else 1.0
            loss = loss + factor * share * terms[name]
    return loss


def _share(task: Tensor, term: Tensor, place: Tensor) -> Tensor:
    """|d task / d place| / |d term / d place|, without gradient; 0 where the term has none."""
    if not term.requires_grad:  # MRI lines that are fixed for the rest of the training
        return torch.zeros((), device=place.device)
    wanted, found = (
        torch.autograd.grad(value, place, retain_graph=True, allow_unused=True)[0] for value in (task, term)
    )
    if wanted is None or found is None or not float(found.norm()):
        return torch.zeros((), device=place.device)
    share: Tensor = wanted.norm() / found.norm()
    return share.detach()
