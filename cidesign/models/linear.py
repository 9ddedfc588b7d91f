"""The decoder that learns nothing: the best linear estimate under the prior of the images."""

from typing import ClassVar

from torch import Tensor

from cidesign.models.decoder import Decoder, DecoderOutput
from cidesign.physics.base import Encoder


class Linear(Decoder):
    """x_hat = x_0 = m + G (y - A m), with G the gain of the linear minimum-mean-square-error estimate.

    All it holds is the prior; with optics that are given there is nothing to train.
    """

    learns: ClassVar[bool] = False
    column: ClassVar[str] = "linear"

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The estimate itself."""
        return self.linear_estimate(y, encoder)

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """The estimate, which stands for the features too."""
        x_0 = self.linear_estimate(y, encoder)
        return DecoderOutput(x_0, x_0)
