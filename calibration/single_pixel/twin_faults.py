"""What the twin of a single-pixel bench does wrong when it is told to; strengths as `faults.FAULTS` has them."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_matrix, identity

from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.calibration.single_pixel.operator import Placement
from cidesign.checks import FaultName
from cidesign.orientation import Orientation

FAULTS: FaultKinds = {
    "lost-trigger": FaultKind("readings lost (negative: read twice)", "readings", 1, -3, 3, whole=True),
    "record-shift": FaultKind("scene recorded too early (negative: late)", "readings", -1, -16, 16, whole=True),
    "flicker": FaultKind("amplitude of the lamp's 100 Hz", "% of its light", 5, 0, 50),
    "drift": FaultKind("slow change of the lamp, peak to peak", "% of its light", 5, 0, 80),
    "saturation": FaultKind("an all-on white frame", "% of the converter's range", 160, 100, 1000),
    "dark": FaultKind("stray light while the dark frames were not taken", "% of full white", 2, -20, 20),
    "mirror": FaultKind("1: left and right exchanged, 2: top and bottom", "", 1, 1, 2, whole=True),
    "inversion": FaultKind("on and off mirrors exchanged", "", 1, 1, 1, whole=True),
    "rotation": FaultKind("patterns turned clockwise on the scene", "degrees", 2, -30, 30),
    "shift": FaultKind("patterns shifted to the right on the scene", "super-pixels", 1, -4, 4),
    "bit-justification": FaultKind("low bits of the converter that are always 0", "bits", 4, 1, 8, whole=True),
    "gain-map": FaultKind("light missing in the corners of the field", "%", 30, 0, 90),
}

Faults = dict[FaultName, float]
FLICKER_HZ = 100.0
DRIFT_KNOTS = 6
# Each scene pixel sees the super-pixels at 10 x 10 points: finer than the bilinear weights that calibration assumes.
# Shifts are those of whole points, a tenth of a super-pixel.
SAMPLES = 10
# Triggers are lost in the middle of a record: at its ends nobody would look for them.
LOST_BETWEEN = (0.1, 0.9)


def placement(faults: Faults) -> Placement:
    """How the patterns lie on the scene."""
    mirrored = faults.get("mirror", 0)
    return Placement(
        rotation_deg=faults.get("rotation", 0.0),
        right_px=faults.get("shift", 0.0),
        orientation=Orientation(flip_horizontal=mirrored == 1, flip_vertical=mirrored == 2),
    )


def illumination(side: int, faults: Faults) -> NDArray[np.float64]:
    """The light on the scene (n, n), 1 in the middle, less in the corners by the fault's strength in percent."""
    at = np.linspace(-1, 1, side) if side > 1 else np.zeros(1)
    squared = (at[:, None] ** 2 + at[None, :] ** 2) / 2
    field: NDArray[np.float64] = 1 - 0.01 * faults.get("gain-map", 0.0) * squared
    return field


def scene_weights(side: int, place: Placement) -> "csr_matrix":
    """(n*n, n*n): the part of each scene pixel that sees each super-pixel, by sampling; without the orientation."""
    if place.rotation_deg == 0 and place.down_px == 0 and place.right_px == 0:
        return identity(side * side, format="csr")
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    row, column = np.meshgrid(*(np.add.outer(np.arange(side), offsets).reshape(-1),) * 2, indexing="ij")
    centre, angle = (side - 1) / 2, np.deg2rad(place.rotation_deg)
    down, right = row - centre - place.down_px, column - centre - place.right_px
    seen_row = np.rint(centre - np.sin(angle) * right + np.cos(angle) * down).astype(np.int64)
    seen_column = np.rint(centre + np.cos(angle) * right + np.sin(angle) * down).astype(np.int64)
    inside = (seen_row >= 0) & (seen_row < side) & (seen_column >= 0) & (seen_column < side)
    pixel = np.arange(side * SAMPLES) // SAMPLES
    scene = pixel[:, None] * side + pixel[None, :]
    weights = np.full(int(inside.sum()), 1 / SAMPLES**2)
    entries = weights, (scene[inside], (seen_row * side + seen_column)[inside])
    return csr_matrix(entries, shape=(side * side, side * side))


def lamp_drift(frames: int, percent: float, seed: int) -> NDArray[np.float64]:
    """Relative brightness of the lamp at each frame (frames,): 1 at the start, `percent` from lowest to highest.

    A smooth random walk: cubic splines through 6 random steps.
    """
    if percent == 0 or frames < 2:
        return np.ones(frames)
    rng = np.random.default_rng([seed, 4])
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=DRIFT_KNOTS - 1))])
    spline = CubicSpline(np.linspace(0, 1, DRIFT_KNOTS), walk, bc_type="natural")
    curve = spline(np.linspace(0, 1, frames))
    curve -= curve[0]
    drift: NDArray[np.float64] = 1 + 0.01 * percent * curve / np.ptp(curve)
    return drift


def lose_triggers(readings: NDArray[np.int32], faults: Faults, seed: int) -> NDArray[np.int32]:
    """Readings (F,) less those whose trigger was lost, or with some of them twice (negative strength)."""
    count = round(faults.get("lost-trigger", 0))
    if count == 0:
        return readings
    rng = np.random.default_rng([seed, 6])
    first, last = (round(part * readings.size) for part in LOST_BETWEEN)
    places = np.sort(rng.choice(np.arange(first, last), abs(count), replace=False))
    if count > 0:
        return np.delete(readings, places)
    return np.insert(readings, places, readings[places])


def shift_record(readings: NDArray[np.int32], faults: Faults, dark: NDArray[np.int32]) -> NDArray[np.int32]:
    """As many readings (F,) of a detector that was armed too early (it reads `dark` first), or too late.

    Armed too late it misses the first frames, and after the last one reads `dark` until it has its number.
    """
    early = round(faults.get("record-shift", 0))
    if early == 0:
        return readings
    if early > 0:
        return np.concatenate([dark[:early], readings[:-early]])
    return np.concatenate([readings[-early:], dark[:-early]])


def converted(readings: NDArray[np.int32], faults: Faults) -> NDArray[np.int32]:
    """Readings of a converter with fewer bits, put at the top of the word."""
    low = round(faults.get("bit-justification", 0))
    shifted: NDArray[np.int32] = (readings >> low) << low
    return shifted
