"""A decoder as a lab's own package would hold one: the linear estimate, and one convolution."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from cidesign.models.decoder import Decoder, DecoderOutput, DecoderSettings
from cidesign.physics.base import Encoder


class ToySettings(DecoderSettings):
    """`width` features."""

    width: Annotated[int, Field(ge=1, le=64)] = 6


class ToyDecoder(Decoder):
    """x_hat = x_0 + C_2(relu(C_1(x_0)))."""

    settings_type = ToySettings

    def __init__(self, bands: int, size: tuple[int, int], settings: ToySettings) -> None:
        super().__init__(bands, size, settings)
        self.inward = nn.Conv2d(bands, settings.width, 3, padding=1)
        self.outward = nn.Conv2d(settings.width, bands, 3, padding=1)
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The features."""
        return torch.relu(self.inward(self.linear_estimate(y, encoder)))

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and features."""
        x_0 = self.linear_estimate(y, encoder)
        features = torch.relu(self.inward(x_0))
        return DecoderOutput(x_0 + self.outward(features), features)
