"""Shots of known shapes that a scanner can play: spokes, spiral arms, and a block of Cartesian lines."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cidesign.constraints.gradients import Bounds, GradientRule, Values, gradients_of, project
from cidesign.errors import LimitError
from cidesign.modalities.mri.shots.settings import ShotSettings
from cidesign.pattern import NonCartesian, centre_block

# pi / golden ratio: the next spoke falls into the largest gap (Winkelmann et al., IEEE Trans. Med. Imaging 26, 68).
GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
# Of the time along a spiral: steps in a raster time, and halvings of what its turns are searched in.
FINER, HALVINGS = 4, 24


class Shape(NamedTuple):
    """Control points (shots, n, 2) in 1/FOV, and the time before the samples."""

    points: Values
    delay_ns: int


@dataclass(frozen=True)
class Shots:
    """What all shots of a scan have in common: their settings, the scanner's rule, and which scanner it is."""

    settings: ShotSettings
    rule: GradientRule
    profile_id: str
    profile_digest: str

    @property
    def bounds(self) -> Bounds:
        """The largest differences of control points."""
        return self.rule.bounds(self.settings.fov_mm)

    @property
    def window(self) -> int:
        """Raster times that the samples of a shot take, the last one begun."""
        return math.ceil(self.settings.readout_ns / self.rule.raster_ns)

    @property
    def radius(self) -> float:
        """Half of the matrix: the largest k-space in 1/FOV."""
        return self.settings.side / 2

    def design(self, shape: Shape) -> NonCartesian:
        """Shots of a shape."""
        settings = self.settings
        return NonCartesian(
            settings.matrix,
            settings.fov_mm,
            gradients_of(shape.points, self.rule.per_raster(settings.fov_mm)),
            np.ascontiguousarray(shape.points[:, 0]),
            self.rule.raster_ns,
            settings.samples_per_shot,
            settings.dwell_ns,
            shape.delay_ns,
            self.profile_id,
            self.profile_digest,
        )

    def _beyond(self, what: str, needed: float, unit: str, limit: float) -> LimitError:
        settings = self.settings
        return LimitError(
            f"{what}: needs {needed:.4g} {unit} for {settings.side} pixels of {settings.fov_mm:g} mm in "
            f"{1e-6 * settings.readout_ns:g} ms, the limit is {limit:g} {unit}; take a longer readout_ms, a larger "
            "fov_mm, or a smaller side"
        )


def spokes(scan: Shots, count: int | None = None, angles: Values | None = None) -> Shape:
    """Full spokes at multiples of the golden angle, or at `angles`; constant gradients, ramps outside the samples.

    Raises `LimitError` where the readout is too short for them.
    """
    shots = count or scan.settings.shots
    at = np.arange(shots) * GOLDEN_ANGLE if angles is None else angles
    along = np.stack([np.cos(at), np.sin(at)], axis=1)
    return _straight(scan, "radial", np.zeros((shots, 2)), along)


def block(scan: Shots) -> Shape:
    """The lines around the centre of k-space, as many as there are shots, along the second axis."""
    settings = scan.settings
    lines = np.array(centre_block(settings.side, settings.shots), dtype=np.float64) - settings.side // 2
    middle = np.stack([lines, np.zeros_like(lines)], axis=1)
    return _straight(scan, "Cartesian lines", middle, np.tile([0.0, 1.0], (len(lines), 1)))


def _straight(scan: Shots, what: str, middle: Values, along: Values) -> Shape:
    """Shots through `middle` (shots, 2), as long as the matrix, in the directions `along`."""
    bounds, rule = scan.bounds, scan.rule
    step = 2 * scan.radius * rule.raster_ns / scan.settings.readout_ns
    if step > bounds.step:
        raise scan._beyond(what, step / rule.per_raster(scan.settings.fov_mm), "mT/m", rule.gradient_mt_per_m)
    ramp = math.ceil(step / bounds.bend)
    slope = step * np.arange(1, ramp) / ramp
    steps = np.concatenate([slope, np.full(scan.window + 1, step), slope[::-1]])
    # The first corner of the window is half a step after the ramp's last control point.
    place = np.concatenate([[0.0], np.cumsum(steps)])
    place -= 0.5 * (place[ramp - 1] + place[ramp]) + scan.radius
    return Shape(middle[:, None] + place[None, :, None] * along[:, None], ramp * rule.raster_ns)


