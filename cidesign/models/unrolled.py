"""The second decoder: stages of a network and a step back to what the readings allow, in turn."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cidesign.errors import FileError
from cidesign.models.decoder import Channels, Decoder, DecoderOutput, DecoderSettings
from cidesign.physics.base import Encoder, Estimator

# Images are padded to a multiple of this: every stage halves them twice.
MULTIPLE = 4
# What a residual block adds at first, of what its input is.
BRANCH = 0.5
# The linear estimate's error is some tenth of the images' spread.  Corrections of that scale are learnt many times
# faster than those of the spread itself, which the first steps of all stages overshoot.
CORRECTION = 0.1


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """With He's start, which keeps the variance through a ReLU in front; size 2 and stride 2 halve the sides."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=0 if stride > 1 else size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Doubles the sides: every pixel becomes 2 x 2."""
    layer = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Residual(nn.Module):
    """x + two 3 x 3 convolutions of x, each after a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(channels, channels), _convolution(channels, channels)
        with torch.no_grad():
            self.second.weight.mul_(BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        branch: Tensor = self.second(functional.relu(self.first(functional.relu(x))))
        return x + branch


class Stage(nn.Module):
    """A network of three levels with widths b, 2b, 3b, residual below the first; it starts as no correction."""

    def __init__(self, inputs: int, channels: int, bands: int) -> None:
        super().__init__()
        middle, deep = 2 * channels, 3 * channels
        self.inward = _convolution(inputs, channels)
        self.to_middle, self.middle = _convolution(channels, middle, 2, 2), Residual(middle)
        self.to_deep, self.deep = _convolution(middle, deep, 2, 2), Residual(deep)
        self.from_deep, self.from_middle = _doubling(deep, middle), _doubling(middle, channels)
        self.outward = _convolution(channels, bands)
        nn.init.zeros_(self.outward.weight)

    def forward(self, image: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The correction (B, bands, H, W), the hidden features, and the deepest ones; H and W are multiples of 4."""
        fine = self.inward(image)
        if hidden is not None:
            fine = fine + hidden
        middle = self.middle(self.to_middle(functional.relu(fine)))
        reduced = self.deep(self.to_deep(functional.relu(middle)))
        # In single precision on the way, not as a copy beside it: gradients on them are those of the prediction.
        deep = reduced.float()
        middle = middle + self.from_deep(functional.relu(deep.to(reduced.dtype)))
        fine = fine + self.from_middle(functional.relu(middle))
        return self.outward(functional.relu(fine)), fine, deep


class UnrolledSettings(DecoderSettings):
    """`stages`, each with a network whose first level has `channels`.

    What the stages keep for the gradient may take `kept_gb`; where it would be more, each stage is computed once again
    on the way back (gradient checkpointing), with the same result.
    """

    channels: Channels = 16
    stages: Annotated[int, Field(ge=1, le=20)] = 6
    kept_gb: Annotated[float, Field(ge=0, le=1024)] = 2.0


class Unrolled(Decoder):
    """x_k = x_0 + (I - G A)(x_k-1 - x_0 + N_k(x_k-1)) for k = 1..stages, with x_0 the best linear estimate.

    Every stage takes back what the readings rule out of its network's correction, as the U-Net decoder does once, and
    the next network sees what was left and what was taken back; its finest features carry on from the last one's
    (stages of learnt priors and data steps: Aggarwal et al., IEEE TMI 38, 394, 2019; Schlemper et al., IEEE TMI 37,
    491, 2018).  Images enter with the prior's mean and spread taken out.  The features are the last stage's deepest.
    """

    settings_type = UnrolledSettings
    settings: UnrolledSettings

    def __init__(self, bands: int, size: tuple[int, int], settings: UnrolledSettings) -> None:
        super().__init__(bands, size, settings)
        self.stages = nn.ModuleList(
            Stage(2 * bands if number else bands, settings.channels, bands) for number in range(settings.stages)
        )

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The deepest features of the last stage."""
        estimator = encoder.estimator(self.prior)
        _, deep = self._stages(estimator, estimator.estimate(y))
        return deep

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and features from measurements and the operator that made them."""
        estimator = encoder.estimator(self.prior)
        x_0 = estimator.estimate(y)
        proposed, deep = self._stages(estimator, x_0)
        return DecoderOutput(x_0 + estimator.unseen(proposed), deep)

    def _stages(self, estimator: Estimator, x_0: Tensor) -> tuple[Tensor, Tensor]:
        """What the last network would add to x_0 (B, C, H, W), and its deepest features."""
        twice = torch.is_grad_enabled() and self._kept_bytes(x_0) > self.settings.kept_gb * 1e9
        proposed, hidden, deep = torch.zeros_like(x_0), None, x_0
        for network in self.stages:
            words = network, estimator, x_0, proposed, hidden
            if twice:
                found = checkpoint(self._stage, *words, use_reentrant=False, preserve_rng_state=False)
            else:
                found = self._stage(*words)
            proposed, hidden, deep = found
        return proposed, deep

    def _stage(
        self, network: nn.Module, estimator: Estimator, x_0: Tensor, proposed: Tensor, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a network would add to x_0, its finest features (padded) and its deepest; there are no finest features
        before the first."""
        spread = self.prior_variance.mean().sqrt()
        added = proposed if hidden is None else estimator.unseen(proposed)
        image = (x_0 + added - self.prior_mean[:, None, None]) / spread
        if hidden is not None:
            image = torch.cat([image, (added - proposed) / (CORRECTION * spread)], dim=1)
        height, width = x_0.shape[-2:]
        below, right = -height % MULTIPLE, -width % MULTIPLE
        if below or right:
            image = functional.pad(image, (0, right, 0, below), mode="replicate")
        image = image.contiguous(memory_format=torch.channels_last)
        with self._format(image):
            correction, hidden, deep = network(image, hidden)
        return added + CORRECTION * spread * correction.float()[..., :height, :width], hidden, deep

    def _kept_bytes(self, image: Tensor) -> int:
        """Roughly what all stages keep for the gradient of such images: of each pixel the stage's input, and features
        of the first level and, a quarter and a sixteenth as many pixels, the others."""
        values = 2 * image.shape[1] + 5 * self.settings.channels
        return (4 if self.training_dtype is None else 2) * len(self.stages) * values * image[:, 0].numel()

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *words: Any) -> None:
        if f"{prefix}steps" in state:
            raise FileError(
                "these weights are of an earlier unrolled decoder (gradient steps), which cidesign no longer has; the "
                "design of the run can be used as before, but its decoder has to be trained again"
            )
        super()._load_from_state_dict(state, prefix, *words)
