"""What decoders of classes share: the logits of each class, and what may be said of them as probabilities."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from cidesign.models.decoder import Decoder, DecoderSettings, Predicted

FEWEST_CLASSES = 2
# Temperatures that are tried: from the network's own confidence to none at all.
MOST_SOFTENED, TRIED = 20.0, 61


class ClassDecoder(Decoder):
    """Logits (B, classes) from measurements and the encoder that made them; `last` is the layer that gives them."""

    predicts: ClassVar[Predicted] = "classes"
    last: nn.Linear

    def __init__(
        self, bands: int, size: tuple[int, int], settings: DecoderSettings, classes: int = FEWEST_CLASSES
    ) -> None:
        super().__init__(bands, size, settings)
        self.classes = classes

    @torch.no_grad()
    def soften(self, temperature: float) -> None:
        """Divide all logits by a temperature of 1 or more."""
        self.last.weight.div_(temperature)
        self.last.bias.div_(temperature)


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T >= 1 for which softmax(logits / T) has the least log loss on labels (B,); logits (B, classes).

    Networks are surer than they are right, and this one number mends most of it (Guo et al., ICML 2017).  Below 1 it
    would make them surer still, which so few images never show to be right.
    """
    tried = torch.logspace(0.0, float(torch.tensor(MOST_SOFTENED).log10()), TRIED, dtype=torch.float64)
    exact = logits.detach().double().cpu()
    losses = [nn.functional.cross_entropy(exact / temperature, labels.cpu()) for temperature in tried]
    return float(tried[int(torch.stack(losses).argmin())])


def probabilities(logits: Tensor, seen: int) -> Tensor:
    """What may be said of each class (B, classes): softmax, mixed with an even spread of weight 1 / (seen + 2).

    `seen` images, all of them right, leave room for so many errors (Laplace's rule of succession).
    """
    spread = 1 / (seen + 2)
    return (1 - spread) * logits.double().softmax(dim=1) + spread / logits.shape[1]
