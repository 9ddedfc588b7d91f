"""How well a linear estimate can do: its least expected error under a prior and the noise, in closed form.

For y = A x + n with the prior N(m, C) and uncorrelated noise of covariance S, no linear estimate has a smaller mean
squared error than tr(C - C A^T (A C A^T + S)^-1 A C) / N (Kay, Fundamentals of Statistical Signal Processing I, 1993,
section 12.3).  Where S depends on x, its mean counts.  Photon noise is linear in the light, so that is S of the mean
image, and nothing is approximated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cidesign.physics.conjugate_gradients import conjugate_gradients
from cidesign.physics.merit import Estimate, NotEvaluated

Linear = Callable[[Tensor], Tensor]
# Of readings x unknowns: 130 MB in double precision, and seconds of one processor; larger operators are probed.
MAX_EXACT_VALUES = 2**24
# Of unknowns, for the probes: about a minute of one processor.
MAX_PROBED_VALUES = 2**19
FEWEST_PROBES, MOST_PROBES, PROBED_TOGETHER = 8, 32, 2**21
ITERATIONS, TOLERANCE = 400, 1e-3
# A probe that is left with more than this of its right-hand side says nothing.
CONVERGED = 1e-2
# Units at a time, so that their images stay below this many values.
BLOCK_VALUES = 2**22


class Bound(NamedTuple):
    """The least expected mean squared error of a linear estimate, per value of an image with the data range 1.

    `standard_error` is that of an estimate from random probes, None where the value is exact.
    """

    mean_square: float
    standard_error: float | None = None

    @property
    def db(self) -> float:
        """-10 log10 of the mean squared error."""
        return mean_square_db(self.mean_square)

    @property
    def merit(self) -> float | Estimate:
        """The bound in dB, with its standard error where it is an estimate."""
        if self.standard_error is None:
            return self.db
        return Estimate(self.db, 10 / math.log(10) * self.standard_error / max(self.mean_square, 1e-12))


def mean_square_db(mean_square: float) -> float:
    """-10 log10 of a mean squared error, as PSNR with the data range 1 is; at most 120 dB."""
    return -10 * math.log10(max(mean_square, 1e-12))


@dataclass(frozen=True)
class LinearModel:
    """y = A x + n in double precision, for operators without a matrix.

    `forward` A takes images (B, C, H, W) to real readings (B, M), `adjoint` is A^T; in the orthonormal basis that
    `transform` takes images to and `inverse` back from, the prior's covariance is diag(`variance`) (C, H, W) > 0.
    `noise` (M,) holds the variances of the readings; `precision`, of a shape that broadcasts to that of the variance,
    is about what the readings add to the precision of each coefficient: it speeds up the probes and moves no result.
    """

    forward: Linear
    adjoint: Linear
    transform: Linear
    inverse: Linear
    variance: Tensor
    noise: Tensor
    precision: Tensor | float


def linear_bound(model: LinearModel) -> Bound | NotEvaluated:
    """The bound of a model: exact where its matrix is small, else an estimate from probes where it is not too large."""
    unknowns, readings = model.variance.numel(), len(model.noise)
    if unknowns * readings <= MAX_EXACT_VALUES:
        return exact_bound(model)
    if unknowns > MAX_PROBED_VALUES:
        return NotEvaluated(f"{unknowns} unknowns would take minutes; the limit is {MAX_PROBED_VALUES}")
    return probed_bound(model, min(MOST_PROBES, max(FEWEST_PROBES, PROBED_TOGETHER // unknowns)))


@torch.no_grad()
def matrix_bound(spectra: Tensor, variance: Tensor, noise: Tensor) -> Bound:
    """The bound for A (M, N), given in the basis in which the prior's covariance is diag(variance) (N,) > 0.

    `noise` is the covariance (M, M) of the readings, or the variances (M,) of uncorrelated ones.
    """
    rows, variance = spectra.double(), variance.double()
    weighted = rows * variance
    gram = weighted @ rows.T
    gram += noise.double() if noise.ndim == 2 else torch.diag(noise.double())
    # Readings that see nothing and have no noise make the matrix singular, and tell nothing.
    gram.diagonal().add_(1e-12 * gram.diagonal().mean())
    known = torch.cholesky_solve(weighted @ weighted.T, torch.linalg.cholesky(gram)).diagonal().sum()
    return Bound(max(float(variance.sum() - known), 0.0) / len(variance))


@torch.no_grad()
def exact_bound(model: LinearModel) -> Bound:
    """The bound by the rows of A, one image for each reading."""
    readings, unknowns = len(model.noise), model.variance.numel()
    rows = torch.empty(readings, unknowns, dtype=torch.float64, device=model.noise.device)
    block = max(1, BLOCK_VALUES // unknowns)
    for first in range(0, readings, block):
        last = min(first + block, readings)
        units = torch.zeros(last - first, readings, dtype=torch.float64, device=rows.device)
        units[torch.arange(last - first), torch.arange(first, last)] = 1
        rows[first:last] = model.transform(model.adjoint(units)).flatten(1)
    return matrix_bound(rows, model.variance.flatten(), model.noise)


@torch.no_grad()
def probed_bound(model: LinearModel, probes: int, seed: int = 0) -> Bound | NotEvaluated:
    """An unbiased estimate of the bound: the mean squared error of the best linear estimates of images that are drawn
    from the prior and measured with noise, by conjugate gradients.

    An estimate that stops early is still linear, so that what is left can only make the value larger, by the square of
    the tolerance.
    """
    draws = torch.Generator(model.noise.device).manual_seed(seed)
    variance, noise = model.variance, model.noise.clamp_min(1e-9 * float(model.noise.mean()))
    root = variance.sqrt()

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64, device=noise.device)

    def measured(z: Tensor) -> Tensor:
        return model.forward(model.inverse(root * z))

    def gathered(y: Tensor) -> Tensor:
        return root * model.transform(model.adjoint(y / noise))

    def system(z: Tensor) -> Tensor:
        return z + gathered(measured(z))

    def conditioned(right: Tensor) -> Tensor:
        return right / (1 + variance * model.precision)

    truth = normal(probes, *variance.shape)
    right = gathered(measured(truth) + noise.sqrt() * normal(probes, len(noise)))
    found = conjugate_gradients(system, conditioned, right, ITERATIONS, TOLERANCE)
    left = right - system(found)
    share = ((left * conditioned(left)).sum() / (right * conditioned(right)).sum().clamp_min(1e-300)).sqrt()
    if float(share) > CONVERGED:
        return NotEvaluated(f"the probes did not converge in {ITERATIONS} steps ({float(share):.1%} is left)")
    squares = (root * (found - truth)).square().flatten(1).mean(dim=1)
    return Bound(float(squares.mean()), float(squares.std()) / math.sqrt(probes))


def mean_bound(parts: Sequence[Bound | NotEvaluated], of: int) -> Bound | NotEvaluated:
    """The bound of optics that are looked at in `of` places, from that of some; not evaluated where one is not.

    Where there are more places than parts, it is an estimate whose standard error is that of their mean.
    """
    found = [part for part in parts if isinstance(part, Bound)]
    if len(found) < len(parts):
        return next(part for part in parts if isinstance(part, NotEvaluated))
    values = torch.tensor([part.mean_square for part in found], dtype=torch.float64)
    own = math.sqrt(sum((part.standard_error or 0.0) ** 2 for part in found)) / len(found)
    if of > len(found):
        own = max(own, float(values.std()) / math.sqrt(len(found)))
    exact = of == len(found) and all(part.standard_error is None for part in found)
    return Bound(float(values.mean()), None if exact else own)
