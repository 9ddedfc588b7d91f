"""Where an SD-CASSI bench should put its code, and how light gets there: the geometry that twin and calibration share.

Positions are (row, column) in code pixels; row 0 is the top, centres of pixels are whole numbers.  A detector pixel of
the model is as large as a code pixel and holds s x s raw pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from cidesign.hardware_profiles.aperture.schema import ApertureProfile

Array = NDArray[np.float64]
# Samples along a code pixel, at least, in a rendered image.
OVERSAMPLING = 4


@dataclass(frozen=True)
class Layout:
    """The profile's dispersion on the detector.

    `wavelengths_nm` and `shift_px` (L,): the bands and how far each lies from the least shifted one, in code pixels
    along `axis` (0 rows, 1 columns); `sign` is 1 where the shift rises with the wavelength.
    """

    code: tuple[int, int]
    wavelengths_nm: Array
    shift_px: Array
    axis: Literal[0, 1]
    sign: Literal[1, -1]

    @classmethod
    def of(cls, profile: ApertureProfile, code: tuple[int, int]) -> "Layout":
        """The layout for a code of (H, W) pixels."""
        spectrograph = profile.spectrograph
        shift_px = np.array(spectrograph.shift_px.value)
        return cls(
            code=code,
            wavelengths_nm=np.array(spectrograph.wavelengths_nm.value),
            shift_px=shift_px - shift_px.min(),
            axis=0 if spectrograph.axis.value == "rows" else 1,
            sign=1 if shift_px[-1] >= shift_px[0] else -1,
        )

    @property
    def centre(self) -> Array:
        """The centre of the code on its own grid, (2,)."""
        return np.array([(self.code[0] - 1) / 2, (self.code[1] - 1) / 2])

    @property
    def along(self) -> Array:
        """The unit vector of the dispersion, (2,)."""
        return np.asarray(np.eye(2)[self.axis])

    @property
    def across(self) -> Array:
        """The unit vector across the dispersion, (2,)."""
        return np.asarray(np.eye(2)[1 - self.axis])


def margin_px(code: tuple[int, int]) -> int:
    """How much dark frame a detector should show around the code's image: enough to see it shifted and turned."""
    return 8 + math.ceil(max(code) / 16)


def affine(linear: Array, code_point: Array, detector_point: Array) -> Array:
    """The matrix (2, 3) from (row, column, 1) on the code to the detector that takes one point to the other."""
    return np.column_stack([linear, detector_point - linear @ code_point])


def inverted(matrix: Array) -> Array:
    """The inverse (2, 3) of an affine matrix (2, 3)."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def moved(matrix: Array, by: Array) -> Array:
    """An affine matrix whose image is shifted by (2,) pixels."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + by])


def turn_scale(degrees: float, scale: float) -> Array:
    """Rotation clockwise as seen on the image, and enlargement, (2, 2) for (row, column)."""
    angle = math.radians(degrees)
    return scale * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def raw_centres(size_px: tuple[int, int], binning: int) -> tuple[Array, Array]:
    """Rows and columns, each (h_raw, w_raw), of the centres of raw pixels, in pixels of the model of `size_px`."""
    rows, columns = np.mgrid[: size_px[0] * binning, : size_px[1] * binning].astype(np.float64)
    return (rows + 0.5) / binning - 0.5, (columns + 0.5) / binning - 0.5


def cauchy_terms(wavelengths_nm: Array, reference_nm: float) -> Array:
    """The terms (n, 3) of a + b u + c u^2 with u = (reference / wavelength)^2: Cauchy's dispersion of a glass."""
    u = (reference_nm / wavelengths_nm) ** 2
    return np.stack([np.ones_like(u), u, u * u], axis=1)


def corner_weight(size: tuple[int, int]) -> Array:
    """(h, w): 0 in the middle of an image, 1 in its corners, growing as the square of the distance."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    middle = (np.array(size) - 1) / 2
    weight: Array = ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2) / float((middle**2).sum())
    return weight


def enlarged(levels: NDArray[np.generic], factor: int) -> Array:
    """Every pixel repeated `factor` x `factor` times."""
    return np.repeat(np.repeat(levels.astype(np.float64), factor, axis=0), factor, axis=1)


def render(
    fine: Array, factor: int, to_detector: Array, size_px: tuple[int, int], binning: int, psf_px: float
) -> Array:
    """The image (h binning, w binning) of a plane that holds `factor` samples along each code pixel, averaged per raw
    pixel.

    The plane is shifted, turned and scaled by `to_detector` (code pixels to pixels of the model), then blurred by a
    Gaussian of `psf_px` code pixels; outside the code it is dark.
    """
    samples = math.ceil(OVERSAMPLING / binning)
    step = samples * binning
    rows, columns = raw_centres(size_px, step)
    back = inverted(to_detector)
    code_rows = back[0, 0] * rows + back[0, 1] * columns + back[0, 2]
    code_columns = back[1, 0] * rows + back[1, 1] * columns + back[1, 2]
    # A pixel's samples lie around its centre; linear interpolation and whole steps keep edges where they are.
    places = ((code_rows + 0.5) * factor - 0.5, (code_columns + 0.5) * factor - 0.5)
    image = map_coordinates(fine, places, order=1, mode="grid-constant", cval=0.0)
    if psf_px > 0:
        image = gaussian_filter(image, psf_px * step, mode="constant")
    height, width = size_px[0] * binning, size_px[1] * binning
    raw: Array = image.reshape(height, samples, width, samples).mean(axis=(1, 3))
    return raw
