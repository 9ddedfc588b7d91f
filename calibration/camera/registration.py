"""Registration of a camera to a micromirror device: which place of the device each camera pixel sees.

Gray code gives the edges between columns and rows, a homography (with a lens, where it needs one) is fitted through
them, and what was held out of the fit says how good it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import BOARD_CORNERS, Lens, LensCalibration, calibrate_lens, read_pictures
from cidesign.calibration.camera.fit import (
    EdgeFit,
    MirrorLattice,
    Points,
    edge_residuals,
    fit_edges,
    start_homography,
)
from cidesign.calibration.camera.graycode import GrayCode, decode_graycode
from cidesign.calibration.camera.map import CameraMap
from cidesign.errors import FileError, LimitError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.io.pictures import read_image_stack

LatticeFound = Literal["odd rows right", "odd rows left", "square", "not resolved"]
LensSource = Literal["ideal", "radial, fitted", "checkerboard"]

MIN_EDGES = 200
BLOCKS_ACROSS, MAX_BLOCK_PX, MIN_BLOCK_EDGES = 16, 16, 5
# A pixel agrees when its mirror is that near to where the fit has it, beside half of what an index stands for.
AGREE_COLUMNS, MAX_BEND_COLUMNS = 1.0, 10.0
START_PIXELS, START_THRESHOLD_COLUMNS = 20_000, 3.0
# Distortion is fitted where it takes away that part of the bend of edges that were held out, and that much of it.
RADIAL_GAIN, RADIAL_GAIN_COLUMNS = 0.3, 0.003
MAX_EDGES = 40_000
# Contrast of the finest row stripes from which on zigzags show which way odd rows are shifted, and from which on their
# absence shows a square lattice; and the heights for both, where a fully resolved diamond lattice has 0.5.
SHOWS_SHIFT, SHOWS_SQUARE = 0.45, 0.65
LEAST_ZIGZAG, MOST_ZIGZAG, ZIGZAG_ERRORS = 0.08, 0.05, 6.0


@dataclass(frozen=True)
class Registration:
    """Where a camera looks on a device, and how far that can be trusted.

    Residuals are distances of stripe edges from the fit, in column pitches: `held_out_columns` the median of those that
    the fit had not seen (blocks of a checker pattern), `median_columns` and `largest_columns` of all that agree,
    `bend_columns` the root mean square of their means over blocks: what a homography (and lens) cannot follow.
    `agreeing_fraction`: pixels with a known mirror that lies where the fit has it.
    """

    camera: CameraMap
    code: GrayCode
    lens_source: LensSource
    lens_calibration: LensCalibration | None
    agreeing_fraction: float
    held_out_columns: float
    median_columns: float
    largest_columns: float
    bend_columns: float
    lattice_found: LatticeFound
    fit: EdgeFit

    @property
    def edge_residuals(self) -> tuple[Points, Points]:
        """Camera x, camera y and residual of each edge, in column pitches: columns (N, 3), rows (M, 3)."""
        code = self.code
        across, down = edge_residuals(self.fit, code.column_edges, code.row_edges, self.camera.lattice)
        return (
            np.column_stack([code.column_edges[:, :2], across]),
            np.column_stack([code.row_edges[:, :2], down]),
        )


def register(code: GrayCode, lattice: MirrorLattice, lens_calibration: LensCalibration | None = None) -> Registration:
    """Fit the map from camera pixels to mirror positions.

    Raises `FileError` when the pictures hold too few edges, or no plane goes through them, or the checkerboard was seen
    by another camera.
    """
    shape = (int(code.lit.shape[0]), int(code.lit.shape[1]))
    lens = None
    if lens_calibration is not None:
        lens = lens_calibration.lens
        if lens_calibration.shape != shape:
            raise FileError(
                f"registration: the checkerboard pictures are {lens_calibration.shape[1]} x "
                f"{lens_calibration.shape[0]} pixels, the Gray-code pictures {shape[1]} x {shape[0]}; take both "
                "with the same region and binning"
            )
        if not np.isfinite(lens.undistort(_border(shape))).all():
            raise FileError(
                "registration: the checkerboard's lens folds the margin of the picture over; take pictures with the "
                "board in all corners"
            )
    fewest = min(len(code.column_edges), len(code.row_edges))
    if fewest < MIN_EDGES or int(code.valid.sum()) < MIN_EDGES:
        raise FileError(
            f"registration: {len(code.column_edges)} column and {len(code.row_edges)} row edges and {code.valid.sum()} "
            f"pixels with a known mirror; at least {MIN_EDGES} of each are needed. Is the device in the picture and in "
            "focus?"
        )
    start = _start(code, lattice, lens)
    chosen, source, held_out = _choose_lens(code, lattice, start, shape, lens)
    camera = CameraMap(shape, lattice, chosen.homography, chosen.lens)
    residuals = edge_residuals(chosen, code.column_edges, code.row_edges, lattice)
    agreeing = np.abs(np.concatenate(residuals))
    agreeing = agreeing[agreeing < AGREE_COLUMNS]
    return Registration(
        camera=camera,
        code=code,
        lens_source=source,
        lens_calibration=lens_calibration,
        agreeing_fraction=_agreeing_fraction(code, camera),
        held_out_columns=held_out,
        median_columns=float(np.median(agreeing)),
        largest_columns=float(agreeing.max()),
        bend_columns=_bend((code.column_edges, code.row_edges), residuals, shape),
        lattice_found=_lattice_found(code, chosen),
        fit=chosen,
    )


def register_folder(
    path: Path,
    profile: DmdProfile,
    checkerboard: Path | None = None,
    *,
    corners: tuple[int, int] = BOARD_CORNERS,
    columns: int | None = None,
    rows: int | None = None,
) -> Registration:
    """Register from a folder of numbered Gray-code pictures, and one of checkerboard pictures where there is one.

    `columns`, `rows`: of the part of the device that showed the code from its first mirror on; None for all.
    Raises `FileError` that names the folder, for all that `decode_graycode`, `calibrate_lens` and `register` refuse.
    """
    whole = MirrorLattice.of(profile)
    lattice = whole._replace(columns=columns or whole.columns, rows=rows or whole.rows)
    lens = None
    if checkerboard is not None:
        pictures = read_pictures(checkerboard)
        lens = _naming(checkerboard, lambda: calibrate_lens(pictures, corners))
    frames = read_image_stack(path, "Gray code")
    return _naming(path, lambda: register(decode_graycode(frames, lattice.columns, lattice.rows), lattice, lens))


_T = TypeVar("_T")


def _naming(path: Path, work: Callable[[], _T]) -> _T:
    """What `work` gives; its refusals name the folder."""
    try:
        return work()
    except (FileError, LimitError) as error:
        raise type(error)(f"{path}: {error}", fault=error.fault) from error


def _border(shape: tuple[int, int]) -> Points:
    """Pixels along the margin of a picture, (N, 2)."""
    height, width = shape
    y, x = np.indices(shape)
    margin = (x == 0) | (y == 0) | (x == width - 1) | (y == height - 1)
    return np.stack([x[margin], y[margin]], axis=1).astype(np.float64)


def _start(code: GrayCode, lattice: MirrorLattice, lens: Lens | None) -> Points:
    """The homography that most pixels with a known mirror agree with."""
    y, x = np.nonzero(code.valid)
    thin = slice(None, None, max(len(x) // START_PIXELS, 1))
    pixels = np.stack([x, y], axis=1).astype(np.float64)[thin]
    positions = lattice.positions(code.column[y, x], code.row[y, x])[thin]
    threshold = START_THRESHOLD_COLUMNS + max(code.column_step, code.row_step * lattice.row_pitch) / 2
    start = start_homography(pixels if lens is None else lens.undistort(pixels), positions, threshold)
    if start is None:
        raise _no_plane()
    return start


def _no_plane() -> FileError:
    return FileError(
        "registration: no plane goes through the decoded positions; do the pictures show one flat device, and was "
        "nothing moved between the frames?"
    )


def _choose_lens(
    code: GrayCode, lattice: MirrorLattice, start: Points, shape: tuple[int, int], lens: Lens | None
) -> tuple[EdgeFit, LensSource, float]:
    """The fit through all edges, where its lens is from, and the median residual of edges it was judged by.

    Every other block of the picture is held out; distortion is taken only where it straightens those.
    """
    edges = [found[:: max(len(found) // MAX_EDGES, 1)] for found in (code.column_edges, code.row_edges)]
    used = [_fitted(found, shape) for found in edges]

    def judged(radial: bool) -> tuple[float, float]:
        parts = [found[part] for found, part in zip(edges, used, strict=True)]
        fit = fit_edges(parts[0], parts[1], lattice, start, shape, lens, radial)
        if fit is None:
            return float("inf"), float("inf")
        others = [found[~part] for found, part in zip(edges, used, strict=True)]
        held_out_edges = edge_residuals(fit, others[0], others[1], lattice)
        return _bend(others, held_out_edges, shape), float(np.median(np.abs(np.concatenate(held_out_edges))))

    (bend, held_out), radial = judged(radial=False), False
    if lens is None:
        straighter, with_radial = judged(radial=True)
        gained = bend - straighter if np.isfinite(straighter) else 0.0
        if gained > RADIAL_GAIN_COLUMNS and gained > RADIAL_GAIN * bend:
            radial, held_out = True, with_radial
    fit = fit_edges(edges[0], edges[1], lattice, start, shape, lens, radial)
    if fit is None or not np.isfinite(held_out):
        raise _no_plane()
    return fit, "radial, fitted" if radial else "ideal" if lens is None else "checkerboard", held_out


def _blocks(edges: Points, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    size = max(min(MAX_BLOCK_PX, min(shape) // BLOCKS_ACROSS), 1)
    return (edges[:, 1] // size).astype(np.intp), (edges[:, 0] // size).astype(np.intp)


def _fitted(edges: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The edges in blocks of one colour of a checker pattern."""
    i, j = _blocks(edges, shape)
    fitted: NDArray[np.bool_] = (i + j) % 2 == 0
    return fitted


