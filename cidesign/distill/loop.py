"""Training: the teachers with freer optics first, then the student under the guidance of the last."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cidesign.distill.augmentation import AUGMENTATIONS
from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.ranks import ALONE, Part, Ranks
from cidesign.distill.computing.threads import Threads
from cidesign.distill.examples import Examples, Stored, examples_of
from cidesign.distill.losses import add_gradients, learn_variances, student_terms
from cidesign.distill.streams import Stream
from cidesign.distill.tasks.base import Column, task_named
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Encoder, looking_at
from cidesign.physics.places import Place
from cidesign.run_settings import TrainingSettings

# The steps between train the decoder for the optics that are best so far.
EXPLORING_STEPS = 1 / 3
EVALUATION_PIXELS = 500 * 32 * 32
# Of a batch that statistics are gathered from: 16 MB as float32, and some five times this while they are.
PASS_VALUES = 2**22


@dataclass(frozen=True)
class StepReport:
    """What one training step shows: step of the phase, of how many, the loss, and roughly the batch's score."""

    phase: str
    step: int
    steps: int
    loss: float
    score: float


def phases_of(settings: TrainingSettings) -> list[str]:
    """The names of the phases: the teacher, or the teachers of a ladder, if there are any, and the student."""
    if settings.teacher_epochs == 0:
        return ["student"]
    count = len(settings.ladder)
    teachers = ["teacher"] if count == 1 else [f"teacher-{number}" for number in range(1, count + 1)]
    return teachers if settings.only_teacher else [*teachers, "student"]


def epochs_of(settings: TrainingSettings, phase: str) -> int:
    """The number of epochs of a phase; teachers share theirs evenly, the last one takes the rest."""
    if phase == "student":
        return settings.student_epochs
    count = len(settings.ladder)
    share = settings.teacher_epochs // count
    last = phases_of(settings)[count - 1]
    return settings.teacher_epochs - share * (count - 1) if phase == last else share


def make_optimiser(system: ImagingSystem, settings: TrainingSettings) -> torch.optim.Adam:
    """Adam with a rate of its own for the optics."""
    groups = [
        {"params": [system.encoder.weight], "lr": settings.optics_learning_rate},
        {"params": list(system.decoder.parameters()), "lr": settings.learning_rate},
    ]
    return torch.optim.Adam(groups, fused=True)


def generator_for(settings: TrainingSettings, purpose: Stream, phase: str, step: int, rank: int = 0) -> torch.Generator:
    """A generator that depends only on the seed and the place in training, so resuming needs no stored state.

    `rank`: of several processes each draws its own for its part of a batch, the first one what a single one draws.
    """
    place = [settings.seed, purpose, phases_of(settings).index(phase), step]
    sequence = np.random.SeedSequence(place, spawn_key=(rank,) if rank else ())
    generator = torch.Generator(settings.device)
    return generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def batches(
    images: Tensor, settings: TrainingSettings, phase: str, first_step: int, last_step: int
) -> Iterator[Tensor]:
    """Batches (B, C, H, W) of float images for steps first_step..last_step-1, see `batches_with_targets`."""
    return (x for x, _ in batches_with_targets(Examples(images), settings, phase, first_step, last_step))


