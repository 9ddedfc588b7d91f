"""The orientation of a captured mask, whether clear and opaque are exchanged, and roughly where it lies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cidesign.calibration.cassi.optics import Array, turn_scale
from cidesign.orientation import ORIENTATIONS, Orientation

# The middle of a code is enough to know it by, and keeps the search short.
TEMPLATE_PX = 128
TEMPLATE_BLUR_PX = 0.5
MAX_ROTATION_DEG = 5.5
# Above this correlation a code is found; below it, it may be turned.
CLEAR_CORRELATION = 0.85
UPRIGHT = Orientation()


@dataclass(frozen=True)
class Mounting:
    """How a drawn mask stands in the beam: its orientation, and whether clear and opaque are exchanged (`inverted`)."""

    orientation: Orientation = UPRIGHT
    inverted: bool = False

    @property
    def as_drawn(self) -> bool:
        """Whether it stands as it was drawn."""
        return self == Mounting()

    @property
    def fault(self) -> Literal["mirror", "rotation", "inversion"] | None:
        """What it resembles: a plate that shows its back, one that was turned, or one of the other polarity."""
        if self.orientation.identity:
            return "inversion" if self.inverted else None
        return "mirror" if self.orientation.mirrored else "rotation"

    def apply(self, levels: NDArray[np.generic]) -> Array:
        """The mask as it stands in the beam, 0 to 1."""
        seen = self.orientation.apply(levels).astype(np.float64)
        return 1 - seen if self.inverted else seen

    @property
    def text(self) -> str:
        """In words."""
        text = self.orientation.text
        return f"{text}, clear and opaque exchanged" if self.inverted else text


@dataclass(frozen=True)
class Found:
    """The best of 8 orientations and 2 polarities: its correlation, that of the runner-up, and where the code lies.

    `centre` (row, column) of the code on the image, in pixels of the model; `rotation_deg` clockwise.
    """

    mounting: Mounting
    correlation: float
    second: float
    second_mounting: Mounting
    centre: Array
    rotation_deg: float

    @property
    def margin(self) -> float:
        """How much better the best is than the next."""
        return self.correlation - self.second


def find_orientation(image: Array, levels: NDArray[np.generic]) -> Found:
    """Correlate an image (h, w), in pixels of the code's size, with a mask in all orientations and polarities.

    Where no orientation is clear without rotation, rotations of up to 5.5 degrees are tried as well.
    """
    found = _best(image, levels, ORIENTATIONS, [0.0])
    if found.correlation >= CLEAR_CORRELATION:
        return found
    return _best(image, levels, ORIENTATIONS, _angles(levels.shape))


def locate(image: Array, levels: NDArray[np.generic], mounting: Mounting, rotation_deg: float) -> Found:
    """Where a code of known orientation and polarity lies on another image."""
    return _best(image, levels, [mounting.orientation], [rotation_deg], mounting.inverted)


def _angles(shape: tuple[int, ...]) -> list[float]:
    radius = min(max(shape), TEMPLATE_PX) / 2**0.5
    step = min(1.5, math.degrees(0.7 / radius))
    count = math.ceil(MAX_ROTATION_DEG / step)
    return sorted((step * n for n in range(-count, count + 1)), key=abs)


def _best(
    image: Array,
    levels: NDArray[np.generic],
    orientations: Sequence[Orientation],
    angles: list[float],
    inverted_first: bool = False,
) -> Found:
    """The highest and, for the other polarity, the lowest correlation of every orientation."""
    best: dict[Mounting, tuple[float, Array, float]] = {}
    for angle in angles:
        straight = _rotated(image, -angle)
        for orientation in orientations:
            template = _template(orientation, levels)
            if template.shape[0] > straight.shape[0] or template.shape[1] > straight.shape[1]:
                continue
            for inverted, value, place in _peaks(straight, template, inverted_first):
                key = Mounting(orientation, inverted)
                if key not in best or value > best[key][0]:
                    centre = place + (np.array(template.shape) - 1) / 2
                    best[key] = (value, _turned_point(centre, straight.shape, angle), angle)
    ordered = sorted(best.items(), key=lambda item: -item[1][0])
    mounting, (value, centre, angle) = ordered[0]
    second_mounting, second = (ordered[1][0], ordered[1][1][0]) if len(ordered) > 1 else (mounting, 0.0)
    return Found(mounting, value, second, second_mounting, centre, angle)


def _template(orientation: Orientation, levels: NDArray[np.generic]) -> Array:
    """The middle of the mask so oriented, a little blurred; its polarity is left to the sign of the correlation."""
    seen = orientation.apply(levels).astype(np.float64)
    cut = [max(0, (size - TEMPLATE_PX) // 2) for size in seen.shape]
    middle = seen[cut[0] : seen.shape[0] - cut[0], cut[1] : seen.shape[1] - cut[1]]
    blurred: Array = gaussian_filter(middle, TEMPLATE_BLUR_PX, mode="nearest")
    return blurred


def _peaks(image: Array, template: Array, inverted: bool) -> list[tuple[bool, float, Array]]:
    """(inverted, correlation, upper left place) of both polarities, that of `inverted` first."""
    scores = cv2.matchTemplate(image.astype(np.float32), template.astype(np.float32), cv2.TM_CCOEFF_NORMED)
    scores = np.clip(np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0), -1, 1)
    peaks = []
    for polarity, values in (
        (inverted, -scores if inverted else scores),
        (not inverted, scores if inverted else -scores),
    ):
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        peaks.append((polarity, float(values[row, column]), np.array([float(row), float(column)])))
    return peaks


def _rotated(image: Array, degrees: float) -> Array:
    """The image rotated clockwise about its middle."""
    if degrees == 0:
        return image
    height, width = image.shape
    # OpenCV counts angles anticlockwise.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.float64)


def _turned_point(point: Array, shape: tuple[int, ...], degrees: float) -> Array:
    middle = (np.array(shape) - 1) / 2
    turned: Array = middle + turn_scale(degrees, 1.0) @ (point - middle)
    return turned
