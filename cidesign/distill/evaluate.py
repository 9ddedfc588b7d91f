"""Measuring systems: image metrics, with the same noise for all."""

import torch
from torch import Tensor

from cidesign.distill.loop import compared, evaluation_batches, evaluation_noise
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.metrics import high_frequency_error_db, psnr_db, ssim
from cidesign.run_settings import TrainingSettings


@torch.no_grad()
def image_metrics(system: ImagingSystem, images: Tensor, settings: TrainingSettings) -> dict[str, float]:
    """Means over stored images (M, C, H, W) with one fixed draw of the noise.

    PSNR in dB over all channels of an image, data range 1, averaged over images; SSIM; the error of fine detail
    (HFEN, dB); for cubes the spectral angle in degrees.  For MRI all but `complex_psnr_db` are those of the
    magnitude.
    """
    system.encoder.explore(1.0, None)
    generator = evaluation_noise(settings)
    found: dict[str, list[Tensor]] = {}
    for x in evaluation_batches(images):
        x_hat = system(x, generator).image
        own = modality(settings.modality).image_metrics(x_hat, x)
        x_hat, x = compared(x_hat, settings), compared(x, settings)
        values = {"psnr_db": psnr_db(x_hat, x), "ssim": ssim(x_hat, x)}
        values |= {"hfen_db": high_frequency_error_db(x_hat, x), **own}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}
