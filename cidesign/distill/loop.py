"""Training: the teacher with real-valued optics first, then the student under its guidance."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cidesign.distill.checkpoint import PhaseName, Progress
from cidesign.distill.losses import decoder_loss, encoder_loss
from cidesign.models.system import ImagingSystem
from cidesign.physics.metrics import psnr_db
from cidesign.runs import RunSettings

PHASES: tuple[PhaseName, ...] = ("teacher", "student")
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class StepReport:
    """What one training step shows: step of the phase, of how many, the loss, and the batch's PSNR in dB."""

    phase: PhaseName
    step: int
    steps: int
    loss: float
    psnr_db: float


def epochs_of(settings: RunSettings, phase: PhaseName) -> int:
    """The number of epochs of a phase."""
    return settings.teacher_epochs if phase == "teacher" else settings.student_epochs


def make_optimiser(system: ImagingSystem, settings: RunSettings) -> torch.optim.Adam:
    """Adam with a rate of its own for the optics."""
    groups = [
        {"params": [system.encoder.weight], "lr": settings.optics_learning_rate},
        {"params": list(system.decoder.parameters()), "lr": settings.learning_rate},
    ]
    return torch.optim.Adam(groups, fused=True)


def generator_for(settings: RunSettings, purpose: int, phase: PhaseName, step: int) -> torch.Generator:
    """A generator that depends only on the seed and the place in training, so resuming needs no stored state."""
    sequence = np.random.SeedSequence([settings.seed, purpose, PHASES.index(phase), step])
    generator = torch.Generator(settings.device)
    return generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def batches(
    images: Tensor, settings: RunSettings, phase: PhaseName, first_step: int, last_step: int
) -> Iterator[Tensor]:
    """Batches (B, 1, n, n) of float images in [0, 1] for steps first_step..last_step-1, flipped and turned at random.

    `images` (M, n, n) is uint8 on the training device; every epoch is one permutation without the odd rest.
    """
    per_epoch = len(images) // settings.batch
    order = torch.empty(0)
    for step in range(first_step, last_step):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or not len(order):
            order = torch.randperm(
                len(images), generator=generator_for(settings, 0, phase, epoch), device=images.device
            )
        chosen = images[order[position * settings.batch : (position + 1) * settings.batch]]
        yield _turn(chosen, generator_for(settings, 1, phase, step)).float()[:, None] / 255


def _turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip left-right, flip up-down and transpose, each with probability 1/2 for each image; all at once."""
    choice = torch.rand(3, len(images), 1, 1, generator=generator, device=images.device) < 0.5
    images = torch.where(choice[0], images.flip(2), images)
    images = torch.where(choice[1], images.flip(1), images)
    return torch.where(choice[2], images.mT, images)


def evaluation_batches(images: Tensor) -> Iterator[Tensor]:
    """Images (M, n, n) uint8 as float batches (B, 1, n, n) in [0, 1], in order."""
    for start in range(0, len(images), EVALUATION_BATCH):
        yield images[start : start + EVALUATION_BATCH].float()[:, None] / 255


def train_phase(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    optimiser: torch.optim.Adam,
    images: Tensor,
    settings: RunSettings,
    progress: Progress,
    on_step: Callable[[StepReport], None],
) -> Iterator[tuple[int, float]]:
    """Train one phase from `progress.step` on; yields number and mean loss of each epoch at its end.

    The rates follow half a cosine to zero over the phase.  `teacher` is None in the teacher's own phase.
    """
    per_epoch = len(images) // settings.batch
    total = per_epoch * epochs_of(settings, progress.phase)
    peak_rates = [settings.optics_learning_rate, settings.learning_rate]
    for x in batches(images, settings, progress.phase, progress.step, total):
        started = time.monotonic()
        decay = 0.5 * (1 + math.cos(math.pi * progress.step / total))
        for group, rate in zip(optimiser.param_groups, peak_rates, strict=True):
            group["lr"] = rate * decay
        generator = generator_for(settings, 2, progress.phase, progress.step)
        task, loss = _losses(system, teacher, x, generator, settings, progress)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress.step += 1
        progress.epoch_loss_sum += float(loss.detach())
        progress.seconds += time.monotonic() - started
        if progress.step % per_epoch == 0:
            mean_loss, progress.epoch_loss_sum = progress.epoch_loss_sum / per_epoch, 0.0
            yield progress.step // per_epoch, mean_loss
        # After the epoch's record, so that stopping here leaves nothing of this step undone.
        psnr = -10 * math.log10(max(float(task), 1e-12))
        on_step(StepReport(progress.phase, progress.step, total, float(loss.detach()), psnr))


def _losses(
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    x: Tensor,
    generator: torch.Generator,
    settings: RunSettings,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """The task loss, and the sum that is minimised.

    The student's terms are made comparable: the task by its first value, features relative to the teacher's, and
    the operators' distance is scale-free by itself.  (First values would not do for the last two: a student that
    starts as its teacher starts near zero there.)
    """
    output = system(x, generator)
    task = torch.nn.functional.mse_loss(output.image, x)
    if teacher is None:
        return task.detach(), task
    progress.first_task_loss = progress.first_task_loss or float(task.detach())
    loss = settings.weight_task / progress.first_task_loss * task
    if settings.weight_decoder:
        with torch.no_grad():
            wanted = teacher.decoder.bottleneck(teacher.encoder(x, generator), teacher.encoder)
        loss = loss + settings.weight_decoder * decoder_loss(output.features, wanted)
    if settings.weight_encoder:
        wanted_operator = teacher.encoder.matrix().detach()
        loss = loss + settings.weight_encoder * encoder_loss(system.encoder.matrix(), wanted_operator)
    return task.detach(), loss


@torch.no_grad()
def evaluate(system: ImagingSystem, images: Tensor, settings: RunSettings) -> dict[str, float]:
    """PSNR of the decoder and of its linear estimate on images (M, n, n) uint8, with one fixed draw of the noise."""
    generator = generator_for(settings, 3, "teacher", 0)
    final, linear = [], []
    for x in evaluation_batches(images):
        y = system.encoder(x, generator)
        final.append(psnr_db(system.decoder(y, system.encoder).image, x))
        linear.append(psnr_db(system.decoder.linear_estimate(y, system.encoder), x))
    return {"psnr_db": float(torch.cat(final).mean()), "linear_psnr_db": float(torch.cat(linear).mean())}
