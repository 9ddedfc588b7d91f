"""From camera pixels to mirrors and back, and a camera picture on the design's own super-pixels."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import Lens
from cidesign.calibration.camera.fit import MirrorLattice, Points, project
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.orientation import Orientation

# A super-pixel is averaged over at least that many points in each camera pixel's width.
SAMPLES_PER_PIXEL = 2


class View(NamedTuple):
    """How the camera's picture shows the pattern: so oriented, and then turned clockwise by `rotation_degrees`."""

    orientation: Orientation
    rotation_degrees: float


@dataclass(frozen=True)
class CameraMap:
    """The geometry of a registration.

    `shape` (H, W) of the camera's pictures; `homography` (3, 3): undistorted pixel to mirror position in column
    pitches, on the scale of `mirror_centres_columns`; `lens`: None where the camera is taken as ideal.
    """

    shape: tuple[int, int]
    lattice: MirrorLattice
    homography: Points
    lens: Lens | None

    def to_mirrors(self, pixels: Points) -> Points:
        """Positions (..., 2), x and y in column pitches, that camera pixels (..., 2), x and y, see."""
        return project(self.homography, pixels if self.lens is None else self.lens.undistort(pixels))

    def to_camera(self, positions: Points) -> Points:
        """Camera pixels (..., 2) that see positions (..., 2): the inverse of `to_mirrors`."""
        pixels = project(np.linalg.inv(self.homography).astype(np.float64), positions)
        return pixels if self.lens is None else self.lens.distort(pixels)

    def outline(self, points_per_side: int = 2) -> Points:
        """The border of the mirror array in camera pixels, clockwise from the first mirror; (4 points_per_side, 2)."""
        lattice = self.lattice
        left, right = -0.5 + min(lattice.shift, 0.0), lattice.columns - 0.5 + max(lattice.shift, 0.0)
        top, bottom = -0.5 * lattice.row_pitch, (lattice.rows - 0.5) * lattice.row_pitch
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
        along = np.arange(points_per_side)[:, None] / points_per_side
        sides = [first + along * (second - first) for first, second in itertools.pairwise(corners)]
        return self.to_camera(np.concatenate(sides))

    @property
    def jacobian(self) -> Points:
        """Camera pixels per column pitch at the middle of the picture, (2, 2): d(x, y of the camera) / d(x, y)."""
        height, width = self.shape
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        around = middle + np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
        seen = self.to_mirrors(around)
        inverse: Points = np.linalg.inv(np.stack([seen[1] - seen[0], seen[3] - seen[2]], axis=1))
        return inverse

    @property
    def pixels_per_column(self) -> float:
        """Camera pixels in one column pitch, at the middle of the picture."""
        return float(abs(np.linalg.det(self.jacobian)) ** 0.5)

    @property
    def view(self) -> View:
        """The nearest of the eight orientations, and the turn that is left, from -45 to 45 degrees."""
        jacobian = self.jacobian
        mirrored = bool(np.linalg.det(jacobian) < 0)
        # Where the pattern's way down points to, apart from the mirroring: y points down, so angles are clockwise.
        right = -jacobian[:, 0] if mirrored else jacobian[:, 0]
        down = jacobian[:, 1]
        angle = float(np.degrees(np.angle(complex(right[0] + down[1], right[1] - down[0]))))
        quarter = round(angle / 90)
        return View(Orientation.turned(quarter, mirrored), angle - 90 * quarter)

    @property
    def seen_fraction(self) -> float:
        """The part of the mirror array that lies in the camera's picture."""
        lattice, (height, width) = self.lattice, self.shape
        x = (np.arange(64) + 0.5) / 64 * lattice.columns - 0.5
        y = ((np.arange(64) + 0.5) / 64 * lattice.rows - 0.5) * lattice.row_pitch
        pixels = self.to_camera(np.stack(np.meshgrid(x, y), axis=-1))
        edge = np.array([width, height]) - 0.5
        return float(np.all((pixels >= -0.5) & (pixels <= edge), axis=-1).mean())


def camera_image_on_superpixels(
    image: NDArray[Any], camera: CameraMap, profile: DmdProfile, side: int
) -> NDArray[np.float64]:
    """Average a camera picture (H, W) over each super-pixel of `superpixel_grid(profile, side)`; (side, side).

    The mean of the picture, interpolated between pixels, over the super-pixel's square on the device: an area average,
    in the same orientation as the patterns.  NaN where a super-pixel is not wholly in the picture.
    Raises `InputError` for a picture or a profile other than the registered ones, `LimitError` when a super-pixel is
    smaller than a camera pixel.
    """
    if image.shape != camera.shape:
        raise InputError(
            f"camera picture: {_size(image.shape)}; {_size(camera.shape)} was registered: same camera, same region"
        )
    if MirrorLattice.of(profile) != camera.lattice:
        raise InputError(f"camera picture: {profile.id} is not the device that was registered")
    grid = superpixel_grid(profile, side)
    pixels_wide = grid.side_columns * _largest_stretch(camera)
    if grid.side_columns * camera.pixels_per_column < 1:
        raise LimitError(
            f"camera picture: a super-pixel is {grid.side_columns * camera.pixels_per_column:.2f} camera pixels wide; "
            "at least 1 is needed. Move the camera closer, or use fewer super-pixels"
        )
    samples = max(int(np.ceil(SAMPLES_PER_PIXEL * pixels_wide)), 4)
    along = (np.arange(side * samples) + 0.5) / samples * grid.side_columns
    result = np.empty((side, side))
    picture = image.astype(np.float32)
    for i in range(side):
        y = grid.top_columns + along[i * samples : (i + 1) * samples]
        positions = np.stack(np.meshgrid(grid.left_columns + along, y), axis=-1)
        values = _interpolated(picture, camera.to_camera(positions))
        result[i] = values.reshape(samples, side, samples).mean(axis=(0, 2), dtype=np.float64)
    return result


def _interpolated(picture: NDArray[np.float32], pixels: Points) -> NDArray[np.float32]:
    """Bilinear values at pixel positions (..., 2); NaN where a pixel is missing."""
    # Far outside stands for what the lens does not show at all.
    x, y = np.moveaxis(np.nan_to_num(pixels, nan=-1e4).astype(np.float32), -1, 0)
    values = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"))
    return np.asarray(values, dtype=np.float32)


def _largest_stretch(camera: CameraMap) -> float:
    """Camera pixels in one column pitch where the perspective makes them most, over the mirror array."""
    outline = camera.outline(8)
    lattice = camera.lattice
    around = 2 * (lattice.columns + lattice.rows * lattice.row_pitch)
    closed = np.concatenate([outline, outline[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    return float(max(np.nanmax(steps, initial=0.0) * len(steps) / around, camera.pixels_per_column))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in reversed(shape))
