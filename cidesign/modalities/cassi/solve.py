"""From calibrated detector images to cubes: the student's decoder, and baselines.  All use of torch is here."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign import progress
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.modalities.cassi.gap_tv import gap_tv
from cidesign.models.system import ImagingSystem
from cidesign.models.tiles import decoded
from cidesign.pattern import ApertureMask
from cidesign.physics.base import ImagePrior
from cidesign.physics.conjugate_gradients import conjugate_gradients
from cidesign.physics.linear_inverse import CosinePrior
from cidesign.physics.noise import PixelNoise

Cube = NDArray[np.float32]
Plane = NDArray[np.float64]

METHODS = {
    "student": "student decoder",
    "linear": "best linear",
    "gap_tv": "GAP-TV",
    "tikhonov": "least squares (Tikhonov)",
}
# Values of cubes that are decoded at once.
VALUES_AT_ONCE = 2**21
# Photon noise counts as nothing below this part of the total variance.
NEGLIGIBLE = 1e-3


def calibrated_noise(calibration: CassiCalibration, repeats: int = 1) -> PixelNoise:
    """The calibrated detector as the model that training draws noise from, for the mean of `repeats` images.

    Its flat is taken as 1.  Where the gain was not resolved, photon noise is below the read noise: any gain that keeps
    it negligible describes the same detector.
    """
    count = repeats * calibration.binning**2
    scale, read = calibration.scale_counts, calibration.read_noise_counts
    gain = max(calibration.gain_counts_per_photoelectron, NEGLIGIBLE * read**2 / scale)
    bands = float(len(calibration.operator.response))
    return PixelNoise(count * scale / gain * bands, count**0.5 * read / gain, bands)


def designed_operator(
    design: ApertureMask, profile: ApertureProfile, size: tuple[int, int], origin_px: tuple[float, float]
) -> CassiOperator:
    """The operator as it was designed: the drawn mask straight in its place, bands that are all equally bright.

    `size` (h, w) of the detector in code pixels, `origin_px` where code pixel (0, 0) should lie in the least shifted
    band.  What a student is told that knows of no calibration.
    """
    spectrograph = profile.spectrograph
    shift_px = np.array(spectrograph.shift_px.value)
    along = np.array([1.0, 0.0] if spectrograph.axis.value == "rows" else [0.0, 1.0])
    places = np.array(origin_px) + (shift_px - shift_px.min())[:, None] * along
    to_code = np.stack([np.column_stack([np.eye(2), -place]) for place in places])
    masks = np.repeat(design.levels[None].astype(np.float32), len(places), axis=0)
    return CassiOperator(masks, to_code, np.ones(len(places)), size)


def encoder_of(
    operator: CassiOperator,
    valid: NDArray[np.bool_] | None = None,
    variance: Plane | None = None,
    noise: PixelNoise | None = None,
    *,
    thorough: bool = True,
) -> MeasuredCassiEncoder:
    """The operator as an encoder; `variance` (h, w) is that of the readings, needed where they are `valid` (h, w)."""
    spread = None
    if variance is not None:
        seen = np.ones(operator.size, dtype=bool) if valid is None else valid
        spread = torch.from_numpy(np.where(seen, variance, 1.0).astype(np.float32))
    return MeasuredCassiEncoder(
        torch.from_numpy(operator.masks),
        torch.from_numpy(operator.to_code),
        torch.from_numpy(operator.response),
        operator.size,
        None if valid is None else torch.from_numpy(valid),
        noise,
        thorough=thorough,
        variance=spread,
    ).eval()


@torch.no_grad()
def reconstruct_with(
    system: ImagingSystem, y: Plane, variance: Plane, encoder: MeasuredCassiEncoder
) -> dict[str, Cube]:
    """The cubes (L, H, W) by name (see `METHODS`) from readings y (h, w) of the given variances, by any operator.

    That of the decoder is the first, under the name of its column: one that learns nothing is the linear estimate.

    The encoder's valid pixels are used; with an operator that is not the bench's, the student and all baselines are
    wrong alike.
    """
    prior = system.decoder.prior
    readings = torch.from_numpy(np.where(encoder.valid.numpy(), y, 0.0).astype(np.float32))[None]
    spread = torch.from_numpy(np.where(encoder.valid.numpy(), variance, 1.0).astype(np.float32))
    with progress.part(METHODS.get(system.decoder.column, system.decoder.column)):
        cubes: dict[str, Tensor] = {system.decoder.column: decoded(system.decoder.image, readings, encoder)}
    if "linear" not in cubes:
        with progress.part(METHODS["linear"]):
            cubes["linear"] = decoded(system.decoder.linear_estimate, readings, encoder)
    cubes |= {
        "gap_tv": gap_tv(readings, encoder, spread, float(prior.variance.mean())),
        "tikhonov": tikhonov(readings, encoder, prior, spread),
    }
    return {name: cube[0].numpy().astype(np.float32) for name, cube in cubes.items()}


@torch.no_grad()
def student_cubes(system: ImagingSystem, y: Plane, encoder: MeasuredCassiEncoder) -> Iterator[Cube]:
    """The student's cubes (L, H, W) from several readings y (D, h, w), as many at once as memory allows."""
    readings = torch.from_numpy(np.where(encoder.valid.numpy(), y, 0.0).astype(np.float32))
    step = max(VALUES_AT_ONCE // encoder.weight.numel(), 1)
    for first in range(0, len(readings), step):
        yield from decoded(system.decoder.image, readings[first : first + step], encoder).numpy()


@torch.no_grad()
def tikhonov(y: Tensor, encoder: MeasuredCassiEncoder, prior: ImagePrior, variance: Tensor) -> Tensor:
    """x = m + A^T (A A^T + S / v)^-1 (y - A m): the mean spectrum m and the mean pixel variance v of the training."""
    mean = CosinePrior(prior).mean_image(encoder.size)
    weight = variance / float(prior.variance.mean())
    scale = encoder.row_energy() + weight

    def system(z: Tensor) -> Tensor:
        return encoder.A(encoder.A_adjoint(z)) + weight * z

    with progress.part("least squares"):
        z = conjugate_gradients(system, lambda r: r / scale, y - encoder.A(mean))
    return mean + encoder.A_adjoint(z)
