"""The mask as it is seen in each band: grey levels of code pixels, from the images in narrow lines.

The image that a band would give is put together from the two neighbouring lines, blended in wavelength: each is
shifted to where the band lies.  What the fit of the drawn mask explains of it is shifted exactly, what it does not
(leaks, dust, uneven chrome) by cubic splines.  The levels are then the least-squares solution of the operator's own
interpolation for that image, held weakly to the drawn mask as it is blurred, where pixels cannot be told apart.  They
are never made binary and never cut off at 0 or 1: what the operator needs to predict the detector is what counts.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from cidesign import progress
from cidesign.calibration.cassi.calibration import bin_mean
from cidesign.calibration.cassi.detector import Detector
from cidesign.calibration.cassi.operator import CassiOperator, code_coordinates
from cidesign.calibration.cassi.optics import Array, Layout, raw_centres
from cidesign.calibration.cassi.place.dispersion import DispersionFit
from cidesign.calibration.cassi.place.lines import FittedLines
from cidesign.calibration.cassi.place.register import BlurredMask, LineFit
from cidesign.calibration.interpolation import bilinear
from cidesign.errors import FileError

# Weight of the drawn mask against one pixel of the detector: enough to settle what no pixel decides.
PRIOR_WEIGHT = 0.003
SOLVER_ROUNDS = 300
SOLVER_TOLERANCE = 1e-6
# Beyond this far outside the outermost code pixels, light comes from the edge by blur, which the interpolation of the
# levels cannot follow: what is read there would only spoil them.
RIM_PX = 0.25
RIM_WIDTH_PX = 2.5
SUBPIXELS = (-0.375, -0.125, 0.125, 0.375)


class _Line:
    """One line: its fitted model, and what the model leaves of its image."""

    def __init__(self, lines: FittedLines, number: int, detector: Detector, binning: int) -> None:
        self.fit: LineFit = lines.fits[number]
        self.binning = binning
        self.centre = lines.centres[number]
        # Without a flat of the line, its clear parts are taken to let all light through.
        self.level = 1.0 if lines.has_flats else self.fit.clear
        self.mask = BlurredMask(lines.seen, self.fit.blur_px)
        image = lines.images[number]
        rest = image - self.modelled(lines.to_code(self.centre), (image.shape[0] // binning, image.shape[1] // binning))
        self.rest: Array = np.where(detector.usable, rest, 0.0)

    def modelled(self, to_code: Array, size: tuple[int, int]) -> Array:
        """What the fit predicts of the raw image when the code lies at `to_code`."""
        rows, columns = raw_centres(size, self.binning)
        places = (
            to_code[0, 0] * rows + to_code[0, 1] * columns + to_code[0, 2],
            to_code[1, 0] * rows + to_code[1, 1] * columns + to_code[1, 2],
        )
        return self.bright(self.mask, *places)

    def bright(self, mask: BlurredMask, rows: Array, columns: Array) -> Array:
        """Levels behind a blurred mask at places of the code."""
        levels = mask.levels_at(rows, columns, self.fit.edge_px)
        return self.fit.opaque + (self.fit.clear - self.fit.opaque) * levels

    def at(self, centre: Array, to_code: Array, size: tuple[int, int]) -> Array:
        """The transmission (h, w) in pixels of the model, shifted to where the code's centre is `centre`."""
        rest = shift(self.rest, (centre - self.centre) * self.binning, order=3, mode="constant")
        return bin_mean(self.modelled(to_code, size) + rest, self.binning) / self.level

    def held(self, shape: tuple[int, int]) -> Array:
        """What the drawn mask holds in each code pixel after the optics' blur, without the raw pixel's own width."""
        blur = max(self.fit.blur_px**2 - 1 / (12 * self.binning**2), 0.05**2) ** 0.5
        # The mask that was fitted already, read with the blur of the optics alone.
        mask = BlurredMask(self.mask.seen, blur)
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
        levels = [self.bright(mask, rows + down, columns + right) for down in SUBPIXELS for right in SUBPIXELS]
        return np.asarray(np.mean(levels, axis=0) / self.level)


