"""The 8 ways round that an image can be: what mirrors, mounts and readouts do to patterns, masks and pictures."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True)
class Orientation:
    """One of 8: transposed first, then flipped top to bottom, then left to right."""

    transpose: bool = False
    flip_vertical: bool = False
    flip_horizontal: bool = False

    def apply(self, images: NDArray[_T]) -> NDArray[_T]:
        """Images (..., H, W) turned so, contiguous."""
        turned = np.swapaxes(images, -1, -2) if self.transpose else images
        turned = turned[..., ::-1, :] if self.flip_vertical else turned
        return np.ascontiguousarray(turned[..., ::-1] if self.flip_horizontal else turned)

    @property
    def inverse(self) -> "Orientation":
        """What turns an image back."""
        if not self.transpose:
            return self
        return Orientation(True, self.flip_horizontal, self.flip_vertical)

    @property
    def mirrored(self) -> bool:
        """Whether handedness changes, which no turn of the device can undo."""
        return (self.transpose + self.flip_vertical + self.flip_horizontal) % 2 == 1

    @property
    def identity(self) -> bool:
        """Whether nothing is done."""
        return not (self.transpose or self.flip_vertical or self.flip_horizontal)

    @property
    def words(self) -> str:
        """What is done, for people."""
        return _WORDS[(self.transpose, self.flip_vertical, self.flip_horizontal)]


_WORDS = {
    (False, False, False): "the right way round",
    (False, False, True): "left and right exchanged",
    (False, True, False): "top and bottom exchanged",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "rows and columns exchanged",
    (True, False, True): "turned by 90 degrees clockwise",
    (True, True, False): "turned by 90 degrees counter-clockwise",
    (True, True, True): "rows and columns exchanged and turned by 180 degrees",
}
ORIENTATIONS = tuple(
    Orientation(transpose, vertical, horizontal)
    for transpose in (False, True)
    for vertical in (False, True)
    for horizontal in (False, True)
)
