"""Are the readings of a sequence those of its frames, in their order?  The readings themselves decide.

The order as recorded is compared, by how well the readings predict one another (`order_evidence`), with random orders
and with those that benches produce: a record that begins some readings late or early, in the middle of a loop, or at
the end; readings lost at one place and made up for at another; the two halves of each pair exchanged.  Nothing absolute
is asked of a scene: unusual ones are as unusual in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.readings.order_evidence import Indices, OrderModel, Vector, roughness
from cidesign.calibration.single_pixel.readings.triggers import shift_words

# What readings say of their order: as recorded; another one that is known; no better than random ones; nothing; or two
# things, as the image is smoother as recorded.
OrderVerdict = Literal["right", "other", "random", "unknown", "ambiguous"]
FEWEST_READINGS = 16
# The eigenvectors of more are minutes of work.
MOST_READINGS = 2048
RANDOM_ORDERS, SEED = 200, 0
# Standard deviations of the evidence of random orders: above the first the order is right, below the second it is one
# of them.  Sound records of all scenes tried, dots, letters, speckle and pixel noise among them, reach 3 and more.
CLEAR_LEAD, NO_LEAD = 4.0, 2.0
# By how much the logarithm of the evidence of another order must be higher to be believed, and of one of the very many
# in which a part of the record is moved.  Of sound records it was never more than 1 higher.
OTHER_EVIDENCE, PART_EVIDENCE = 8.0, 10.0
# A record this many patterns late or early is looked for; in a loop, any number.
FARTHEST = 16
# A part of a record is moved by up to so many readings, and begins and ends at one of so many places.
PART_MOVES, PART_PLACES = (-3, -2, -1, 1, 2, 3), 32
# Readings, over pixels, from which on the image is theirs more than the model's.
DETERMINED = 0.5
# Sum of squared correlations of a pattern with all others: 0 where they are orthogonal, K / N where they are random.
LITTLE_OVERLAP = 0.1
# Their readings in a wrong order led random ones by 0 to 0.4 of what they did in the right one; in order, by more.
ORDERED_PART = 0.5
# Random orders must be told apart where the readings vary this many times more than their noise.
TELLING_VARIANCE = 4.0
# Of 30 printed letters seen through patterns learned on letters, 14, 2 and 0 sound records of 40, 70 and 102 readings
# led random orders by less than `NO_LEAD`, and one, none and none by nothing; of random orders 4 in 5 lead by nothing.
TELLING_READINGS = 96
EXCHANGED = "the two readings of each pair are exchanged, as they are by on and off mirrors that are"


@dataclass(frozen=True)
class Order:
    """The row of the model that each reading belongs to, -1 for those that belong to none.

    `moved`: the rows lie so many after the readings' own, all of them, where that is what is meant.  `sign` -1: each
    pair is exchanged.
    """

    rows: Indices
    words: str
    moved: int | None = None
    sign: int = 1


@dataclass(frozen=True)
class OrderFinding:
    """What the readings say of their order.

    `lead`: evidence of the order as recorded above that of random ones, in their standard deviations; `other`: the
    order that explains the readings better, and `gain`, by how much the logarithm of its evidence is higher (where
    `verdict` is not "other", the best of those that were tried).  `clear`: all other shifts are worse still.
    """

    verdict: OrderVerdict
    lead: float
    other: Order | None = None
    gain: float = 0.0
    clear: bool = False


@dataclass(frozen=True)
class Sequence:
    """Readings of one sequence, `values` (J,), NaN where there is none, for the rows (K, n, n) of a model.

    The last rows of the model are no readings of the sequence, and their values, `fixed_values` (M,), are known.
    `structured` (K - M,): rows whose pattern is not the same everywhere.  `noise`: the variance of a reading.
    `paired`: each reading is made of two, of a pattern and its complement.
    """

    model: OrderModel
    values: Vector
    fixed_values: Vector
    structured: NDArray[np.bool_]
    noise: float
    paired: bool

    @property
    def rows(self) -> int:
        """K: rows that a reading can belong to."""
        return len(self.model.rows) - self.fixed_values.size

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """The readings that are there, (J,)."""
        return np.isfinite(self.values)

    def evidence(self, order: Order, among: NDArray[np.bool_]) -> float:
        """log p of the readings `among` (J,) in an order, up to a constant for their number."""
        used = among & (order.rows >= 0)
        placed = np.concatenate([np.zeros(self.rows), self.fixed_values])
        placed[order.rows[used]] = order.sign * self.values[used]
        filled = np.concatenate([order.rows[used], self.rows + np.arange(self.fixed_values.size)])
        return float(self.model.evidence(placed, _others(placed.size, filled)))

    def gain(self, order: Order, over: Order) -> float:
        """How much higher the logarithm of the evidence of one order is, on the readings that both use."""
        among = self.there & (order.rows >= 0) & (over.rows >= 0)
        if among.sum() < FEWEST_READINGS // 2:
            return -np.inf
        return self.evidence(order, among) - self.evidence(over, among)


def judge_order(sequence: Sequence) -> OrderFinding:
    """What the readings of a sequence say of the order in which they were recorded."""
    found = int(sequence.there.sum())
    if not found >= FEWEST_READINGS or sequence.values.size > MOST_READINGS:
        return OrderFinding("unknown", 0.0)
    given = recorded(sequence)
    lead = _lead(sequence, given)
    whole, part = _best(sequence, given, whole_orders(sequence)), _best_part(sequence, given)
    for (best, gain), needed in ((whole, OTHER_EVIDENCE), (part, PART_EVIDENCE)):
        if gain <= needed:
            continue
        own = _lead(sequence, best)
        if lead > ORDERED_PART * own and _smoother_as_recorded(sequence, given, best):
            return OrderFinding("ambiguous", lead, best, gain)
        if own > CLEAR_LEAD:
            return OrderFinding("other", lead, best, gain, _clear(sequence, best))
    suspect = whole[1] > OTHER_EVIDENCE or part[1] > PART_EVIDENCE
    if lead > CLEAR_LEAD and not suspect:
        return OrderFinding("right", lead, *whole)
    least = NO_LEAD if found >= TELLING_READINGS else 0.0
    if suspect or (lead < least and _can_tell(sequence)):
        return OrderFinding("random", lead, *whole)
    return OrderFinding("unknown", lead, *whole)


def best_shift(sequence: Sequence) -> OrderFinding:
    """The shift of the whole record that explains the readings best, where it is known that there is one."""
    if sequence.there.sum() < FEWEST_READINGS or sequence.values.size > MOST_READINGS:
        return OrderFinding("unknown", 0.0)
    start = shifted(sequence, 0)
    best, _ = _best(sequence, start, shifts(sequence))
    if sequence.gain(best, start) <= 0:
        best = start
    lead = _lead(sequence, best)
    clear = lead > CLEAR_LEAD and _clear(sequence, best)
    return OrderFinding("other" if clear else "unknown", lead, best, clear=clear)


def recorded(sequence: Sequence) -> Order:
    """Each reading in its place."""
    return shifted(sequence, 0)


def shifted(sequence: Sequence, moved: int) -> Order:
    """All readings moved to later rows (negative: earlier); those that fall off the ends belong to none."""
    rows = np.arange(sequence.values.size) + moved
    rows[(rows < 0) | (rows >= sequence.rows)] = -1
    return Order(rows, shift_words(-moved * (2 if sequence.paired else 1)), moved)


def shifts(sequence: Sequence) -> list[Order]:
    """Records that begin late or early, none of them as recorded."""
    farthest = min(FARTHEST, sequence.rows // 2)
    return [shifted(sequence, moved) for moved in range(-farthest, farthest + 1) if moved]


def whole_orders(sequence: Sequence) -> list[Order]:
    """All orders that move the whole record."""
    count, rows = sequence.values.size, np.arange(sequence.values.size)
    found = shifts(sequence)
    if count != sequence.rows:
        return found
    found.append(Order(rows[::-1].copy(), "the record is reversed, with each pair as it was"))
    if sequence.paired:
        found.append(Order(rows, EXCHANGED, sign=-1))
        found.append(Order(rows[::-1].copy(), "the record is reversed", sign=-1))
    else:
        swapped = rows ^ 1
        found.append(Order(np.where(swapped < count, swapped, rows), "each two neighbouring readings are exchanged"))
    unit = "patterns" if sequence.paired else "frames"
    for late in range(FARTHEST + 1, count - FARTHEST):
        words = f"the record begins in the middle of a loop, {late} {unit} after its start"
        found.append(Order((rows + late) % count, words))
    return found


def _best(sequence: Sequence, given: Order, orders: Iterable[Order]) -> tuple[Order, float]:
    """The best of these orders, each against the best before it, and its gain over the given one."""
    best = given
    rated = [(sequence.gain(order, given), number, order) for number, order in enumerate(orders)]
    # Those that drop different readings cannot be ranked by their gain over the given one, only against each other.
    for gain, _, order in sorted(rated, key=lambda one: (-one[0], one[1])):
        if best is given or (gain > 0 and sequence.gain(order, best) > 0):
            best = order
    return best, sequence.gain(best, given)


def _clear(sequence: Sequence, best: Order) -> bool:
    """Whether a shift of the whole record is clearly better than every other one."""
    if best.moved is None:
        return False
    others = [shifted(sequence, 0), *shifts(sequence)]
    return all(sequence.gain(best, other) > OTHER_EVIDENCE for other in others if other.moved != best.moved)


def _best_part(sequence: Sequence, given: Order) -> tuple[Order, float]:
    """The best order in which a part of the record, or all from one place on, belongs to other rows."""
    count = sequence.values.size
    step = max((count - 4) // PART_PLACES, 1)
    places, quarter = range(2, count - 1, step), max(count // 4, 4)

    def best_of(parts: Iterable[tuple[int, int, int]]) -> tuple[float, tuple[int, int, int]]:
        kept = [part for part in parts if part[0] + abs(part[2]) < part[1] <= count and part[0] > 0]
        rated = [(sequence.gain(_part(sequence, *part), given), part) for part in kept]
        return max(rated, default=(-np.inf, (0, count, 0)))

    def near(place: int) -> range:
        return range(place - step, place + step + 1)

    starts = ((first, last, moved) for moved in PART_MOVES for first in places for last in (first + quarter, count))
    gain, (first, last, moved) = best_of(starts)
    for ends, beginnings in (([*places, count], places), (near(last), near(first))):
        gain, (first, last, _) = max((gain, (first, last, moved)), best_of((first, end, moved) for end in ends))
        gain, (first, last, _) = max((gain, (first, last, moved)), best_of((one, last, moved) for one in beginnings))
    return _part(sequence, first, last, moved), gain


def _part(sequence: Sequence, first: int, last: int, moved: int) -> Order:
    """Readings `first` to `last` - 1 moved by some rows; what would come twice to one row belongs to none."""
    rows = np.arange(sequence.values.size)
    if moved > 0:
        rows[first:last] += moved
        rows[last : last + moved] = -1
    else:
        rows[first : first - moved] = -1
        rows[first - moved : last] += moved
    rows[rows >= sequence.rows] = -1
    what = "missing" if moved > 0 else "there twice"
    unit = "pair" if sequence.paired else "reading"
    words = f"{abs(moved)} {unit}{'s are' if abs(moved) > 1 else ' is'} {what} at about pattern {first}"
    return Order(rows, words if last == sequence.values.size else f"{words}, and made up for at {last}")


def _smoother_as_recorded(sequence: Sequence, given: Order, other: Order) -> bool:
    """Whether readings of patterns that share nothing make a smoother image as they were recorded.

    Readings of orthogonal patterns predict one another by the model of the scene alone, whose scenes have structure of
    all sizes; blocks along the grid of Hadamard patterns are far from that, and some other order may seem likelier of
    them.  There the image decides, which these readings determine.
    """
    if sequence.there.sum() < DETERMINED * sequence.model.rows[0].size or sequence.model.overlap > LITTLE_OVERLAP:
        return False
    return _roughness(sequence, other, given) >= _roughness(sequence, given, other)


def _roughness(sequence: Sequence, order: Order, other: Order) -> float:
    """How rough the image is that the readings make in an order, of those that another one uses as well."""
    used = sequence.there & (order.rows >= 0) & (other.rows >= 0)
    placed = np.concatenate([np.zeros(sequence.rows), sequence.fixed_values])
    placed[order.rows[used]] = order.sign * sequence.values[used]
    filled = np.concatenate([order.rows[used], sequence.rows + np.arange(sequence.fixed_values.size)])
    return roughness(sequence.model.image(placed, _others(placed.size, filled)))


def _lead(sequence: Sequence, order: Order) -> float:
    """Evidence of an order above that of random ones, in their standard deviations.

    A pattern without structure (all mirrors on) stays where it is: a random order seldom leaves it there, and one
    reading must not decide.  The evidence of few readings has a long tail: an order that a random one beats has no
    clear lead, however many deviations it is above their mean.
    """
    used = sequence.there & (order.rows >= 0)
    rows, values = order.rows[used], order.sign * sequence.values[used]
    placed = np.concatenate([np.zeros(sequence.rows), sequence.fixed_values])
    free = np.flatnonzero(sequence.structured[rows])
    if free.size < FEWEST_READINGS // 2:
        return 0.0
    placed[rows] = values
    rng = np.random.default_rng(SEED)
    tried = np.repeat(placed[None], RANDOM_ORDERS + 1, axis=0)
    for one in tried[1:]:
        one[rows[free]] = values[rng.permutation(free)]
    found = sequence.model.evidence(tried, _others(sequence.rows, rows))
    lead = float(found[0] - found[1:].mean()) / max(float(found[1:].std()), 1e-9)
    return lead if found[0] > found[1:].max() else min(lead, CLEAR_LEAD)


def _others(count: int, filled: Indices) -> Indices:
    """Which of `count` rows are not among these."""
    empty = np.ones(count, dtype=bool)
    empty[filled] = False
    return np.flatnonzero(empty)


def _can_tell(sequence: Sequence) -> bool:
    """Whether the readings vary by more than their noise, so that the right order would stand out."""
    values = sequence.values[sequence.there]
    return float(np.var(values)) > TELLING_VARIANCE * sequence.noise
