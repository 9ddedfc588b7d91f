"""Samples of k-space anywhere, of images, by FINUFFT: y(k) = sum_r x(r) exp(-2 pi i k r) / sqrt(H W)."""

import importlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError

Complex = NDArray[np.complex128]
# Far below the noise of any scan.
ACCURACY = 1e-7


def finufft() -> Any:
    """The module `finufft`; raises `InputError` that names the extra when it is not installed."""
    try:
        return importlib.import_module("finufft")
    except ImportError as error:
        raise InputError(
            f"scans of shots need the package finufft ({error}); install it with `pip install 'cidesign[mri]'`"
        ) from error


class ShotSums:
    """The sums at points k (..., 2) in 1/FOV, rows of the image first; r = (pixel - N // 2) / N."""

    def __init__(self, points: NDArray[np.float64], size: tuple[int, int]) -> None:
        self.size, self.shape = size, points.shape[:-1]
        flat = points.reshape(-1, 2)
        self._angles = [np.ascontiguousarray(2 * np.pi * flat[:, axis] / size[axis]) for axis in (0, 1)]
        self._library = finufft()

    def forward(self, images: NDArray[np.complexfloating]) -> Complex:
        """Images (B, H, W) to samples (B, *points)."""
        wide = np.ascontiguousarray(images, dtype=np.complex128)
        found = np.asarray(self._library.nufft2d2(*self._angles, wide, eps=ACCURACY, isign=-1), dtype=np.complex128)
        return found.reshape(len(images), *self.shape) / math.sqrt(math.prod(self.size))

    def adjoint(self, samples: NDArray[np.complexfloating]) -> Complex:
        """Samples (B, *points) to images (B, H, W)."""
        flat = np.ascontiguousarray(samples.reshape(len(samples), -1), dtype=np.complex128)
        sums = self._library.nufft2d1(*self._angles, flat, self.size, eps=ACCURACY, isign=1)
        found = np.asarray(sums, dtype=np.complex128).reshape(len(samples), *self.size)
        return found / math.sqrt(math.prod(self.size))
