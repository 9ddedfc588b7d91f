"""The published decoder: a U-Net on the back-projection, without a linear estimate and without a residual."""

from torch import Tensor

from cidesign.models.decoder import DecoderOutput
from cidesign.models.unet import UNetDecoder, UNetSettings
from cidesign.physics.base import Encoder


class BackProjectionUNet(UNetDecoder):
    """x_hat = U-Net(A^T y), with A^T y scaled to the order of the images (arXiv 2501.17898; its authors' codes).

    The network has to find out by itself what the operator mixes, and can overrule the readings.
    """

    def __init__(self, bands: int, size: tuple[int, int], settings: UNetSettings) -> None:
        super().__init__(bands, size, settings)
        # It makes the image, not a correction: with a last layer of zeros it would begin with none.
        self.unet.last.reset_parameters()

    def first_image(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The scaled back-projection."""
        return encoder.back_projection(y)

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and bottleneck features from measurements and the operator that made them."""
        return DecoderOutput(*self._refined(self.first_image(y, encoder)))
