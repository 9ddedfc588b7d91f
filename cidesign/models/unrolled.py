"""The second decoder: learned proximal steps around the given operator."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cidesign.models.decoder import Channels, Decoder, DecoderOutput, DecoderSettings
from cidesign.physics.base import Encoder


class ProximalStep(nn.Module):
    """A residual network of three 3 x 3 convolutions that starts as the identity."""

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.inward = nn.Sequential(nn.Conv2d(bands, channels, 3, padding=1), nn.ReLU(inplace=True))
        self.middle = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))
        self.outward = nn.Conv2d(channels, bands, 3, padding=1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The proximal point (B, C, H, W) and the hidden features (B, channels, H, W)."""
        hidden = self.middle(self.inward(x))
        return self.outward(hidden), hidden


class UnrolledSettings(DecoderSettings):
    """`stages` steps, each with a network of `channels`."""

    channels: Channels = 16
    stages: Annotated[int, Field(ge=1, le=20)] = 5


class Unrolled(Decoder):
    """x <- x - a_k A^H (A x - y) / |A|^2, then x <- x + P_k(x), for k = 1..stages, from the best linear estimate.

    y is measured once; A^H is the true adjoint; the step lengths a_k and all of the networks P_k are registered
    parameters.  The features are those of the last stage.
    """

    settings_type = UnrolledSettings

    def __init__(self, bands: int, size: tuple[int, int], settings: UnrolledSettings) -> None:
        super().__init__(bands, size, settings)
        self.steps = nn.Parameter(torch.ones(settings.stages))
        self.proximal = nn.ModuleList(ProximalStep(settings.channels, bands) for _ in range(settings.stages))

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The features of the last stage."""
        return self.forward(y, encoder).features

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and features of the last stage."""
        x = self.linear_estimate(y, encoder)
        scale = encoder.norm_squared().clamp_min(1e-12)
        features = x
        for step, proximal in zip(self.steps, self.proximal, strict=True):
            x = x - step / scale * encoder.A_adjoint(encoder.A(x) - y)
            with self._format(x):
                correction, features = proximal(x.contiguous(memory_format=torch.channels_last))
            x = x + correction.float()
        return DecoderOutput(x, features.float())
