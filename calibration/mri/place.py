"""Where a slice lies in the patient, as the headers of its readouts say it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Directions of unit length, at right angles, within this.
_SQUARE = 1e-2
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ImagePlace:
    """The middle of the field of view and its directions, in mm to the patient's left, back and head (as in DICOM).

    `read` is the direction in which the columns of an image (N, n) rise, `phase` that of its rows, `normal` that of
    slices; unit vectors (3,).  `fov_mm`: along readout, phase encoding and slice.
    """

    centre_mm: Vector
    read: Vector
    phase: Vector
    normal: Vector
    fov_mm: tuple[float, float, float]

    def affine(
        self, lines: int, samples: int, flip_vertical: bool = False, flip_horizontal: bool = False
    ) -> NDArray[np.float64]:
        """(4, 4): (column, row, slice) of an image (lines, samples) to mm to the right, front and head (as in NIfTI).

        The transform of k-space has the middle of the field of view on pixel (lines // 2, samples // 2).  An image is
        flipped because gradients run against their names: the directions are those of the image as it then lies.
        """
        row, column = lines // 2, samples // 2
        row = lines - 1 - row if flip_vertical else row
        column = samples - 1 - column if flip_horizontal else column
        read_mm, phase_mm, slice_mm = self.fov_mm
        axes = np.stack([self.read * read_mm / samples, self.phase * phase_mm / lines, self.normal * slice_mm], axis=1)
        matrix = np.eye(4)
        matrix[:3, :3] = axes
        matrix[:3, 3] = self.centre_mm - axes @ [column, row, 0]
        turned: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
        return turned


def place_of(vectors: list[Vector], fov_mm: tuple[float, float, float] | None) -> ImagePlace | None:
    """The place by position, and directions of readout, phase encoding and slice; None where a header leaves it out."""
    if fov_mm is None or len(vectors) != 4 or not all(np.isfinite(one).all() for one in vectors):
        return None
    centre, *directions = vectors
    axes = np.stack(directions, axis=1)
    if min(fov_mm) <= 0 or np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:
        return None
    return ImagePlace(centre, directions[0], directions[1], directions[2], fov_mm)
