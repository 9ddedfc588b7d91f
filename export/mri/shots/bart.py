"""Trajectories as BART has them: (3, samples, shots) in 1/FOV; along the columns of the image (x), then its rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.io.bart import read_cfl


def bart_points(samples: NDArray[np.float64]) -> NDArray[np.complex64]:
    """The points of samples (shots, samples, 2), rows of the image first."""
    shots, count, _ = samples.shape
    points = np.zeros((3, count, shots), dtype=np.complex64)
    points[0], points[1] = samples[..., 1].T, samples[..., 0].T
    return points


def read_bart_points(stem: Path) -> NDArray[np.float64]:
    """The samples (shots, samples, 2) of a trajectory; raises `FileError` for a file that holds none of a slice."""
    points = read_cfl(stem, 3)
    path = stem.with_suffix(".cfl") if stem.suffix in (".cfl", ".hdr") else stem.with_name(f"{stem.name}.cfl")
    if points.ndim != 3 or points.shape[0] != 3:
        raise FileError(f"{path}: a trajectory of BART has dimensions (3, samples, shots), not {points.shape}")
    if points.imag.any() or not np.isfinite(points.real).all():
        raise FileError(f"{path}: a trajectory is real and finite; this file holds complex numbers, or none")
    if points[2].any():
        raise FileError(f"{path}: moves along the third direction; only shots of one slice are read")
    return np.stack([points[1].real.T, points[0].real.T], axis=-1).astype(np.float64)
