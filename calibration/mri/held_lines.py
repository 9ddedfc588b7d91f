"""Held-out lines: what coil maps predict of them from the other lines."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.coils import low_resolution
from cidesign.calibration.mri.kspace import Samples, centred_ifft

# Columns of the image are independent of each other; so many of them tell enough.
MOST_COLUMNS = 48
# How far from the centre lines are held out: further out they hold too little for a verdict.
HELD_AT = 4
# Maps to try need a kernel of 4 x 4, which calls for 7 lines.
LEAST_FIT_LINES = 7
# The noise of the other lines goes into a prediction as well: lines of little signal say little.
NOISES = 3.0


class HeldOut(NamedTuple):
    """`relative_residual`: the energy that the prediction of `lines` leaves above the noise, of what wrong maps leave.

    0 at best, about 1 for wrong maps, see `predict_lines`.
    """

    relative_residual: float
    lines: tuple[int, ...]


def held_lines(block: range) -> list[tuple[range, int]]:
    """Of an even number of central lines: a line between measured ones to predict, and those to fit maps to without it.

    One below the centre and one above; none where the block is too small to fit maps to the rest.
    """
    centre = (block.start + block.stop) // 2
    off = min(HELD_AT, len(block) // 2 - 2)
    if off < 1:
        return []
    return [(range(centre - off + 1, block.stop), centre - off), (range(block.start, centre + off), centre + off)]


def predict_lines(
    k: Samples, lines: NDArray[np.int64], maps: Samples, noise_variance: float, block: range, held: tuple[int, ...]
) -> HeldOut:
    """Predict the lines `held` of whitened k (coils, N, n) from the other `lines`, with maps of unit norm.

    For every column of the image, argmin sum |F s_c x - k_c|^2 + noise / power |x|^2, with the mean power of the image
    that the lines `block` show; solved directly.
    """
    power = float((low_resolution(k, block.start, len(block)) ** 2).mean())
    columns = _columns(maps, k.shape[2])
    along = centred_ifft(k, (-1,))[:, :, columns].astype(np.complex128)
    kept = np.setdiff1d(lines, np.array(held, dtype=np.int64))
    measured = along[:, list(held)]
    noise = noise_variance * measured.size

    def left(weights: Samples) -> float:
        found = _predicted(along, kept, weights[:, :, columns].astype(np.complex128), noise_variance / power, held)
        return max(float((np.abs(found - measured) ** 2).sum()) - noise, 0.0)

    signal = max(float((np.abs(measured) ** 2).sum()) - noise, 0.0)
    # A weak line beside a strong centre is hard to predict with any maps: those of a coil array turned by half a turn
    # say how hard.
    scale = max(signal, left(maps[:, ::-1, ::-1])) + NOISES * noise
    return HeldOut(left(maps) / scale, held)


def _predicted(
    along: NDArray[np.complex128], kept: NDArray[np.int64], maps: NDArray[np.complex128], weight: float,
    held: tuple[int, ...],
) -> NDArray[np.complex128]:  # fmt: skip
    """The lines `held` (coils, h, columns) of data (coils, N, columns) in the space of lines and columns."""
    count = along.shape[1]
    places = np.arange(count) - count // 2
    transform = np.exp(-2j * np.pi * np.outer(places, places) / count) / count**0.5
    forward = transform[kept]
    overlap = np.einsum("cyx,czx->xyz", maps.conj(), maps)
    systems = (forward.conj().T @ forward) * overlap + weight * np.eye(count)
    right = np.einsum("cyx,cyx->xy", maps.conj(), np.einsum("ly,clx->cyx", forward.conj(), along[:, kept]))
    image = np.linalg.solve(systems, right[..., None])[..., 0]
    return np.asarray(np.einsum("ly,cyx,xy->clx", transform[list(held)], maps, image), dtype=np.complex128)


def _columns(maps: Samples, samples: int) -> NDArray[np.int64]:
    """At most 48 columns, evenly spread over those that have maps."""
    used = np.flatnonzero(np.abs(maps).max(axis=(0, 1)) > 0)
    if not used.size:
        used = np.arange(samples)
    return np.asarray(used[np.linspace(0, len(used) - 1, min(len(used), MOST_COLUMNS)).round().astype(int)])
