"""Complementary pairs of readings: found by their sums, which are all the light, and subtracted."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard_files import RawReadings
from cidesign.calibration.single_pixel.full_basis.rows import size_text
from cidesign.errors import FileError, InputError

Array = NDArray[np.float64]
# The sums of complementary pairs vary less than that part of their differences.
PAIR_SUM_PART = 0.5
# The sum of the first pair is less than that of the others, where all mirrors on are too bright for the detector.
SATURATED_DEVIATIONS, SATURATED_PART, NEIGHBOURS = 5.0, 0.01, 16
# Of fewer readings, sums tell nothing.
LEAST_PAIRED = 8
WAYS = {"pairs": "one after the other", "halves": "in two halves of the record"}


@dataclass(frozen=True)
class Unpaired:
    """One reading (R, M) for each pattern; `noise` (R,) of one, and all the light (R, M), where pairs told them."""

    readings: Array
    noise: Array | None
    notes: tuple[str, ...]


def unpaired(raw: RawReadings, size: tuple[int, int], patterns: str | None) -> Unpaired:
    """The readings of a file with complementary pairs subtracted, and a note that says so.

    `patterns` "pairs" or "halves" state them.  Raises `FileError` for more readings than patterns of `size` have, for
    twice as many that are no pairs, and for readings that may be both.
    """
    count, pixels = raw.data.shape[1], math.prod(size)
    if patterns in WAYS:
        if count % 2:
            raise InputError(f"--set patterns={patterns}: {raw.path} holds {count} readings, which are no pairs")
        found = [patterns]
    elif patterns is not None:
        found = []
    else:
        found = _ways(raw, pixels)
    if not found and count <= pixels:
        return Unpaired(raw.data, None, ())
    if count > 2 * pixels or (count > pixels and not found):
        raise FileError(_too_many(raw.path, count, size))
    (way,) = found
    first, second = _split(raw.data, way)
    notes = [f"put right: {count} readings are complementary pairs, {WAYS[way]}; their differences are used"]
    signed = first - second
    noise = np.array([_step_deviation(row) for row in (first + second)[:, 1:]])
    for region in range(len(signed)):
        signed[region, 0] = _first_pair(first[region], second[region], noise[region], notes)
    return Unpaired(signed, noise, tuple(dict.fromkeys(notes)))


def _ways(raw: RawReadings, pixels: int) -> list[str]:
    """How the readings are pairs: none or one of `WAYS`."""
    count = raw.data.shape[1]
    told = raw.matrix is not None
    if count % 2 or not LEAST_PAIRED <= count <= 2 * pixels or (raw.matrix is not None and len(raw.matrix) == count):
        return []
    found = [way for way in WAYS if _steady(*_split(raw.data, way), count < 2 * pixels)]
    if count == 2 * pixels or (told and not found):
        if len(found) != 1:
            raise FileError(
                f"{raw.path}: {count} readings are twice {_square_text(count // 2)}, but no complementary pairs: their "
                "sums vary as much as their differences, one after the other as in two halves; give one signed reading "
                "for each pattern, or state what they are: --set patterns=pairs or halves; --set size=HxW"
            )
        return found
    if len(found) > 1 or (found and count == pixels):
        raise FileError(
            f"{raw.path}: {count} readings are one for each of {count} patterns, or complementary pairs of "
            f"{count // 2}: sums of neighbours are steady; state it with --set patterns=signed, 0/1, pairs or halves"
        )
    return found


def _square_text(count: int) -> str:
    side = math.isqrt(count)
    return f"{side} x {side}" if side * side == count else f"{count} patterns"


def _split(data: Array, way: str) -> tuple[Array, Array]:
    half = data.shape[1] // 2
    return (data[:, 0::2], data[:, 1::2]) if way == "pairs" else (data[:, :half], data[:, half:])


def _steady(first: Array, second: Array, bright: bool) -> bool:
    """Whether the sums of pairs vary less than their differences; `bright`: and are the same light each time.

    Steps of the sums, because the lamp drifts.  The first pair, all on and all off, says nothing.
    """
    sums, differences = (first + second)[:, 1:], (first - second)[:, 1:]
    steps = np.diff(sums, axis=1)
    steady = bool(np.mean(steps**2) / 2 < PAIR_SUM_PART**2 * np.mean(differences**2))
    return steady and (not bright or bool(np.mean(np.abs(sums.mean(axis=1))) > np.sqrt(np.mean(differences**2))))


def _step_deviation(sums: Array) -> float:
    return float(np.sqrt(np.mean(np.diff(sums) ** 2) / 2)) if sums.size > 1 else 0.0


def _first_pair(first: Array, second: Array, noise: float, notes: list[str]) -> float:
    """The difference of the first pair; where its sum falls short of the others', all mirrors on were too bright."""
    sums = first + second
    wanted = float(np.median(sums[1 : 1 + NEIGHBOURS]))
    short = wanted - sums[0]
    signed = float(first[0] - second[0])
    if short < max(SATURATED_DEVIATIONS * 2**0.5 * noise, SATURATED_PART * abs(wanted)):
        return signed
    notes.append(
        f"put right: the readings of the first pair add up to {sums[0]:.6g}, those of the others to {wanted:.6g}: all "
        "mirrors on were too bright for the detector (saturated); that reading is taken from the sums of the others"
    )
    return signed + math.copysign(short, signed)


def _too_many(path: Path, count: int, size: tuple[int, int]) -> str:
    pixels = math.prod(size)
    return (
        f"{path}: {count} readings, but patterns of {size_text(size)} are {pixels} at most ({2 * pixels} readings in "
        "complementary pairs); state the size of the patterns with --set size=HxW"
    )
