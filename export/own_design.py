"""A design that was read from somebody's own files, and how they were understood."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.pattern import Design
from cidesign.records import Strict

_A = TypeVar("_A", bound=NDArray[Any])


@dataclass(frozen=True)
class OwnDesign:
    """A design from files.

    `said`: how the files were understood, one sentence each (order, polarity, orientation, levels, what was left out).
    `sources`: (file name, SHA-256) of each file that was read, in order.  `preview_png`: a picture of what was
    understood.
    """

    design: Design
    said: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    preview_png: bytes


class TurnedOptions(Strict):
    """How an image in a file lies: transposed, then flipped.

    `as_stored` says what row 0 and column 0 are where it is neither.
    """

    as_stored: ClassVar[str]

    transpose: bool = False
    flip_vertical: bool = False
    flip_horizontal: bool = False

    def turned(self, images: _A) -> _A:
        """Images (..., H, W) transposed and flipped as asked for, in memory of their own."""
        turned: Any = np.swapaxes(images, -2, -1) if self.transpose else images
        turned = turned[..., ::-1, :] if self.flip_vertical else turned
        turned = turned[..., ::-1] if self.flip_horizontal else turned
        whole: _A = turned.copy(order="C")
        return whole

    @property
    def turn_text(self) -> str:
        """What `turned` does, for people."""
        words = {
            "transposed": self.transpose,
            "top and bottom exchanged": self.flip_vertical,
            "left and right exchanged": self.flip_horizontal,
        }
        asked = ", ".join(text for text, done in words.items() if done)
        return f"{asked}, as asked for" if asked else self.as_stored