def mask_cube(
    lines: FittedLines, detector: Detector, dispersion: DispersionFit, layout: Layout, binning: int
) -> tuple[NDArray[np.float32], Array]:
    """Masks (L, H, W) at the bands, and where the detector's pixels lie on the code in each, (L, 2, 3)."""
    raw = detector.dark_counts.shape
    size = (raw[0] // binning, raw[1] // binning)
    shape = (lines.seen.shape[0], lines.seen.shape[1])
    order = np.argsort(lines.lines_nm)
    rising = lines.lines_nm[order]
    kept: dict[int, tuple[_Line, Array]] = {}
    wavelengths_nm = layout.wavelengths_nm
    masks = np.empty((len(wavelengths_nm), *shape), dtype=np.float32)
    matrices = np.empty((len(wavelengths_nm), 2, 3))
    bands = list(zip(wavelengths_nm, dispersion.at(wavelengths_nm), strict=True))
    for band, (nm, centre) in enumerate(progress.steps("mask in each band", bands)):
        upper = int(np.clip(np.searchsorted(rising, nm), 1, len(rising) - 1))
        share = float(np.clip((nm - rising[upper - 1]) / (rising[upper] - rising[upper - 1]), 0, 1))
        pair = (int(order[upper - 1]), int(order[upper]))
        # Two lines at a time: of a large code each takes much memory.
        kept = {number: kept[number] for number in pair if number in kept}
        for number in pair:
            if number not in kept:
                line = _Line(lines, number, detector, binning)
                kept[number] = (line, line.held(shape))
        matrices[band] = lines.to_code(centre)
        (lower_line, lower_held), (upper_line, upper_held) = kept[pair[0]], kept[pair[1]]
        image = (1 - share) * lower_line.at(centre, matrices[band], size)
        image += share * upper_line.at(centre, matrices[band], size)
        masks[band] = solved(image, matrices[band], (1 - share) * lower_held + share * upper_held, layout.axis)
    return masks, matrices


def solved(image: Array, to_code: Array, prior: Array, axis: int) -> Array:
    """Levels (H, W) whose interpolation at `to_code` gives an image (h, w) best, held weakly to `prior` (H, W).

    `axis` is that of the dispersion.
    """
    reads, data = _interpolation(image, (prior.shape[0], prior.shape[1]), to_code, axis)

    def normal(levels: Array) -> Array:
        product: Array = reads.T @ (reads @ levels) + PRIOR_WEIGHT * levels
        return product

    operator = LinearOperator((prior.size, prior.size), matvec=normal, dtype=np.float64)
    wanted = reads.T @ data + PRIOR_WEIGHT * prior.ravel()
    levels, _ = cg(operator, wanted, x0=prior.ravel(), rtol=SOLVER_TOLERANCE, maxiter=SOLVER_ROUNDS)
    if not np.isfinite(levels).all():
        raise FileError("lines: no grey levels of the mask could be found; are the images what they should be?")
    found: Array = levels.reshape(prior.shape)
    return found


def _interpolation(image: Array, shape: tuple[int, int], to_code: Array, axis: int) -> "tuple[csr_matrix, Array]":
    """The operator's bilinear interpolation (pixels, H W) at pixels that it reaches, and their readings."""
    row, column = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    places = [to_code[axis, 0] * row + to_code[axis, 1] * column + to_code[axis, 2] for axis in (0, 1)]
    inside = np.ones(image.shape, dtype=bool)
    for direction, (place, size) in enumerate(zip(places, shape, strict=True)):
        # Across the dispersion the rim is left out (`beyond_rim`); along it, the next bands lie over it.
        rim = 1.0 if direction == axis else RIM_PX
        inside &= (place > -rim) & (place < size - 1 + rim)
    return bilinear(places[0][inside], places[1][inside], shape), image[inside]


def beyond_rim(operator: CassiOperator, axis: int) -> NDArray[np.bool_]:
    """Pixels (h, w) just outside the code's image across the dispersion, whose axis is `axis`, in any band.

    They see the edge of the code by blur, and the operator does not predict them.
    """
    rim = np.zeros(operator.size, dtype=bool)
    for matrix in operator.to_code:
        place = code_coordinates(matrix, operator.size)[1 - axis]
        last = operator.masks.shape[1:][1 - axis] - 1
        outside = np.maximum(-place, place - last)
        rim |= (outside > RIM_PX) & (outside < RIM_WIDTH_PX)
    return rim
