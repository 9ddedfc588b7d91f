"""The 8 orientations of an image: what mirrors, mounts, cameras and readouts do to patterns, masks and pictures."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict

from cidesign.records import Strict

_A = TypeVar("_A", bound=NDArray[Any])
NAMES = ("transpose", "flip_vertical", "flip_horizontal")


@dataclass(frozen=True)
class Orientation:
    """One of the 8: transposed first, then flipped top to bottom, then left to right."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    transpose: bool = False
    flip_vertical: bool = False
    flip_horizontal: bool = False

    @classmethod
    def turned(cls, quarters: int, mirrored: bool = False) -> "Orientation":
        """Left and right exchanged where `mirrored`, then turned clockwise by so many quarter turns."""
        turned = cls(flip_horizontal=mirrored)
        for _ in range(quarters % 4):
            turned = turned.then(_QUARTER)
        return turned

    def apply(self, images: _A) -> _A:
        """Images (..., H, W) so oriented, contiguous; (..., W, H) where it transposes."""
        oriented: Any = np.swapaxes(images, -1, -2) if self.transpose else images
        oriented = oriented[..., ::-1, :] if self.flip_vertical else oriented
        contiguous: Any = np.ascontiguousarray(oriented[..., ::-1] if self.flip_horizontal else oriented)
        whole: _A = contiguous
        return whole

    def then(self, following: "Orientation") -> "Orientation":
        """This one first, then the `following` one: `a.then(b).apply(x)` is `b.apply(a.apply(x))`."""
        vertical, horizontal = self.flip_vertical, self.flip_horizontal
        if following.transpose:
            vertical, horizontal = horizontal, vertical
        return Orientation(
            self.transpose != following.transpose,
            vertical != following.flip_vertical,
            horizontal != following.flip_horizontal,
        )

    @property
    def inverse(self) -> "Orientation":
        """What undoes it."""
        if not self.transpose:
            return self
        return Orientation(True, self.flip_horizontal, self.flip_vertical)

    @property
    def mirrored(self) -> bool:
        """Whether handedness changes, which no turn of the device can undo."""
        return (self.transpose + self.flip_vertical + self.flip_horizontal) % 2 == 1

    @property
    def quarter_turns(self) -> int:
        """Clockwise quarter turns, 0 to 3, that follow on the exchange of left and right where it is `mirrored`."""
        return next(quarters for quarters in range(4) if Orientation.turned(quarters, self.mirrored) == self)

    @property
    def identity(self) -> bool:
        """Whether nothing is done."""
        return not (self.transpose or self.flip_vertical or self.flip_horizontal)

    @property
    def text(self) -> str:
        """What is done, in words."""
        return _TEXTS[(self.transpose, self.flip_vertical, self.flip_horizontal)]


_QUARTER = Orientation(True, False, True)
_TEXTS = {
    (False, False, False): "upright",
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


class OrientationOptions(Strict):
    """The three settings of an orientation among others, for people who give them one by one."""

    transpose: bool = False
    flip_vertical: bool = False
    flip_horizontal: bool = False

    @property
    def orientation(self) -> Orientation:
        """All three together."""
        return Orientation(self.transpose, self.flip_vertical, self.flip_horizontal)


def _whole(value: object) -> object:
    missing = [name for name in NAMES if name not in value] if isinstance(value, dict) else []
    if missing:
        raise ValueError(f"{', '.join(missing)} is missing")
    return value


# In a record nothing is left to a default.
StoredOrientation = Annotated[Orientation, BeforeValidator(_whole)]


def in_one_field(record: Any, names: tuple[str, str, str]) -> Any:
    """An older record, whose orientation stood in fields of its own (`names`, in the order of `NAMES`), as of now."""
    if not isinstance(record, dict) or "orientation" in record or any(name not in record for name in names):
        return record
    rest = {name: value for name, value in record.items() if name not in names}
    return {**rest, "orientation": {name: record[earlier] for name, earlier in zip(NAMES, names, strict=True)}}
