"""Fine-tuning: the student's decoder adapted to the operator of one bench, as it was calibrated.

In every step an operator is drawn from what the calibration leaves open; it makes the measurements, and the decoder
is told the calibrated one, as it will be on the bench.  Optics are frozen.  What counts is the task loss alone: a
teacher does not know the bench.
"""

import contextlib
import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cidesign.distill.loop import as_floats, batches, generator_for, places_of_step
from cidesign.distill.presets import gains_from_bfloat16
from cidesign.distill.streams import Stream
from cidesign.distill.tasks.base import task_named
from cidesign.errors import CidesignError
from cidesign.modality import modality
from cidesign.models.decoder import Decoder
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Encoder, looking_at
from cidesign.physics.operator_family import OperatorFamily, family_at
from cidesign.run_settings import TrainingSettings

# Of the student's peak rate; of 0.3 and 1 the one with which decoders of all three modalities improve.
LEARNING_RATE_SHARE = 0.3
# Held-out images: as many choose between old and new decoder as are reported, and no image does both.
VALIDATION_IMAGES = 128
# So many images share one drawn operator when quality is measured.
IMAGES_PER_DRAW = 8
# A difference of two decoders, image by image, counts from this many standard errors on.
REQUIRED_ERRORS = 2.0


@dataclass(frozen=True)
class FineTuneSettings:
    """What decides the result, beside run and calibration; `images` are shown `epochs` times."""

    epochs: int
    images: int
    validation_images: int
    batch: int
    learning_rate: float
    seed: int
    precision: str
    device: str


@dataclass(frozen=True)
class MeanError:
    """A mean over images and its standard error."""

    mean: float
    standard_error: float

    @property
    def improves(self) -> bool:
        """A difference that is positive beyond chance."""
        return self.mean > REQUIRED_ERRORS * self.standard_error


@dataclass(frozen=True)
class Quality:
    """PSNR in dB on held-out images, measured with operators drawn around the calibrated one.

    `blind`: the student told the design (None where its measurements have another shape), `before`: told the
    calibrated operator, `linear`: the best linear estimate told it, `after`: the fine-tuned decoder told it.  Image by
    image, `conditioning` is before less blind, `gain` after less before.
    """

    blind: MeanError | None
    linear: MeanError
    before: MeanError
    after: MeanError
    conditioning: MeanError | None
    gain: MeanError


@dataclass(frozen=True)
class FineTuned:
    """The outcome: `decoder` is the new one where `kept`, else the one that was given.

    `choosing` is the gain in dB on the images that decided, `reported` the quality on images that decided nothing.
    """

    decoder: Decoder
    kept: bool
    choosing: MeanError
    reported: Quality
    seconds: float


def fine_tune_settings(
    run: TrainingSettings, epochs: int | None, images: int | None, seed: int, device: str, teacher_epochs: int = 0
) -> FineTuneSettings:
    """Settings for a run; None: together 8 % of the images that its training showed (SD-CASSI: 3 %).

    `teacher_epochs` are those of a stored teacher.
    """
    share = modality(run.modality).fine_tuning_share
    shown = share * ((teacher_epochs or run.teacher_epochs) + run.student_epochs) * run.images
    if epochs is None:
        epochs = max(1, math.ceil(shown / (images or run.images)))
    count = images or max(1, round(shown / epochs))
    batch = min(run.batch, count)
    return FineTuneSettings(
        epochs=epochs,
        images=count,
        validation_images=2 * VALIDATION_IMAGES,
        batch=batch,
        learning_rate=LEARNING_RATE_SHARE * run.learning_rate,
        seed=seed,
        precision="bfloat16" if gains_from_bfloat16(device) else "float32",
        device=device,
    )


def fine_tune(
    system: ImagingSystem,
    family: OperatorFamily,
    images: tuple[Tensor, Tensor],
    run: TrainingSettings,
    settings: FineTuneSettings,
    on_epoch: Callable[[int, float], None] = lambda epoch, psnr_db: None,
) -> FineTuned:
    """Adapt a copy of the system's decoder; the system itself is not changed.

    `images`: training and held-out ones (M, C, H, W), as stored, on the settings' device; the held-out ones are halved.
    `on_epoch` hears the PSNR on the choosing half.  Raises
    `CidesignError` when training diverges.
    """
    started = time.monotonic()
    # Same seed, same bits, as in the training of a run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=settings.device != "cpu")
    asked = run.changed(seed=settings.seed, batch=settings.batch, device=settings.device, weight_encoder=0.0)
    train, held_out = images
    half = len(held_out) // 2
    designed = system.encoder
    # Of optics in places, each has an operator of its own.
    whole = designed.places(None) == [None]
    with family.centre.unchanged() if whole else contextlib.nullcontext():
        tuned = copy.deepcopy(system.decoder).requires_grad_(True)
        before = psnr_of(system.decoder, designed, family, held_out[:half], asked, Stream.CHOOSING)
        best, choosing = tuned, MeanError(-math.inf, 0.0)
        for epoch in _epochs(tuned, designed, family, train, asked, settings):
            after = psnr_of(tuned, designed, family, held_out[:half], asked, Stream.CHOOSING)
            on_epoch(epoch, float(after.mean()))
            if (gain := mean_error(after - before)).mean > choosing.mean:
                best, choosing = copy.deepcopy(tuned), gain
        if not math.isfinite(choosing.mean):
            raise CidesignError(
                f"fine-tuning diverged with {settings.epochs} x {settings.images} images and seed {settings.seed}; the "
                "old decoder stays. Try another seed"
            )
        best = best.eval().requires_grad_(False)
        reported = quality(system, best, family, held_out[half:], asked, Stream.REPORTING)
    kept = choosing.improves
    return FineTuned(best if kept else system.decoder, kept, choosing, reported, time.monotonic() - started)


