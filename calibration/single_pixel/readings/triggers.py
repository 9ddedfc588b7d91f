"""Lost and doubled triggers: found, located and taken out, by the pairs whose sums then no longer fit.

After a lost reading every later pair is put together wrongly: its two readings belong to two patterns, and their sum is
no longer all the light.  The count says how many readings are missing or there twice; where they are is what leaves
the least scatter around one lamp curve.  A lost and a doubled reading look the same in the sums, so where the count is
right but the sums slip, the record is refused.  Where all sums slip, the record begins late or early by an odd number
of readings; by which one the sums do not say, nor do they show an even one: see `reading_order`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from cidesign.calibration.polynomials import over_span
from cidesign.errors import FileError

Vector = NDArray[np.float64]
Kind = Literal["lost", "doubled"]
MOST_EVENTS = 3
LAMP_DEGREE = 8
LAMP_ROUNDS = 8
FLICKER_HZ = (100.0, 120.0)
# Pair sums may scatter this many times more than photon and read noise before a trigger is suspected.
SUSPICIOUS_RATIO = 4.0
# Places that raise chi-square by less than this cannot be told apart: their pairs are all left out.
EQUAL_CHI_SQUARE = 25.0
# An event whose place is less certain than this many pairs, or this part of all of them, is refused.
MOST_AMBIGUOUS_PAIRS, MOST_AMBIGUOUS_PART = 4, 0.05
# Two events with fewer pairs between them could be two others elsewhere whose pairs happen to fit.
LEAST_APART = 6
# With fewer pairs a shifted one cannot be told from a lamp curve.
FEWEST_PAIRS = 16
# Sums of m pairs moved by one reading scatter less than those as recorded by this factor or more, where the record is
# shifted; in a sound record they scatter more, and by chance less by a factor exp(5 sqrt(4 / m)) never.
CHANCE_DEVIATIONS = 5.0
# A pair of less than this part of the others' light shows no pattern: the detector ran while nothing was shown.
LEAST_LIGHT = 0.2


@dataclass(frozen=True)
class TriggerEvent:
    """A reading that is missing (`lost`) or there twice (`doubled`) in pair `pair`; `left_out` pairs are not used."""

    kind: Kind
    pair: int
    left_out: tuple[int, ...]

    @property
    def words(self) -> str:
        """What happened, for people."""
        what = "a reading is missing" if self.kind == "lost" else "a reading is there twice"
        return f"{what} at frame {2 * self.pair} or {2 * self.pair + 1} (pattern {self.pair})"


@dataclass(frozen=True)
class RecordShift:
    """A record that begins `early` readings too early (negative: late); `left_out` pairs have no reading."""

    early: int
    left_out: tuple[int, ...]

    @property
    def words(self) -> str:
        """What happened, for people."""
        return shift_words(self.early)


def shift_words(early: int) -> str:
    """A record that begins `early` readings too early (negative: late), for people."""
    count = abs(early)
    number = "one reading" if count == 1 else f"{count} readings"
    return f"the record begins {number} {'early' if early > 0 else 'late'}"


@dataclass(frozen=True)
class Aligned:
    """Readings (1, F) in their places, NaN where there is none that can be trusted, and what was found.

    `odd`: the readings are as recorded, and the pairs' sums fit only where all are moved by an odd number.
    """

    readings: NDArray[np.float64]
    events: tuple[TriggerEvent, ...]
    odd: bool = False


def align_pairs(
    stream: Vector,
    pairs: int,
    noise_counts2: float,
    time_us: Vector | None,
    where: str,
    starts: tuple[int, ...] = (0,),
) -> Aligned:
    """Put one record of complementary readings (M,), M near 2 `pairs`, into its frames (1, 2 pairs).

    `noise_counts2`: variance expected of one reading; `time_us` (2 pairs,): when the frames began, None where unknown;
    `where` names the record in errors; `starts`: the first pair of each sequence, between which the lamp may change.
    Raises `FileError` when the number of readings is off by more than 3, or when the pairs slip and no place of lost
    readings explains it.
    """
    lamp = _LampCurve(pairs, time_us, starts)
    surplus = stream.size - 2 * pairs
    limit = SUSPICIOUS_RATIO**2 * 2 * noise_counts2
    if surplus == 0:
        if _all_slipped(stream, lamp):
            return Aligned(stream[None], (), odd=True)
        _refuse_slip(stream, lamp, limit, where)
        return Aligned(stream[None], ())
    _refuse_many(stream.size, pairs, where)
    kind: Kind = "lost" if surplus < 0 else "doubled"
    found = _best_places(stream, lamp, kind, abs(surplus))
    events = tuple(
        TriggerEvent(kind, place, _near(found, number, noise_counts2)) for number, place in enumerate(found.places)
    )
    first = events[0].words
    if found.scatter > limit:
        raise FileError(
            f"{where}: {stream.size} readings for {2 * pairs} frames, and no place of {abs(surplus)} {kind} trigger(s) "
            f"explains the sums of the pairs (the first suspicious one: {first}); check trigger level and cable, and "
            "record again",
            fault="lost-trigger",
        )
    if any(other - one < LEAST_APART for one, other in pairwise(found.places)):
        raise FileError(
            f"{where}: {stream.size} readings for {2 * pairs} frames: two triggers {kind} close together, or a whole "
            "pair of readings, leave nearly the same sums anywhere; record again",
            fault="lost-trigger",
        )
    unsure = max(len(event.left_out) for event in events)
    if unsure > max(MOST_AMBIGUOUS_PAIRS, MOST_AMBIGUOUS_PART * pairs):
        raise FileError(
            f"{where}: {stream.size} readings for {2 * pairs} frames: {first}, but {unsure} pairs fit as well; "
            "record again",
            fault="lost-trigger",
        )
    near = [place for place in found.places if not lamp.inside(place)]
    if near:
        raise FileError(
            f"{where}: {stream.size} readings for {2 * pairs} frames, {first}: within {lamp.bending(near[0])} pairs of "
            "an end a lamp that changes explains the sums as well, so the place is not sure; record again",
            fault="lost-trigger",
        )
    return Aligned(_in_place(stream, pairs, found, events)[None], events)


def _refuse_many(readings: int, pairs: int, where: str) -> None:
    """Raise `FileError` where more is lost or doubled than can be found."""
    most = MOST_EVENTS if pairs >= FEWEST_PAIRS else 0
    if abs(readings - 2 * pairs) > most:
        raise FileError(
            f"{where}: {readings} readings for {2 * pairs} frames; up to {most} lost or doubled triggers can be put "
            "right; check trigger level and cable, and record again",
            fault="lost-trigger",
        )


@dataclass(frozen=True)
class _Places:
    """Pairs in which one reading each is missing or too many, (m,) rising; `costs` (m + 1, pairs) squared residuals."""

    places: tuple[int, ...]
    costs: NDArray[np.float64]
    scatter: float


def moved(
    stream: Vector,
    early: int,
    time_us: Vector | None,
    noise_counts2: float,
    where: str,
    starts: tuple[int, ...] = (0,),
) -> Vector:
    """Readings (2 pairs,) of a record that begins `early` readings too early put into their frames, NaN for pairs with
    none.  Raises `FileError` where the sums of the pairs then do not fit.
    """
    pairs = stream.size // 2
    sums = _lit(_sums(stream, early, pairs))
    basis = _LampCurve(pairs, time_us, starts).basis()
    fits = _fitted(sums, basis)[1] <= SUSPICIOUS_RATIO**2 * 2 * noise_counts2
    if pairs >= FEWEST_PAIRS and not fits:
        raise FileError(
            f"{where}: {shift_words(early)}, and the sums of the pairs do not fit even so: more triggers were lost "
            "or doubled, or the scene or the lamp changed; check trigger level and cable, and record again",
            fault="lost-trigger",
        )
    placed = np.full(stream.size, np.nan)
    frames = np.flatnonzero(np.repeat(np.isfinite(sums), 2))
    placed[frames] = stream[frames + early]
    return placed


def _all_slipped(stream: Vector, lamp: "_LampCurve") -> bool:
    """Whether the sums of pairs fit far better once all readings are moved by one, either way."""
    pairs = lamp.pairs
    if pairs < FEWEST_PAIRS:
        return False
    basis = lamp.basis()
    recorded, earlier, later = (_fitted(_lit(_sums(stream, offset, pairs)), basis)[1] for offset in (0, 1, -1))
    chance = float(np.exp(-CHANCE_DEVIATIONS * (4 / max(pairs - basis.shape[1], 1)) ** 0.5))
    return min(earlier, later) < chance * recorded


def _refuse_slip(stream: Vector, lamp: "_LampCurve", limit: float, where: str) -> None:
    """Raise `FileError` where the count is right but one slip of the pairs explains their scatter."""
    pairs = lamp.pairs
    if pairs < FEWEST_PAIRS or _fitted(_lit(_sums(stream, 0, pairs)), lamp.basis())[1] <= limit:
        return
    slip = _best_places(stream, lamp, "lost", 1)
    if slip.scatter > limit:
        return
    pair = slip.places[0]
    if not lamp.inside(pair):
        raise FileError(
            f"{where}: the sums of the pairs do not fit near pattern {pair}, at an end of the record, and fit "
            "elsewhere: a trigger was lost or doubled there, or lamp, shutter or scene changed there; record again",
            fault="lost-trigger",
        )
    raise FileError(
        f"{where}: the sums of the pairs slip by one reading at frame {2 * pair} or {2 * pair + 1} (pattern "
        f"{pair}), though the number of readings is right: a trigger was lost or doubled there, which of both "
        "cannot be told; record again",
        fault="lost-trigger",
    )


def _sums(stream: Vector, offset: int, pairs: int) -> Vector:
    """Sums of readings 2 k + offset and 2 k + 1 + offset, (pairs,), NaN where one of them is not there."""
    padded = np.full(2 * pairs, np.nan)
    source = np.arange(2 * pairs) + offset
    there = (source >= 0) & (source < stream.size)
    padded[there] = stream[source[there]]
    sums: Vector = padded[0::2] + padded[1::2]
    return sums


def _lit(sums: Vector) -> Vector:
    """Sums of pairs, NaN where hardly any light was there."""
    return np.where(sums < LEAST_LIGHT * float(np.nanmedian(sums)), np.nan, sums)


@dataclass(frozen=True)
class _LampCurve:
    """What the lamp may do while pairs are read: a slow curve and mains flicker, of each sequence its own.

    `starts`: the first pair of each sequence; `time_us` (2 pairs,) within each, None where unknown.
    """

    pairs: int
    time_us: Vector | None
    starts: tuple[int, ...]

    def basis(self) -> NDArray[np.float64]:
        """Orthonormal columns at the middle of each pair, (pairs, M), those of each sequence 0 in the others."""
        blocks = [self._of_sequence(first, last) for first, last in self._sequences()]
        return blocks[0] if len(blocks) == 1 else np.asarray(block_diag(*blocks), dtype=np.float64)

    def inside(self, pair: int) -> bool:
        """Whether a pair is so far from the ends of its sequence that no lamp curve follows its sum alone."""
        first, last = self._around(pair)
        return first + self.bending(pair) <= pair < last - self.bending(pair)

    def bending(self, pair: int) -> int:
        """How many pairs from an end the curve follows a single wrong sum, about 4 m / (d + 1)^2 for m pairs."""
        first, last = self._around(pair)
        return -(-4 * (last - first) // (_degree(last - first) + 1) ** 2)

    def _sequences(self) -> list[tuple[int, int]]:
        return list(pairwise((*self.starts, self.pairs)))

    def _around(self, pair: int) -> tuple[int, int]:
        return next((one for one in self._sequences() if one[0] <= pair < one[1]), (0, self.pairs))

    def _of_sequence(self, first: int, last: int) -> NDArray[np.float64]:
        count = last - first
        if self.time_us is None:
            times = np.arange(2 * count, dtype=np.float64)
        else:
            times = self.time_us[2 * first : 2 * last] - self.time_us[2 * first]
        middle = 0.5 * (times[0::2] + times[1::2])
        columns = [over_span(middle, max(float(times[-1]), 1e-9), _degree(count))]
        if self.time_us is not None and count >= 2 * FEWEST_PAIRS:
            for hertz in FLICKER_HZ:
                phase = 2 * np.pi * hertz * 1e-6 * middle
                columns.append(np.column_stack([np.cos(phase), np.sin(phase)]))
        basis, _ = np.linalg.qr(np.column_stack(columns))
        return basis


def _degree(pairs: int) -> int:
    return min(LAMP_DEGREE, pairs // 8)


def _fitted(sums: Vector, basis: NDArray[np.float64]) -> tuple[Vector, float]:
    """The lamp curve (pairs,) through the sums that are there, and the mean square around it."""
    used = np.isfinite(sums)
    curve: Vector = basis @ np.linalg.lstsq(basis[used], sums[used], rcond=None)[0]
    freedom = max(int(used.sum()) - basis.shape[1], 1)
    return curve, float(np.sum((sums[used] - curve[used]) ** 2) / freedom)


def _best_places(stream: Vector, lamp: "_LampCurve", kind: Kind, count: int) -> _Places:
    """Where `count` events leave least scatter: shortest path through the offsets, and the lamp curve, in turns."""
    basis, pairs = lamp.basis(), lamp.pairs
    step = -1 if kind == "lost" else 1
    sums = np.stack([_sums(stream, step * number, pairs) for number in range(count + 1)])
    curve, _ = _fitted(np.nanmedian(sums, axis=0), basis)
    best: _Places | None = None
    for _ in range(LAMP_ROUNDS):
        costs = np.where(np.isfinite(sums), (sums - curve) ** 2, 0.0)
        places = _shortest_path(costs)
        curve, scatter = _fitted(_chosen(sums, places), basis)
        if best is not None and places == best.places:
            break
        if best is None or scatter < best.scatter:
            best = _Places(places, np.where(np.isfinite(sums), (sums - curve) ** 2, 0.0), scatter)
    if best is None:
        raise FileError("triggers: no pair of readings is there")
    return best


def _shortest_path(costs: NDArray[np.float64]) -> tuple[int, ...]:
    """The pairs at which the path goes to the next offset (these pairs cost nothing), of least total cost."""
    states, pairs = costs.shape
    total = np.zeros((states, pairs + 1))
    total[1:, 0] = np.inf
    moved = np.zeros((states, pairs), dtype=bool)
    for pair in range(pairs):
        stay = total[:, pair] + costs[:, pair]
        move = np.concatenate([[np.inf], total[:-1, pair]])
        moved[:, pair] = move < stay
        total[:, pair + 1] = np.minimum(stay, move)
    places, state = [], states - 1
    for pair in range(pairs - 1, -1, -1):
        if moved[state, pair]:
            places.append(pair)
            state -= 1
    return tuple(reversed(places))


def _chosen(sums: NDArray[np.float64], places: tuple[int, ...]) -> Vector:
    """The sum of each pair at its offset, NaN in the pairs of the events."""
    pair = np.arange(sums.shape[1])
    state = np.searchsorted(np.array(places), pair, side="left")
    chosen: Vector = sums[state, pair]
    chosen[list(places)] = np.nan
    return chosen


def _near(found: _Places, number: int, noise_counts2: float) -> tuple[int, ...]:
    """The pairs in which event `number` could lie as well."""
    place, costs = found.places[number], found.costs[number : number + 2]
    least = found.places[number - 1] + 1 if number else 0
    most = found.places[number + 1] - 1 if number + 1 < len(found.places) else costs.shape[1] - 1
    limit = EQUAL_CHI_SQUARE * 2 * noise_counts2
    first = last = place
    # Moved to an earlier pair, the pairs from there on are summed at the later offset, and the other way round.
    while first > least and costs[1, first : place + 1].sum() - costs[0, first - 1 : place].sum() <= limit:
        first -= 1
    while last < most and costs[0, place : last + 1].sum() - costs[1, place + 1 : last + 2].sum() <= limit:
        last += 1
    return tuple(range(first, last + 1))


def _in_place(stream: Vector, pairs: int, found: _Places, events: tuple[TriggerEvent, ...]) -> Vector:
    step = -1 if events[0].kind == "lost" else 1
    frame = np.arange(2 * pairs)
    state = np.searchsorted(np.array(found.places), frame // 2, side="left")
    source = frame + step * state
    there = (source >= 0) & (source < stream.size)
    readings = np.full(2 * pairs, np.nan)
    readings[there] = stream[source[there]]
    for event in events:
        for pair in event.left_out:
            readings[2 * pair : 2 * pair + 2] = np.nan
    return readings