def batches_with_targets(
    examples: Examples, settings: TrainingSettings, phase: str, first_step: int, last_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (B, C, H, W) of float images for steps first_step..last_step-1, changed at random as the settings say,
    and what predictions for them are held against.

    Images are on the training device; every epoch is one permutation without the odd rest.
    """
    images, augmented = examples.images, AUGMENTATIONS[settings.augmentation]
    per_epoch = len(images) // settings.batch
    order = torch.empty(0)
    for step in range(first_step, last_step):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or not len(order):
            order = torch.randperm(
                len(images),
                generator=generator_for(settings, Stream.ORDER_OF_IMAGES, phase, epoch),
                device=images.device,
            )
        chosen = order[position * settings.batch : (position + 1) * settings.batch]
        x = as_floats(augmented(images[chosen], generator_for(settings, Stream.FLIPS_AND_TURNS, phase, step)))
        yield x, examples.targets(x, chosen)


def as_floats(images: Tensor) -> Tensor:
    """Stored images as float32: bytes are 255 times the value, half-precision numbers the value itself."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


class StoredImages:
    """Stored images (M, C, H, W) as float batches, in order, as often as one goes through them; never all at once."""

    def __init__(self, stored: Tensor) -> None:
        self.stored = stored

    def __iter__(self) -> Iterator[Tensor]:
        size = max(1, PASS_VALUES // self.stored[0].numel())
        for start in range(0, len(self.stored), size):
            yield as_floats(self.stored[start : start + size])


def evaluation_batches(images: Tensor, encoder: Encoder) -> Iterator[Tensor]:
    """Stored images (M, C, H, W) as float batches, in order.

    The encoder looks at a place of its optics for each batch, spread over all of them.
    """
    size, places = max(1, EVALUATION_PIXELS // images[0].numel()), encoder.places(None)
    starts = range(0, len(images), size)
    for number, start in enumerate(starts):
        with looking_at(places[number * len(places) // len(starts)], encoder):
            yield as_floats(images[start : start + size])


def places_of_step(
    encoder: Encoder, settings: TrainingSettings, phase: str, step: int, per_epoch: int
) -> list[Place | None]:
    """What a step looks at: of an epoch's rounds of places, each of them drawn anew, as many in turn as bring every
    epoch through one round at least (where a step has fewer images than that, one for each)."""
    if encoder.places(None) == [None]:
        return [None]
    epoch, position = divmod(step, per_epoch)

    def drawn(number: int) -> Sequence[Place | None]:
        return encoder.places(generator_for(settings, Stream.PLACES, phase, epoch * per_epoch + number))

    count = len(drawn(0))
    each = min(-(-count // per_epoch), settings.batch)
    rounds = [divmod(position * each + number, count) for number in range(each)]
    return [drawn(number)[which] for number, which in rounds]


def train_phase(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    optimiser: torch.optim.Adam,
    images: Stored,
    settings: TrainingSettings,
    progress: Progress,
    on_step: Callable[[StepReport], None],
    threads: Threads | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Train one phase from `progress.step` on; yields number and mean loss of each epoch at its end, and of a student's
    terms the means of `loss_TERM` (as it is) and `weight_TERM` (what it was multiplied by).

    The rates follow half a cosine to zero over the phase, or stay.  `teacher` is None in the teacher's own phase, and
    where there is none.  `threads` chooses how many compute; None: as many as are in use.  Each of `ranks` takes its
    part of every batch, and all of them the same step.
    """
    threads = threads or Threads([torch.get_num_threads()])
    per_epoch = len(images) // settings.batch
    total = per_epoch * epochs_of(settings, progress.phase)
    for x, targets in batches_with_targets(examples_of(images), settings, progress.phase, progress.step, total):
        with threads.step():
            seen = _step(system, teacher, optimiser, x, targets, settings, progress, per_epoch, ranks)
        progress.step += 1
        task, loss = seen.pop("task"), seen.pop("loss")
        progress.epoch_loss_sum += loss
        for name, value in seen.items():
            progress.epoch_terms[name] = progress.epoch_terms.get(name, 0.0) + value
        progress.seconds += threads.last_s
        progress.threads = threads.chosen
        if progress.step % per_epoch == 0:
            mean_loss, progress.epoch_loss_sum = progress.epoch_loss_sum / per_epoch, 0.0
            terms, progress.epoch_terms = {key: sum_ / per_epoch for key, sum_ in progress.epoch_terms.items()}, {}
            yield progress.step // per_epoch, mean_loss, terms
        # After the epoch's record, so that stopping here leaves nothing of this step undone.
        score = task_named(settings.task).score_of_loss(task)
        on_step(StepReport(progress.phase, progress.step, total, loss, score))


def _step(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    optimiser: torch.optim.Adam,
    x: Tensor,
    targets: Tensor,
    settings: TrainingSettings,
    progress: Progress,
    per_epoch: int,
    ranks: Ranks,
) -> dict[str, float]:
    """One step of the phase; what `_losses` saw."""
    done = progress.step / (per_epoch * epochs_of(settings, progress.phase))
    decay = 0.5 * (1 + math.cos(math.pi * done)) if settings.schedule == "cosine" else 1.0
    for group, rate in zip(
        optimiser.param_groups, (settings.optics_learning_rate, settings.learning_rate), strict=True
    ):
        group["lr"] = rate * decay
    draws = generator_for(settings, Stream.EXPLORATION, progress.phase, progress.step)
    exploring = float(torch.rand((), generator=draws, device=draws.device)) < EXPLORING_STEPS
    learnt = settings.exploring and system.encoder.weight.requires_grad
    system.encoder.explore(done, draws if learnt and exploring else None)
    optimiser.zero_grad()  # before the forward pass, which needs the room
    places = places_of_step(system.encoder, settings, progress.phase, progress.step, per_epoch)
    seen = ranks.means(_backward(system, teacher, x, targets, places, settings, progress, ranks))
    ranks.sum_gradients(weight for group in optimiser.param_groups for weight in group["params"])
    optimiser.step()
    if teacher is not None and settings.weighting == "uncertainty":
        terms = {name.removeprefix("loss_"): value for name, value in seen.items() if name.startswith("loss_")}
        learn_variances(progress.log_variances, terms, settings, progress.first_task_loss or 1.0)
    return seen


def _backward(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    x: Tensor,
    targets: Tensor,
    places: Sequence[Place | None],
    settings: TrainingSettings,
    progress: Progress,
    ranks: Ranks,
) -> dict[str, float]:
    """Add the gradients of a step, in which each place sees its share of the images, and each rank its part of these;
    what was seen, weighted so that the sums over all ranks are means over the batch."""
    generator = generator_for(settings, Stream.TRAINING_NOISE, progress.phase, progress.step, ranks.rank)
    means: dict[str, float] = {}
    parts = zip(x.tensor_split(len(places)), targets.tensor_split(len(places)), places, strict=True)
    for images, wanted, place in parts:
        own = ranks.part(len(images))
        part = Part(ranks, len(images[own]) / len(images))
        share = len(images) / len(x) * part.of
        with looking_at(place, *(one.encoder for one in (system, teacher) if one is not None)):
            seen = _losses(system, teacher, images[own], wanted[own], generator, settings, progress, part, share)
        for name, value in seen.items():
            means[name] = means.get(name, 0.0) + share * float(value)
    return means


def _losses(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    x: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    settings: TrainingSettings,
    progress: Progress,
    part: Part,
    share: float,
) -> dict[str, float | Tensor]:
    """Add the gradients of `share` times the sum that is minimised.

    Returns this `loss`, the `task` loss, and of a student every `loss_TERM` and `weight_TERM`.
    """
    if teacher is None:
        task = task_named(settings.task).loss(system(x, generator).prediction, targets)
        (share * task).backward()  # type: ignore[no-untyped-call]
        return {"loss": task.detach(), "task": task.detach()}
    terms = student_terms(system, teacher, x, generator, settings, targets, part)
    task = terms.values["task"].detach()
    progress.first_task_loss = progress.first_task_loss or float(part.mean(task))
    loss, weights = add_gradients(terms, settings, progress.first_task_loss, progress.log_variances, part, share)
    seen: dict[str, float | Tensor] = {"loss": loss, "task": task}
    seen |= {f"loss_{name}": value.detach() for name, value in terms.values.items()}
    seen |= {f"weight_{name}": weight for name, weight in weights.items()}
    return seen


def evaluation_noise(settings: TrainingSettings) -> torch.Generator:
    """The draws that every evaluation of a seed uses."""
    return generator_for(settings, Stream.EVALUATION_NOISE, phases_of(settings)[0], 0)


@torch.no_grad()
def evaluate(
    system: ImagingSystem, images: Stored, settings: TrainingSettings, columns: Sequence[Column] | None = None
) -> dict[str, float]:
    """The metrics that the task follows, or those of `columns`, on stored images, with one fixed draw of the noise."""
    task, kind, examples = task_named(settings.task), modality(settings.modality), examples_of(images)
    generator = evaluation_noise(settings)
    system.encoder.explore(1.0, None)
    found: dict[str, list[Tensor]] = {}
    first = 0
    with system.encoder.unchanged():
        for x in evaluation_batches(examples.images, system.encoder):
            targets, first = examples.targets(x, slice(first, first + len(x))), first + len(x)
            y = system.encoder(x, generator)
            prediction = system.decoder(y, system.encoder).prediction
            linear = system.decoder.linear_estimate(y, system.encoder)
            for name, value in task.measured(prediction, linear, targets, kind, columns or task.followed).items():
                found.setdefault(name, []).append(value)
    return task.means(found, len(examples))
