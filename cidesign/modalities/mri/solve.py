"""From calibrated k-space to images: the student's decoder, and baselines.  All use of torch is here.

The operator is y = M F (L^-1 S / g) z + n: measured lines M, centred orthonormal FFT F, coil maps S, whitening L^-1,
and g = |L^-1 S| over the coils.  n is independent, and x = z / g the image whose magnitude is the root of the sum of
squares over the coils, in units of the training images.

A student that was trained with one coil decodes several with this same operator: its first step, the best
linear estimate, and its last one, which keeps what the readings say, take the operator from the caller, and the
network in between sees one complex image either way.  So no coil-combined k-space is made up, which
undersampled coils do not have: S^H F^H y is not the transform of any one image's lines.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign import progress
from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.response import KspaceCalibration
from cidesign.constraints.kspace import Budget, LineBudget
from cidesign.constraints.points import PointBudget
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.fourier import to_complex
from cidesign.models.system import ImagingSystem
from cidesign.pattern import Cartesian, CartesianLines
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.conjugate_gradients import conjugate_gradients
from cidesign.physics.total_variation import differences, divergence

CG_ITERATIONS = 30
CG_TOLERANCE = 1e-6
TV_ITERATIONS = 100
# Of 0.25, 0.5, 1, 2 and 4 times the noise of a sample, the weight that came nearest over phantoms with one and four
# coils, R of 2 and 4, and noise of 0.005 to 0.03.
TV_WEIGHT_NOISES = 0.5
# Where maps are 0, there is no object.
EMPTY = 1e-6


class Residual(NamedTuple):
    """`relative`: |A x - y| / |y|; `chi_square`: |A x - y|^2 over what noise alone would leave, 1 for the true "
    "image."""

    relative: float
    chi_square: float


def calibrated_encoder(design: Cartesian, maps: Samples, noise: float) -> CartesianEncoder:
    """The operator of the design's lines or points, measured maps (coils, N, n) and noise (of each part)."""
    rule: Budget
    if isinstance(design, CartesianLines):
        rule = LineBudget(design.lines, len(design.acquired), design.calibration_lines)
    else:
        rule = PointBudget(*design.matrix, len(design.acquired), design.calibration, elliptical=False)
    weight = torch.from_numpy(design.mask.astype(np.float32))
    return CartesianEncoder(weight, rule, torch.from_numpy(maps), noise).requires_grad_(False).eval()


def batch(k: Samples, design: Cartesian) -> Tensor:
    """K-space (1, coils, N, n) with the design's lines or points only."""
    mask = design.mask[:, None] if isinstance(design, CartesianLines) else design.mask
    return torch.from_numpy(np.where(mask == 1, k, 0).astype(np.complex64))[None]


@torch.no_grad()
def decode(system: ImagingSystem, y: Tensor, encoder: CartesianEncoder) -> Tensor:
    """The image (1, 2, N, n) of the student's decoder."""
    image: Tensor = system.decoder(y, encoder).prediction
    return image


@torch.no_grad()
def zero_filled(y: Tensor, encoder: CartesianEncoder) -> Tensor:
    """A^H y over the sum of squares of the maps: zeros in place of the lines that are missing."""
    energy = encoder.coil_maps.abs().square().sum(dim=0)
    return encoder.A_adjoint(y) * torch.where(energy > EMPTY, 1 / energy.clamp_min(EMPTY), 0.0)


@torch.no_grad()
def cg_sense(y: Tensor, encoder: CartesianEncoder, weight: float, iterations: int = CG_ITERATIONS) -> Tensor:
    """argmin |A x - y|^2 + weight |x|^2 by conjugate gradients (Pruessmann et al., Magn. Reson. Med. 46, 638, 2001)."""
    right = encoder.A_adjoint(y)
    return conjugate_gradients(
        lambda x: encoder.A_adjoint(encoder.A(x)) + weight * x, lambda x: x, right, iterations, CG_TOLERANCE
    )


