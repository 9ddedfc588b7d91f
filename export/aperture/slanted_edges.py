"""Widths between edges of any direction: the distances that a process limits, on the outline of a drawing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Lengths below this are what is left of arithmetic on the outline (its own grid is 0.001 nm).
TINY_NM = 0.01
# Two edges that open by more than this are a corner, not a width: a right angle, less what a grid makes of it.
_WIDEST_OPENING = np.sin(np.radians(1.0))
MAX_PIECES, MAX_PAIRS = 4_000_000, 20_000_000


class Boundary(NamedTuple):
    """Directed edges (n, 2) from `start` to `end` in nm, y up; what is drawn lies to the left of each."""

    start: Floats
    end: Floats

    def reversed(self) -> "Boundary":
        """The boundary of what is not drawn."""
        return Boundary(self.end, self.start)


class Corners(NamedTuple):
    """For each edge, the edge that goes on at its end along the same area, and whether other areas meet it there."""

    following: Indices
    shared: NDArray[np.bool_]


class TooManyError(Exception):
    """More edges lie near one another than can be compared."""


def boundary_of(corners: Floats, sizes: Indices, grid_nm: float) -> Boundary:
    """The boundary of polygons (corners (N, 2), `sizes`) that overlap nowhere; holes may be cut open along lines."""
    steps = np.rint(corners / grid_nm).astype(np.int64)
    ends = np.cumsum(sizes)
    following = np.arange(1, len(steps) + 1)
    following[ends - 1] = ends - sizes
    forward = steps, steps[following]
    x, y = (corners - (corners[0] if len(corners) else 0)).T
    turn = np.add.reduceat(x * y[following] - x[following] * y, ends - sizes) if len(sizes) else np.empty(0)
    clockwise = np.repeat(turn < 0, sizes)[:, None]
    start, end = (np.where(clockwise, forward[1 - side], forward[side]) for side in (0, 1))
    # A line that cuts a hole open is there once in each direction, and bounds nothing.
    edges = np.concatenate([start, end], axis=1)
    rising = _before(start, end)
    undirected = np.where(rising[:, None], edges, edges[:, [2, 3, 0, 1]])
    sign = np.where(rising, 1, -1)
    unique, index = np.unique(undirected, axis=0, return_inverse=True)
    net = np.bincount(index.ravel(), weights=sign, minlength=len(unique))
    kept = unique[net != 0]
    flip = (net[net != 0] < 0)[:, None]
    kept = np.where(flip, kept[:, [2, 3, 0, 1]], kept)
    kept = kept[(kept[:, :2] != kept[:, 2:]).any(axis=1)]
    return Boundary(kept[:, :2] * grid_nm, kept[:, 2:] * grid_nm)


def _before(start: Indices, end: Indices) -> NDArray[np.bool_]:
    before: NDArray[np.bool_] = (start[:, 0] < end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] < end[:, 1]))
    return before


def corners_of(boundary: Boundary) -> Corners:
    """How the edges go on: where several areas meet in a point, each keeps to its own."""
    count = len(boundary.start)
    points, index = np.unique(
        np.rint(np.concatenate([boundary.start, boundary.end]) * 1000), axis=0, return_inverse=True
    )
    leaves, arrives = index.ravel()[:count], index.ravel()[count:]
    degree = np.bincount(leaves, minlength=len(points))
    order = np.argsort(leaves, kind="stable")
    first = np.cumsum(degree) - degree
    following = order[np.minimum(first[arrives], count - 1)] if count else order
    shared = degree[arrives] > 1
    step = boundary.end - boundary.start
    angle = np.arctan2(step[:, 1], step[:, 0])
    for edge in np.flatnonzero(shared).tolist():
        point = arrives[edge]
        choices = order[first[point] : first[point] + degree[point]]
        # The drawn area lies clockwise from the way back; the nearest edge that leaves bounds it.
        opening = (angle[edge] + np.pi - angle[choices]) % (2 * np.pi)
        following[edge] = choices[np.argmin(np.where(opening < 1e-9, 2 * np.pi, opening))]
    return Corners(following, shared)


def near_pairs(boundary: Boundary, reach_nm: float) -> Indices:
    """(m, 2) pairs of edges, each once, that may lie within `reach_nm`; raises `TooManyError`."""
    step = boundary.end - boundary.start
    length = np.hypot(*step.T)
    pieces = np.maximum(1, np.ceil(length / reach_nm)).astype(np.int64)
    if pieces.sum() > MAX_PIECES:
        raise TooManyError(f"{len(length)} edges are {length.sum() / 1e6:g} mm long together")
    edge = np.repeat(np.arange(len(length)), pieces)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    middle = boundary.start[edge] + step[edge] * ((number + 0.5) / pieces[edge])[:, None]
    tree = cKDTree(middle)
    # Two points of two pieces are at most half a piece away from its middle, at either end.
    radius = reach_nm + float((length / pieces).max(initial=0))
    if tree.count_neighbors(tree, radius) > 2 * MAX_PAIRS:
        raise TooManyError(f"more than {MAX_PAIRS} pairs of edges lie within {radius / 1000:g} um")
    pairs = edge[tree.query_pairs(radius, output_type="ndarray")]
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    keys = np.unique(pairs[:, 0] * len(length) + pairs[:, 1])
    return np.column_stack([keys // max(len(length), 1), keys % max(len(length), 1)])


def narrow_places(boundary: Boundary, corners: Corners, pairs: Indices, least_nm: float) -> Floats:
    """(k, 4) ends x, y, x, y of every distance across what is drawn that is shorter than `least_nm`.

    Across means perpendicular to one of two edges that face each other, along the blunt end of a taper, or from
    corner to corner where both bend away.  A corner of less than a right angle is narrow where its edges meet.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    step = boundary.end - boundary.start
    along = step / np.hypot(*step.T)[:, None]
    found = [
        _across(boundary, along, both[first : first + 2_000_000], least_nm) for first in range(0, len(both), 2_000_000)
    ]
    found += [_blunt_ends(boundary, along, corners, least_nm), _corner_to_corner(boundary, along, corners, least_nm)]
    return np.concatenate(found)


