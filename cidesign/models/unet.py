"""The decoder: the best linear estimate for the given operator, refined by a U-Net."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cidesign.physics.linear_inverse import LinearEstimator, SpectralPrior
from cidesign.physics.single_pixel import SinglePixelEncoder

LEVELS = 4


class DecoderOutput(NamedTuple):
    """The image (B, 1, n, n) and the features (B, 8 b, n/8, n/8) of the U-Net's bottleneck."""

    image: Tensor
    features: Tensor


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
    its authors' family of codes).  `training_dtype` runs the convolutions in a shorter format (None: float32).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            _double_convolution(inputs, outputs) for inputs, outputs in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _double_convolution(widths[level] + widths[level - 1], widths[level - 1])
            for level in range(LEVELS - 1, 0, -1)
        )
        self.last = nn.Conv2d(channels, 1, 1)
        self.training_dtype: torch.dtype | None = None
        # The network starts as "no correction", so training begins at the linear estimate's quality.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def encode(self, image: Tensor) -> list[Tensor]:
        """The features of each level on the way down; the last are the bottleneck's."""
        with self._format(image):
            features = [self.down[0](image)]
            for block in self.down[1:]:
                features.append(block(functional.max_pool2d(features[-1], 2)))
        return features

    def _format(self, image: Tensor) -> torch.autocast:
        return torch.autocast(image.device.type, self.training_dtype, enabled=self.training_dtype is not None)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The correction (B, 1, H, W) and the bottleneck features; H and W are multiples of 8."""
        features = self.encode(image)
        current = features[-1]
        with self._format(image):
            for block, across in zip(self.up, reversed(features[:-1]), strict=True):
                current = block(torch.cat([functional.interpolate(current, scale_factor=2.0), across], dim=1))
            correction = self.last(current)
        return correction.float(), features[-1].float()


class LinearThenUNet(nn.Module):
    """x_hat = x_0 + (I - G A) U-Net(x_0), with x_0 = m + G (y - A m) the best linear estimate for the given operator.

    G is the gain of the linear minimum-mean-square-error estimate.  What the network adds is limited to what the
    readings leave open (to their noise), so it cannot overrule them.  The operator is an argument: a calibrated one
    can replace the designed one.  The prior (mean level and DCT variances) is fitted to the training images and
    travels with the weights.
    """

    prior_mean_level: Tensor
    prior_variance: Tensor

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.unet = UNet(channels)
        self.register_buffer("prior_mean_level", torch.tensor(0.5))
        self.register_buffer("prior_variance", torch.ones(side, side))

    @property
    def prior(self) -> SpectralPrior:
        """The statistics of the training images."""
        return SpectralPrior(self.prior_mean_level, self.prior_variance)

    def set_prior(self, prior: SpectralPrior) -> None:
        """Take the statistics of the training images."""
        self.prior_mean_level.copy_(prior.mean_level)
        self.prior_variance.copy_(prior.variance)

    def estimator(self, encoder: SinglePixelEncoder) -> LinearEstimator:
        """The linear estimator for an operator and its noise (1e-6 where the encoder has none)."""
        level = float(self.prior_mean_level)
        variance = encoder.noise.typical_variance(level, encoder.side) if encoder.noise is not None else 1e-6
        return LinearEstimator(encoder.matrix(), self.prior, variance)

    def linear_estimate(self, y: Tensor, encoder: SinglePixelEncoder) -> Tensor:
        """x_0 (B, 1, n, n) from y (B, K)."""
        return self.estimator(encoder).estimate(y).reshape(-1, 1, encoder.side, encoder.side)

    def _padded(self, x_0: Tensor) -> Tensor:
        multiple = 2 ** (LEVELS - 1)
        extra = -x_0.shape[-1] % multiple
        padded = functional.pad(x_0, (0, extra, 0, extra), mode="replicate") if extra else x_0
        return padded.contiguous(memory_format=torch.channels_last)

    def bottleneck(self, y: Tensor, encoder: SinglePixelEncoder) -> Tensor:
        """Only the bottleneck features: what a teacher is asked for, at under half the cost of an image."""
        features = self.unet.encode(self._padded(self.linear_estimate(y, encoder)))
        return features[-1].float()

    def forward(self, y: Tensor, encoder: SinglePixelEncoder) -> DecoderOutput:
        """Image and bottleneck features from measurements (B, K) and the operator that made them."""
        side = encoder.side
        estimator = self.estimator(encoder)
        x_0 = estimator.estimate(y)
        correction, features = self.unet(self._padded(x_0.reshape(-1, 1, side, side)))
        image = x_0 + estimator.unseen(correction[..., :side, :side].flatten(1))
        return DecoderOutput(image.reshape(-1, 1, side, side), features)
