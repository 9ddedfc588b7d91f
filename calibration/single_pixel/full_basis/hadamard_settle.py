"""What the readings of a full Hadamard basis are: in which order, of which patterns, of which sign.

All patterns of +1 and -1 but the first are balanced, and no scene gives less light to all mirrors than to some.  So
the first reading is the largest, and what all readings have in common ends in pixel (0, 0) of the image alone: patterns
of 0 and 1 (half of all the light), a dark level, or nothing.  These two hold in every order of the rows.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture
from cidesign.calibration.single_pixel.full_basis.hadamard_order import (
    NORMAL_MEDIAN,
    OrderFound,
    find_order,
    in_natural_order,
    noise_level,
)
from cidesign.errors import FileError, InputError
from cidesign.pattern.hadamard import hadamard_order_rows, walsh_hadamard
from cidesign.records import Finite, Strict, shown

Patterns = Literal["signed", "0/1", "pairs", "halves"]
# A common part counts when pixel (0, 0) is beyond the others by as many of their ranges, and is that part of the first
# reading: a scene may well be brightest in its corner.
COMMON_RANGES, LEAST_COMMON = 5.0, 0.02
# The common part of patterns of 0 and 1, of the first reading: a half, and little more with a dark level.
HALVES = (0.45, 0.55)
# The first reading is too small when another is larger by as many deviations of noise, or when that part of the pixels
# is negative beyond them.
FIRST_DEVIATIONS, NEGATIVE_DEVIATIONS, NEGATIVE_PART, NEGATIVE_DEPTH = 5.0, 4.0, 0.05, 0.03


class SettledRecord(Strict):
    """What was found, for reconstruction.json.

    `order_status` tells how `order` is known, `roughness_by_order` how rough the image is in each order;
    `first_reading` and the `common_part` of all, both as recorded; `sign` -1: the readings were inverted.
    """

    order: str
    order_status: str
    roughness_by_order: dict[str, float]
    first_reading: Finite
    common_part: Finite
    sign: Literal[1, -1]
    patterns_stated: str | None


@dataclass(frozen=True)
class Settled:
    """The capture with the readings of one region as signed patterns in natural order would have given them.

    `record` is what was found, for reconstruction.json; `remarks` what of it the user should read.
    """

    capture: HadamardCapture
    record: SettledRecord
    remarks: tuple[str, ...]


def settle_readings(
    capture: HadamardCapture, region: int, order: str | None = None, patterns: str | None = None
) -> Settled:
    """Find out what the readings of a region are, and put them right; `order`, `patterns` state it instead.

    Raises `InputError` for names that are not known, and `FileError` for readings that no order or no scene explains.
    """
    _check_stated(capture, order, patterns)
    readings = capture.readings[region]
    require_varying(capture.path, readings)
    common = _common_part(readings) if patterns is None else 0.5 * float(readings[0]) if patterns == "0/1" else 0.0
    first = float(readings[0])
    signed = readings - common
    sign = -1.0 if signed[0] < 0 else 1.0
    signed = sign * signed
    check_first(capture.path, signed)
    found = _order_of(capture, signed, order)
    if found.status == "refused":
        raise _undecided(capture, found)
    every = in_natural_order(capture.readings, found.order, capture.size)
    every[region] = in_natural_order(signed[None], found.order, capture.size)[0]
    if common and patterns is None:
        every[region] -= _corner_beyond_neighbours(every[region], capture.size)
    remarks = [*_first_words(common, first, sign, patterns), *_order_words(found)]
    remarks += negative_words(capture.image_of(every[region]))
    record = SettledRecord(
        order=found.order,
        order_status=found.status,
        roughness_by_order={name: round(value, 4) for name, value in found.roughness.items()},
        first_reading=first,
        common_part=common,
        sign=-1 if sign < 0 else 1,
        patterns_stated=patterns,
    )
    return Settled(replace(capture, readings=every), record, tuple(remarks))


def _check_stated(capture: HadamardCapture, order: str | None, patterns: str | None) -> None:
    known = hadamard_order_rows(*capture.size)
    if order is not None and order not in known:
        raise InputError(f"--set order={order}: not an order that is known; known are {', '.join(known)}")
    if patterns is not None and patterns not in get_args(Patterns):
        raise InputError(f"--set patterns={patterns}: known are {', '.join(get_args(Patterns))}")
    if order is not None and capture.own_basis:
        raise InputError(f"--set order={order}: {capture.path} holds its own basis, which says the order; leave it out")


def _common_part(readings: NDArray[np.float64]) -> float:
    """What all readings (N,) have in common beyond a scene's own corner, in their units; 0 where nothing stands out.

    Pixel (0, 0) is their mean in every order, and the values of the others are the scene's where rows are in order.
    """
    others = walsh_hadamard(readings)[1:] / readings.size
    beyond = float(readings.mean() - np.median(others))
    low, high = np.percentile(others, [1, 99])
    stands_out = abs(beyond) > COMMON_RANGES * (high - low) and abs(beyond) > LEAST_COMMON * abs(readings[0])
    return beyond if stands_out else 0.0


def require_varying(path: Path, readings: NDArray[np.float64]) -> None:
    """Raise `FileError` for readings that are all alike."""
    if (readings == readings[0]).all():
        raise FileError(
            f"{path}: all {readings.size} readings are {readings[0]:.6g}, so the image has no positive values: a "
            "constant is no capture; was the light off, the detector saturated or disconnected, or the sequence not "
            "running?"
        )


def check_first(path: Path, signed: NDArray[np.float64]) -> None:
    """Raise `FileError` where a reading is larger than the first, that of all mirrors on."""
    largest = int(np.argmax(np.abs(signed)))
    if abs(signed[largest]) - signed[0] > FIRST_DEVIATIONS * 2**0.5 * noise_level(signed):
        raise FileError(
            f"{path}: reading 0 is {signed[0]:.6g}, but reading {largest} is {signed[largest]:.6g}: no scene "
            "gives less light to all mirrors than to some. Was the first reading lost, clipped or taken off as a mean, "
            "or does the record begin with another reading? Put what all mirrors on read into its place, or record "
            "again"
        )


def _order_of(capture: HadamardCapture, signed: NDArray[np.float64], order: str | None) -> OrderFound:
    if capture.own_basis:
        return OrderFound("natural", "of the file's own basis", (), {})
    if order is not None:
        return OrderFound(order, "stated", (), {})
    return find_order(signed, capture.size)


def _undecided(capture: HadamardCapture, found: OrderFound) -> FileError:
    names = (found.order, *found.rivals)
    listed = ", ".join(f"{name} ({found.roughness[name]:.2f})" for name in names)
    return FileError(
        f"{capture.path}: the readings are hardly in natural order (neighbouring pixels differ by "
        f"{found.roughness['natural']:.2f} of what any two do), and which order it is cannot be told: {listed}. State "
        f"it with --set order=NAME; known are {', '.join(found.roughness)}"
    )


def _corner_beyond_neighbours(readings: NDArray[np.float64], size: tuple[int, int]) -> float:
    image = walsh_hadamard(readings).reshape(size) / readings.size
    return float(image[0, 0] - (image[0, 1] + image[1, 0]) / 2)


def _first_words(common: float, first: float, sign: float, patterns: str | None) -> list[str]:
    words = []
    if common and patterns is None:
        halves = HALVES[0] * abs(first) <= abs(common) <= HALVES[1] * abs(first)
        shown_as = "patterns of 0 and 1" if halves else "a dark level, or patterns of 0 and 1"
        words.append(
            f"put right: all readings have {common:.6g} in common (the first is {first:.6g}), as of {shown_as}; it is "
            "taken off, and pixel (0, 0) from its neighbours (--set patterns=signed leaves it)"
        )
    elif patterns == "0/1":
        words.append("patterns of 0 and 1, as stated: half of the first reading is taken off all")
    if sign < 0:
        words.append(
            "put right: the reading with all mirrors on is the lowest, as of a detector that inverts or of negative "
            "patterns; the sign of all readings is changed"
        )
    return words


def _order_words(found: OrderFound) -> list[str]:
    if found.status == "put right":
        return [
            f"put right: the readings are in {found.order} order, not in natural (Sylvester) order: neighbouring "
            f"pixels differ there by {found.roughness[found.order]:.2f} of what any two do, in natural order by "
            f"{found.roughness['natural']:.2f}. The transposed picture would be as smooth, so compare it with the "
            "scene; --set order=NAME states an order"
        ]
    if found.status == "not verified":
        smooth = [name for name in found.roughness if found.roughness[name] < found.roughness["natural"]]
        return [
            "order not verified: natural (Sylvester) order is taken; noise, few pixels or fine texture leave open "
            f"whether the image is smoother in another{f' ({shown(smooth)})' if smooth else ''}; --set order=NAME "
            "states it"
        ]
    return [f"order of the readings: {found.order}, {found.status}"]


def negative_words(image: NDArray[np.float64]) -> list[str]:
    """What is to be said of an image (H, W) whose pixels are negative beyond noise: the first reading is too small."""
    low, high = np.percentile(image, [5, 95])
    # Scenes are flat in most places: there, noise alone bends the image.
    bends = np.diff(np.diff(image, axis=0), axis=1)
    noise = float(np.median(np.abs(bends))) / (2 * NORMAL_MEDIAN)
    negative = float(np.mean(image < -NEGATIVE_DEVIATIONS * noise))
    if negative < NEGATIVE_PART or low > -NEGATIVE_DEPTH * (high - low):
        return []
    return [
        f"{negative:.0%} of the pixels are negative beyond noise: the first reading (all mirrors on) is too small; was "
        "it clipped, or a mean taken off?"
    ]
