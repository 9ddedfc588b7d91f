"""The default decoder: the best linear estimate for the given operator, refined by a U-Net."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from cidesign.models.decoder import Channels, Decoder, DecoderOutput, DecoderSettings
from cidesign.physics.base import Encoder

LEVELS = 4


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Four levels of two 3 x 3 convolutions with ReLU, widths b, 2b, 4b, 8b; no normalisation.

    Max-pooling down, nearest-neighbour up, concatenation across (method of arXiv 2501.17898; the architecture of
    its authors' family of codes).  `bands` channels go in and come out.
    """

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            _double_convolution(inputs, outputs) for inputs, outputs in zip([bands, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _double_convolution(widths[level] + widths[level - 1], widths[level - 1])
            for level in range(LEVELS - 1, 0, -1)
        )
        self.last = nn.Conv2d(channels, bands, 1)
        # The network starts as "no correction", so training begins at the linear estimate's quality.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def encode(self, image: Tensor) -> list[Tensor]:
        """The features of each level on the way down; the last are the bottleneck's."""
        features = [self.down[0](image)]
        for block in self.down[1:]:
            features.append(block(functional.max_pool2d(features[-1], 2)))
        return features

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The correction (B, bands, H, W) and the bottleneck features; H and W are multiples of 8."""
        features = self.encode(image)
        # In single precision on the way, not as a copy beside it: gradients on them are those of the prediction.
        bottleneck = features[-1].float()
        current = bottleneck.to(features[-1].dtype)
        for block, across in zip(self.up, reversed(features[:-1]), strict=True):
            current = block(torch.cat([functional.interpolate(current, scale_factor=2.0), across], dim=1))
        return self.last(current), bottleneck


class UNetSettings(DecoderSettings):
    """`channels` is the width of the first level."""

    channels: Channels = 16


class UNetDecoder(Decoder):
    """A decoder with one U-Net; its features are those of the bottleneck."""

    settings_type = UNetSettings

    def __init__(self, bands: int, size: tuple[int, int], settings: UNetSettings) -> None:
        super().__init__(bands, size, settings)
        self.unet = UNet(settings.channels, bands)

    @abstractmethod
    def first_image(self, y: Tensor, encoder: Encoder) -> Tensor:
        """x_0 (B, C, H, W): what the network sees."""

    def _padded(self, x_0: Tensor) -> Tensor:
        multiple = 2 ** (LEVELS - 1)
        below, right = -x_0.shape[-2] % multiple, -x_0.shape[-1] % multiple
        padded = functional.pad(x_0, (0, right, 0, below), mode="replicate") if below or right else x_0
        return padded.contiguous(memory_format=torch.channels_last)

    def _refined(self, x_0: Tensor) -> tuple[Tensor, Tensor]:
        """What the network makes of an image, of the same size, and its bottleneck features."""
        padded = self._padded(x_0)
        with self._format(padded):
            made, features = self.unet(padded)
        height, width = x_0.shape[-2:]
        return made.float()[..., :height, :width], features

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """Only the bottleneck features, at under half the cost of an image."""
        image = self._padded(self.first_image(y, encoder))
        with self._format(image):
            return self.unet.encode(image)[-1].float()


class LinearThenUNet(UNetDecoder):
    """x_hat = x_0 + (I - G A) U-Net(x_0), with x_0 = m + G (y - A m) the best linear estimate for the given operator.

    G is the gain of the linear minimum-mean-square-error estimate.  What the network adds is limited to what the
    readings leave open (to their noise), so it cannot overrule them.
    """

    def first_image(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The best linear estimate."""
        return self.linear_estimate(y, encoder)

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and bottleneck features from measurements and the operator that made them."""
        estimator = encoder.estimator(self.prior)
        x_0 = estimator.estimate(y)
        correction, features = self._refined(x_0)
        return DecoderOutput(x_0 + estimator.unseen(correction), features)
