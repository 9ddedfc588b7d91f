"""Homography from camera to mirrors through the edges of Gray-code stripes.

An edge between two columns (rows) is known to a fraction of a camera pixel, whereas an index is a whole number; so the
edges decide, and whole indices only start the search:

    X(p) = k + 1/2 + s/2 + a T(Y(p)),     Y(p) = q (k + 1/2) + b T'(X(p), k)

s: shift of odd rows, q: distance of rows, both in column pitches.  On a diamond lattice edges are zigzags, T and T'
between -1/2 and 1/2; their heights a and b tell the lattice as far as the camera resolves it: a is s on a resolved
diamond lattice and 0 on a square one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import Lens, radial_lens
from cidesign.hardware_profiles.dmd.schema import DmdProfile

Points = NDArray[np.float64]
# Edges farther than this from where they should be take no part, from the first step to the last.
START_CUT_COLUMNS, LEAST_CUT_COLUMNS = 4.0, 0.25
_STEPS, _SMALL_STEP = 12, 1e-8
# Beyond 4 / 27 barrel distortion folds the corners of the picture over.
MAX_RADIAL = 0.14


class MirrorLattice(NamedTuple):
    """Columns, rows, the distance of rows and the shift of odd rows to the right, both in column pitches."""

    columns: int
    rows: int
    row_pitch: float
    shift: float

    @classmethod
    def of(cls, profile: DmdProfile) -> "MirrorLattice":
        """That of a device: the same positions as `mirror_centres_columns`."""
        mirrors = profile.mirrors
        shift = 0.5 if mirrors.lattice.value == "diamond_odd_right" else 0.0
        return cls(mirrors.columns.value, mirrors.rows.value, mirrors.row_pitch_columns, shift)

    def positions(self, column: NDArray[np.int32], row: NDArray[np.int32]) -> Points:
        """Centres (..., 2) of mirrors, x and y in column pitches."""
        return np.stack([column + self.shift * (row % 2), row * self.row_pitch], axis=-1).astype(np.float64)


@dataclass(frozen=True)
class EdgeFit:
    """`homography` (3, 3): undistorted camera pixel to mirror position (column pitches); `lens`: None for an ideal one.

    `column_zigzag`, `row_zigzag`: the heights a and b; `column_zigzag_error`: the standard error of a.
    """

    homography: Points
    lens: Lens | None
    column_zigzag: float
    row_zigzag: float
    column_zigzag_error: float

    def to_mirrors(self, pixels: Points) -> Points:
        """Mirror positions (N, 2) of camera pixels (N, 2)."""
        return project(self.homography, pixels if self.lens is None else self.lens.undistort(pixels))


def project(homography: Points, points: Points) -> Points:
    """Points (..., 2) through a homography (3, 3)."""
    whole = points @ homography[:, :2].T + homography[:, 2]
    projected: Points = whole[..., :2] / whole[..., 2:]
    return projected


def start_homography(pixels: Points, positions: Points, threshold: float) -> Points | None:
    """A homography that most pairs of points agree with; None where there is none.  The same each time."""
    homography, _ = cv2.findHomography(
        pixels, positions, cv2.RANSAC, ransacReprojThreshold=threshold, maxIters=2000, confidence=0.9999
    )
    return None if homography is None else np.asarray(homography, dtype=np.float64)


def edge_residuals(
    fit: EdgeFit, column_edges: Points, row_edges: Points, lattice: MirrorLattice
) -> tuple[Points, Points]:
    """How far edges are from where the fit has them, in column pitches: across columns (N,), across rows (M,)."""
    at_columns, at_rows = fit.to_mirrors(column_edges[:, :2]), fit.to_mirrors(row_edges[:, :2])
    across_columns = at_columns[:, 0] - _column_edge(column_edges[:, 2], lattice)
    across_rows = at_rows[:, 1] - _row_edge(row_edges[:, 2], lattice)
    across_columns -= fit.column_zigzag * column_wave(at_columns, lattice)
    across_rows -= fit.row_zigzag * row_wave(at_rows, row_edges[:, 2])
    return across_columns, across_rows


def _column_edge(index: Points, lattice: MirrorLattice) -> Points:
    edge: Points = index + 0.5 + 0.5 * lattice.shift
    return edge


def _row_edge(index: Points, lattice: MirrorLattice) -> Points:
    edge: Points = (index + 0.5) * lattice.row_pitch
    return edge


def column_wave(positions: Points, lattice: MirrorLattice) -> Points:
    """T: 1/2 in the middle of odd rows, -1/2 in the middle of even ones, straight between."""
    row = positions[:, 1] / lattice.row_pitch
    wave: Points = 0.5 - np.abs(row % 2 - 1)
    return wave


def row_wave(positions: Points, index: Points) -> Points:
    """T': 1/2 below the mirrors of row k of a diamond lattice, -1/2 above those of row k + 1, straight between."""
    column = positions[:, 0] - 0.5 * (index % 2)
    wave: Points = 2 * np.abs(column % 1 - 0.5) - 0.5
    return wave


