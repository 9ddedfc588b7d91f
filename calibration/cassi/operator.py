"""The calibrated SD-CASSI operator: what each band of the scene adds to each pixel of the detector.

    y(q) = sum_k response_k B[masks_k x_k](T_k q)

q: centre of a detector pixel (row, column); T_k = `to_code[k]`: where it lies on the code grid in band k; B: bilinear
interpolation between the centres of code pixels, with zeros beside the code.  Row 0 is the top, pixel centres are whole
numbers, scene and code share one grid in the orientation of the drawn mask.  A plate that was put in turned over stands
turned over in `masks`; the scene and its grid are not turned with it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        from scipy.ndimage import map_coordinates

        image = np.zeros(self.size)
        for mask, matrix, weight, plane in zip(self.masks, self.to_code, self.response, cube, strict=True):
            rows, columns = code_coordinates(matrix, self.size)
            seen = (mask * plane).astype(np.float64)
            image += weight * map_coordinates(seen, (rows, columns), order=1, mode="grid-constant", cval=0.0)
        return image


def code_coordinates(
    matrix: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns on the code, each (h, w), of the centres of all detector pixels."""
    row, column = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rows = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
    columns = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
    return rows, columns