def _bend(edges: Sequence[Points], residuals: Sequence[Points], shape: tuple[int, int]) -> float:
    """Root mean square of the residual's means over blocks, in column pitches, less what their noise accounts for."""
    squares = []
    for found, residual in zip(edges, residuals, strict=True):
        i, j = _blocks(found, shape)
        near = np.abs(residual) < MAX_BEND_COLUMNS
        _, block, count = np.unique((i * shape[1] + j)[near], return_inverse=True, return_counts=True)
        total, square = np.bincount(block, residual[near]), np.bincount(block, residual[near] ** 2)
        enough = count >= MIN_BLOCK_EDGES
        mean = total[enough] / count[enough]
        variance = (square[enough] / count[enough] - mean**2) / (count[enough] - 1)
        squares.append(mean**2 - variance)
    means = np.concatenate(squares)
    return float(max(means.mean(), 0.0) ** 0.5) if means.size else 0.0


def _agreeing_fraction(code: GrayCode, camera: CameraMap) -> float:
    y, x = np.nonzero(code.valid)
    seen = camera.to_mirrors(np.stack([x, y], axis=1).astype(np.float64))
    apart = np.abs(seen - camera.lattice.positions(code.column[y, x], code.row[y, x]))
    limit = AGREE_COLUMNS + 0.5 * np.array([code.column_step, code.row_step * camera.lattice.row_pitch])
    return float((apart < limit).all(axis=1).mean())


def _lattice_found(code: GrayCode, fit: EdgeFit) -> LatticeFound:
    """Which way odd rows are shifted, by the zigzag of column edges.

    Where the camera does not resolve rows, aliasing can turn the zigzag around: nothing is concluded there.
    """
    height = fit.column_zigzag
    if code.row_step > 1 or code.row_stripe_contrast < SHOWS_SHIFT:
        return "not resolved"
    if abs(height) > max(LEAST_ZIGZAG, ZIGZAG_ERRORS * fit.column_zigzag_error):
        return "odd rows right" if height > 0 else "odd rows left"
    if abs(height) < MOST_ZIGZAG and code.row_stripe_contrast > SHOWS_SQUARE:
        return "square"
    return "not resolved"