def _epochs(
    decoder: Decoder,
    designed: Encoder,
    family: OperatorFamily,
    train: Tensor,
    run: TrainingSettings,
    settings: FineTuneSettings,
) -> Iterator[int]:
    """Train in place; yields the number of each epoch at its end, the decoder in exact arithmetic then.

    Of optics that were trained in places, the first one of each step's is looked at.
    """
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(decoder.parameters(), lr=settings.learning_rate, fused=True)
    shorter = torch.bfloat16 if settings.precision == "bfloat16" else None
    per_epoch = len(train) // settings.batch
    total = per_epoch * settings.epochs
    for step, x in enumerate(batches(train, run, "student", 0, total)):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
        decoder.training_dtype = shorter
        place = places_of_step(designed, run, "student", step, per_epoch)[0]
        here = family_at(family, place)
        loss = _task_loss(decoder, here, here.scene(x), run, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        decoder.training_dtype = None
        if (step + 1) % per_epoch == 0:
            yield (step + 1) // per_epoch


def _task_loss(decoder: Decoder, family: OperatorFamily, x: Tensor, run: TrainingSettings, step: int) -> Tensor:
    rng, noise = draws_for(run, Stream.FINE_TUNING, step)
    y = measured(family, x, rng, noise)
    return task_named(run.task).loss(decoder(y, family.centre).prediction, x)


def draws_for(run: TrainingSettings, purpose: Stream, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """Random numbers of the operator and of the noise, of one step."""
    return np.random.default_rng([run.seed, purpose, step]), generator_for(run, purpose, "student", step)


@torch.no_grad()
def measured(family: OperatorFamily, x: Tensor, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
    """What a bench within the calibration's uncertainty measures of images (B, C, H, W)."""
    drawn = family.draw(rng)
    y: Tensor = drawn.encoder.to(x.device)(x * drawn.gain, noise)
    return y


class _Scene(NamedTuple):
    """Images, their measurements, and the family that these are of; the design looks at the same place."""

    x: Tensor
    y: Tensor
    family: OperatorFamily


def _scenes(
    designed: Encoder, family: OperatorFamily, images: Tensor, run: TrainingSettings, purpose: Stream
) -> Iterator[_Scene]:
    """A drawn operator for every few images, the same for the same purpose; spread over the places of the optics."""
    starts, places = range(0, len(images), IMAGES_PER_DRAW), designed.places(None)
    for step, start in enumerate(starts):
        place = places[step * len(places) // len(starts)]
        here = family_at(family, place)
        x = here.scene(as_floats(images[start : start + IMAGES_PER_DRAW]))
        with looking_at(place, designed):
            yield _Scene(x, measured(here, x, *draws_for(run, purpose, step)), here)


@torch.no_grad()
def psnr_of(
    decoder: Decoder,
    designed: Encoder,
    family: OperatorFamily,
    images: Tensor,
    run: TrainingSettings,
    purpose: Stream,
) -> Tensor:
    """PSNR (M,) of a decoder that is told the centre of the family."""
    found = [
        task_named(run.task).scores(decoder(one.y, one.family.centre).prediction, one.x, modality(run.modality))
        for one in _scenes(designed, family, images, run, purpose)
    ]
    return torch.cat(found)


@torch.no_grad()
def quality(
    system: ImagingSystem,
    tuned: Decoder,
    family: OperatorFamily,
    images: Tensor,
    run: TrainingSettings,
    purpose: Stream,
) -> Quality:
    """The old and the new decoder on the same measurements of stored images (M, C, H, W)."""
    designed, task, kind = system.encoder, task_named(run.task), modality(run.modality)
    designed.explore(1.0, None)
    found: dict[str, list[Tensor]] = {}
    for x, y, here in _scenes(designed, family, images, run, purpose):
        made = {
            "linear": system.decoder.linear_estimate(y, here.centre),
            "before": system.decoder(y, here.centre).prediction,
            "after": tuned(y, here.centre).prediction,
        }
        if designed.A(x[:1]).shape[1:] == y.shape[1:]:
            made["blind"] = system.decoder(y * family.designed_scale, designed).prediction
        for name, image in made.items():
            found.setdefault(name, []).append(task.scores(image, x, kind))
    values = {name: torch.cat(parts) for name, parts in found.items()}
    return Quality(
        blind=mean_error(values["blind"]) if "blind" in values else None,
        linear=mean_error(values["linear"]),
        before=mean_error(values["before"]),
        after=mean_error(values["after"]),
        conditioning=mean_error(values["before"] - values["blind"]) if "blind" in values else None,
        gain=mean_error(values["after"] - values["before"]),
    )


def mean_error(values: Tensor) -> MeanError:
    """Mean and standard error of values (M,)."""
    spread = float(values.double().std()) if len(values) > 1 else 0.0
    return MeanError(float(values.double().mean()), spread / len(values) ** 0.5)
