"""What every decoder is: it takes the operator, so a calibrated one can replace the designed one."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from cidesign.physics.base import Encoder, ImagePrior

Channels = Annotated[int, Field(ge=4, le=256)]
# What a decoder predicts, and a task asks for: images (B, C, H, W), or the logits of classes (B, classes).
Predicted = Literal["images", "classes"]


# The buffers of the statistics of the training images.
PRIOR = frozenset({"prior_mean", "prior_basis", "prior_variance"})


class DecoderSettings(BaseModel):
    """What a decoder can be told; each field has a default, and no name of a setting of the run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DecoderOutput(NamedTuple):
    """The prediction, images (B, C, H, W) or logits (B, classes), and features that a teacher guides (B, F, h, w).

    The prediction is made of these very features: of a copy, gradients on them would not be those of the prediction.
    """

    prediction: Tensor
    features: Tensor


class Decoder(nn.Module, ABC):
    """A prediction from measurements and the encoder that made them: an image, or what class it is of.

    A decoder is a class with its `settings_type`, made from the channels and the height and width of an image and those
    settings.  The prior (second-order statistics of the training images) is fitted once and travels with the weights.
    `training_dtype` runs the convolutions in a shorter format (None: float32).
    """

    settings_type: ClassVar[type[DecoderSettings]] = DecoderSettings
    # Whether there is anything to train.
    learns: ClassVar[bool] = True
    predicts: ClassVar[Predicted] = "images"
    # What its predictions are called, in files and tables.
    column: ClassVar[str] = "student"
    prior_mean: Tensor
    prior_basis: Tensor
    prior_variance: Tensor

    def __init__(self, bands: int, size: tuple[int, int], settings: DecoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.training_dtype: torch.dtype | None = None
        self.register_buffer("prior_mean", torch.full((bands,), 0.5))
        self.register_buffer("prior_basis", torch.eye(bands))
        self.register_buffer("prior_variance", torch.ones(bands, *size))

    @property
    def prior(self) -> ImagePrior:
        """The statistics of the training images."""
        return ImagePrior(self.prior_mean, self.prior_basis, self.prior_variance)

    def set_prior(self, prior: ImagePrior) -> None:
        """Take the statistics of the training images."""
        self.prior_mean.copy_(prior.mean)
        self.prior_basis.copy_(prior.basis)
        self.prior_variance.copy_(prior.variance)

    def take_over(self, other: "Decoder") -> None:
        """Take the weights of another decoder of the kind, as far as their shapes fit, and not its images' statistics.

        Of networks that see the whole image a weight's shape can depend on its size.
        """
        own = self.state_dict()
        fitting = {
            name: tensor
            for name, tensor in other.state_dict().items()
            if name not in PRIOR and name in own and own[name].shape == tensor.shape
        }
        self.load_state_dict({**own, **fitting})

    def linear_estimate(self, y: Tensor, encoder: Encoder) -> Tensor:
        """x_0 (B, C, H, W), the best linear estimate."""
        return encoder.estimator(self.prior).estimate(y)

    @property
    def draws(self) -> bool:
        """Whether it makes images of its own, other than the best linear estimate."""
        return self.learns and self.predicts == "images"

    def image(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The prediction alone."""
        prediction: Tensor = self(y, encoder).prediction
        return prediction

    @abstractmethod
    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Prediction and features."""

    @abstractmethod
    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """Only the features: what a teacher is asked for, at a lower cost than an image where there is one."""

    def _format(self, image: Tensor) -> torch.autocast:
        # Where shapes alone are looked at, torch knows no formats.
        device = "cpu" if image.is_meta else image.device.type
        return torch.autocast(device, self.training_dtype, enabled=self.training_dtype is not None)
