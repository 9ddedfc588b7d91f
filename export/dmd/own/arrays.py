"""Arrays of patterns: which axis counts them, and how flattened ones are folded."""

import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.rules import sizes_hint
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.dmd.own.options import PatternOptions
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.io.arrays import read_stored

MAX_BYTES = 2_000_000_000
Axis = Literal["first", "last", "none"]


class _Reading(NamedTuple):
    """One way to understand an array; `order` is None where nothing was folded."""

    axis: Axis
    order: Literal["row", "column"] | None
    patterns: NDArray[np.generic]

    def size(self) -> str:
        """How many patterns of which size, for people."""
        count, rows, columns = self.patterns.shape
        return f"{count} pattern{'s' if count > 1 else ''} of {columns} x {rows}"

    def text(self) -> str:
        """What the array holds, for people."""
        return f"{self.size()}, each folded {self.order} by {self.order}" if self.order else self.size()


def read_patterns(path: Path, profile: DmdProfile, options: PatternOptions) -> tuple[NDArray[np.generic], str]:
    """Patterns (K, H, W) in the type they are stored in, and how the array was understood.

    Raises `FileError` for what holds no real numbers, `InputError` where two readings are possible and differ (both
    are named), and `LimitError` for a size that is neither square nor that of the mirrors.
    """
    stored = read_stored(path, options.array, MAX_BYTES)
    if stored.dtype.kind not in "biuf":
        raise FileError(f"{path}: holds {stored.dtype} values; patterns are real numbers")
    if not stored.size:
        raise FileError(f"{path}: an array of shape {stored.shape} holds no pattern")
    array = stored.squeeze() if stored.ndim > 3 else stored
    readings = _distinct(_readings(array, profile))
    kept = [
        one for one in readings if options.axis in (None, one.axis) and options.order in (None, one.order, *_none(one))
    ]
    if not kept:
        raise _misfit(path, stored, readings, profile, options)
    if len(kept) > 1:
        raise InputError(f"{path}: an array of shape {stored.shape} can be {_choice(kept)}; say which")
    return kept[0].patterns, f"{path.name}: {kept[0].text()}, from an array of shape {stored.shape}"


def _choice(readings: list[_Reading]) -> str:
    """What there is to choose between, and the options that do: first the axis, then the order."""
    axes = {one.axis: f"{one.size()} (`--set axis={one.axis}`)" for one in readings}
    orders = {one.order: f"{one.order} by {one.order} (`--set order={one.order}`)" for one in readings if one.order}
    sizes = " or ".join(axes.values()) if len(axes) > 1 else readings[0].size()
    return f"{sizes}, folded {' or '.join(orders.values())}" if len(orders) > 1 else sizes


def _none(reading: _Reading) -> tuple[str, ...]:
    """An order that is asked for says nothing about what is not folded; any fits."""
    return () if reading.order else ("row", "column")


def _readings(array: NDArray[np.generic], profile: DmdProfile) -> list[_Reading]:
    mirrors = (profile.mirrors.rows.value, profile.mirrors.columns.value)

    def fits(rows: int, columns: int) -> bool:
        return rows == columns or (rows, columns) in (mirrors, mirrors[::-1])

    found: list[_Reading] = []
    if array.ndim == 3:
        if fits(*array.shape[1:]):
            found.append(_Reading("first", None, array))
        if fits(*array.shape[:2]):
            found.append(_Reading("last", None, np.moveaxis(array, 2, 0)))
    if array.ndim == 2:
        if fits(*array.shape):
            found.append(_Reading("none", None, array[None]))
        found += _folded("first", array, mirrors)
        found += _folded("last", array.T, mirrors)
    if array.ndim == 1:
        found += _folded("first", array[None], mirrors)
    return found


def _folded(axis: Axis, rows: NDArray[np.generic], mirrors: tuple[int, int]) -> list[_Reading]:
    """Flattened patterns (K, N) folded both ways, where N is a square of 2 or more, or the number of mirrors."""
    count, size = rows.shape
    side = math.isqrt(size)
    if size == math.prod(mirrors):
        shape = mirrors
    elif side >= 2 and side * side == size:
        shape = side, side
    else:
        return []
    by_row = rows.reshape(count, *shape)
    by_column = np.swapaxes(rows.reshape(count, *shape[::-1]), 1, 2)
    return [_Reading(axis, "row", by_row), _Reading(axis, "column", by_column)]


def _distinct(readings: list[_Reading]) -> list[_Reading]:
    """The readings without those that give the same patterns as an earlier one."""
    kept: list[_Reading] = []
    for reading in readings:
        if not any(np.array_equal(reading.patterns, one.patterns) for one in kept):
            kept.append(reading)
    return kept


def _misfit(
    path: Path, stored: NDArray[np.generic], readings: list[_Reading], profile: DmdProfile, options: PatternOptions
) -> InputError | LimitError:
    if readings:
        asked = ", ".join(f"{n}={v}" for n, v in (("axis", options.axis), ("order", options.order)) if v)
        ways = " or ".join(one.text() for one in readings)
        return InputError(f"{path}: with {asked} an array of shape {stored.shape} holds no patterns; it can be {ways}")
    mirrors = profile.mirrors
    sizes = f"n x n, or the {mirrors.rows.value} x {mirrors.columns.value} (rows x columns) mirrors of {profile.id}"
    hint = "; " + sizes_hint(stored.shape[-1], stored.shape[-2]) if stored.ndim in (2, 3) else ""
    return LimitError(f"{path}: an array of shape {stored.shape} holds no patterns of {sizes}{hint}")