def _across(boundary: Boundary, along: Floats, pairs: Indices, least_nm: float) -> Floats:
    one, other = pairs.T
    facing = (along[one] * along[other]).sum(axis=1) < -_WIDEST_OPENING
    one, other = one[facing], other[facing]
    direction = along[one]
    inward = np.column_stack([-direction[:, 1], direction[:, 0]])
    length = ((boundary.end[one] - boundary.start[one]) * direction).sum(axis=1)
    near, far = boundary.end[other] - boundary.start[one], boundary.start[other] - boundary.start[one]
    at_near, at_far = (near * direction).sum(axis=1), (far * direction).sum(axis=1)
    low, high = np.maximum(0, at_near), np.minimum(length, at_far)
    height_near, height_far = (near * inward).sum(axis=1), (far * inward).sum(axis=1)
    # Of the other edge, only what lies above this one counts: it may begin behind it.
    kept = high - low > TINY_NM
    slope = (height_far - height_near)[kept] / (at_far - at_near)[kept]
    ends = np.stack([low, high])[:, kept]
    heights = height_near[kept] + slope * (ends - at_near[kept])
    narrow = (heights.max(axis=0) > TINY_NM) & (heights.min(axis=0) < least_nm - TINY_NM)
    at = np.where(heights[0] <= heights[1], ends[0], ends[1])[narrow, None]
    height = np.maximum(heights.min(axis=0), 0)[narrow, None]
    place = boundary.start[one[kept]][narrow] + direction[kept][narrow] * at
    return np.concatenate([place, place + inward[kept][narrow] * height], axis=1)


