"""How late the gradients come: the delay for which the shots agree where they pass the centre of k-space.

Opposed spokes disagree by twice their delay, and so do, in their own way, shots of any form that cross.  With
y = E(t) z for delays t = (rows, columns), z the coarse image of `Centre`, Gauss-Newton steps on t after z is projected
out: |P (y - E(t) z)| with P = 1 - E (E^H E + p)^-1 E^H (variable projection).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.shots.centre import Centre, central
from cidesign.pattern import NonCartesian

Complex = NDArray[np.complex128]
STEPS = 6
# A step beyond this, in 1/FOV at the fastest sample, is taken in parts.
LARGEST_STEP = 0.5
SETTLED_NS = 5.0
# Of central k-space for a delay: more takes long and adds little, as shots part company.
MOST_RADIUS = 7


class Delay(NamedTuple):
    """Delays of rows and columns in ns, their standard errors, and what is left of the samples' energy with them.

    `left_without`: without them; `noise_part`: what noise alone would leave.
    """

    delays_ns: tuple[float, float]
    errors_ns: tuple[float, float]
    left: float
    left_without: float
    noise_part: float


def estimate_delay(design: NonCartesian, samples: Complex, variance: float, radius: float) -> Delay:
    """The delays of white samples (coils, shots, samples) with a complex noise `variance`, within `radius`."""
    chosen = central(design.samples, min(radius, MOST_RADIUS))
    y = samples[:, chosen].astype(np.complex128)
    power = float((np.abs(y) ** 2).mean())
    delays, without = np.zeros(2), None
    fitted = _fit(design, chosen, y, delays, variance / power)
    for _ in range(STEPS):
        without = fitted.left if without is None else without
        step = np.clip(fitted.step, -fitted.most, fitted.most)
        delays = delays + step
        fitted = _fit(design, chosen, y, delays, variance / power)
        if np.abs(step).max() < SETTLED_NS:
            break
    errors = np.sqrt(variance / 2 * np.diag(np.linalg.inv(fitted.normal)))
    return Delay(
        (float(delays[0]), float(delays[1])),
        (float(errors[0]), float(errors[1])),
        fitted.left,
        fitted.left if without is None else without,
        fitted.noise * variance / power,
    )


class _Fit(NamedTuple):
    """A Gauss-Newton step in ns, its normal matrix, the largest step, the energy left, and the share left of noise."""

    step: NDArray[np.float64]
    normal: NDArray[np.float64]
    most: float
    left: float
    noise: float


def _fit(
    design: NonCartesian, chosen: NDArray[np.bool_], y: Complex, delays: NDArray[np.float64], noise_part: float
) -> _Fit:
    points = design.delayed((float(delays[0]), float(delays[1])))[chosen]
    speed = _speed(design, delays)[chosen]
    centre = Centre(points, float(np.linalg.norm(points, axis=1).max()), noise_part)
    image = centre.image(y)
    left = y - image @ centre.equations.T
    columns = []
    for axis in (0, 1):
        # k(t - delay): a later gradient moves a sample back along its path.
        moved = (image * (-2j * np.pi * centre.places[:, axis])) @ centre.equations.T * -speed[:, axis]
        columns.append(centre.left(moved).ravel())
    both = np.stack(columns, axis=1)
    normal = (both.conj().T @ both).real
    # A direction that no sample tells apart stays where it is.
    normal[np.diag_indices(2)] += 1e-9 * max(float(np.trace(normal)), 1e-300)
    step = np.linalg.solve(normal, (both.conj().T @ left.ravel()).real).astype(np.float64)
    most = LARGEST_STEP / max(float(np.abs(speed).max()), 1e-300)
    energy = float((np.abs(left) ** 2).sum() / (np.abs(y) ** 2).sum())
    return _Fit(step, normal, most, energy, 1 - centre.freedom / len(points))


def _speed(design: NonCartesian, delays: NDArray[np.float64]) -> NDArray[np.float64]:
    """(shots, samples, 2) in 1/FOV per ns."""
    half_ns = design.raster_ns / 100
    times = design.sample_times_ns
    axes = [
        (design.at(times - delay + half_ns) - design.at(times - delay - half_ns))[..., axis] / (2 * half_ns)
        for axis, delay in enumerate(delays)
    ]
    return np.stack(axes, axis=-1)
