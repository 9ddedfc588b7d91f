"""Images of a lensless camera without training: Wiener's filter, and total variation by ADMM.

Both know that the sensor cuts most of the shadow off.  Readings beside the sensor count as unknown, not as dark.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cidesign import progress
from cidesign.modalities.lensless.encoders.convolution import ConvolutionEncoder
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import resized_prior

ITERATIONS = 200
# Of total variation over the variance s^2 of a reading, for a transfer function of the mean square g: the larger of the
# two, the second times (g / s^2)^0.5.  Of those tried on procedural training images, in a hundredth to a hundred times
# the light of a full well behind random, MURA and pinhole masks, these came nearest; three times as much or as little
# lost up to 2 dB.
TV_WEIGHT, TV_BRIGHT_WEIGHT = 3.0, 0.4
# Of ADMM, over g and over the weight of a reading: of those tried the quickest.
SLOPE_PENALTY, READING_PENALTY = 1.0, 1.0
# Light from directions that the sensor hardly takes is not divided by less.
LEAST_RESPONSE = 1e-3


@dataclass(frozen=True)
class _Plane:
    """The plane of the convolution: readings (B, K, C, P, Q) in it, and images (B, C, P, Q) in its upper left corner.

    `noise` is the variance of a reading of the mean image.
    """

    camera: ConvolutionEncoder
    transfer: Tensor
    mean: Tensor
    noise: float

    @classmethod
    def of(cls, encoder: Encoder, prior: ImagePrior) -> "_Plane":
        camera = cast(ConvolutionEncoder, encoder)
        mean = prior.mean[None, :, None, None].expand(1, -1, *camera.size)
        return cls(camera, camera.transfer(), mean, camera.variance(mean))

    @property
    def power(self) -> Tensor:
        """The square of the transfer function, summed over shots."""
        return self.transfer.abs().square().sum(dim=0)

    def placed(self, y: Tensor) -> Tensor:
        """Readings (B, K C, h, w) where they belong."""
        shots, channels = self.transfer.shape[:2]
        (rows, columns), (height, width) = self.camera.sensor, self.camera.size
        found = y.new_zeros(len(y), shots, channels, *self.camera.plane)
        seen = y.reshape(len(y), shots, channels, rows, columns)
        found[..., height - 1 : height - 1 + rows, width - 1 : width - 1 + columns] = seen
        return found

    def read(self, y: Tensor) -> Tensor:
        """1 where a reading of the plane is one of the sensor's, else 0."""
        return self.placed(torch.ones_like(y[:1]))[0, 0, 0]

    def inside(self, like: Tensor) -> Tensor:
        """1 where an image may be bright, else 0."""
        found = like.new_zeros(self.camera.plane)
        found[: self.camera.size[0], : self.camera.size[1]] = 1
        return found

    def convolved(self, v: Tensor) -> Tensor:
        """Readings of the whole plane."""
        found: Tensor = torch.fft.irfft2(torch.fft.rfft2(v)[:, None] * self.transfer, s=self.camera.plane)
        return found

    def gathered(self, readings: Tensor) -> Tensor:
        """The transform of its adjoint."""
        found: Tensor = (torch.fft.rfft2(readings) * self.transfer.conj()).sum(dim=1)
        return found

    def image(self, v: Tensor) -> Tensor:
        """The image without what the sensor takes less of."""
        height, width = self.camera.size
        return v[..., :height, :width] / self.camera.response().clamp_min(LEAST_RESPONSE)


