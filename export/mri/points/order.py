"""In which order the points of a 3-D scan are measured, and how far k-space jumps between them.

Eddy currents remember how far the phase encoding has jumped from one excitation to the next.  A plane of points is cut
into segments, and each is passed through so that neighbours come after one another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.pattern import CartesianPoints

PointOrder = Literal["segments", "centre-out", "radial-fan"]
# Numbers of segments that are tried where none is given.
_TRIED = 48
Steps = NDArray[np.int64]
_Cut = Callable[[NDArray[np.float64], int], list[NDArray[np.intp]]]


@dataclass(frozen=True)
class OrderedPoints:
    """Points (P, 2) in the order of acquisition, and how many of each segment; jumps are in steps of 1/FOV."""

    points: Steps
    sizes: tuple[int, ...]

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self.sizes)

    @property
    def segment_of(self) -> NDArray[np.int64]:
        """(P,), the segment of each point, from 0."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int64), self.sizes)

    @property
    def mean_jump_steps(self) -> float:
        """The mean distance from one point to the next; 0 for a single one."""
        return _mean_jump(self.points)

    @property
    def largest_jump_steps(self) -> float:
        """The largest distance from one point to the next."""
        return float(_jumps(self.points).max(initial=0.0))


def ordered_points(design: CartesianPoints, order: PointOrder, segments: int | None = None) -> OrderedPoints:
    """The points of a design in an order, cut into so many segments; None: as make the mean jump the smallest.

    `segments`: bands of ky of as many points each, passed along kz there and back.  `centre-out`: rings of the same
    width from the centre outwards, each by angle.  `radial-fan`: fans of as many points each, passed outwards and back
    in turn.  Raises `InputError` for more segments than points.
    """
    steps = (design.acquired - (design.lines // 2, design.partitions // 2)).astype(np.float64)
    if segments is not None and segments > len(steps):
        raise InputError(f"protocol: {segments} segments of {len(steps)} points; give at most {len(steps)}")
    cut = _CUTS[order]
    most = len(steps) if segments is None else segments
    tried = np.unique(np.geomspace(1, min(most, 2 * max(design.matrix)), _TRIED).round().astype(int)).tolist()
    found = [cut(steps, count) for count in (tried if segments is None else [segments])]
    parts = min(found, key=lambda one: _mean_jump(steps[np.concatenate(one)]))
    kept = [part for part in parts if len(part)]
    return OrderedPoints(design.acquired[np.concatenate(kept)], tuple(len(part) for part in kept))


def jumps_of_all(design: CartesianPoints) -> dict[str, OrderedPoints]:
    """Every order with the number of segments that suits it: what the choice between them costs."""
    return {order: ordered_points(design, order) for order in get_args(PointOrder)}


def _jumps(points: NDArray[np.generic]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.linalg.norm(np.diff(points.astype(np.float64), axis=0), axis=1)
    return found


def _mean_jump(points: NDArray[np.generic]) -> float:
    return float(_jumps(points).mean()) if len(points) > 1 else 0.0


def _bands(steps: NDArray[np.float64], count: int) -> list[NDArray[np.intp]]:
    by_line = np.lexsort((steps[:, 1], steps[:, 0]))
    return _in_turn([part[np.lexsort(steps[part].T)] for part in np.array_split(by_line, count)])


def _rings(steps: NDArray[np.float64], count: int) -> list[NDArray[np.intp]]:
    radius, angle = _polar(steps)
    ring = np.minimum((radius / max(float(radius.max()), 1e-9) * count).astype(int), count - 1)
    order = np.lexsort((radius, angle, ring))
    return np.split(order, np.searchsorted(ring[order], np.arange(1, count)))


def _fans(steps: NDArray[np.float64], count: int) -> list[NDArray[np.intp]]:
    radius, angle = _polar(steps)
    by_angle = np.lexsort((radius, angle))
    return _in_turn([part[np.lexsort((angle[part], radius[part]))] for part in np.array_split(by_angle, count)])


def _in_turn(parts: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Every other part backwards, so that one begins near where the last one ended."""
    return [part[::-1] if number % 2 else part for number, part in enumerate(parts)]


def _polar(steps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from the centre and angle; the plane is measured so that its two sides are of the same length."""
    reach = np.maximum(np.abs(steps).max(axis=0), 1.0)
    scaled = steps / reach * reach.max()
    return np.hypot(scaled[:, 0], scaled[:, 1]), np.arctan2(scaled[:, 1], scaled[:, 0])


_CUTS: dict[str, _Cut] = {"segments": _bands, "centre-out": _rings, "radial-fan": _fans}