def fit_edges(
    column_edges: Points,
    row_edges: Points,
    lattice: MirrorLattice,
    start: Points,
    shape: tuple[int, int],
    lens: Lens | None,
    radial: bool,
) -> EdgeFit | None:
    """Least squares through the edges, those that are far off left out; None when it does not hold together.

    `start`: homography of undistorted pixels; `shape`: of the picture; `radial`: fit one coefficient of distortion,
    where no `lens` is given.
    """
    frame = radial_lens(shape, 0.0).matrix_px
    edges = np.concatenate([column_edges, row_edges])
    split = len(column_edges)
    pixels = edges[:, :2] if lens is None else lens.undistort(edges[:, :2])
    homography = start @ frame
    homography /= homography[2, 2]
    k1, zigzag, cut = 0.0, np.zeros(2), START_CUT_COLUMNS
    unknowns = 8 + 2 + int(radial)
    covariance = np.zeros((unknowns, unknowns))
    for _ in range(_STEPS):
        points = radial_lens(shape, k1).undistort(pixels) if radial else pixels
        plane = (points - frame[:2, 2]) / frame[0, 0]
        jacobian, residual = _linearised(plane, homography, zigzag, edges[:, 2], split, lattice, radial)
        inside = np.abs(residual) < cut
        if inside[:split].sum() < unknowns or inside[split:].sum() < unknowns:
            return None
        scale = max(1.4826 * float(np.median(np.abs(residual[inside]))), 1e-4)
        # Huber: far edges pull with the same force whatever their distance.
        weight = np.minimum(1.0, 2 * scale / np.maximum(np.abs(residual), 1e-12)) * inside
        normal = jacobian.T @ (jacobian * weight[:, None])
        # A unit lattice in normalised coordinates is far from singular; what is not seen stays where it was.
        normal += np.eye(unknowns) * 1e-9 * np.trace(normal) / unknowns
        step = -np.linalg.solve(normal, jacobian.T @ (weight * residual))
        covariance = np.linalg.inv(normal) * scale**2
        homography = homography + np.append(step[:8], 0.0).reshape(3, 3)
        zigzag = zigzag + step[8:10]
        k1 += float(step[10]) if radial else 0.0
        if not np.isfinite(homography).all() or abs(k1) > MAX_RADIAL:
            return None
        if cut < START_CUT_COLUMNS and np.abs(step).max() < _SMALL_STEP:
            break
        cut = max(6 * scale, LEAST_CUT_COLUMNS)
    pixel_homography = homography @ np.linalg.inv(frame)
    return EdgeFit(
        homography=pixel_homography / pixel_homography[2, 2],
        lens=radial_lens(shape, k1) if radial else lens,
        column_zigzag=float(zigzag[0]),
        row_zigzag=float(zigzag[1]),
        column_zigzag_error=float(covariance[8, 8] ** 0.5),
    )


def _linearised(
    plane: Points,
    homography: Points,
    zigzag: Points,
    index: Points,
    split: int,
    lattice: MirrorLattice,
    radial: bool,
) -> tuple[Points, Points]:
    """Jacobian (N, 10 or 11) and residual (N,) of all edges, columns first; the zigzags' own slopes are left out."""
    one = np.ones((len(plane), 1))
    whole = np.concatenate([plane, one], axis=1)
    image = whole @ homography.T
    depth = image[:, 2:]
    at = image[:, :2] / depth
    jacobian = np.zeros((len(plane), 10 + int(radial)))
    residual = np.zeros(len(plane))
    slope = (homography[None, :2, :2] - at[:, :, None] * homography[None, 2:, :2]) / depth[:, :, None]
    for axis, part in ((0, slice(None, split)), (1, slice(split, None))):
        jacobian[part, 3 * axis : 3 * axis + 3] = (whole / depth)[part]
        jacobian[part, 6:8] = -(at[:, axis : axis + 1] * plane / depth)[part]
        wave = column_wave(at[part], lattice) if axis == 0 else row_wave(at[part], index[part])
        edge = _column_edge(index[part], lattice) if axis == 0 else _row_edge(index[part], lattice)
        jacobian[part, 8 + axis] = -wave
        residual[part] = at[part, axis] - edge - zigzag[axis] * wave
        if radial:
            moved = -plane * np.sum(plane**2, axis=1, keepdims=True)
            jacobian[part, 10] = np.sum(slope[:, axis] * moved, axis=1)[part]
    return jacobian, residual
