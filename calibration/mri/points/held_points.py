"""Held-out points: what coil maps predict of them from the other points of their slices."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.held_lines import NOISES
from cidesign.calibration.mri.kspace import Samples, centred_fft, centred_ifft
from cidesign.calibration.mri.points.response import VolumeCalibration
from cidesign.calibration.mri.points.volume import RawVolume
from cidesign.pattern import calibration_region

# The slices with the most signal tell; each costs some tens of transforms.
MOST_SLICES = 4
# Of the points beside the region that maps are fitted to, in the order of their distance from the centre: every fourth
# is held out, so many at most.  Further out they hold too little for a verdict.
EVERY, MOST_HELD = 4, 24
LEAST_HELD = 4
ITERATIONS = 30


class HeldPoints(NamedTuple):
    """`relative_residual`: as of held-out lines; how many points were held out, in how many slices."""

    relative_residual: float
    points: int
    slices: int


def held_points(raw: RawVolume, acs: tuple[int, int]) -> NDArray[np.int64]:
    """The points (Q, 2) that are held out: near the centre of k-space, and none that maps were fitted to."""
    outside = raw.points[calibration_region(raw.matrix, acs)[raw.points[:, 0], raw.points[:, 1]] == 0]
    away = (outside - np.array(raw.matrix) // 2) / np.array(raw.matrix)
    near: NDArray[np.int64] = outside[np.argsort(np.hypot(away[:, 0], away[:, 1]), kind="stable")]
    return near[: EVERY * MOST_HELD : EVERY]


def predict_points(raw: RawVolume, calibration: VolumeCalibration) -> HeldPoints | None:
    """Predict held-out points of the brightest slices from the others, with the maps of the calibration.

    In each slice argmin sum |F s_c x - k_c|^2 + noise / power |x|^2 over the other points, by conjugate gradients.
    None for one coil, and where too few points lie beside the region.
    """
    held = held_points(raw, calibration.acs)
    if calibration.coils < 2 or len(held) < LEAST_HELD:
        return None
    slices = calibration.slices(raw)
    brightest = np.argsort((np.abs(slices) ** 2).sum(axis=(1, 2, 3)))[::-1][:MOST_SLICES]
    variance = 2 * calibration.noise_deviation**2
    there = (held[:, 0], held[:, 1])
    mask = np.zeros(raw.matrix, dtype=np.float32)
    mask[raw.points[:, 0], raw.points[:, 1]] = 1
    mask[there] = 0
    left = signal = worst = noise = 0.0
    for number in brightest.tolist():
        k, maps = slices[number], calibration.slice(number).operator()[0]
        measured = k[:, there[0], there[1]]
        # What a pixel of the object holds, from the energy of the points that were measured.
        power = max(float((np.abs(k) ** 2).sum()) / k[0].size - len(k) * variance * mask.mean(), variance)
        parts = [
            float((np.abs(_predicted(k, mask, one, variance / power)[:, there[0], there[1]] - measured) ** 2).sum())
            for one in (maps, maps[:, ::-1, ::-1])
        ]
        of_noise = variance * measured.size
        left += max(parts[0] - of_noise, 0.0)
        worst += max(parts[1] - of_noise, 0.0)
        signal += max(float((np.abs(measured) ** 2).sum()) - of_noise, 0.0)
        noise += of_noise
    return HeldPoints(left / (max(signal, worst) + NOISES * noise), len(held), len(brightest))


def _predicted(k: Samples, mask: NDArray[np.float32], maps: Samples, weight: float) -> Samples:
    """K-space (coils, lines, partitions) everywhere, of the image that the points of `mask` show."""

    def normal(x: Samples) -> Samples:
        seen = mask * centred_fft(maps * x, (-2, -1))
        return np.asarray((maps.conj() * centred_ifft(seen, (-2, -1))).sum(axis=0) + weight * x)

    x = np.zeros(mask.shape, dtype=np.complex64)
    residue = np.asarray((maps.conj() * centred_ifft(mask * k, (-2, -1))).sum(axis=0))
    direction = residue.copy()
    energy = float((np.abs(residue) ** 2).sum())
    start = max(energy, 1e-30)
    for _ in range(ITERATIONS):
        if energy <= 1e-10 * start:
            break
        moved = normal(direction)
        step = energy / float((direction.conj() * moved).sum().real)
        x, residue = x + step * direction, residue - step * moved
        energy, before = float((np.abs(residue) ** 2).sum()), energy
        direction = residue + energy / before * direction
    return centred_fft(maps * x, (-2, -1))
