"""Fixed points of an exact budget for 3-D scans: the baselines that learned ones have to beat."""

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.points import PointBudget
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.fixed_designs import lowest, weighted_draw
from cidesign.modalities.mri.points.settings import PointSettings
from cidesign.pattern import Design

Mask = NDArray[np.bool_]
# The smallest distance of a Poisson disc grows in proportion to this plus the radius: densities of the centre and the
# edge are some 25 to 1.  Of 0.05, 0.1, 0.25, 0.5 and 1 the linear bound (48 x 48 points, four coils) is highest with
# this at R = 8; at R = 4 it is 0.7 dB higher with 1, at R = 12 0.25 dB with 0.05.
CENTRE_RADIUS = 0.25
# Standard deviation of the Gaussian density, of the distance to the edge of k-space; of 0.2, 0.3, 0.4 and 0.6 the bound
# is next to highest with this at R = 8, at R = 4 0.4 dB higher with 0.6 and at R = 12 0.7 dB with 0.3.
GAUSSIAN_WIDTH = 0.4
# The search ends within 0.02 % of the largest scale.
SCALE_STEPS = 16


def centre_points(rule: PointBudget) -> Mask:
    """The budget's points next to the centre of k-space, an ellipse: a plain low-pass (lines, partitions)."""
    return lowest(rule, np.where(rule.always, -1.0, np.where(rule.never, np.inf, rule.radius)))


def gaussian_points(rule: PointBudget, seed: int, width: float = GAUSSIAN_WIDTH) -> Mask:
    """The calibration region, and a draw without replacement of the rest with density exp(-r^2 / (2 width^2)).

    r is the distance from the centre of k-space, 1 on the ellipse.
    """
    return weighted_draw(rule, -0.5 * (rule.radius / width) ** 2, _draws(rule, seed))


def caipi_points(rule: PointBudget) -> Mask:
    """The calibration region and a sheared lattice: every r-th line, moved on from partition to partition.

    Point (y, z) is of the lattice where y + s z is a multiple of r, counted from the centre of k-space (Breuer et al.,
    Magn. Reson. Med. 55, 549, 2006); the shift s is that whose points lie furthest apart.  r is the largest for which
    the budget is reached, and the outermost points are left out until it is met.
    """
    down, across = (np.arange(size) - size // 2 for size in rule.shape)
    allowed = ~rule.never
    wanted = rule.acquired - int(np.count_nonzero(rule.always))
    longest = min(rule.always.size // max(wanted, 1) + 1, max(rule.shape))
    for period in range(longest, 0, -1):
        lattice = (down[:, None] + furthest_shift(period) * across) % period == 0
        chosen = (lattice & allowed) | rule.always
        if np.count_nonzero(chosen) >= rule.acquired:
            break
    return lowest(rule, np.where(rule.always, -1.0, np.where(chosen, rule.radius, np.inf)))


def furthest_shift(period: int) -> int:
    """The smallest shift s of those whose lattice y + s z = 0 (mod period) has its nearest points furthest apart."""
    steps = np.arange(1, period + 1)

    def nearest(shift: int) -> int:
        along = (-shift * steps) % period
        return int(min(period**2, (steps**2 + np.minimum(along, period - along) ** 2).min()))

    return max(range(period), key=lambda shift: (nearest(shift), -shift))


def poisson_disc(rule: PointBudget, seed: int, centre_radius: float = CENTRE_RADIUS) -> Mask:
    """The calibration region, and points no two of which are nearer than a distance that grows with the radius.

    Of two points, not both of the calibration region, the distance in steps of k-space is at least the smaller of
    scale (centre_radius + r) of both, r the distance from the centre, 1 on the ellipse.  Points are drawn one after the
    other, each keeping others off its disc, as long as there is room; the largest scale for which there are enough is
    searched for, and the few too many are taken away at random.  (Bridson, SIGGRAPH 2007; Vasanawala et al., IEEE ISBI
    2011.)
    """
    rng = _draws(rule, seed)
    order = rng.permutation(np.flatnonzero(~(rule.never | rule.always)))
    sizes = centre_radius + rule.radius
    # From discs that hold no other point to those that hold all.
    best, low, high = ~rule.never, 1 / sizes.max(), 2 * max(rule.shape) / sizes.min()
    for _ in range(SCALE_STEPS):
        scale = (low * high) ** 0.5
        found = _thrown(rule.always, order, scale * sizes)
        if np.count_nonzero(found) < rule.acquired:
            high = scale
            continue
        low = scale
        if np.count_nonzero(found) <= np.count_nonzero(best):
            best = found
    keys = rng.permutation(best.size).reshape(best.shape).astype(float)
    return lowest(rule, np.where(rule.always, -1.0, np.where(best, keys, np.inf)))


def _thrown(placed: Mask, order: NDArray[np.int64], distances: NDArray[np.float64]) -> Mask:
    """All points `placed`, and those of the `order` that lie in no disc of one before them; discs have radii (H, W)."""
    height, width = placed.shape
    chosen, blocked = placed.copy(), np.zeros_like(placed)
    reach = int(np.ceil(distances.max()))
    offsets = np.arange(-reach, reach + 1)
    apart = np.hypot(offsets[:, None], offsets)

    def place(row: int, column: int) -> None:
        chosen[row, column] = True
        size = distances[row, column]
        near = min(int(np.ceil(size)), reach)
        top, left = max(row - near, 0), max(column - near, 0)
        bottom, right = min(row + near + 1, height), min(column + near + 1, width)
        disc = apart[reach - row + top : reach - row + bottom, reach - column + left : reach - column + right] < size
        blocked[top:bottom, left:right] |= disc

    for row, column in np.argwhere(placed):
        place(row, column)
    for number in order.tolist():
        row, column = divmod(number, width)
        if not blocked[row, column]:
            place(row, column)
    return chosen


def _draws(rule: PointBudget, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *rule.shape, rule.acquired, *rule.calibration, int(rule.elliptical)])


def fixed_designs(settings: PointSettings, profile: MriProfile) -> dict[str, Design]:
    """Points as scanners choose them."""
    budget = settings.budget
    masks = {
        "centre ellipse": centre_points(budget),
        "Poisson disc": poisson_disc(budget, settings.seed),
        "CAIPI": caipi_points(budget),
        "Gaussian density": gaussian_points(budget, settings.seed),
    }
    return {name: budget.trajectory(mask, settings.samples, profile.id, profile.digest) for name, mask in masks.items()}
