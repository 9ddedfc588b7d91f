"""Volumes to simulate scans of, and the coils that receive them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples
from cidesign.errors import InputError
from cidesign.io.npy import read_npy
from cidesign.modalities.mri.data.matrix import largest_side, on_matrix
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.modalities.mri.settings import Echo

# Slices that a procedural volume passes through, and the part of the readout at either end in which it fades.
KEY_SLICES, FADING = 4, 0.15


def procedural_volume(samples: int, matrix: tuple[int, int], seed: int, echo: Echo) -> Samples:
    """(samples, lines, partitions), the largest magnitude 1: procedural slices that pass over into one another."""
    drawn = on_matrix(phantom_slices(KEY_SLICES, largest_side(matrix), seed, echo), matrix).astype(np.float32)
    keys = drawn[:, 0] + 1j * drawn[:, 1]
    along = (np.arange(samples) + 0.5) / samples
    place = along * (KEY_SLICES - 1)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(KEY_SLICES)), 0)
    faded = np.clip(np.minimum(along, 1 - along) / FADING, 0, 1)
    volume = np.einsum("xk,kyz->xyz", weights * np.sin(faded * np.pi / 2)[:, None], keys)
    return np.asarray(volume / np.abs(volume).max(), dtype=np.complex64)


def read_volume(path: Path, samples: int, matrix: tuple[int, int]) -> Samples:
    """A volume (samples, lines, partitions) of a .npy file; raises `InputError` for another shape, or nothing in it."""
    if path.suffix.lower() != ".npy":
        raise InputError(f"{path}: the scene of a 3-D scan is a .npy file of a volume {(samples, *matrix)}")
    volume = read_npy(path, "scene")
    if volume.shape != (samples, *matrix) or volume.dtype.kind not in "iufc" or not np.isfinite(volume).all():
        raise InputError(
            f"{path}: an array of shape {volume.shape} and kind {volume.dtype}; the scene of this run is a finite "
            f"volume {(samples, *matrix)}: readout, lines, partitions"
        )
    largest = float(np.abs(volume).max())
    if not largest > 0:
        raise InputError(f"{path}: the scene holds nothing but zeros")
    return np.asarray(volume.astype(np.complex128) / largest, dtype=np.complex64)


def volume_coils(count: int, samples: int, matrix: tuple[int, int], seed: int) -> Samples:
    """Sensitivities (count, samples, lines, partitions) of unit norm, those of a plane at either end of the readout."""
    if count == 1:
        return np.ones((1, samples, *matrix), dtype=np.complex64)
    ends = [coil_maps(count, matrix[0], seed + end, matrix[1]) for end in (0, 1)]
    # The phase of a coil is set at random: so that it does not change along the readout, both ends have that of one.
    turned = np.exp(-1j * np.angle((ends[0].conj() * ends[1]).sum(axis=(1, 2))))[:, None, None]
    along = (np.arange(samples) + 0.5)[None, :, None, None] / samples * (np.pi / 2)
    maps: NDArray[np.complexfloating] = np.cos(along) * ends[0][:, None] + np.sin(along) * (ends[1] * turned)[:, None]
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return np.asarray(maps / np.maximum(norm, 1e-6), dtype=np.complex64)