@torch.no_grad()
def total_variation(y: Tensor, encoder: CartesianEncoder, weight: float, iterations: int = TV_ITERATIONS) -> Tensor:
    """argmin 1/2 |A x - y|^2 + weight sum |gradient x|, by the primal-dual steps of Condat (2013) and Vu (2013).

    Images (B, 2, N, n) of k-space (B, coils, N, n); the gradient is isotropic, over both axes and both parts of the
    complex image.
    """
    bound = float(encoder.norm_squared())
    # 1 / t - s |D|^2 >= |A|^2 / 2 with |D|^2 <= 8.
    primal = 1.0 / max(bound, EMPTY)
    dual_step = bound / 16.0
    x = zero_filled(y, encoder)
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    for _ in progress.steps("total variation", range(iterations)):
        gradient = encoder.A_adjoint(encoder.A(x) - y)
        after = x - primal * (gradient - divergence(down, right))
        across, along = differences(2 * after - x)
        down, right = down + dual_step * across, right + dual_step * along
        length = (down.square() + right.square()).sum(dim=1, keepdim=True).sqrt()
        shrink = (length / max(weight, EMPTY)).clamp_min(1.0)
        down, right, x = down / shrink, right / shrink, after
    return x


def designed_total_variation(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """`total_variation` by the operator as designed, with the weight of its noise."""
    scan = cast(CartesianEncoder, encoder)
    return total_variation(y, scan, TV_WEIGHT_NOISES * scan.noise)


def prior_power(system: ImagingSystem) -> float:
    """Mean power of a pixel of the student's training images."""
    return float(system.decoder.prior.variance[0].mean())


def reconstructions(
    system: ImagingSystem, k: Samples, design: Cartesian, calibration: KspaceCalibration
) -> dict[str, tuple[Samples, Residual]]:
    """Complex images x (N, n) of the lines of `design` out of whitened k-space (coils, N, n), and how they fit."""
    noise = calibration.noise_deviation
    maps, norm = calibration.operator()
    encoder = calibrated_encoder(design, maps, noise)
    y = batch(k, design)
    images = {
        "zero_filled": zero_filled(y, encoder),
        "cg_sense": cg_sense(y, encoder, 2 * noise**2 / prior_power(system)),
        "total_variation": total_variation(y, encoder, TV_WEIGHT_NOISES * noise),
        system.decoder.column: decode(system, y, encoder),
    }
    weight = _weight(norm)
    return {name: (to_numpy(image) * weight, residual(image, y, encoder)) for name, image in images.items()}


def student_magnitudes(
    system: ImagingSystem, scans: Iterable[Samples], design: Cartesian, calibration: KspaceCalibration
) -> Iterator[NDArray[np.float32]]:
    """The student's magnitude (N, n) for each of several whitened k-spaces (coils, N, n), one after the other."""
    maps, norm = calibration.operator()
    encoder, weight = calibrated_encoder(design, maps, calibration.noise_deviation), _weight(norm)
    for k in scans:
        yield (np.abs(to_numpy(decode(system, batch(k, design), encoder))) * weight).astype(np.float32)


def _weight(norm: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an image z is multiplied with to be in units of the root of the sum of squares: 1 / norm, 0 off the maps."""
    return np.where(norm > 0, 1 / np.where(norm > 0, norm, 1), 0).astype(np.float32)


@torch.no_grad()
def residual(image: Tensor, y: Tensor, encoder: CartesianEncoder) -> Residual:
    """How an image (1, 2, N, n) fits the readings."""
    left = (encoder.A(image) - y).abs().square().sum()
    count = float(encoder.mask().expand(y.shape[2:]).sum()) * y.shape[1]
    total = y.abs().square().sum()
    return Residual(float((left / total).sqrt()), float(left) / (2 * encoder.noise**2 * count))


def to_numpy(image: Tensor) -> Samples:
    """A complex image (N, n) of (1, 2, N, n)."""
    return np.asarray(to_complex(image)[0].numpy(), dtype=np.complex64)
