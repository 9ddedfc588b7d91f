"""Measuring systems: image metrics, with the same noise for all, and what needs no training beside them."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cidesign.distill.examples import Stored, examples_of
from cidesign.distill.loop import evaluation_batches, evaluation_noise
from cidesign.distill.tasks.base import task_named
from cidesign.modality import Classical, modality
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings

NETWORK, LINEAR = "network", "linear"
LINEAR_TITLE = "linear estimate"
# Of so many values (64 images of 64 x 64), and of so many images at least, iterative reconstructions take seconds.
ITERATED_VALUES, LEAST_ITERATED = 2**18, 8
# A mean difference counts beyond so many standard errors; of fewer images than these, any does.
STANDARD_ERRORS, FEW_IMAGES = 2.0, 8

Winner = Literal["network", "classical", "neither"]


class Held(NamedTuple):
    """What a reconstruction without training makes of the same measurements, held against the network's.

    `score` is its mean over `images` images; `difference` is the network's mean score over these less `score`, with its
    `standard_error` (None of a single image).
    """

    title: str
    score: float
    images: int
    difference: float
    standard_error: float | None
    wins: Winner


class Measures(NamedTuple):
    """Means of the metrics over all images, and what each reconstruction without training reaches, by its name.

    `mean_square`: the mean squared error over all values of all images, of the network and of the linear estimate.
    `scores`: the network's of each image (M,).
    """

    metrics: dict[str, float]
    held: dict[str, Held]
    mean_square: dict[str, float]
    scores: Tensor


def image_metrics(system: ImagingSystem, images: Stored, settings: TrainingSettings) -> dict[str, float]:
    """Means over stored images (M, C, H, W) with one fixed draw of the noise.

    The metrics are those of the settings' task and modality: for reconstructions PSNR in dB over all channels of an
    image, data range 1, averaged over images; SSIM; the error of fine detail (HFEN, dB); for cubes the spectral angle
    in degrees.  For MRI all but `complex_psnr_db` are those of the magnitude.  For classes accuracy in percent, its
    standard error and the log loss.
    """
    return measure(system, images, settings, len(images), ()).metrics


@torch.no_grad()
def measure(
    system: ImagingSystem, stored: Stored, settings: TrainingSettings, scenes: int, classical: Sequence[Classical]
) -> Measures:
    """`image_metrics`, and the linear estimate and all of `classical` on the same measurements.

    The linear estimate is of all images, the others of at most `iterated` ones, evenly spaced.  `scenes`: how many
    independent ones the images are of; crops of one picture are alike.
    """
    system.encoder.explore(1.0, None)
    generator = evaluation_noise(settings)
    task, kind, examples = task_named(settings.task), modality(settings.modality), examples_of(stored)
    images = examples.images
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[_evenly(len(images), iterated(images))] = True
    found: dict[str, list[Tensor]] = {}
    scores: dict[str, list[Tensor]] = {}
    squares: dict[str, list[Tensor]] = {}

    def keep(name: str, prediction: Tensor, target: Tensor) -> None:
        scores.setdefault(name, []).append(task.scores(prediction, target, kind).double().cpu())
        if task.predicts == "images":
            squares.setdefault(name, []).append((prediction - target).square().flatten(1).mean(dim=1).double().cpu())

    first = 0
    with system.encoder.unchanged():
        for x in evaluation_batches(images, system.encoder):
            y = system.encoder(x, generator)
            prediction = system.decoder(y, system.encoder).prediction
            here = slice(first, first + len(x))
            target = examples.targets(x, here)
            for name, value in task.metrics(prediction, target, kind).items():
                found.setdefault(name, []).append(value)
            keep(NETWORK, prediction, target)
            some = chosen[here].to(x.device)
            first += len(x)
            if task.predicts != "images":
                continue
            keep(LINEAR, system.decoder.linear_estimate(y, system.encoder), x)
            for one in classical if some.any() else ():
                keep(one.name, one.reconstruct(y[some], system.encoder, system.decoder.prior), x[some])
    metrics = task.means(found, scenes)
    titles = {LINEAR: LINEAR_TITLE, **{one.name: one.title for one in classical}}
    network = torch.cat(scores.pop(NETWORK))
    held_against = {}
    for name, values in scores.items():
        own = network if name == LINEAR else network[chosen]
        held_against[name] = held(titles[name], own, torch.cat(values), scenes)
    means = {name: float(torch.cat(squares[name]).mean()) for name in (NETWORK, LINEAR) if name in squares}
    return Measures(metrics, held_against, means, network)


def held(title: str, network: Tensor, classical: Tensor, scenes: int) -> Held:
    """The scores (M,) of a network held against those of a reconstruction without training of the same images.

    One of them wins where the mean difference is beyond two standard errors, of few images where there is any.
    """
    difference = network - classical
    independent = min(len(difference), scenes)
    mean = float(difference.mean())
    error = float(difference.std()) / math.sqrt(independent) if len(difference) > 1 else None
    needed = 0.0 if error is None or independent < FEW_IMAGES else STANDARD_ERRORS * error
    wins: Winner = "neither"
    if abs(mean) > needed:
        wins = "network" if mean > 0 else "classical"
    return Held(title, float(classical.mean()), len(classical), mean, error, wins)


def iterated(images: Tensor) -> int:
    """Of how many of these images (M, C, H, W) reconstructions that iterate are made."""
    return min(len(images), max(LEAST_ITERATED, ITERATED_VALUES // images[0].numel()))


def _evenly(count: int, wanted: int) -> Tensor:
    """`wanted` of `count` numbers, evenly spaced."""
    return torch.linspace(0, count - 1, wanted).round().long()
