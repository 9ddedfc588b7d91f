"""An encoder as deepinv's solvers take their physics: the same methods, without deepinv.

deepinv (BSD-3, https://deepinv.github.io) passes images (B, C, H, W) and real readings; complex readings are given
with their real and imaginary parts in dimension 1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cidesign.physics.base import Encoder

ITERATIONS, TOLERANCE = 100, 1e-6


class EncoderPhysics(nn.Module):
    """y = A x of an encoder, with adjoint, pseudo-inverse and the proximal step of |A x - y|^2 / 2."""

    def __init__(self, encoder: Encoder, is_complex: bool) -> None:
        super().__init__()
        self.encoder, self.is_complex = encoder, is_complex
        self.noise_model: Callable[..., Tensor] = self._noisy

    def A(self, x: Tensor, **_: Any) -> Tensor:
        """The readings of images (B, C, H, W), without noise."""
        return self._real(self.encoder.A(x))

    def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:
        """The adjoint."""
        return self.encoder.A_adjoint(self._readings(y))

    def A_vjp(self, x: Tensor, v: Tensor, **_: Any) -> Tensor:
        """The derivative of A at x, applied from the left; A is linear."""
        return self.A_adjoint(v)

    def A_adjoint_A(self, x: Tensor, **_: Any) -> Tensor:
        """A^T A x."""
        return self.A_adjoint(self.A(x))

    def A_A_adjoint(self, y: Tensor, **_: Any) -> Tensor:
        """A A^T y."""
        return self.A(self.A_adjoint(y))

    def A_dagger(self, y: Tensor, **_: Any) -> Tensor:
        """The image of least norm that explains y best, by conjugate gradients on A^T A x = A^T y."""
        return self._solved(self.A_adjoint_A, self.A_adjoint(y))

    def prox_l2(self, z: Tensor, y: Tensor, gamma: float | Tensor, **_: Any) -> Tensor:
        """argmin_x gamma |A x - y|^2 / 2 + |x - z|^2 / 2."""
        return self._solved(lambda x: gamma * self.A_adjoint_A(x) + x, gamma * self.A_adjoint(y) + z)

    def compute_norm(self, x0: Tensor, **_: Any) -> Tensor:
        """An upper bound of the largest eigenvalue of A^T A."""
        return self.encoder.norm_squared()

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """Noisy readings of images."""
        return self._real(self.encoder(x))

    def update(self, **_: Any) -> None:
        """Nothing of a designed or calibrated operator can be changed."""

    def update_parameters(self, **_: Any) -> None:
        """Nothing of a designed or calibrated operator can be changed."""

    def _noisy(self, y: Tensor, **_: Any) -> Tensor:
        """Readings with the noise of the encoder; it depends on the image, which is taken from the readings."""
        return y + self._real(self.encoder(x := self.A_dagger(y)) - self.encoder.A(x))

    def _real(self, y: Tensor) -> Tensor:
        return torch.view_as_real(y).movedim(-1, 1) if y.is_complex() else y

    def _readings(self, y: Tensor) -> Tensor:
        return torch.view_as_complex(y.movedim(1, -1).contiguous()) if self.is_complex else y

    def _solved(self, system: Callable[[Tensor], Tensor], right: Tensor) -> Tensor:
        """Conjugate gradients, each item of the batch by itself."""
        axes = tuple(range(1, right.ndim))
        tiny = torch.finfo(right.dtype).tiny
        x, rest = torch.zeros_like(right), right
        direction, power = rest, rest.square().sum(axes, keepdim=True)
        goal = TOLERANCE**2 * power
        for _ in range(ITERATIONS):
            if bool((power <= goal).all()):
                break
            image = system(direction)
            step = power / (direction * image).sum(axes, keepdim=True).clamp_min(tiny)
            x, rest = x + step * direction, rest - step * image
            before, power = power, rest.square().sum(axes, keepdim=True)
            direction = rest + power / before.clamp_min(tiny) * direction
        return x
