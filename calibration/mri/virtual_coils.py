"""Virtual coils: a few orthonormal combinations of many receive coils that hold next to all of their signal.

White noise stays white in them, so that nothing else changes; what is left out is signal, and no model error.  Source:
M. Buehrer et al., "Array compression for MRI with large coil arrays", Magn. Reson. Med. 57, 1131, 2007.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Arrays of up to so many coils are left as they are: there is little to save.
FEW_COILS = 8


class VirtualCoils(NamedTuple):
    """`matrix` (V, coils) with orthonormal rows, the strongest first, and the share of the energy that they keep."""

    matrix: NDArray[np.complex128]
    kept: float

    def combine(self, values: NDArray[np.complexfloating]) -> NDArray[np.complex64]:
        """(V, ...) of (coils, ...)."""
        return np.tensordot(self.matrix, values, axes=1).astype(np.complex64)


def covariance_of(values: NDArray[np.complexfloating]) -> NDArray[np.complex128]:
    """The mean of s s^H over all samples (coils, ...)."""
    flat = values.reshape(len(values), -1).astype(np.complex128)
    return np.asarray(flat @ flat.conj().T / flat.shape[1], dtype=np.complex128)


def strongest(covariance: NDArray[np.complex128], lost: float, noise_variance: float = 0.0) -> VirtualCoils | None:
    """As few combinations as leave out at most `lost` of the signal, in the unit of the covariance (coils, coils).

    `noise_variance` is that of white noise, which is no signal.  None where that saves nothing, and for few coils.
    """
    coils = len(covariance)
    if coils <= FEW_COILS:
        return None
    signal = np.maximum(np.linalg.eigvalsh(covariance)[::-1] - noise_variance, 0.0)
    left_out = signal.sum() - np.cumsum(signal)
    count = max(int(np.count_nonzero(left_out > lost)) + 1, FEW_COILS)
    return None if count >= coils else leading(covariance, count, noise_variance)


def leading(covariance: NDArray[np.complex128], count: int, noise_variance: float = 0.0) -> VirtualCoils:
    """The `count` strongest combinations."""
    energies, vectors = np.linalg.eigh(covariance)
    signal = np.maximum(energies[::-1] - noise_variance, 0.0)
    matrix = vectors[:, ::-1][:, :count].conj().T
    return VirtualCoils(np.asarray(matrix, dtype=np.complex128), float(signal[:count].sum() / signal.sum()))
