"""Where every code pixel lies in the light of each narrow line: an affine fit of the drawn mask to its image.

The image is compared with the drawn mask, blurred as the optics blur it, and all of shift, rotation, scale,
shear, blur, contrast and offset are fitted at once by least squares with weights for outliers (Huber): first on the
middle of the code, then on windows of twice the side each, so that what is fitted inside predicts what is outside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, minimum_filter

from cidesign.calibration.cassi.optics import Array, raw_centres

FINE = 4  # samples of the blurred mask along a code pixel
PAD_PX = 6
FIRST_WINDOW_PX = 48
ROUNDS = 15
CONVERGED_PX = 1e-4
SMALLEST_BLUR_PX, LARGEST_BLUR_PX = 0.15, 3.0
LARGEST_EDGE_PX = 0.3
# Blurring a large mask takes long; one that was blurred by nearly as much does as well.
REUSED_BLUR_PX = 0.002
HUBER_SIGMA = 3.0
SMALLEST_PATCH_PX, LARGEST_PATCH_PX = 12, 64


@dataclass(frozen=True)
class LineFit:
    """`to_code` (2, 3): from (row, column, 1) on the detector to the code, both in code pixels.

    `error_px`: standard error of the shift; `blur_px`: the Gaussian that fits, with the raw pixel's own width in
    it; `clear`, `opaque`: levels of the image behind clear and opaque parts; `edge_px`: how far each edge of an opening
    lies outside the drawn one; `explained`: share of the image's variance.
    """

    to_code: Array
    error_px: float
    blur_px: float
    clear: float
    opaque: float
    edge_px: float
    explained: float


class BlurredMask:
    """A drawn mask with its slopes, blurred and finely sampled, read at any place of the code."""

    def __init__(self, seen: Array, blur_px: float) -> None:
        self.seen, self.blur_px = seen, blur_px
        fine = np.repeat(np.repeat(np.pad(seen, PAD_PX), FINE, axis=0), FINE, axis=1)
        self.values: Array = gaussian_filter(fine, blur_px * FINE, mode="constant")
        self.slopes = [FINE * slope for slope in np.gradient(self.values)]
        # What every opening loses when its edges move inwards by one sample.
        rim = fine - minimum_filter(fine, size=3, mode="nearest")
        self.rim: Array = FINE * gaussian_filter(rim, blur_px * FINE, mode="constant")
        # How it changes with the blur: half the blur times its Laplacian (the heat equation), times 2.
        self.spread: Array = (
            blur_px * (np.gradient(self.slopes[0], axis=0) + np.gradient(self.slopes[1], axis=1)) * FINE
        )

    def at(self, rows: Array, columns: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Value, slopes along rows and columns, change with the blur, and with edges moving out, at places."""
        places = np.stack([(rows + PAD_PX + 0.5) * FINE - 0.5, (columns + PAD_PX + 0.5) * FINE - 0.5])
        value, down, right, spread, rim = (
            map_coordinates(plane, places, order=1, mode="nearest")
            for plane in (self.values, *self.slopes, self.spread, self.rim)
        )
        return value, down, right, spread, rim

    def levels_at(self, rows: Array, columns: Array, edge_px: float) -> Array:
        """Value at places of the code with the edges of the openings moved out by `edge_px`."""
        places = np.stack([(rows + PAD_PX + 0.5) * FINE - 0.5, (columns + PAD_PX + 0.5) * FINE - 0.5])
        levels: Array = map_coordinates(self.values + edge_px * self.rim, places, order=1, mode="nearest")
        return levels


