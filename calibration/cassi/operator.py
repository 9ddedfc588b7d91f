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

    def part(self, code: tuple[slice, slice], detector: tuple[slice, slice]) -> "CassiOperator":
        """What a part of the code alone shows a part of the detector, both as rows and columns."""
        masks = self.masks[(slice(None), *code)]
        size = (detector[0].stop - detector[0].start, detector[1].stop - detector[1].start)
        return CassiOperator(masks, part_to_code(self.to_code, code, detector), self.response, size)

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
        energy = np.zeros(self.size)
        for band, (mask, weight, copies) in enumerate(zip(self.masks, self.response, self.copies, strict=True)):
            if copies is None:
                energy += (self._sampled(band).power(2) @ mask.astype(np.float64).ravel() ** 2).reshape(self.size)
                continue
            for copy in copies:
                energy[copy.detector] += (weight * copy.weight) ** 2 * np.square(mask[copy.code], dtype=np.float64)
        return energy

    @cached_property
    def sampling(self) -> "list[csr_matrix]":
        """For each band response_k B T_k, (h w, H W): the light of each code pixel on each detector pixel."""
        return [self._sampled(band) for band in range(len(self.masks))]

    def _sampled(self, band: int) -> "csr_matrix":
        rows, columns = (at.reshape(-1) for at in code_coordinates(self.to_code[band], self.size))
        return bilinear(rows, columns, (self.masks.shape[1], self.masks.shape[2])) * self.response[band]


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


def part_to_code(
    to_code: NDArray[np.float64], code: tuple[slice, slice], detector: tuple[slice, slice]
) -> NDArray[np.float64]:
    """The maps (L, 2, 3) from a part of the detector to a part of the code, each counted from its own first pixel."""
    moved = to_code.copy()
    moved[:, :, 2] += to_code[:, :, :2] @ [part.start for part in detector] - [part.start for part in code]
    return moved


def reach_of(to_code: NDArray[np.float64], code: tuple[slice, slice], size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a detector (h, w) that a part of the code can light, in any band."""
    corners = np.array(
        [[row, column] for row in (code[0].start - 1, code[0].stop) for column in (code[1].start - 1, code[1].stop)]
    )
    places = np.linalg.solve(to_code[:, None, :, :2], (corners - to_code[:, None, :, 2])[..., None])[..., 0]
    low, high = np.floor(places.min(axis=(0, 1))).astype(int), np.ceil(places.max(axis=(0, 1))).astype(int) + 1
    first = [int(np.clip(start, 0, length - 1)) for start, length in zip(low, size, strict=True)]
    last = [int(np.clip(end, start + 1, length)) for end, start, length in zip(high, first, size, strict=True)]
    return slice(first[0], last[0]), slice(first[1], last[1])


def spread_of(to_code: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """How far apart, along rows and columns of the code, one pixel of a detector (h, w) sees its bands; (2,)."""
    corners = np.array([[row, column, 1] for row in (0, size[0] - 1) for column in (0, size[1] - 1)]).T
    apart: NDArray[np.float64] = np.ptp(to_code @ corners, axis=0).max(axis=1)
    return apart


def lit_by_no_other(
    to_code: NDArray[np.float64], code: tuple[slice, slice], whole: tuple[int, int], detector: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Which pixels of a part of the detector see the scene through a part of the `whole` code (H, W), and through no
    pixel beside it."""
    inner = part_to_code(to_code, (slice(0, 0), slice(0, 0)), detector)
    size = (detector[0].stop - detector[0].start, detector[1].stop - detector[1].start)
    alone = np.ones(size, dtype=bool)
    for matrix in inner:
        lit, within = np.ones(size, dtype=bool), np.ones(size, dtype=bool)
        for at, part, length in zip(code_coordinates(matrix, size), code, whole, strict=True):
            lit &= (at > -1) & (at < length)
            # Rounding must not make a neighbour of a pixel that is read alone.
            low, high = np.floor(at + WHOLE_PX), np.ceil(at - WHOLE_PX)
            within &= (np.maximum(low, 0) >= part.start) & (np.minimum(high, length - 1) < part.stop)
        alone &= within | ~lit
    return alone


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
