"""The centre of k-space out of the shots that pass it: what fits all of them, and what they leave of it unexplained.

Samples y_c(k) of coil c with |k| <= K are held against a coarse image z_c of G x G pixels over the same field of view,
y_c(k) = sum_r z_c(r) exp(-2 pi i k r) / G, G > 2 K: a few thousand equations that are solved exactly.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
# Pixels of the coarse image beyond 2 K: what lies outside the samples may still be smooth.
MARGIN_PX = 8
# More equations than this say nothing new.
MOST_SAMPLES = 3_000
# Where a scan has hardly any noise the coarse image is not exact either.
LEAST_NOISE_PART = 1e-6
# A point of the grid is covered by a sample no further off than this, in 1/FOV; so much of the grid has to be.
NEAR, COVERED = 0.75, 0.95


@dataclass(frozen=True)
class Centre:
    """Points (M, 2) in 1/FOV within `radius`, and the noise of a sample as a part of the mean power of samples."""

    points: NDArray[np.float64]
    radius: float
    noise_part: float

    @cached_property
    def side(self) -> int:
        """Pixels along a side of the coarse image."""
        return 2 * math.ceil(self.radius) + MARGIN_PX

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """(G^2, 2), the pixels' places in fields of view."""
        along = (np.arange(self.side) - self.side // 2) / self.side
        return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)

    @cached_property
    def equations(self) -> Complex:
        """E (M, G^2)."""
        return self.waves(self.points)

    def waves(self, points: NDArray[np.float64]) -> Complex:
        """What the coarse image gives at points (M, 2)."""
        return np.asarray(np.exp(-2j * np.pi * points @ self.places.T) / self.side, dtype=np.complex128)

    @cached_property
    def inverse(self) -> Complex:
        """(E^H E + p)^-1 E^H, (G^2, M), with p the noise over the power of samples."""
        e = self.equations
        normal = e.conj().T @ e
        normal[np.diag_indices(len(normal))] += max(self.noise_part, LEAST_NOISE_PART)
        return np.asarray(np.linalg.solve(normal, e.conj().T), dtype=np.complex128)

    @cached_property
    def freedom(self) -> float:
        """How many of the M equations the coarse image takes up."""
        return float(np.einsum("mg,gm->", self.equations, self.inverse).real)

    def image(self, samples: Complex) -> Complex:
        """The coarse images (..., G^2) of samples (..., M)."""
        return samples @ self.inverse.T

    def left(self, samples: Complex) -> Complex:
        """What the best coarse images leave of samples (..., M)."""
        return samples - self.image(samples) @ self.equations.T

    def grid(self, samples: Complex) -> Complex:
        """(coils, a, a), the samples on whole steps of 1/FOV, a = 2 floor(K): the centre of Cartesian k-space."""
        half = math.floor(self.radius)
        steps = np.arange(-half, half, dtype=np.float64)
        points = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        return np.asarray((self.image(samples) @ self.waves(points).T).reshape(len(samples), 2 * half, 2 * half))

    @cached_property
    def grid_noise(self) -> float:
        """The variance of a sample of `grid` for one of the samples."""
        half = math.floor(self.radius)
        steps = np.arange(-half, half, dtype=np.float64)
        points = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        return float((np.abs(self.waves(points) @ self.inverse) ** 2).sum(axis=1).mean())


def covered_radius(points: NDArray[np.float64], most: int) -> int:
    """The largest whole radius up to `most` in which nearly every step of 1/FOV has a sample near it; 0 for none."""
    from scipy.spatial import cKDTree

    flat = points.reshape(-1, 2)
    tree = cKDTree(flat)
    steps = np.arange(-most, most + 1, dtype=np.float64)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    apart, length = tree.query(grid)[0], np.linalg.norm(grid, axis=1)
    found = 0
    for radius in range(1, most + 1):
        inside = length <= radius
        if (apart[inside] <= NEAR).mean() < COVERED:
            break
        found = radius
    return found


def central(points: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """(shots, samples), the samples within a radius, thinned out evenly where they are too many."""
    inside = np.asarray(np.linalg.norm(points, axis=-1) <= radius)
    count = int(np.count_nonzero(inside))
    if count <= MOST_SAMPLES:
        return inside
    kept = np.zeros(inside.size, dtype=bool)
    places = np.flatnonzero(inside)
    # A prime stride would favour no shot; equal steps along all shots together do as well.
    kept[places[np.linspace(0, count - 1, MOST_SAMPLES).astype(np.int64)]] = True
    return kept.reshape(inside.shape)
