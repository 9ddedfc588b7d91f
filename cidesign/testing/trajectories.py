"""One small trajectory of each kind, none of which is its own mirror image."""

import numpy as np

from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, CartesianPoints, NonCartesian

SCANNER = ("mri-generic-3t", "ab" * 32)


def lines() -> CartesianLines:
    """Five of nine lines."""
    return CartesianLines(9, 12, np.array([0, 3, 4, 5, 8]), 3, *SCANNER)


def points() -> CartesianPoints:
    """Six points of 6 x 4."""
    acquired = np.array([[0, 2], [2, 1], [2, 2], [3, 1], [3, 2], [5, 0]])
    return CartesianPoints(6, 4, 12, acquired, (2, 2), *SCANNER)


def shots() -> NonCartesian:
    """Two shots of 40 us."""
    gradients = np.zeros((2, 5, 2))
    gradients[0, 1:4, 0], gradients[1, 1:4] = (1.0, 3.0, 2.0), 0.5
    starts = np.array([[0.0, 0.5], [-1.0, 2.0]])
    return NonCartesian((8, 6), 200.0, gradients, starts, 10_000, 5, 6_000, 4_000, *SCANNER)


def playable_shots(profile: MriProfile, count: int = 3) -> NonCartesian:
    """Shots of 1.2 ms that every shipped scanner plays: each its own loop, and the second starts off the centre."""
    raster_ns = round(profile.rasters.gradient_us.value * 1e3)
    part = np.linspace(0, 1, 1_200_000 // raster_ns + 1)
    gradients = np.zeros((count, len(part), 2))
    for shot in range(count):
        envelope = (6.0 + shot) * np.sin(np.pi * part) ** 2
        gradients[shot, :, 0] = envelope * np.cos(2 * np.pi * (1 + shot) * part / count)
        gradients[shot, :, 1] = 0.6 * envelope * np.sin(0.5 + np.pi * part)
    gradients[:, [0, -1]] = 0
    starts = np.zeros((count, 2))
    starts[1] = (-9.5, 4.25)
    return NonCartesian((48, 48), 220.0, gradients, starts, raster_ns, 120, 8_000, 24_000, profile.id, profile.digest)