def _blunt_ends(boundary: Boundary, along: Floats, corners: Corners, least_nm: float) -> Floats:
    """Short edges that end a taper: between two that turn back by more than a right angle, all to the left."""
    second = corners.following
    third = second[second]
    step = boundary.end - boundary.start
    back = (along * along[third]).sum(axis=1) < -_WIDEST_OPENING
    left = (_turns(along, along[second]) > 0) & (_turns(along[second], along[third]) > 0)
    ends = second[back & left]
    ends = ends[np.hypot(*step[ends].T) < least_nm - TINY_NM]
    return np.concatenate([boundary.start[ends], boundary.end[ends]], axis=1)


def _turns(one: Floats, other: Floats) -> Floats:
    """The sine by which one direction turns left into the other."""
    sine: Floats = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return sine


def _corner_to_corner(boundary: Boundary, along: Floats, corners: Corners, least_nm: float) -> Floats:
    following = along[corners.following]
    bends_away = _turns(along, following) < -1e-9
    arriving, leaving = along[bends_away], following[bends_away]
    points = boundary.end[bends_away]
    if len(points) < 2:
        return np.empty((0, 4))
    tree = cKDTree(points)
    if tree.count_neighbors(tree, least_nm) > 2 * MAX_PAIRS:
        raise TooManyError(f"more than {MAX_PAIRS} pairs of corners lie within {least_nm / 1000:g} um")
    first, second = tree.query_pairs(least_nm, output_type="ndarray").T
    way = points[second] - points[first]
    length = np.hypot(*way.T)
    nearest = np.ones(len(way), dtype=bool)
    for corner, sign in ((first, 1), (second, -1)):
        nearest &= sign * (way * arriving[corner]).sum(axis=1) > TINY_NM * 1e-3
        nearest &= sign * (way * leaving[corner]).sum(axis=1) < -TINY_NM * 1e-3
    nearest &= (length > TINY_NM) & (length < least_nm - TINY_NM)
    return np.concatenate([points[first[nearest]], points[second[nearest]]], axis=1)


def contacts(boundary: Boundary, corners: Corners, pairs: Indices) -> Floats:
    """(k, 2) points where areas touch in that point alone: corners of both, or a corner on an edge."""
    if not len(boundary.start):
        return np.empty((0, 2))
    step = boundary.end - boundary.start
    length: Floats = np.hypot(*step.T)
    found: list[Floats] = [boundary.end[corners.shared]]
    one, other = pairs.T
    near = np.hypot(*(boundary.end[one] - boundary.end[other]).T) < TINY_NM
    for edge, before in ((one, other), (other, one)):
        near &= (corners.following[before] != edge) | (length[edge] >= TINY_NM)
    found.append(boundary.end[one[near]])
    for corner, edge in (pairs.T, pairs[:, ::-1].T):
        direction = step[edge] / length[edge][:, None]
        way = boundary.end[corner] - boundary.start[edge]
        at = (way * direction).sum(axis=1)
        off = np.abs(way[:, 0] * direction[:, 1] - way[:, 1] * direction[:, 0])
        found.append(boundary.end[corner][(off < TINY_NM) & (at > TINY_NM) & (at < length[edge] - TINY_NM)])
    points: Floats = np.rint(np.concatenate(found) * 1000)
    return np.unique(points, axis=0) / 1000


def enclosed(boundary: Boundary, corners: Corners) -> tuple[Floats, Floats]:
    """Signed area in nm2 and bounding box (x0, y0, x1, y1) of every closed line; those of holes are negative."""
    count = len(boundary.start)
    graph = coo_array((np.ones(count), (np.arange(count), corners.following)), shape=(count, count))
    lines, label = connected_components(graph, directed=False)
    x, y = (boundary.start - boundary.start[:1]).T
    u, v = (boundary.end - boundary.start[:1]).T
    areas = np.asarray(np.bincount(label, weights=(x * v - u * y) / 2, minlength=lines), dtype=np.float64)
    boxes: Floats = np.tile([np.inf, np.inf, -np.inf, -np.inf], (lines, 1))
    for axis in (0, 1):
        np.minimum.at(boxes[:, axis], label, boundary.start[:, axis])
        np.maximum.at(boxes[:, axis + 2], label, boundary.start[:, axis])
    return areas, boxes
