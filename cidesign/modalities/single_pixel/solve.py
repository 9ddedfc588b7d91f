"""From measurements to images: the student's decoder, and linear baselines.  All use of torch is here."""

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.response import Response
from cidesign.modalities.single_pixel import total_variation
from cidesign.modalities.single_pixel.diagnostics.maps import Decode, Prior
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder, single_band
from cidesign.models.system import ImagingSystem
from cidesign.pattern import Encoding
from cidesign.physics.linear_inverse import lmmse, tikhonov
from cidesign.physics.noise import DetectorNoise
from cidesign.reconstruct.classify import Told

Image = NDArray[np.float32]
Signed = NDArray[np.float32]

# Photon noise counts as nothing below this part of the total variance.
NEGLIGIBLE = 1e-3


def calibrated_noise(response: Response, encoding: Encoding) -> DetectorNoise:
    """The calibrated detector as the model that decoders take.

    Where the gain was not resolved, photon noise is below the read noise: any gain that keeps it negligible
    describes the same detector.
    """
    scale, variance = response.scale_counts.value, response.noise_variance_counts2
    gain = max(response.gain_for_noise, NEGLIGIBLE * variance / scale)
    return DetectorNoise(scale / gain, variance**0.5 / gain, encoding)


def constant_noise(variance: float, side: int) -> DetectorNoise:
    """A detector whose measurements have one variance, whatever the light (photon noise below 0.1 % of it)."""
    charge = side**2 / (NEGLIGIBLE * variance)
    return DetectorNoise(charge, charge / side * (variance / 2) ** 0.5, "complementary")


@torch.no_grad()
def decode(system: ImagingSystem, y: NDArray[np.float64], signed: Signed, noise: DetectorNoise) -> Image:
    """The image (n, n) that the decoder makes of y (K,), taken with the patterns (K, n, n) and the noise given."""
    encoder = SinglePixelEncoder.fixed(signed, noise)
    return _image(system.decoder(_batch(y), encoder).prediction)


def decoder_of(system: ImagingSystem, noise: DetectorNoise) -> Decode:
    """The decoder of images (B, n, n) from measurements (B, K) and the patterns (K, n, n) they were taken with."""

    @torch.no_grad()
    def decode_all(y: NDArray[np.float64], signed: Signed) -> Image:
        encoder = SinglePixelEncoder.fixed(signed, noise)
        images: Image = system.decoder(torch.from_numpy(y.astype(np.float32)), encoder).prediction[:, 0].numpy()
        return images

    return decode_all


def told(y: NDArray[np.float64], again: NDArray[np.float64], signed: Signed, noise: DetectorNoise) -> Told:
    """What a decoder of classes is told: y (K,), as it could come out again (draws, K), the patterns, the noise."""
    return Told(_batch(y), SinglePixelEncoder.fixed(signed, noise), torch.from_numpy(again.astype(np.float32)))


def image_statistics(system: ImagingSystem) -> Prior:
    """The statistics of the training images that the decoder carries."""
    prior = single_band(system.decoder.prior)
    return Prior(float(prior.mean_level), prior.variance.numpy().astype(np.float64))


@torch.no_grad()
def best_linear(system: ImagingSystem, y: NDArray[np.float64], signed: Signed, variance: float) -> Image:
    """The best linear estimate under the prior of the student's training images, one noise variance for all y."""
    matrix = SinglePixelEncoder.fixed(signed).matrix()
    return _image(lmmse(_batch(y), matrix, single_band(system.decoder.prior), variance))


@torch.no_grad()
def best_linear_calibrated(system: ImagingSystem, measurements: Measurements) -> Image:
    """The best linear estimate from y and the measured light level, each weighted with its calibrated noise.

    The light level m is one more measurement, n m = sum(w x) / n, its error taken as independent: the student does
    not get it, a baseline may.
    """
    matrix, y, row, level = _whitened(measurements)
    return _image(lmmse(torch.cat([y, level], dim=1), torch.cat([matrix, row]), single_band(system.decoder.prior), 1.0))


@torch.no_grad()
def tikhonov_calibrated(system: ImagingSystem, measurements: Measurements) -> Image:
    """x = m + A^T (A A^T + w I)^-1 (y - A m), whitened, around the level m of an even scene of the measured light.

    w = 1 / v with v the mean pixel variance of the student's training images.
    """
    matrix, y, _, _ = _whitened(measurements)
    level = measurements.light_level.value / float(measurements.light_weights.mean())
    weight = 1.0 / float(system.decoder.prior.variance.mean())
    return _image(level + tikhonov(y - level * matrix.sum(dim=1), matrix, weight))


def least_variation(measurements: Measurements, linear: Image) -> Image:
    """The image of least total variation that explains the readings as noise lets expect, or as `linear` does."""
    rows = measurements.signed.reshape(len(measurements.signed), -1) / measurements.signed.shape[-1]
    matrix, y = measurements.whiten(rows), measurements.whiten(measurements.y).astype(np.float32)
    rest = matrix @ linear.reshape(-1) - y
    # Where no image explains the readings to their noise, one further away is all that can be asked for.
    return total_variation.least_variation(matrix, y, linear, max(float(y.size), float(rest @ rest)))


def _whitened(measurements: Measurements) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A (K, N), y (1, K), and the row and value of the light level, all in units of their noise."""
    signed = measurements.signed
    side = signed.shape[-1]
    matrix = measurements.whiten(signed.reshape(len(signed), -1) / side)
    error = max(measurements.light_level.standard_error, 1e-9) * side
    row = measurements.light_weights.reshape(1, -1) / side / error
    return (
        torch.from_numpy(matrix),
        _batch(measurements.whiten(measurements.y)),
        torch.from_numpy(row.astype(np.float32)),
        _batch(np.array([side * measurements.light_level.value / error])),
    )


def _batch(y: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(y.astype(np.float32))[None]


def _image(tensor: torch.Tensor) -> Image:
    side = round(tensor.numel() ** 0.5)
    image: Image = tensor.reshape(side, side).numpy().astype(np.float32)
    return image
