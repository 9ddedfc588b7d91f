"""Lensless optics as an encoder: every channel convolved with its PSF and cut to the sensor."""

from abc import abstractmethod

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from cidesign.modalities.lensless.encoders.estimator import LenslessEstimator
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.linear_inverse import resized_prior
from cidesign.physics.noise import PixelNoise

# Of the power iteration; the bound that follows from it is within a few percent.
POWER_STEPS = 20
# Of readings without noise, so that the estimate stays defined.
LEAST_VARIANCE = 1e-12


class ConvolutionEncoder(Encoder):
    """y_c = valid(psf_c (*) (w x_c)) / (H W) for images x (B, C, H, W); y is (B, K C, h, w) for K shots.

    A white scene behind an open mask, with w = 1 everywhere, gives y = 1.  `psf` (K, C, h + H - 1, w + W - 1) is the
    irradiance over that without a mask, `response` (H, W) the light of each direction that is taken, 1 on axis.
    """

    def __init__(self, sensor: tuple[int, int], image: tuple[int, int], noise: PixelNoise | None) -> None:
        super().__init__()
        self.sensor, self.size, self.noise = sensor, image, noise
        rows, columns = (one + other - 1 for one, other in zip(sensor, image, strict=True))
        # What wraps around on a plane of the PSF's size falls on the part that is cut off.
        self.plane = next_fast_len(rows, real=True), next_fast_len(columns, real=True)

    @abstractmethod
    def psf(self) -> Tensor:
        """The PSFs (K, C, P, Q); the gradient reaches `weight`."""

    @abstractmethod
    def response(self) -> Tensor:
        """w (H, W)."""

    @property
    def scale(self) -> float:
        """What one image pixel behind an open mask adds to a reading."""
        return 1 / (self.size[0] * self.size[1])

    def transfer(self) -> Tensor:
        """The transform of the scaled PSFs, (K, C, ...)."""
        return self.once("transfer", self._transformed)

    def _transformed(self) -> Tensor:
        found: Tensor = torch.fft.rfft2(self.psf() * self.scale, s=self.plane)
        return found

    def A(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> readings (B, K C, h, w)."""
        return seen(x, self.transfer(), self.response(), self.sensor, self.plane)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Readings -> images (B, C, H, W)."""
        return spread(y, self.transfer(), self.response(), self.size, self.plane)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy readings of images."""
        y = self.A(x)
        return y if self.noise is None else self.noise.sample(y, generator)

    def variance(self, mean: Tensor) -> float:
        """The mean variance of the readings of an image (1, C, H, W)."""
        if self.noise is None:
            return LEAST_VARIANCE
        return float(self.noise.variance(self.A(mean).detach()).mean())

    def estimator(self, prior: ImagePrior) -> LenslessEstimator:
        """The best linear estimate, with the noise of the mean image."""
        fitting = resized_prior(prior, self.size)
        mean = fitting.mean[None, :, None, None].expand(1, -1, *self.size)
        response, sensor, image, plane = self.response(), self.sensor, self.size, self.plane

        def forward_model(x: Tensor, transfer: Tensor) -> Tensor:
            return seen(x, transfer, response, sensor, plane)

        def adjoint(y: Tensor, transfer: Tensor) -> Tensor:
            return spread(y, transfer, response, image, plane)

        return LenslessEstimator(forward_model, adjoint, self.transfer(), fitting, self.variance(mean))

    @torch.no_grad()
    def norm_squared(self) -> Tensor:
        """max_i (A^T A v)_i / v_i for a v > 0 near the first eigenvector.

        It bounds the largest eigenvalue, for no entry is negative (Collatz and Wielandt).
        """
        v = torch.ones_like(self.A_adjoint(self.A(self.response().new_zeros(1, self.channels, *self.size))))
        for _ in range(POWER_STEPS):
            following = self.A_adjoint(self.A(v)).clamp_min(0)
            # A pixel that no reading sees stays dark; each channel is an operator of its own.
            ratio = torch.where(v > 0, following / v.clamp_min(1e-30), 0.0)
            v = following / following.amax(dim=(2, 3), keepdim=True).clamp_min(1e-30)
            v = torch.where(v > 1e-12, v, 0.0)
        return ratio.max()

    @property
    @abstractmethod
    def channels(self) -> int:
        """C."""

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """Effective: distance in [0, 2] of the Grams A^T A on a sensor that sees all of the shadow, free of scale.

        There A^T A holds the autocorrelation R of the PSF: |A^T A|^2 = sum over lags (H - |i|) (W - |j|) R(i, j)^2, and
        2 - 2 <A^T A, B^T B> / (|A^T A| |B^T B|) is the loss.  Of the PSFs their means are taken off, which all masks
        share and which would be all of R.  Published: Gram of the latent masks.
        """
        if not isinstance(teacher, ConvolutionEncoder):
            raise TypeError("the teacher of a lensless encoder must be one")
        if published:
            a, b = self.latent().flatten(1), teacher.latent().detach().flatten(1)
            squares = [(left @ right.T).square().sum() for left, right in ((a, a), (b, b), (a, b))]
            return (squares[0] + squares[1] - 2 * squares[2]) / a.shape[1] ** 2
        with torch.no_grad():
            other = autocorrelation(teacher.psf(), self.size)
        own = autocorrelation(self.psf(), self.size)
        norm = (own.square().sum() * other.square().sum()).sqrt().clamp_min(1e-30)
        return 2 - 2 * (own * other).sum() / norm

    @abstractmethod
    def latent(self) -> Tensor:
        """What training moves, (K, rows, columns)."""


def seen(x: Tensor, transfer: Tensor, response: Tensor, sensor: tuple[int, int], plane: tuple[int, int]) -> Tensor:
    """The valid part of the convolution, (B, K C, h, w)."""
    first = x.shape[-2] - 1, x.shape[-1] - 1
    spectra = torch.fft.rfft2(response * x, s=plane)[:, None] * transfer
    whole = torch.fft.irfft2(spectra, s=plane)
    part: Tensor = whole[..., first[0] : first[0] + sensor[0], first[1] : first[1] + sensor[1]]
    return part.flatten(1, 2)


def spread(y: Tensor, transfer: Tensor, response: Tensor, image: tuple[int, int], plane: tuple[int, int]) -> Tensor:
    """Its adjoint, (B, C, H, W)."""
    shots, channels = transfer.shape[:2]
    placed = y.new_zeros(len(y), shots, channels, *plane)
    rows, columns = y.shape[-2:]
    top, left = image[0] - 1, image[1] - 1
    placed[..., top : top + rows, left : left + columns] = y.reshape(len(y), shots, channels, rows, columns)
    back = torch.fft.irfft2((torch.fft.rfft2(placed) * transfer.conj()).sum(dim=1), s=plane)
    images: Tensor = response * back[..., : image[0], : image[1]]
    return images


def autocorrelation(psf: Tensor, image: tuple[int, int]) -> Tensor:
    """R (C, 2 H - 1, 2 W - 1) of PSFs (K, C, P, Q) less their means, summed over shots, times the root of how many
    pairs of image pixels are so far apart."""
    centred = psf - psf.mean(dim=(2, 3), keepdim=True)
    plane = [next_fast_len(size + other, real=True) for size, other in zip(psf.shape[2:], image, strict=True)]
    power = torch.fft.rfft2(centred, s=plane).abs().square().sum(dim=0)
    lags: Tensor = torch.fft.irfft2(power, s=plane)
    for axis, size in ((-2, image[0]), (-1, image[1])):
        lag = torch.arange(1 - size, size, device=psf.device)
        pairs = (size - lag.abs()).to(psf).sqrt()
        lags = lags.index_select(axis, lag % plane[axis]) * (pairs[:, None] if axis == -2 else pairs)
    return lags
