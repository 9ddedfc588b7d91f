"""What the gradients of a scanner can play of a design: amplitude and slew of the two axes together."""

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, exceeds
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian
from cidesign.pattern.shots import NS_PER_S

# Amplitudes are written with six digits, the corners between with seven: a file is not refused for its rounding.
RELATIVE_TOLERANCE = 1e-5


def broken_limits(design: NonCartesian, profile: MriProfile) -> list[Check]:
    """The largest amplitude and the steepest slew beyond the design limits of a profile, with shot and time.

    Each is the norm of both axes: a turned slice can put all of it on one axis of the scanner, and no axis of its own
    has more than that.
    """
    g, limits = design.gradients_mt_per_m, profile.design
    found = []
    norm = np.linalg.norm(g, axis=2)
    most = limits.max_gradient_mt_per_m
    if (peak := _peak(norm))[2] > most.value * (1 + RELATIVE_TOLERANCE):
        found.append(_exceeds("gradient", peak, design.raster_ns, f"{most.value:g} mT/m", "mT/m", most.source))
    slew = np.linalg.norm(np.diff(g, axis=1), axis=2) * 1e-3 / (design.raster_ns / NS_PER_S)
    steepest = limits.max_slew_t_per_m_per_s
    if (peak := _peak(slew))[2] > steepest.value * (1 + RELATIVE_TOLERANCE):
        found.append(_exceeds("slew", peak, design.raster_ns, f"{steepest.value:g} T/m/s", "T/m/s", steepest.source))
    return found


def _peak(values: NDArray[np.float64]) -> tuple[int, int, float]:
    shot, corner = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(shot), int(corner), float(values[shot, corner])


def _exceeds(rule: str, peak: tuple[int, int, float], raster_ns: int, limit: str, unit: str, source: str) -> Check:
    shot, corner, value = peak
    where = f"shot {shot}, {corner * raster_ns / 1e6:.4g} ms after its start"
    return exceeds(
        rule, where, f"{value:.4g} {unit}", f"{limit} ({source})", "play it slower, with a longer dwell time"
    ).model_copy(update={"source": source})
