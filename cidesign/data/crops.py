"""Square crops of pictures of any size: as wide as an image has pixels, up to the whole picture, averaged down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.data.brightness import FLAT_DEVIATION, MANY_FLAT, TOO_MANY_FLAT, flat_share
from cidesign.errors import InputError

LEAST_PER_PIXEL = 4
# 255 becomes 65535.
WIDENED = 257


@dataclass(frozen=True)
class Window:
    """A square of `width` pixels of a picture, and which image it becomes."""

    image: int
    top: int
    left: int
    width: int


def windows(shapes: list[tuple[int, int]], side: int, count: int, seed: tuple[int, ...]) -> list[list[Window]]:
    """`count` random squares of pictures (H, W), by picture: each as often as the others, in random order of images.

    The logarithm of the width is uniform from `side` to the whole picture; a smaller picture is taken whole.
    """
    rng = np.random.default_rng(seed)
    # In random order, so that fewer crops than pictures are not those of the first pictures alone.
    order = rng.permutation(len(shapes))
    found: list[list[Window]] = [[] for _ in shapes]
    for image, which in enumerate(rng.permutation(order[np.arange(count) % len(shapes)])):
        height, across = shapes[which]
        shortest = min(height, across)
        share = rng.random()
        width = shortest if shortest <= side else min(shortest, round(side * (shortest / side) ** share))
        top, left = rng.integers(0, height - width + 1), rng.integers(0, across - width + 1)
        found[which].append(Window(image, int(top), int(left), width))
    return found


def whole(shapes: list[tuple[int, int]], order: NDArray[np.intp], count: int) -> list[list[Window]]:
    """The middle square of pictures (H, W), as high or wide as they are, by picture: `count` of them in this order,
    over again from the first when there are more images than pictures."""
    found: list[list[Window]] = [[] for _ in shapes]
    for image, which in enumerate(order[np.arange(count) % len(order)]):
        height, across = shapes[which]
        width = min(height, across)
        found[which].append(Window(image, (height - width) // 2, (across - width) // 2, width))
    return found


class Averaged:
    """A picture (H, W) whose squares are asked for in many sizes: halved again and again, so wide ones are cheap."""

    def __init__(self, picture: NDArray[np.generic], white: float) -> None:
        kept = picture.dtype in (np.uint8, np.uint16)
        self._levels: list[NDArray[Any]] = [picture if kept else picture.astype(np.float32)]
        self._white = white

    def square(self, window: Window, side: int) -> NDArray[np.float32]:
        """A square as (side, side), white = 1: averaged over areas, or enlarged when it has fewer pixels."""
        # From here on an output pixel averages at least 4 x 4 pixels, and moves by a quarter of itself at most.
        level = max(0, int(np.log2(window.width / (LEAST_PER_PIXEL * side))))
        picture, white = self._halved(level)
        width = max(side, window.width >> level) if level else window.width
        top, left = (
            min(start >> level, length - width)
            for start, length in zip((window.top, window.left), picture.shape, strict=True)
        )
        crop = np.ascontiguousarray(picture[top : top + width, left : left + width])
        way = cv2.INTER_AREA if width >= side else cv2.INTER_LINEAR
        return cv2.resize(crop, (side, side), interpolation=way).astype(np.float32) / np.float32(white)

    def _halved(self, level: int) -> tuple[NDArray[Any], float]:
        """The picture with 2^level x 2^level pixels averaged to one, and its white."""
        while len(self._levels) <= level:
            finest = self._levels[-1]
            if finest.dtype == np.uint8:  # rounding to 8 bits again and again would brighten it
                finest = finest.astype(np.uint16) * np.uint16(WIDENED)
            height, width = (length // 2 for length in finest.shape)
            self._levels.append(
                cv2.resize(finest[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
            )
        widened = level and self._levels[0].dtype == np.uint8
        return self._levels[level], self._white * (WIDENED if widened else 1)


def refuse_flat(path: Path, crops: NDArray[np.uint8]) -> None:
    """Raise `InputError` when nearly all crops to train on are nearly flat: there is nothing to learn from."""
    share = flat_share(crops)
    if share > TOO_MANY_FLAT:
        raise InputError(f"{path}: {_said(share)}; there is nothing to learn from. Give pictures with more contrast")


def remark_on_flat(what: str, crops: NDArray[np.uint8]) -> set[str]:
    """A remark when many crops are nearly flat."""
    share = flat_share(crops)
    return {f"{what}: {_said(share)}; easy to reconstruct, and little to learn from"} if share > MANY_FLAT else set()


def _said(share: float) -> str:
    return f"{share:.0%} of the crops are nearly flat (standard deviation below {FLAT_DEVIATION:.0%} of the scale)"