def fit_line(image: Array, usable: NDArray[np.bool_], binning: int, seen: Array, start: Array) -> LineFit:
    """Fit the mask `seen` (H, W), 0 to 1 and turned as it is captured, to a raw image, from the start `to_code`."""
    rows, columns = raw_centres((image.shape[0] // binning, image.shape[1] // binning), binning)
    fit = LineFit(start, np.inf, 0.5, 1.0, 0.0, 0.0, 0.0)
    for half in _windows(seen.shape):
        fit = _fit_window(image, usable, rows, columns, seen, fit, half)
    return fit


def _windows(shape: tuple[int, ...]) -> list[float]:
    """Half sides of the windows, the last one with the dark edge around the code."""
    whole = max(shape) / 2 + 2
    halves = []
    half = FIRST_WINDOW_PX / 2
    while half < whole:
        halves.append(half)
        half *= 2
    return [*halves, whole]


def _fit_window(
    image: Array, usable: NDArray[np.bool_], rows: Array, columns: Array, seen: Array, fit: LineFit, half: float
) -> LineFit:
    to_code, blur, edge = fit.to_code.copy(), fit.blur_px, fit.edge_px
    centre = (np.array(seen.shape) - 1) / 2
    mask: BlurredMask | None = None
    clear, opaque, explained, error = fit.clear, fit.opaque, 0.0, np.inf
    for _ in range(ROUNDS):
        code_rows = to_code[0, 0] * rows + to_code[0, 1] * columns + to_code[0, 2]
        code_columns = to_code[1, 0] * rows + to_code[1, 1] * columns + to_code[1, 2]
        inside = usable & (np.maximum(np.abs(code_rows - centre[0]), np.abs(code_columns - centre[1])) <= half)
        inside &= (np.abs(code_rows - centre[0]) <= seen.shape[0] / 2 + 2) & (
            np.abs(code_columns - centre[1]) <= seen.shape[1] / 2 + 2
        )
        if mask is None or abs(blur - mask.blur_px) > REUSED_BLUR_PX:
            mask = BlurredMask(seen, blur)
        value, down, right, spread, rim = mask.at(code_rows[inside], code_columns[inside])
        value = value + edge * rim
        data = image[inside]
        level = np.stack([value, np.ones_like(value)], axis=1)
        clear_part, opaque = np.linalg.lstsq(level, data, rcond=None)[0]
        # Places are counted from the middle of the window, so that shift and rotation do not mix.
        middle = np.array([rows[inside].mean(), columns[inside].mean()])
        r, c = rows[inside] - middle[0], columns[inside] - middle[1]
        moves = [down, right, down * r, down * c, right * r, right * c, spread, rim]
        basis = np.stack([value, np.ones_like(value), *(clear_part * move for move in moves)], axis=1)
        residual = data - level @ np.array([clear_part, opaque])
        weight = _huber(residual)
        normal = basis.T @ (weight[:, None] * basis)
        step = np.linalg.lstsq(normal, basis.T @ (weight * residual), rcond=None)[0]
        left = residual - basis @ step
        explained = 1 - float(np.var(left)) / max(float(np.var(data)), 1e-300)
        covariance = np.linalg.pinv(normal) * float(np.mean(weight * left**2))
        error = float(np.sqrt(covariance[2, 2] + covariance[3, 3]))
        # A step of more than a pixel leaves the range in which slopes mean anything.
        move = step[2:8] * min(1.0, 0.7 / max(1e-12, float(np.hypot(step[2], step[3]))))
        linear = np.array([[move[2], move[3]], [move[4], move[5]]])
        to_code[:, :2] += linear
        to_code[:, 2] += move[:2] - linear @ middle
        blur = float(np.clip(mask.blur_px + np.clip(step[8], -0.2, 0.2), SMALLEST_BLUR_PX, LARGEST_BLUR_PX))
        edge = float(np.clip(edge + step[9], -LARGEST_EDGE_PX, LARGEST_EDGE_PX))
        clear = float(clear_part + opaque)
        if np.abs(move[:2]).max() + np.abs(linear).max() * half < CONVERGED_PX and abs(step[8]) < 0.01:
            break
    return LineFit(to_code, error, blur, clear, float(opaque), edge, explained)


def _huber(residual: Array) -> Array:
    scale = 1.4826 * float(np.median(np.abs(residual))) * HUBER_SIGMA
    weight: Array = (
        np.minimum(1.0, scale / np.maximum(np.abs(residual), 1e-300)) if scale > 0 else np.ones_like(residual)
    )
    return weight


def patch_shifts(image: Array, usable: NDArray[np.bool_], binning: int, seen: Array, fit: LineFit) -> Array:
    """How far each patch of the code lies from where the fit puts it, (n, 2) in code pixels.

    One step of least squares in each patch; patches with little structure are left out.
    """
    rows, columns = raw_centres((image.shape[0] // binning, image.shape[1] // binning), binning)
    matrix = fit.to_code
    code_rows = matrix[0, 0] * rows + matrix[0, 1] * columns + matrix[0, 2]
    code_columns = matrix[1, 0] * rows + matrix[1, 1] * columns + matrix[1, 2]
    value, down, right, spread, rim = BlurredMask(seen, fit.blur_px).at(code_rows, code_columns)
    value = value + fit.edge_px * rim
    side = int(np.clip(min(seen.shape) // 3, SMALLEST_PATCH_PX, LARGEST_PATCH_PX))
    found = []
    for top in range(0, seen.shape[0] - side // 2, side):
        for left in range(0, seen.shape[1] - side // 2, side):
            inside = usable & (code_rows >= top) & (code_rows < top + side)
            inside &= (code_columns >= left) & (code_columns < left + side)
            v = value[inside]
            if v.size < side**2 or np.ptp(v) < 0.5:
                continue
            contrast = fit.clear - fit.opaque
            slopes = [contrast * plane[inside] for plane in (down, right, spread)]
            basis = np.stack([v, np.ones_like(v), *slopes], axis=1)
            step = np.linalg.lstsq(basis, image[inside] - fit.opaque - contrast * v, rcond=None)[0]
            found.append(step[2:4])
    return np.array(found).reshape(-1, 2)
