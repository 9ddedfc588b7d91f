"""The calibrated SD-CASSI operator: what each band of the scene adds to each pixel of the detector.

    y(q) = sum_k response_k B[masks_k x_k](T_k q)

q: centre of a detector pixel (row, column); T_k = `to_code[k]`: where it lies on the code grid in band k; B: bilinear
interpolation between the centres of code pixels, with zeros beside the code.  Row 0 is the top, pixel centres are whole
numbers, scene and code share one grid in the orientation of the drawn mask.  A plate that was put in turned over stands
turned over in `masks`; the scene and its grid are not turned with it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_matrix

from cidesign.calibration.base import LinearOperator
from cidesign.calibration.interpolation import bilinear


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
        for mask, matrix, weight, plane in zip(self.masks, self.to_code, self.response, cube, strict=True):
            rows, columns = code_coordinates(matrix, self.size)
            seen = (mask * plane).astype(np.float64)
            image += weight * map_coordinates(seen, (rows, columns), order=1, mode="grid-constant", cval=0.0)
        return image

    def row_energy(self) -> NDArray[np.float64]:
        """The diagonal of A A^T (h, w): the squared light that reaches each detector pixel."""
        masks = self.masks.astype(np.float64).reshape(len(self.masks), -1)
        energy = sum(part.power(2) @ mask**2 for part, mask in zip(self.sampling, masks, strict=True))
        return np.asarray(energy, dtype=np.float64).reshape(self.size)

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
