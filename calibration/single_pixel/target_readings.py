"""What the patterns read on the calibration targets, and what they would read if they lay elsewhere."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.operator import Placement
from cidesign.pattern import PatternStack

Vector = NDArray[np.float64]
# The total light of a target weighs as much as this many of its measurements.
LEVEL_WEIGHT = 2.0
# Orientation, turn and shift are looked for with so many patterns at most; all of them are fitted at the end.
SEARCHED_WITH = 512
# Of more weights only so many are made at a time, again and again: 268 MB of them.
MOST_WEIGHTS = 2**25


@dataclass(frozen=True)
class TargetReadings:
    """What was measured, for the fit and for the test: y (K,), levels, the card's picture (n, n), and noise (K,).

    The noise is that of the card, of the white reference where there is no other.  `kept` (K,): the numbers of the
    patterns in the design, whose weights are made a few at a time.  Of what is measured as shown, no level is known but
    that of the readings themselves.
    """

    design: PatternStack
    kept: NDArray[np.int64]
    flat: Vector | None
    flat_level: float
    card: Vector | None
    card_level: float
    picture: NDArray[np.float64] | None
    noise: Vector

    def part(self, chosen: NDArray[np.bool_]) -> "TargetReadings":
        """Those of some of the patterns, (K,)."""
        return TargetReadings(
            self.design,
            self.kept[chosen],
            None if self.flat is None else self.flat[chosen],
            self.flat_level,
            None if self.card is None else self.card[chosen],
            self.card_level,
            self.picture,
            self.noise[chosen],
        )

    @cached_property
    def _parts(self) -> list[NDArray[np.int64]]:
        """The numbers of the patterns whose weights are made together."""
        return np.array_split(self.kept, -(-self.kept.size * self.design.levels[0].size // MOST_WEIGHTS))

    @cached_property
    def _all(self) -> NDArray[np.float64]:
        return self._weights(self.kept)

    def _weights(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.design.level_weights.astype(np.float64)[self.design.levels[numbers]].reshape(numbers.size, -1)

    def read(self, sign: int, placement: Placement, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the patterns of one polarity read of images (M, n, n): (K, M), see `of_polarity`."""
        gathered = placement.gathered(images).reshape(len(images), -1).T
        weights = [self._all] if len(self._parts) == 1 else (self._weights(part) for part in self._parts)
        read = np.concatenate([one @ gathered for one in weights]) / self.side
        if sign > 0:
            return read
        all_on: NDArray[np.float64] = gathered.sum(axis=0) / self.side
        return all_on - read if self.design.encoding == "as-shown" else -read

    def some(self) -> "TargetReadings":
        """So many of the patterns as tell where they lie, evenly spread; all where there are not more."""
        step = -(-self.kept.size // SEARCHED_WITH)
        return self if step == 1 else self.part(np.arange(self.kept.size) % step == 0)

    @property
    def side(self) -> int:
        """n."""
        return self.design.side

    @property
    def level_weight(self) -> float:
        """What the total light of a card weighs; nothing where it was not measured beside the patterns."""
        return 0.0 if self.design.encoding == "as-shown" else LEVEL_WEIGHT
