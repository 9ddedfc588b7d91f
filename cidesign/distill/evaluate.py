"""Measuring systems: image metrics, the fixed designs of a modality, and metrics of the optics."""

import numpy as np
import torch
from torch import Tensor

from cidesign.distill.job import SystemMaker
from cidesign.distill.loop import compared, evaluation_batches, evaluation_noise
from cidesign.errors import InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.cassi.encoder import SdCassiEncoder
from cidesign.modalities.cassi.fixed_designs import feasible_blue_noise_mask, feasible_random_mask
from cidesign.modalities.mri.encoder import MriEncoder, line_scores
from cidesign.modalities.mri.fixed_designs import centre_lines, equispaced_lines, variable_density_lines
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.fixed_designs import (
    HadamardOrder,
    hadamard_patterns,
    low_frequency_cosines,
    random_patterns,
)
from cidesign.models.optics import CassiOptics, MriOptics
from cidesign.models.system import ImagingSystem
from cidesign.pattern import ApertureMask, Design, PatternStack, Trajectory
from cidesign.physics.base import Encoder
from cidesign.physics.encoder_metrics import condition_number, line_spread, row_coherence
from cidesign.physics.metrics import high_frequency_error_db, psnr_db, sam_degrees, ssim
from cidesign.run_settings import RunSettings, SinglePixelSettings

# Of the powers 2, 4 and 8 tried on phantoms, the one whose reconstructions came nearest.
DENSITY_POWER = 4.0
HADAMARD_ORDERS: tuple[HadamardOrder, ...] = ("natural", "sequency", "cake-cutting")


@torch.no_grad()
def image_metrics(system: ImagingSystem, images: Tensor, settings: RunSettings) -> dict[str, float]:
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
        values = {}
        if settings.modality == "mri":
            values["complex_psnr_db"] = psnr_db(x_hat, x)
        x_hat, x = compared(x_hat, settings), compared(x, settings)
        values = {"psnr_db": psnr_db(x_hat, x), "ssim": ssim(x_hat, x), **values}
        values["hfen_db"] = high_frequency_error_db(x_hat, x)
        if settings.modality == "cassi":
            values["sam_degrees"] = sam_degrees(x_hat, x)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}


def fixed_designs(maker: SystemMaker, profile: HardwareProfile) -> dict[str, Design]:
    """The designs of the modality that are not learnt, each feasible for the profile, by name."""
    settings, seed = maker.settings, maker.settings.seed
    if isinstance(settings, SinglePixelSettings):
        return _fixed_patterns(settings, profile)
    if isinstance(maker.optics, CassiOptics):
        rule, pitch_um = maker.optics.rule, maker.optics.profile.pixel_pitch_um.value
        size = maker.optics.size
        masks = {
            "random 50 %": feasible_random_mask(rule, *size, seed),
            "blue noise": feasible_blue_noise_mask(rule, *size, seed),
        }
        return {name: ApertureMask(mask, pitch_um, profile.id, profile.digest) for name, mask in masks.items()}
    if not isinstance(maker.optics, MriOptics):
        raise TypeError("no fixed designs are known for these optics")
    budget = maker.optics.rule
    ranked = line_scores(maker.sample, budget).argsort(descending=True)[: budget.acquired]
    lines = {
        "centre block": centre_lines(budget),
        "variable density": variable_density_lines(budget, seed, DENSITY_POWER),
        "equispaced + centre": equispaced_lines(budget, 0.0),
        "partial Fourier": np.sort(ranked.cpu().numpy().astype(np.int64)),
    }
    readout, calibration = maker.optics.size[1], budget.calibration
    return {
        name: Trajectory(budget.lines, readout, chosen, calibration, profile.id, profile.digest)
        for name, chosen in lines.items()
    }


def _fixed_patterns(settings: SinglePixelSettings, profile: HardwareProfile) -> dict[str, Design]:
    side, count = settings.side, settings.patterns
    signed = {
        "random": random_patterns(side, count, settings.seed),
        "low-pass cosines": low_frequency_cosines(side, count),
    }
    for order in HADAMARD_ORDERS:
        try:
            signed[f"Hadamard, {order}"] = hadamard_patterns(side, count, order)
        except InputError:  # Hadamard patterns need a power of two
            continue
    top = 2**settings.bit_depth - 1
    return {
        name: PatternStack(
            np.where(patterns > 0, top, 0).astype(np.uint8),
            settings.bit_depth,
            settings.encoding,
            profile.id,
            profile.digest,
        )
        for name, patterns in signed.items()
    }


@torch.no_grad()
def optics_metrics(encoder: Encoder) -> dict[str, float]:
    """What can be said of the optics alone.

    Single-pixel: condition number over the non-zero singular values, and the largest correlation between two
    patterns.  CASSI: the share of the mask that is open.  MRI: R, and the largest side lobe of the lines' point spread.
    """
    if isinstance(encoder, SinglePixelEncoder):
        matrix = encoder.matrix()
        return {"condition_number": condition_number(matrix), "row_coherence": row_coherence(matrix)}
    if isinstance(encoder, SdCassiEncoder):
        return {"open_fraction": float(encoder.mask().mean())}
    if isinstance(encoder, MriEncoder):
        lines = encoder.lines()
        spread = line_spread(lines.to(torch.uint8).cpu().numpy())
        return {"acceleration": len(lines) / float(lines.sum()), "side_lobe": spread.side_lobe}
    raise TypeError("no metrics are known for these optics")
