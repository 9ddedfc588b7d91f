"""The reconstruction of shots without training."""

from typing import cast

from torch import Tensor

from cidesign.modalities.mri.shots.encoder import ShotsEncoder
from cidesign.physics.base import Encoder, ImagePrior


def gridded(y: Tensor, encoder: Encoder, prior: ImagePrior) -> Tensor:
    """Samples weighted to an even density, gathered; several coils are combined by their maps."""
    return cast(ShotsEncoder, encoder).gridded(y)
