"""A plain training step to hold the shipped one against: what a first version is, with autograd through everything.

The same optics, noise, network and numbers; the linear estimates are written as their formulas say, for autograd to go
through, and the network runs in float32 and in the default memory format.
"""

import torch
from torch import Tensor
from torch.nn import functional

from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder, single_band
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Estimator, ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.splitting import SplittingEstimator


class PlainLinear:
    """x = m + C A^T (A C A^T + s^2 I)^-1 (y - A m), the inverse in double precision."""

    def __init__(self, matrix: Tensor, prior: ImagePrior, noise_variance: float) -> None:
        self.matrix, (self.level, variance) = matrix, single_band(prior)
        self.side = variance.shape[-1]
        self.dct = dct_matrix(self.side)
        spectra = (self.dct @ matrix.reshape(-1, self.side, self.side) @ self.dct.T).flatten(1)
        self.weighted = spectra * variance.flatten()
        gram = self.weighted.double() @ spectra.double().T
        ridge = noise_variance + 1e-12 * float(gram.detach().diagonal().mean())
        self.factor = torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype))

    def _gain(self, innovation: Tensor) -> Tensor:
        solved = torch.cholesky_solve(innovation.T.double(), self.factor).T.float()
        coefficients = (solved @ self.weighted).reshape(-1, self.side, self.side)
        return (self.dct.T @ coefficients @ self.dct)[:, None]

    def estimate(self, y: Tensor) -> Tensor:
        """The best linear estimate (B, 1, n, n)."""
        return self.level + self._gain(y - self.level * self.matrix.sum(dim=1))

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x."""
        return x - self._gain(x.flatten(1) @ self.matrix.T)


class PlainSinglePixel(SinglePixelEncoder):
    """The camera with the plain estimate."""

    def estimator(self, prior: ImagePrior) -> Estimator:
        """For the patterns as built."""
        assert self.noise is not None
        variance = self.noise.typical_variance(float(prior.mean[0]), self.side)
        return PlainLinear(self.matrix(), prior, variance)


class PlainSplitting(SplittingEstimator):
    """The steps one after the other, all images at once."""

    def gain(self, innovation: Tensor) -> Tensor:
        """G r."""
        before = w = torch.zeros(len(innovation), *self.mean.shape[1:])
        schedule = self.schedule()
        for penalty, extrapolation in schedule:
            z = self.shrink(self.toward(innovation, w, penalty, self.energy), penalty)
            w = z + extrapolation * (z - before)
            before = z
        return self.toward(innovation, before, schedule[-1][0], self.energy)


class PlainCassi(SdCassiEncoder):
    """The camera with band by band sums, and the plain estimate."""

    def A(self, x: Tensor) -> Tensor:
        """Each masked band padded to its place, and their sum."""
        return sheared(self.mask() * x, self.dispersion)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Each band cut from its place."""
        return self.mask() * unsheared(y, self.dispersion)

    def estimator(self, prior: ImagePrior) -> PlainSplitting:
        """By splitting, through the prior's own formula."""
        down, across = (dct_matrix(count) for count in self.size)

        def shrink(x: Tensor, penalty: float) -> Tensor:
            components = torch.einsum("ij,bjhw->bihw", prior.basis, x)
            weighted = prior.variance / (prior.variance + penalty) * (down @ components @ across.T)
            return torch.einsum("ji,bjhw->bihw", prior.basis, down.T @ weighted @ across)

        mean = prior.mean[None, :, None, None].expand(1, -1, *self.size)
        level, variance = float(prior.variance.mean()), self.mean_variance(mean)
        return PlainSplitting(self.A, self.A_adjoint, self.row_energy(), shrink, mean, variance, level)


def sheared(cube: Tensor, optics: Dispersion) -> Tensor:
    """sum_k shear_k(x_k) for an axis along columns."""
    y: Tensor | float = 0.0
    for band in range(len(optics.shift_px)):
        for first, weight in optics.taps(band):
            y = y + functional.pad(cube[:, band] * (weight * optics.scale), (first, optics.span_px - first))
    assert isinstance(y, Tensor)
    return y


def unsheared(y: Tensor, optics: Dispersion) -> Tensor:
    """Its adjoint."""
    width = y.shape[-1] - optics.span_px
    bands = [
        sum((y[..., first : first + width] * (w * optics.scale) for first, w in optics.taps(band)), torch.zeros(()))
        for band in range(len(optics.shift_px))
    ]
    return torch.stack(bands, dim=1)


def make_plain(system: ImagingSystem) -> ImagingSystem:
    """The system with a plain decoder and, where there is one, a plain encoder; it is changed in place."""
    plain = {SinglePixelEncoder: PlainSinglePixel, SdCassiEncoder: PlainCassi}
    kind = plain.get(type(system.encoder))
    if kind is not None:
        system.encoder.__class__ = kind
    system.decoder.to(memory_format=torch.contiguous_format)
    system.decoder.training_dtype = None
    return system
