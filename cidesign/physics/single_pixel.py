"""The single-pixel camera: each measurement is the inner product of the image with one signed pattern."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cidesign.constraints.relax import level_of, quantise
from cidesign.constraints.rules import BitDepth
from cidesign.pattern import Encoding, PatternStack
from cidesign.physics.base import Encoder
from cidesign.physics.noise import DetectorNoise


class SinglePixelEncoder(Encoder):
    """y_k = sum_ij phi_k,ij x_ij / n, for K patterns phi of n x n super-pixels with values in [-1, 1].

    `weight` (K, n, n) is what training moves.  With a rule the patterns are its quantised levels (student);
    without one they are the weights themselves, limited to [-1, 1] (teacher).
    """

    def __init__(self, weight: Tensor, rule: BitDepth | None, noise: DetectorNoise | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.rule = rule
        self.noise = noise

    @classmethod
    def fixed(cls, signed: NDArray[np.float32] | Tensor, noise: DetectorNoise | None = None) -> "SinglePixelEncoder":
        """An operator with given signed patterns (K, n, n) in [-1, 1] that is not trained."""
        encoder = cls(torch.as_tensor(signed, dtype=torch.float32), None, noise)
        return encoder.requires_grad_(False)

    @property
    def side(self) -> int:
        """n, the number of super-pixels along a side."""
        return int(self.weight.shape[-1])

    def signed(self) -> Tensor:
        """The patterns as built, (K, n, n) in [-1, 1]; the gradient reaches `weight`."""
        return self.weight.clamp(-1, 1) if self.rule is None else quantise(self.rule, self.weight)

    def matrix(self) -> Tensor:
        """A = phi / n as a (K, n*n) matrix."""
        return self.signed().flatten(1) / self.side

    def A(self, x: Tensor) -> Tensor:
        """Images (B, 1, n, n) -> measurements (B, K)."""
        return x.flatten(1) @ self.matrix().T

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Measurements (B, K) -> images (B, 1, n, n)."""
        return (y @ self.matrix()).reshape(-1, 1, self.side, self.side)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noisy measurements (B, K) of images (B, 1, n, n)."""
        y = self.A(x)
        if self.noise is None:
            return y
        return self.noise.sample(y, x.mean(dim=(1, 2, 3), keepdim=False)[:, None], self.side, generator)

    def pattern(self, encoding: Encoding, profile_id: str, profile_digest: str) -> PatternStack:
        """The hard, feasible patterns for the device; needs a rule (only the student's optics can be built)."""
        if self.rule is None:
            raise TypeError("a teacher's real-valued patterns cannot be shown by a device")
        levels = level_of(self.weight.detach(), 2**self.rule.bit_depth - 1)
        return PatternStack(
            levels.to(torch.uint8).cpu().numpy(), self.rule.bit_depth, encoding, profile_id, profile_digest
        )
