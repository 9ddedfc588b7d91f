"""The default task: the image itself."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import mse_loss

from cidesign.distill.tasks.base import Column, Task
from cidesign.modality import Modality
from cidesign.physics.metrics import high_frequency_error_db, psnr_db, ssim

_PSNR = Column("psnr_db", "PSNR", "dB", of_quality=True)
_SSIM = Column("ssim", "SSIM", digits=3, of_quality=True)
_LINEAR = Column("linear_psnr_db", "linear estimate", "dB")


class Reconstruct(Task):
    """x_hat near x: mean squared error, PSNR (data range 1), SSIM, and the error of fine detail."""

    name = "reconstruct"
    score = _PSNR
    followed = (_PSNR, _LINEAR)
    shown = (_PSNR, _SSIM, _LINEAR)
    headings: ClassVar[Mapping[str, str]] = {"psnr_db": "PSNR dB", "ssim": "SSIM", "hfen_db": "detail error dB"}
    bar = _PSNR
    varies = "differences of a few tenths of a dB vary from seed to seed"

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over all channels."""
        return mse_loss(prediction, targets)

    def score_of_loss(self, loss: float) -> float:
        """-10 log10 of the mean squared error."""
        return -10 * math.log10(max(loss, 1e-12))

    def scores(self, prediction: Tensor, targets: Tensor, kind: Modality) -> Tensor:
        """PSNR in dB of what the modality compares."""
        return psnr_db(kind.compared(prediction), kind.compared(targets))

    def measured(
        self, prediction: Tensor, linear: Tensor, targets: Tensor, kind: Modality, columns: Sequence[Column]
    ) -> dict[str, Tensor]:
        """PSNR and SSIM of the prediction, PSNR of the linear estimate."""
        values = {
            _PSNR: lambda: self.scores(prediction, targets, kind),
            _LINEAR: lambda: self.scores(linear, targets, kind),
            _SSIM: lambda: ssim(kind.compared(prediction), kind.compared(targets)),
        }
        return {column.metric: values[column]() for column in columns}

    def metrics(self, prediction: Tensor, targets: Tensor, kind: Modality) -> dict[str, Tensor]:
        """PSNR, SSIM and the error of fine detail of what the modality compares, and the modality's own."""
        own = kind.image_metrics(prediction, targets)
        x_hat, x = kind.compared(prediction), kind.compared(targets)
        values = {"psnr_db": psnr_db(x_hat, x), "ssim": ssim(x_hat, x)}
        return {**values, "hfen_db": high_frequency_error_db(x_hat, x), **own}


TASK = Reconstruct()
