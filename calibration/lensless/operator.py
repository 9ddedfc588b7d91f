"""The operator of a lensless camera: every colour channel convolved with its own PSF, cut to the sensor.

    y_c = valid(psf_c (*) (w x_c)),      (h, w) of (h + H - 1, w + W - 1) (*) (H, W)

x is 1 where the scene is white, w what the sensor still takes of light from the direction of an image pixel.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from cidesign.calibration.base import LinearOperator
from cidesign.calibration.lensless.optics import Array


@dataclass(frozen=True)
class LenslessOperator:
    """`psf` (C, h + H - 1, w + W - 1), at least 0; `response` (H, W): the light of each direction that is taken, 1
    on axis."""

    psf: NDArray[np.float64]
    response: NDArray[np.float64]

    @property
    def image(self) -> tuple[int, int]:
        """H, W."""
        rows, columns = self.response.shape
        return rows, columns

    @property
    def sensor(self) -> tuple[int, int]:
        """h, w."""
        return self.psf.shape[1] - self.image[0] + 1, self.psf.shape[2] - self.image[1] + 1

    @property
    def channels(self) -> int:
        """C."""
        return len(self.psf)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """The plane on which it is computed."""
        rows, columns = (next_fast_len(size, real=True) for size in self.psf.shape[1:])
        return rows, columns

    @cached_property
    def transfer(self) -> NDArray[np.complex128]:
        """The transform of the PSFs, (C, ...)."""
        found: NDArray[np.complex128] = rfft2(self.psf, self.shape)
        return found

    def predict(self, x: NDArray[np.floating]) -> Array:
        """The noise-free readings (..., C, h, w) of images (..., C, H, W)."""
        # What wraps around on a plane of the PSF's size falls on the part that is cut off.
        whole = irfft2(self.transfer * rfft2(self.response * x, self.shape), self.shape)
        first, last = (size - 1 for size in self.image), (size for size in self.psf.shape[1:])
        (top, left), (bottom, right) = first, last
        read: Array = whole[..., top:bottom, left:right]
        return read

    def adjoint(self, y: NDArray[np.floating]) -> Array:
        """The images (..., C, H, W) of readings (..., C, h, w)."""
        placed = np.zeros((*y.shape[:-2], *self.psf.shape[1:]))
        placed[..., self.image[0] - 1 :, self.image[1] - 1 :] = y
        back = irfft2(self.transfer.conj() * rfft2(placed, self.shape), self.shape)
        images: Array = self.response * back[..., : self.image[0], : self.image[1]]
        return images

    def white(self) -> Array:
        """The readings (C, h, w) of a white scene."""
        return self.predict(np.ones((self.channels, *self.image)))


class ChannelOperator(LinearOperator):
    """The operator of images (..., C, H, W) and readings (..., C, h, w), with its adjoint."""

    def __init__(self, operator: LenslessOperator) -> None:
        self.operator = operator
        self.image_shape = (operator.channels, *operator.image)
        self.reading_shape = (operator.channels, *operator.sensor)

    def _forward(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        return self.operator.predict(x)

    def _adjoint(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        return self.operator.adjoint(y)