@torch.no_grad()
def wiener(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """x_c = m + F^-1 [conj(T) S_c F (y - A m) / (r |T|^2 S_c + s^2 + (1 - r) p_c)] / w for each channel c.

    T is the transfer function on a plane that holds sensor and PSF, s^2 the noise of a reading, m and S_c mean and
    spectral density of the training images.  The plane is read only in part: r is the share of the light's square that
    falls on the sensor, and what falls beside it, of the power p_c = mean |T|^2 S_c, is noise to a filter that cannot
    tell where it was.  Where all light falls on the sensor r is 1, and this is the usual filter.
    """
    plane = _Plane.of(encoder, prior)
    density, power = _density(prior, plane.camera), plane.power
    share = _share(plane, y)
    beside = (1 - share) * _mean_of_half(power * density, plane.camera.plane)
    spectrum = plane.gathered(plane.placed(y - plane.camera.A(plane.mean)))
    filtered = spectrum * density / (share * power * density + plane.noise + beside)
    return plane.mean + plane.image(torch.fft.irfft2(filtered, s=plane.camera.plane))


def _share(plane: _Plane, y: Tensor) -> Tensor:
    """Of unit variance in each pixel of an image, the part of the readings' that the sensor has, (C, 1, 1)."""
    psf = torch.fft.irfft2(plane.transfer, s=plane.camera.plane).square().sum(dim=0)
    pixels = torch.fft.rfft2(plane.inside(y) * plane.inside(y))
    found = torch.fft.irfft2(torch.fft.rfft2(psf) * pixels, s=plane.camera.plane).clamp_min(0)
    part: Tensor = (plane.read(y) * found).sum(dim=(-2, -1)) / found.sum(dim=(-2, -1))
    return part[:, None, None]


def _mean_of_half(values: Tensor, plane: tuple[int, int]) -> Tensor:
    """The mean over a whole plane of what is given on the half plane of a real transform, (C, 1, 1)."""
    counts = values.new_full((values.shape[-1],), 2.0)
    counts[0] = 1
    if plane[1] % 2 == 0:
        counts[-1] = 1
    total: Tensor = (values * counts).sum(dim=(-2, -1)) / (plane[0] * plane[1])
    return total[:, None, None]


def _density(prior: ImagePrior, camera: ConvolutionEncoder) -> Tensor:
    """The spectral density of each channel on the half plane of a real transform of the plane, (C, P, Q / 2 + 1).

    The variance of a coefficient of the orthonormal DCT is the density at its frequency: at k of n, k / (2 n).
    """
    variance = resized_prior(prior, camera.plane).variance
    channels = torch.einsum("ij,ihw->jhw", prior.basis.square(), variance)
    rows, columns = (
        (2 * steps.abs() * size).round().long().clamp(max=size - 1)
        for steps, size in zip(
            (torch.fft.fftfreq(camera.plane[0]), torch.fft.rfftfreq(camera.plane[1])), camera.plane, strict=True
        )
    )
    return channels[:, rows.to(variance.device)[:, None], columns.to(variance.device)]


@torch.no_grad()
def admm_tv(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """argmin 1/2 |y - cut(psf * v)|^2 + t TV(v), v >= 0 and dark beside the image, by ADMM; x = v / w.

    The cut, the slopes and the sign are split from the convolution (Antipa et al., Optica 5, 1 (2018)), so that every
    step is a division.  t follows from the light: `tv_weight`.  Slopes across the image's border, beside
    which nothing is known, cost nothing.
    """
    plane = _Plane.of(encoder, prior)
    power = plane.power
    level = float(power.flatten(1)[:, 1:].mean())
    mu_slope = mu_bright = SLOPE_PENALTY * level
    shortened = tv_weight(plane.noise, level) / mu_slope
    read, inside = plane.read(y), plane.inside(y)
    placed, within = plane.placed(y), _within(inside)
    system = READING_PENALTY * power + mu_slope * _laplacian(plane.camera.plane, y) + mu_bright
    v = y.new_zeros(len(y), plane.transfer.shape[1], *plane.camera.plane)
    # The mean level dominates what is read: found from nothing, it would take all of the steps.
    v[..., : plane.camera.size[0], : plane.camera.size[1]] = plane.mean * plane.camera.response()
    blurred, slopes, bright = plane.convolved(v), _slopes(v), v
    seen_dual, slope_dual, bright_dual = torch.zeros_like(placed), torch.zeros_like(slopes), torch.zeros_like(v)
    for _ in progress.steps("ADMM-TV", range(ITERATIONS)):
        full = (placed + READING_PENALTY * (blurred + seen_dual)) / (read + READING_PENALTY)
        wanted = slopes + slope_dual
        length = (within * wanted.square()).sum(dim=0).sqrt()
        edges = wanted * (1 - within * shortened / length.clamp_min(1e-12)).clamp_min(0)
        bright = (v + bright_dual).clamp_min(0) * inside
        pull = mu_slope * _slopes_adjoint(edges - slope_dual) + mu_bright * (bright - bright_dual)
        right = READING_PENALTY * plane.gathered(full - seen_dual) + torch.fft.rfft2(pull)
        v = torch.fft.irfft2(right / system, s=plane.camera.plane)
        blurred, slopes = plane.convolved(v), _slopes(v)
        seen_dual += blurred - full
        slope_dual += slopes - edges
        bright_dual += v - bright
    return plane.image(bright)


def tv_weight(noise: float, level: float) -> float:
    """t of `admm_tv` for readings of the variance `noise` and a transfer function of the mean square `level`."""
    return noise * max(TV_WEIGHT, TV_BRIGHT_WEIGHT * math.sqrt(level / noise))


def _slopes(v: Tensor) -> Tensor:
    """Differences to the pixel below and to the right on the whole plane, (2, ...)."""
    return torch.stack([v.roll(-1, -2) - v, v.roll(-1, -1) - v])


def _slopes_adjoint(slopes: Tensor) -> Tensor:
    down, right = slopes
    found: Tensor = down.roll(1, -2) - down + right.roll(1, -1) - right
    return found


def _within(inside: Tensor) -> Tensor:
    """Where slopes are those between two pixels of the image, (2, 1, 1, P, Q)."""
    return torch.stack([inside * inside.roll(-1, -2), inside * inside.roll(-1, -1)])[:, None, None]


def _laplacian(plane: tuple[int, int], like: Tensor) -> Tensor:
    """|exp(2 pi i f) - 1|^2 of both axes, on the half plane of a real transform."""
    down = torch.fft.fftfreq(plane[0], dtype=like.dtype, device=like.device)
    across = torch.fft.rfftfreq(plane[1], dtype=like.dtype, device=like.device)
    return 4 * (torch.sin(torch.pi * down).square()[:, None] + torch.sin(torch.pi * across).square())
