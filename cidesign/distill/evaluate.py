"""Measuring systems: image metrics, with the same noise for all."""

import torch
from torch import Tensor

from cidesign.distill.loop import evaluation_batches, evaluation_noise
from cidesign.distill.tasks import task_named
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings


@torch.no_grad()
def image_metrics(system: ImagingSystem, images: Tensor, settings: TrainingSettings) -> dict[str, float]:
    """Means over stored images (M, C, H, W) with one fixed draw of the noise.

    The metrics are those of the settings' task and modality: for reconstructions PSNR in dB over all channels of an
    image, data range 1, averaged over images; SSIM; the error of fine detail (HFEN, dB); for cubes the spectral angle
    in degrees.  For MRI all but `complex_psnr_db` are those of the magnitude.
    """
    system.encoder.explore(1.0, None)
    generator = evaluation_noise(settings)
    task, kind = task_named(settings.task), modality(settings.modality)
    found: dict[str, list[Tensor]] = {}
    for x in evaluation_batches(images):
        for name, value in task.metrics(system(x, generator).prediction, x, kind).items():
            found.setdefault(name, []).append(value)
    return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}
