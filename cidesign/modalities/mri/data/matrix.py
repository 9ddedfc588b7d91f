"""Square slices on a matrix of other numbers of lines and samples: the same field of view, resolved differently."""

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import centred_fft, centred_ifft
from cidesign.modalities.mri.data.phantoms import ROUNDING_MARGIN

# So many slices are transformed at once.
_AT_ONCE = 64


def largest_side(size: tuple[int, int]) -> int:
    """The side of square slices that hold every line and every sample of a matrix (lines, samples)."""
    return max(size)


def on_matrix(slices: NDArray[np.float16], size: tuple[int, int]) -> NDArray[np.float16]:
    """Slices (M, 2, S, S), S = max(size), with the outer k-space left out that a matrix (N, n) has not: (M, 2, N, n).

    Real and imaginary part; the largest magnitude of each is 1 again.  Square ones come back as they are.
    """
    if slices.shape[2:] == size:
        return slices
    found = np.empty((len(slices), 2, *size), dtype=np.float16)
    for first in range(0, len(slices), _AT_ONCE):
        part = slices[first : first + _AT_ONCE].astype(np.float32)
        image = resolved(part[:, 0] + np.complex64(1j) * part[:, 1], size)
        image *= np.float32(ROUNDING_MARGIN) / np.abs(image).max(axis=(1, 2), keepdims=True)
        found[first : first + _AT_ONCE, 0], found[first : first + _AT_ONCE, 1] = image.real, image.imag
    return found


def resolved(images: NDArray[np.complex64], size: tuple[int, int]) -> NDArray[np.complex64]:
    """Images (..., S, S) with the middle (N, n) of their k-space alone: (..., N, n)."""
    side = images.shape[-1]
    (top, left), (lines, samples) = (side // 2 - size[0] // 2, side // 2 - size[1] // 2), size
    k = centred_fft(images, (-2, -1))[..., top : top + lines, left : left + samples]
    return centred_ifft(k, (-2, -1))
