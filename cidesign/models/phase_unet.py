"""The decoder of complex images: the U-Net sees them with their smooth phase taken out."""

import torch
from torch import Tensor

from cidesign.models.decoder import DecoderOutput
from cidesign.models.unet import LinearThenUNet
from cidesign.physics.base import Encoder


class PhaseUNet(LinearThenUNet):
    """x_hat = x_0 + (I - G A) p U-Net(p* x_0), with p = exp(i phi) the smooth phase of the linear estimate x_0.

    What is left of p* x_0 is mostly real, whatever the phase of the scan, so the network need not learn every turn of
    each structure.  Of real images it is `LinearThenUNet`.
    """

    def forward(self, y: Tensor, encoder: Encoder) -> DecoderOutput:
        """Image and bottleneck features from measurements and the operator that made them."""
        estimator = encoder.estimator(self.prior)
        x_0 = estimator.estimate(y)
        phase = encoder.smooth_phase(x_0)
        correction, features = self._refined(turned(x_0, phase, back=True))
        return DecoderOutput(x_0 + estimator.unseen(turned(correction, phase, back=False)), features)

    def first_image(self, y: Tensor, encoder: Encoder) -> Tensor:
        """The best linear estimate without its smooth phase."""
        x_0 = self.linear_estimate(y, encoder)
        return turned(x_0, encoder.smooth_phase(x_0), back=True)


def turned(x: Tensor, phase: Tensor | None, back: bool) -> Tensor:
    """Complex images (B, 2, H, W) times a phase (B, H, W) of magnitude 1, or its conjugate; None: as they are."""
    if phase is None:
        return x
    made = torch.complex(x[:, 0], x[:, 1]) * (phase.conj() if back else phase)
    return torch.stack([made.real, made.imag], dim=1)
