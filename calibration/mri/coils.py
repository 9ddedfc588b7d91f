"""Coil sensitivity maps from the centre of k-space: ESPIRiT (Uecker et al., Magn. Reson. Med. 71, 990, 2014)."""

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples, centred_ifft
from cidesign.errors import FileError, InputError

KERNELS = (6, 5, 4)
# Calibration lines, so that the smallest kernel takes as many places as it has lines.
FEWEST_FOR_MAPS = 2 * KERNELS[-1] - 1
# Singular values below this part of the largest are noise (sigpy's value), and so are those that white noise reaches.
THRESHOLD = 0.02
# Eigenvalues are 1 where the maps hold, and fall off outside the object.
CROP = 0.8
MOST_ACS_LINES = 24
READOUT_WINDOW = 24


def choose_kernel(acs_lines: int, kernel: int | None, path: Path) -> int:
    """The side of the kernel for that many calibration lines: as asked for, or the largest of 6, 5 and 4 that fits.

    A kernel of k calls for 2 k - 1 lines, so that it takes k places.  Raises `FileError` where there are fewer.
    """
    if kernel is not None and not 2 <= kernel <= 12:
        raise InputError(f"--set kernel={kernel}: 2 to 12 are known to work")
    candidates = KERNELS if kernel is None else (kernel,)
    for size in candidates:
        if acs_lines >= 2 * size - 1:
            return size
    needed = 2 * candidates[-1] - 1
    raise FileError(
        f"{path}: {acs_lines} contiguous lines around the centre of k-space are too few for coil maps with a kernel of "
        f"{candidates[-1]} x {candidates[-1]}, which calls for {needed}; scan {needed} or more "
        f"(design with --acs-lines {needed})"
    )


def places_of_kernel(acs_lines: int, samples: int) -> int | None:
    """In how many places the kernel for that many calibration lines of a readout of `samples` lies; None for too few.

    Each place is one equation for what the coils have in common: more coils than these are not told apart.
    """
    size = next((size for size in KERNELS if acs_lines >= 2 * size - 1), None)
    if size is None:
        return None
    width = min(samples, max(READOUT_WINDOW, acs_lines))
    return (acs_lines - size + 1) * max(width - size + 1, 0)


def require_places(path: Path, acs: Samples, kernel: int) -> None:
    """Raise `FileError` for more coils than the kernel has places in the calibration lines (coils, a, r)."""
    coils, lines, width = acs.shape
    places = (lines - kernel + 1) * (width - kernel + 1)
    if coils > places:
        raise FileError(
            f"{path}: {coils} coils, but {lines} calibration lines of {width} samples have {places} places for a "
            f"kernel of {kernel} x {kernel}, and tell no more coils apart; scan more lines (design with --acs-lines), "
            f"or combine the coils to {places} or fewer"
        )


def espirit_maps(
    acs: Samples, shape: tuple[int, int], kernel: int, noise_variance: float, crop: float = CROP
) -> Samples:
    """Maps (coils, N, n) of unit norm over the coils, 0 where the eigenvalue is below `crop`.

    `acs` (coils, a, r) is the centre of k-space with white noise of `noise_variance`.  The phase is that of the first
    principal component of the coils, which is set to 0.
    """
    coils = len(acs)
    space = _signal_space(acs, kernel, noise_variance)
    offsets = _correlations(space, coils, kernel)
    span = np.arange(-(kernel - 1), kernel)
    rows = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) - shape[0] // 2, span) / shape[0])
    columns = np.exp(2j * np.pi * np.outer(np.arange(shape[1]) - shape[1] // 2, span) / shape[1])
    reference = _principal_component(acs)
    maps = np.zeros((coils, *shape), dtype=np.complex64)
    # One row of the image at a time: coils^2 numbers for each pixel are too many for all of them.
    along = np.tensordot(offsets, columns, axes=([3], [1]))  # (coils, coils, span, n)
    for number, row in enumerate(rows):
        matrices = np.tensordot(row, along, axes=([0], [2])).transpose(2, 0, 1)
        values, vectors = np.linalg.eigh(matrices)
        best = vectors[..., -1]
        turned = best * np.exp(-1j * np.angle(best @ reference.conj()))[:, None]
        maps[:, number] = np.where(values[:, -1] > crop, turned.T, 0)
    return maps


def _signal_space(acs: Samples, kernel: int, noise_variance: float) -> NDArray[np.complex128]:
    """Orthonormal basis (coils kernel^2, rank) of what patches of k-space can be."""
    windows = sliding_window_view(acs.astype(np.complex128), (kernel, kernel), axis=(1, 2))
    patches = windows.transpose(1, 2, 0, 3, 4).reshape(-1, len(acs) * kernel * kernel)
    squared, vectors = np.linalg.eigh(patches.T @ patches.conj())
    noise_edge = noise_variance**0.5 * (patches.shape[0] ** 0.5 + patches.shape[1] ** 0.5)
    limit = max(THRESHOLD * float(squared[-1]) ** 0.5, noise_edge)
    kept = np.sqrt(np.maximum(squared, 0)) > limit
    kept[-1] = True
    return np.asarray(vectors[:, kept], dtype=np.complex128)


def _correlations(space: NDArray[np.complex128], coils: int, kernel: int) -> NDArray[np.complex128]:
    """The projector onto the space, summed over equal distances of patch positions: (coils, coils, 2k - 1, 2k - 1)."""
    projector = (space @ space.conj().T).reshape(coils, kernel, kernel, coils, kernel, kernel)
    result = np.zeros((coils, coils, 2 * kernel - 1, 2 * kernel - 1), dtype=np.complex128)
    for row in range(kernel):
        for column in range(kernel):
            # Distances of this position from all others.
            block = projector[:, row, column, :, ::-1, ::-1]
            result[:, :, row : row + kernel, column : column + kernel] += block
    return result / kernel**2


def _principal_component(acs: Samples) -> NDArray[np.complex128]:
    flat = acs.reshape(len(acs), -1).astype(np.complex128)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    return np.asarray(vectors[:, -1], dtype=np.complex128)


def centre_of(k: Samples, first: int, count: int) -> Samples:
    """(coils, count, r): `count` lines from `first` on, and the central samples of them."""
    width = min(k.shape[2], max(READOUT_WINDOW, count))
    left = k.shape[2] // 2 - width // 2
    return k[:, first : first + count, left : left + width]


def low_resolution(k: Samples, first: int, count: int) -> NDArray[np.float32]:
    """Root of the sum of squares (N, n) of the zero-filled centre lines of k-space (coils, N, n)."""
    centre = np.zeros_like(k)
    centre[:, first : first + count] = k[:, first : first + count]
    image: NDArray[np.float32] = np.sqrt((np.abs(centred_ifft(centre, (-2, -1))) ** 2).sum(axis=0))
    return image
