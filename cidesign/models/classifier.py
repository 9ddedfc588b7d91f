"""The decoder of classes: the best linear estimate for the given operator, and a small network that looks at it."""

from torch import Tensor, nn
from torch.nn import functional

from cidesign.models.class_decoder import FEWEST_CLASSES, ClassDecoder
from cidesign.models.decoder import Channels, DecoderOutput, DecoderSettings
from cidesign.physics.base import Encoder

# Where something is matters for what it is: features are averaged over so many places a side, not over all.
PLACES = 4


class ClassifierSettings(DecoderSettings):
    """`channels` is the width of the first level."""

    channels: Channels = 16


class Classifier(ClassDecoder):
    """Logits = W f(x_0) + b, with x_0 the best linear estimate for the given operator, and f a network.

    x_0 enters with the prior's mean and spread taken out.  f is three levels of convolutions 3 x 3 with ReLU, widths b,
    2b, 4b, halved in between, averaged over 4 x 4 places; its last maps are the features.
    """

    settings_type = ClassifierSettings

    def __init__(
        self, bands: int, size: tuple[int, int], settings: ClassifierSettings, classes: int = FEWEST_CLASSES
    ) -> None:
        super().__init__(bands, size, settings, classes)
        width = settings.channels
        self.network = nn.Sequential(
            nn.Conv2d(bands, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
        )
        self.last = nn.Linear(4 * width * PLACES**2, classes)

    def bottleneck(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The features (B, 4b, H / 4, W / 4), rounded up."""
        x_0 = self.linear_estimate(y, encoder)
        spread = self.prior_variance.mean().sqrt()
        image = (x_0 - self.prior_mean[:, None, None]) / spread
        with self._format(image):
            features: Tensor = self.network(image)
        return features.float()

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Logits (B, classes) and features from measurements and the operator that made them."""
        features = self.bottleneck(y, encoder)
        pooled = functional.adaptive_avg_pool2d(features, PLACES)
        logits: Tensor = self.last(pooled.flatten(1))
        return DecoderOutput(logits, features)
