"""What every encoder is: linear optics that can be learnt, followed by noise."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Linear physics with learnable optics: y = noise(A x)."""

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """The noise-free measurement of images (B, C, H, W)."""

    @abstractmethod
    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint: <A x, y> = <x, A_adjoint y>."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """The effective operator as built (after constraints) as a (K, N) matrix; differentiable in the optics."""

    @abstractmethod
    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """noise(A(x)), with the generator's draws."""
