"""The best linear estimate for a convolution that is cut to the sensor, by preconditioned conjugate gradients.

No circulant inverse knows of the cut, which takes most of the shadow away.  In the prior's own coefficients the system
is the identity and what the readings add; the few hundred strongest coefficients, which hold nearly all of an image,
are solved for exactly, and the others hardly differ from the identity.  So a dozen steps come to the exact inverse in
the light of one pixel's full well, and a hundred in that of a hundred frames; without it there would be hundreds.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cidesign.physics.autograd import applied
from cidesign.physics.base import ImagePrior
from cidesign.physics.conjugate_gradients import conjugate_gradients
from cidesign.physics.cosine_filter import dct_matrix

Linear = Callable[[Tensor, Tensor], Tensor]
# Coefficients that are solved for exactly.  Of 32 x 32 pixels in three colours 64 leave 50 steps in the light of a full
# well, 256 leave 13 and 512 leave 7, which take longer to set up than they save.
STRONGEST = 256
# So many values of images, or of readings, are gone through at a time while these are set up.
VALUES_AT_ONCE = 2**18
ITERATIONS = 400
# Of the residual, over the right-hand side, in units of the precision of numbers: about 1e-6 in float32.  Estimates and
# gradients alike, so that the one is the derivative of the other.
TOLERANCE_EPS = 8.0


class LenslessEstimator:
    """x_0 = m + H^-1 A^T (y - A m) / s^2 with H = C^-1 + A^T A / s^2: as m + C A^T (A C A^T + s^2)^-1 (y - A m).

    `forward_model(x, transfer)` is A, `adjoint(y, transfer)` A^T; C = B^T D^T diag(variance) D B is the covariance of a
    prior, s^2 the variance of a reading.  Differentiable in the readings and in `transfer`: with a gradient g on x_0,
    u = H^-1 g and e = y - A x_0 it is A u / s^2 on y, and that of <A u, e> / s^2 - <A x_0, A u> / s^2 on the optics.
    """

    def __init__(
        self, forward_model: Linear, adjoint: Linear, transfer: Tensor, prior: ImagePrior, variance: float
    ) -> None:
        self.forward_model, self.adjoint, self.transfer = forward_model, adjoint, transfer
        self.prior, self.noise = prior, variance
        height, width = prior.variance.shape[-2:]
        self.mean = prior.mean[None, :, None, None].expand(1, -1, height, width)
        self.down, self.across = (dct_matrix(count).to(prior.mean) for count in (height, width))
        self.root = prior.variance.sqrt()
        with torch.no_grad():
            self._precondition(transfer.detach())

    def to_coefficients(self, x: Tensor) -> Tensor:
        """root D B x: the adjoint of `to_images`."""
        components = torch.einsum("ij,bjhw->bihw", self.prior.basis, x)
        return self.root * (self.down @ components @ self.across.T)

    def to_images(self, z: Tensor) -> Tensor:
        """B^T D^T root z: images of coefficients of unit variance."""
        return torch.einsum("ji,bjhw->bihw", self.prior.basis, self.down.T @ (self.root * z) @ self.across)

    def _precondition(self, transfer: Tensor) -> None:
        values = self.root.numel()
        self.strongest = self.root.flatten().topk(min(STRONGEST, values)).indices
        rows = []
        for part in torch.split(self.strongest, max(1, VALUES_AT_ONCE // values)):
            units = self.root.new_zeros(len(part), values)
            units[torch.arange(len(part)), part] = 1
            images = self.to_images(units.reshape(-1, *self.root.shape))
            rows.append(self.forward_model(images, transfer).flatten(1))
        measured = torch.cat(rows)
        gram = measured.new_zeros(len(measured), len(measured), dtype=torch.float64)
        for part in torch.split(measured, VALUES_AT_ONCE // STRONGEST, dim=1):
            exact = part.double()
            gram += exact @ exact.T / self.noise
        # What the readings add to the precision of a coefficient, by those whose images were measured.
        variances = self.root.flatten()[self.strongest].double().square()
        added = float((gram.diagonal() / variances).mean())
        gram.diagonal().add_(1.0)
        self.factor = torch.linalg.cholesky(gram).to(self.root)
        self.others = 1 / (1 + added * self.root.square()).flatten()

    def conditioned(self, z: Tensor) -> Tensor:
        """About (I + root D B A^T A B^T D^T root / s^2)^-1 z: exact between the strongest, and diagonal elsewhere."""
        flat = z.flatten(1)
        found = flat * self.others
        found[:, self.strongest] = torch.cholesky_solve(flat[:, self.strongest].T, self.factor).T
        return found.reshape(z.shape)

    @torch.no_grad()
    def solve(self, x: Tensor) -> Tensor:
        """H^-1 x for images."""
        transfer = self.transfer.detach()

        def system(z: Tensor) -> Tensor:
            back = self.adjoint(self.forward_model(self.to_images(z), transfer), transfer)
            return z + self.to_coefficients(back) / self.noise

        tolerance = TOLERANCE_EPS * torch.finfo(x.dtype).eps
        found = conjugate_gradients(system, self.conditioned, self.to_coefficients(x), ITERATIONS, tolerance)
        return self.to_images(found)

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, C, H, W) from readings (B, K C, h, w)."""
        return applied(_Estimate, y, self.transfer, self)

    def unseen(self, x: Tensor) -> Tensor:
        """About (I - G A) x = H^-1 C^-1 x, with the preconditioner for the inverse: exact between the strongest.

        Differentiable in the images alone.
        """
        # Coefficients of unit variance; the prior keeps all variances above 0.
        components = torch.einsum("ij,bjhw->bihw", self.prior.basis, x)
        unit = (self.down @ components @ self.across.T) / self.root
        return self.to_images(self.conditioned(unit))


class _Estimate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, transfer: Tensor, estimator: LenslessEstimator) -> Tensor:
        left = y - estimator.forward_model(estimator.mean, transfer)
        x = estimator.mean + estimator.solve(estimator.adjoint(left, transfer) / estimator.noise)
        ctx.estimator = estimator
        ctx.save_for_backward(y, transfer, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, transfer, x = ctx.saved_tensors
        estimator: LenslessEstimator = ctx.estimator
        u = estimator.solve(gradients[0])
        with torch.enable_grad():
            leaf = transfer.detach().requires_grad_(ctx.needs_input_grad[1])
            seen = estimator.forward_model(torch.cat([u, x]), leaf)
        moved, predicted = seen.detach().chunk(2)
        on_transfer = None
        if ctx.needs_input_grad[1]:
            pull = torch.cat([y - predicted, -moved]) / estimator.noise
            (on_transfer,) = torch.autograd.grad(seen, leaf, pull)
        return moved / estimator.noise, on_transfer, None
