"""The calibrated SD-CASSI operator: what each band of the scene adds to each pixel of the detector.

    y(q) = sum_k response_k B[masks_k x_k](T_k q)

q: centre of a detector pixel (row, column); T_k = `to_code[k]`: where it lies on the code grid in band k; B: bilinear
interpolation between the centres of code pixels, with zeros beside the code.  Row 0 is the top, pixel centres are whole
numbers, scene and code share one grid in the orientation of the drawn mask.  A plate that was put in turned over stands
turned over in `masks`; the scene and its grid are not turned with it.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_matrix

from cidesign.calibration.base import LinearOperator
from cidesign.calibration.interpolation import bilinear

# Places nearer to whole pixels than this are whole: rounding must not make two copies of one.
WHOLE_PX = 1e-9


class Copy(NamedTuple):
    """A part of the code that lies on a part of the detector, pixel on pixel, with the weight of the interpolation."""

    code: tuple[slice, slice]
    detector: tuple[slice, slice]
    weight: float


@dataclass(frozen=True)
class CassiOperator:
    """`masks` (L, H, W): transmission of the mask as it is seen in each band, measured, never made binary.

    `to_code` (L, 2, 3): (row, column) on the code = to_code @ (row, column, 1) on the detector; `response` (L,): the
    light of band k in a white scene, mean 1, so that y of an open mask is of the size of the sum over the bands;
    `size`: (h, w) of the detector in pixels of the code's size.
    """

    masks: NDArray[np.float32]
    to_code: NDArray[np.float64]
    response: NDArray[np.float64]
    size: tuple[int, int]

    def predict(self, cube: NDArray[np.float32]) -> NDArray[np.float64]:
        """The noise-free detector image (h, w) of a cube (L, H, W)."""
        image = np.zeros(self.size)
        for band, (mask, weight, plane) in enumerate(zip(self.masks, self.response, cube, strict=True)):
            self._add(image, band, mask * plane, weight)
        return image

    def band_images(self) -> NDArray[np.float32]:
        """The mask as each band of a white scene shows it, (L, h, w)."""
        images = np.zeros((len(self.masks), *self.size), dtype=np.float32)
        for band, (image, mask, weight) in enumerate(zip(images, self.masks, self.response, strict=True)):
            self._add(image, band, mask, weight)
        return images

    def _add(self, image: NDArray[np.floating], band: int, plane: NDArray[np.float32], weight: float) -> None:
        """Add what a band shows of a plane (H, W) to an image (h, w)."""
        copies = self.copies[band]
        if copies is None:
            at = code_coordinates(self.to_code[band], self.size)
            seen = map_coordinates(plane.astype(np.float64), at, order=1, mode="grid-constant", cval=0.0)
            image += (weight * seen).astype(image.dtype)
            return
        for copy in copies:
            image[copy.detector] += image.dtype.type(weight * copy.weight) * plane[copy.code]

    @cached_property
    def copies(self) -> tuple[tuple[Copy, ...] | None, ...]:
        """For each band what `displaced_copies` says of it."""
        code = (int(self.masks.shape[1]), int(self.masks.shape[2]))
        return tuple(displaced_copies(matrix, code, self.size) for matrix in self.to_code)

    def row_energy(self) -> NDArray[np.float64]:
        """The diagonal of A A^T (h, w): the squared light that reaches each detector pixel."""
        if None not in self.copies:
            energy = np.zeros(self.size)
            for mask, weight, copies in zip(self.masks, self.response, self.copies, strict=True):
                for copy in copies or ():
                    energy[copy.detector] += (weight * copy.weight) ** 2 * np.square(mask[copy.code], dtype=np.float64)
            return energy
        masks = self.masks.astype(np.float64).reshape(len(self.masks), -1)
        summed = sum(part.power(2) @ mask**2 for part, mask in zip(self.sampling, masks, strict=True))
        return np.asarray(summed, dtype=np.float64).reshape(self.size)

    @cached_property
    def sampling(self) -> "list[csr_matrix]":
        """For each band response_k B T_k, (h w, H W): the light of each code pixel on each detector pixel."""
        height, width = self.masks.shape[1:]
        found = []
        for matrix, weight in zip(self.to_code, self.response, strict=True):
            rows, columns = (at.reshape(-1) for at in code_coordinates(matrix, self.size))
            found.append(bilinear(rows, columns, (height, width)) * weight)
        return found


class BandOperator(LinearOperator):
    """The operator of cubes (..., L, H, W) and detector images (..., h, w), with its adjoint."""

    def __init__(self, operator: CassiOperator) -> None:
        self.image_shape, self.reading_shape = operator.masks.shape, operator.size
        self.masks = operator.masks.astype(np.float64).reshape(len(operator.masks), -1)
        self.sampling = operator.sampling

    def _forward(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        bands = x.reshape(len(x), *self.masks.shape)
        seen = [
            part @ (mask * bands[:, k]).T for k, (part, mask) in enumerate(zip(self.sampling, self.masks, strict=True))
        ]
        return np.asarray(np.sum(seen, axis=0).T)

    def _adjoint(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        flat = y.reshape(len(y), -1).T
        spread = [mask * (part.T @ flat).T for part, mask in zip(self.sampling, self.masks, strict=True)]
        return np.stack(spread, axis=1)


def code_coordinates(
    matrix: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns on the code, each (h, w), of the centres of all detector pixels."""
    row, column = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rows = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
    columns = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
    return rows, columns


def displaced_copies(
    matrix: NDArray[np.float64], code: tuple[int, int], size: tuple[int, int]
) -> tuple[Copy, ...] | None:
    """What interpolation comes to where a band's `matrix` (2, 3) displaces and does nothing else: one copy of the code
    (H, W) on the detector (h, w) for whole pixels, up to four for parts of them; None where it turns or scales."""
    if not np.array_equal(matrix[:, :2], np.eye(2)):
        return None
    down, right = (_taps(-float(place)) for place in matrix[:, 2])
    found = []
    for (row, above), (column, left) in product(down, right):
        on_code, on_detector = zip(
            *(_overlap(first, length, whole) for first, length, whole in zip((row, column), code, size, strict=True)),
            strict=True,
        )
        found.append(Copy(on_code, on_detector, above * left))
    return tuple(found)


def _taps(offset: float) -> list[tuple[int, float]]:
    """(first pixel, weight) of the one or two copies that a displacement makes of an image."""
    if abs(offset - round(offset)) < WHOLE_PX:
        return [(round(offset), 1.0)]
    whole = floor(offset)
    return [(whole, 1 - offset + whole), (whole + 1, offset - whole)]


def _overlap(first: int, length: int, size: int) -> tuple[slice, slice]:
    """What of `length` pixels that start at `first` lies within 0 .. size: on themselves, and on the whole."""
    low, high = max(first, 0), max(min(first + length, size), max(first, 0))
    return slice(low - first, high - first), slice(low, high)
