"""Noise of detectors: Poisson photoelectrons and Gaussian read noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cidesign.pattern import Encoding


@dataclass(frozen=True)
class DetectorNoise:
    """Noise of the measurement y = phi x / n when signed patterns are shown on a 0/1 device.

    `photoelectrons_per_frame` Q: collected in one all-on frame of a white scene (x = 1).
    `read_noise_photoelectrons` r: standard deviation of the read noise of one frame.  With m = mean(x), a frame
    with mirrors P collects Q mean(P x) photoelectrons, so for an image of n x n pixels:

    complementary: y_k = n (e_k+ - e_k-) / Q,      variance n^2 / Q^2 (Q m + 2 r^2), independent of k;
    offset:        y_k = n (2 e_k - e_on) / Q,     variance n^2 / Q^2 (4 (Q mean(P_k x) + r^2)) for each k,
                   and one shared error of variance n^2 / Q^2 (Q m + r^2) from the all-on frame;
    as-shown:      y_k = n e_k / Q,               variance n^2 / Q^2 (Q mean(P_k x) + r^2).

    The Poisson counts are drawn from the Gaussian of the same variance, so that y stays differentiable; that is
    accurate for more than about 100 photoelectrons a frame.
    """

    photoelectrons_per_frame: float
    read_noise_photoelectrons: float
    encoding: Encoding

    def variances(self, y: Tensor, mean_level: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """(own, shared) variances of y (B, K), given the images' mean levels (B, 1); both are >= 0."""
        charge = self.photoelectrons_per_frame
        read_variance = self.read_noise_photoelectrons**2
        scale = (side / charge) ** 2
        light = charge * mean_level.clamp_min(0)
        if self.encoding == "complementary":
            return (scale * (light + 2 * read_variance)).expand_as(y), torch.zeros_like(mean_level)
        if self.encoding == "as-shown":
            return scale * ((charge * y / side).clamp_min(0) + read_variance), torch.zeros_like(mean_level)
        in_frame = (0.5 * (light + charge * y / side)).clamp_min(0)
        return scale * 4 * (in_frame + read_variance), scale * (light + read_variance)

    def sample(self, y: Tensor, mean_level: Tensor, side: int, generator: torch.Generator | None) -> Tensor:
        """y (B, K) with one draw of the noise added."""
        own, shared = self.variances(y.detach(), mean_level.detach(), side)
        noise = own.sqrt() * torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        if self.encoding == "offset":
            draw = torch.randn(mean_level.shape, generator=generator, device=y.device, dtype=y.dtype)
            noise = noise - shared.sqrt() * draw
        return y + noise

    def typical_variance(self, mean_level: float, side: int) -> float:
        """The variance of one y_k for an average scene of the given mean level; linear solvers are tuned with it."""
        level = torch.tensor([[mean_level]], dtype=torch.float64)
        # Signed weights are 0 on average; those of what is measured as shown are about one half.
        y = 0.5 * side * level if self.encoding == "as-shown" else torch.zeros_like(level)
        own, shared = self.variances(y, level, side)
        return float(own + shared)


@dataclass(frozen=True)
class PixelNoise:
    """Detector noise: Poisson photoelectrons and Gaussian read noise, drawn from the Gaussian of the same variance.

    A pixel collects `photoelectrons_full_scale` Q at y = `full_scale`, the brightest y there is; with q = Q /
    full_scale, the variance of y is (q y + r^2) / q^2 for a read noise of r photoelectrons.
    """

    photoelectrons_full_scale: float
    read_noise_photoelectrons: float
    full_scale: float

    def variance(self, y: Tensor) -> Tensor:
        """The variance of every y >= 0 (where noise made y negative: that of darkness)."""
        charge = self.photoelectrons_full_scale / self.full_scale
        return (charge * y.clamp_min(0) + self.read_noise_photoelectrons**2) / charge**2

    def sample(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """y with one draw of the noise added."""
        draw = torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)
        return y + self.variance(y.detach()).sqrt() * draw
