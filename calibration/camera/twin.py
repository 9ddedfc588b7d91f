"""The digital twin of a camera that looks at a micromirror device: what it records of Gray code, or of any pattern.

Every camera pixel averages points of its area; each point sees the mirror whose square it lies in, so the zigzag edges
of a diamond lattice, stripes finer than a pixel and any perspective come out as they would.  Gaps between mirrors and
diffraction are not simulated; blur is one Gaussian of the whole camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import Lens
from cidesign.calibration.camera.fit import MirrorLattice, Points, project
from cidesign.calibration.camera.graycode import graycode_patterns
from cidesign.errors import InputError

# A white frame fills this part of the converter's range, a black one that part of a white one.
WHITE_FILL, BLACK_LEVEL = 0.6, 0.03
MIN_SAMPLES, MAX_SAMPLES = 4, 12


@dataclass(frozen=True)
class CameraTwin:
    """A simulated camera.

    `homography` (3, 3): undistorted pixel to position in column pitches.  `falloff_percent`: light missing in the
    picture's corners; `blur_px`: deviation of a Gaussian; `photoelectrons`: of a white pixel in the middle;
    `read_noise_photoelectrons`; `bits` of the converter; `reflectance` (H, W) of what lies on the device's image, None
    for a white reference.
    """

    lattice: MirrorLattice
    shape: tuple[int, int]
    homography: Points
    lens: Lens | None = None
    falloff_percent: float = 30.0
    blur_px: float = 0.4
    photoelectrons: float = 10_000.0
    read_noise_photoelectrons: float = 5.0
    bits: int = 8
    reflectance: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.bits not in (8, 10, 12, 14, 16):
            raise InputError(f"camera twin: {self.bits} bits; cameras have 8, 10, 12, 14 or 16")
        if self.blur_px < 0 or self.read_noise_photoelectrons < 0 or not self.photoelectrons > 0:
            raise InputError("camera twin: blur and noise cannot be below 0, and there must be light")

    def pictures(self, frames: NDArray[np.uint8], seed: int) -> NDArray[np.uint16]:
        """Readings (F, H, W) in counts of frames (F, rows, columns), 1 where a mirror is on."""
        place, samples = self._sampling()
        light = self._light()
        full_scale = 2**self.bits - 1
        rng = np.random.default_rng([seed, 1])
        readings = np.empty((len(frames), *self.shape), dtype=np.uint16)
        for number, frame in enumerate(frames):
            on = np.append(frame.ravel(), np.uint8(0))[place].sum(axis=-1, dtype=np.float64) / samples
            picture = BLACK_LEVEL * light + (1 - BLACK_LEVEL) * light * on
            if self.blur_px > 0:
                picture = cv2.GaussianBlur(picture, (0, 0), self.blur_px, borderType=cv2.BORDER_REFLECT)
            electrons = rng.poisson(self.photoelectrons * picture)
            electrons = electrons + rng.normal(0.0, self.read_noise_photoelectrons, self.shape)
            counts = WHITE_FILL * full_scale / self.photoelectrons * electrons
            readings[number] = np.clip(np.rint(counts), 0, full_scale).astype(np.uint16)
        return readings

    def _light(self) -> NDArray[np.float64]:
        height, width = self.shape
        y, x = np.mgrid[:height, :width]
        square = ((x - (width - 1) / 2) / (width / 2)) ** 2 + ((y - (height - 1) / 2) / (height / 2)) ** 2
        light: NDArray[np.float64] = 1 - 0.01 * self.falloff_percent * square / 2
        return light if self.reflectance is None else light * self.reflectance

    def _sampling(self) -> tuple[NDArray[np.int32], int]:
        """For each point of each pixel its mirror as a flat index, (H, W, points), and how many points a pixel has.

        Points beside the device have the index behind the last mirror.
        """
        height, width = self.shape
        middle = np.array([[width / 2, height / 2], [width / 2 + 1, height / 2], [width / 2, height / 2 + 1]])
        seen = project(self.homography, middle)
        step = max(float(np.hypot(*(seen[k] - seen[0]))) for k in (1, 2))
        samples = int(np.clip(np.ceil(4 * step), MIN_SAMPLES, MAX_SAMPLES))
        inner = np.stack(np.meshgrid(*[(np.arange(samples) + 0.5) / samples - 0.5] * 2), axis=-1).reshape(-1, 2)
        place = np.empty((height, width, samples * samples), dtype=np.int32)
        for y in range(height):  # row by row: the positions of all points at once would take gigabytes
            centres = np.stack([np.arange(width, dtype=np.float64), np.full(width, float(y))], axis=-1)
            pixels = (centres[:, None] + inner).reshape(-1, 2)
            positions = project(self.homography, pixels if self.lens is None else self.lens.undistort(pixels))
            column, row = mirror_at(positions, self.lattice)
            inside = (column >= 0) & (column < self.lattice.columns) & (row >= 0) & (row < self.lattice.rows)
            index = np.where(inside, row * self.lattice.columns + column, self.lattice.columns * self.lattice.rows)
            place[y] = index.reshape(width, -1)
        return place, samples * samples


def mirror_at(positions: Points, lattice: MirrorLattice) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Column and row of the mirror whose square holds each position (N, 2); those of no mirror are out of range.

    Diamond lattice: mirrors are unit squares of u = x + y and v = y - x, and u = c + ceil(r / 2), v = floor(r / 2) - c
    (facts of the DLP4500's lattice; odd rows to the left have c one larger).
    """
    x, y = positions[:, 0], positions[:, 1]
    if lattice.shift == 0:
        return np.rint(x).astype(np.intp), np.rint(y / lattice.row_pitch).astype(np.intp)
    u, v = np.rint(x + y).astype(np.intp), np.rint(y - x).astype(np.intp)
    row = u + v
    column = u - (row + 1) // 2
    return (column if lattice.shift > 0 else column + row % 2), row