def arms(scan: Shots, count: int | None = None) -> Shape:
    """Arms of an Archimedean spiral from the centre out, evenly turned: k = c theta exp(i theta).

    As many turns as a full sampling needs, or as many as the limits allow in the readout where these are fewer; the
    time along an arm is the shortest one for its limits (Glover, Magn. Reson. Med. 42, 412, 1999), stretched where
    there is time left.  Raises `LimitError` where not even a straight line reaches the edge of k-space.
    """
    shots = count or scan.settings.shots
    most = scan.radius / shots
    turns, arm = most, _arm(scan, most)
    if arm is None:
        low, high = 0.0, most
        for _ in range(HALVINGS):
            turns = (low + high) / 2
            found = _arm(scan, turns)
            low, high, arm = (turns, high, found) if found is not None else (low, turns, arm)
    if arm is None:
        bounds, needed = scan.bounds, scan.radius / scan.window
        if needed > bounds.step:
            per_mt = scan.rule.per_raster(scan.settings.fov_mm)
            raise scan._beyond("spiral", needed / per_mt, "mT/m", scan.rule.gradient_mt_per_m)
        slew = scan.rule.slew_t_per_m_per_s
        raise scan._beyond("spiral", slew * 2 * scan.radius / scan.window**2 / bounds.bend, "T/m/s", slew)
    turn = np.exp(2j * math.pi * np.arange(shots) / shots)[:, None] * arm
    points = np.stack([turn.real, turn.imag], axis=2)
    return Shape(project(points, scan.bounds), 0)


def _arm(scan: Shots, turns: float) -> "np.ndarray[tuple[int], np.dtype[np.complex128]] | None":
    """Control points (n,) of one arm with so many turns, or None where the readout is too short for it.

    With theta' = w: |k'| = c w |1 + i theta| and k'' = c ((w' - theta w^2) + i (2 w^2 + theta w')) exp(i theta).
    """
    bounds, window = scan.bounds, scan.window
    end = 2 * math.pi * turns
    c = scan.radius / end
    theta, speed, passed = 0.0, 0.0, 0
    course = [(theta, speed)]
    while theta < end:
        if passed > window * FINER:
            return None
        square = theta * theta
        root = (square * speed**4) - (1 + square) * ((square + 4) * speed**4 - (bounds.bend / c) ** 2)
        gain = (-theta * speed**2 + math.sqrt(max(root, 0.0))) / (1 + square)
        speed = min(speed + gain / FINER, bounds.step / (c * math.sqrt(1 + (theta + speed / FINER) ** 2)))
        theta += speed / FINER
        passed += 1
        course.append((theta, speed))
    angles, speeds = np.array(course).T
    # In so many raster times the arm reaches the edge; a slower one has smaller gradients everywhere.
    shortest = float(np.interp(end, angles, np.arange(len(angles)))) / FINER
    slower = window / shortest
    if slower < 1:
        return None
    at = np.arange(window + 1) / slower * FINER
    theta_at, speed_at = (np.interp(at, np.arange(len(course)), values) for values in (angles, speeds))
    steps = c * speed_at / slower * (1 + 1j * theta_at) * np.exp(1j * theta_at)
    ramp = math.ceil(abs(steps[-1]) / bounds.bend)
    brake = steps[-1] * np.arange(ramp - 1, 0, -1) / ramp
    return np.concatenate([[0.0], np.cumsum(np.concatenate([steps[1:], brake]))])