def camera_view(
    lattice: MirrorLattice,
    shape: tuple[int, int],
    seed: int,
    *,
    columns_per_pixel: float | None = None,
    rotation_degrees: float = 0.0,
    mirrored: bool = False,
    perspective: float = 0.05,
) -> Points:
    """A homography (3, 3) pixel -> position of a camera that looks at the middle of the device, slightly askew.

    `columns_per_pixel`: None for a picture that holds the whole device; `perspective`: by how much the scale changes
    from the middle to the edge of the picture.  `mirrored` exchanges left and right of the picture, then
    `rotation_degrees` turns it clockwise.  Seed: a turn of up to 2 degrees, where the middle and the perspective point.
    """
    rng = np.random.default_rng([seed, 2])
    height, width = shape
    device = np.array([lattice.columns, lattice.rows * lattice.row_pitch])
    turned = device if round(rotation_degrees / 90) % 2 == 0 else device[::-1]
    scale = columns_per_pixel or 1.15 * float(np.max(turned / np.array([width, height])))
    angle = -np.radians(rotation_degrees + rng.uniform(-2, 2))
    away, tilt = rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 2 * np.pi)
    centre = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    sizes = np.diag([-scale if mirrored else scale, scale, 1.0])
    lean = np.eye(3)
    lean[2, :2] = perspective / (0.5 * width) * np.array([np.cos(tilt), np.sin(tilt)])
    middle = np.array(
        [[1, 0, (device[0] - 1) / 2 + away[0]], [0, 1, (device[1] - lattice.row_pitch) / 2 + away[1]], [0, 0, 1]]
    )
    whole = middle @ sizes @ turn @ lean @ centre
    homography: Points = whole / whole[2, 2]
    return homography


def simulate_graycode(
    camera: CameraTwin,
    seed: int,
    *,
    lost_frame: int | None = None,
    inverted: bool = False,
) -> NDArray[np.uint16]:
    """Readings (F, H, W) of the Gray code of the twin's device.

    `lost_frame`: that frame is missed, the later ones move up and the last one is recorded twice; `inverted`: on and
    off mirrors are exchanged.  Raises `InputError` for a frame that there is not.
    """
    frames = graycode_patterns(camera.lattice.columns, camera.lattice.rows)
    if inverted:
        frames = (1 - frames).astype(np.uint8)
    if lost_frame is not None:
        if not 0 <= lost_frame < len(frames):
            raise InputError(f"camera twin: frame {lost_frame} cannot be lost; there are 0 to {len(frames) - 1}")
        frames = np.concatenate([np.delete(frames, lost_frame, axis=0), frames[-1:]])
    return camera.pictures(frames, seed)
