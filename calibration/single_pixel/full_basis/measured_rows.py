"""Readings of some rows of a Hadamard matrix, or of all in any matrix: which were shown, and as what."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture
from cidesign.calibration.single_pixel.full_basis.hadamard_files import RawReadings
from cidesign.calibration.single_pixel.full_basis.hadamard_order import NORMAL_MEDIAN, noise_level
from cidesign.calibration.single_pixel.full_basis.hadamard_settle import (
    Settled,
    SettledRecord,
    check_first,
    negative_words,
    require_varying,
)
from cidesign.calibration.single_pixel.full_basis.pairs import Unpaired, unpaired
from cidesign.calibration.single_pixel.full_basis.rows import HadamardRows, OwnRows, Rows, known_orders, size_text
from cidesign.errors import FileError, InputError
from cidesign.pattern.hadamard import hadamard_order_rows

Array = NDArray[np.float64]
LEAST_ROWS = 4
# Readings of balanced patterns lie around 0, those of patterns of 0 and 1 around half of the first or, with a dark
# level, above: medians over the first reading.
SIGNED_BELOW, UNSIGNED_ABOVE = 0.25, 0.4
# The median is taken for the common part where it is that far from half of the first reading: of its own standard
# errors (1.25 deviations over the root of their number), and of the first reading.
MEDIAN_ERRORS, MEDIAN_ERROR, MEDIAN_PART = 5.0, 1.25, 0.02


@dataclass(frozen=True)
class MeasuredRows:
    """Signed readings (M,) of M rows, in display order, in the lab's own units.

    `noise` is the standard deviation of a reading, from pairs or repeats, or an upper bound of it.  `record` is what
    was found out, for reconstruction.json; `notes` what of it the user should read.
    """

    path: Path
    rows: Rows
    readings: Array
    noise: float
    noise_is_bound: bool
    label: str
    notes: tuple[str, ...]
    record: SettledRecord | None = None

    @property
    def complete(self) -> bool:
        """Whether every row was measured."""
        return self.rows.count == math.prod(self.rows.size)

    def image(self) -> Array:
        """The image (H, W) with 0 for what the rows that were not shown would have read."""
        return self.rows.image(self.readings)


def rows_of_full_basis(settled: Settled, region: int) -> MeasuredRows:
    """A full basis, put right, as rows like any others."""
    capture: HadamardCapture = settled.capture
    return MeasuredRows(
        path=capture.path,
        rows=capture.rows,
        readings=capture.readings[region],
        noise=capture.reading_noise(region),
        noise_is_bound=capture.measured_noise is None,
        label=capture.labels[region],
        notes=(*settled.remarks, *capture.notes),
        record=settled.record,
    )


def settle_rows(
    raw: RawReadings, region: int, size: tuple[int, int], order: str | None, patterns: str | None
) -> MeasuredRows:
    """Find out what the readings of a region are; `order` says which rows were shown, the first of it.

    Raises `InputError` for names that are not known, and `FileError` for readings that no scene explains, and where
    which rows they are cannot be known.
    """
    read = unpaired(raw, size, patterns)
    readings = read.readings[region]
    if len(readings) < LEAST_ROWS:
        raise FileError(f"{raw.path}: {len(readings)} patterns were read; at least {LEAST_ROWS} are needed")
    rows, status = _shown(raw, size, len(readings), order)
    require_varying(raw.path, readings)
    on = _all_on(raw.path, rows)
    # As the first of them, whatever the order: what follows knows it there.
    arranged = np.concatenate([readings[[on]], np.delete(readings, on)])
    common, words = _common_part(raw, arranged, read, patterns)
    signed = readings - common
    sign = -1.0 if signed[on] < 0 else 1.0
    signed = sign * signed
    check_first(raw.path, sign * (arranged - common))
    noise = _noise(rows, signed, on) if read.noise is None else float(read.noise[region])
    notes = [f"order of the patterns: {order or 'natural'}, {status}", *read.notes, *words]
    if sign < 0:
        notes.append(
            "put right: the reading with all mirrors on is the lowest, as of a detector that inverts or of negative "
            "patterns; the sign of all readings is changed"
        )
    notes += negative_words(rows.image(signed)) if rows.count == math.prod(size) else []
    return MeasuredRows(
        path=raw.path,
        rows=rows,
        readings=signed,
        noise=noise,
        noise_is_bound=read.noise is None,
        label=raw.labels[region],
        notes=tuple(notes),
        record=SettledRecord(
            order=order or ("of the file" if raw.matrix is not None else "natural"),
            order_status=status,
            roughness_by_order={},
            first_reading=float(readings[on]),
            common_part=common,
            sign=-1 if sign < 0 else 1,
            patterns_stated=patterns,
        ),
    )


def _shown(raw: RawReadings, size: tuple[int, int], count: int, order: str | None) -> tuple[Rows, str]:
    """Which rows were shown, and how that is known."""
    if raw.matrix is not None:
        if order is not None:
            raise InputError(
                f"--set order={order}: {raw.path} holds its own patterns, which say the order; leave it out"
            )
        if len(raw.matrix) != count:
            raise FileError(f"{raw.path}: {count} readings, but vecs holds {len(raw.matrix)} patterns")
        return OwnRows(size, raw.matrix), "of the file's own basis"
    known, pixels = known_orders(size), math.prod(size)
    if not known:
        raise FileError(
            f"{raw.path}: no Hadamard patterns of {size_text(size)} are known here (sides, or their product, of 2^k, "
            "12 2^k or 20 2^k are); bring the patterns themselves as `vecs` (patterns, pixels) beside `data`"
        )
    if order is not None:
        if order not in known:
            raise InputError(f"--set order={order}: not an order of {size_text(size)}; known are {', '.join(known)}")
        every = known[order]
        return HadamardRows(size, every.orders, every.numbers[:count]), "stated"
    if len(known) == 1 and count == pixels:
        return next(iter(known.values())), "not verified"
    lost = "; one is missing: is it the first, with all mirrors on? If not," if count == pixels - 1 else ";"
    raise FileError(
        f"{raw.path}: {count} readings of patterns of {size_text(size)}, which have {pixels}{lost} state the order in "
        f"which they were shown, of which these are the first: --set order=NAME; known are {', '.join(known)}. Or "
        "bring the patterns themselves as `vecs` (patterns, pixels) beside `data`"
    )


def _all_on(path: Path, rows: Rows) -> int:
    """The place of the pattern with all mirrors on; raises `FileError` where it was not shown."""
    lit = rows.numbers == 0 if isinstance(rows, HadamardRows) else (rows.signed() > 0).all(axis=(1, 2))
    if not lit.any():
        raise FileError(
            f"{path}: the pattern with all mirrors on was not read; it sets the scale, so record it as well"
        )
    return int(np.argmax(lit))


def _common_part(raw: RawReadings, readings: Array, read: Unpaired, patterns: str | None) -> tuple[float, list[str]]:
    """What all readings (M,), that of all mirrors on first, have in common beside the scene, and what is said of it."""
    first, half = float(readings[0]), 0.5 * float(readings[0])
    if patterns == "0/1":
        return half, ["patterns of 0 and 1, as stated: half of the reading with all mirrors on is taken off all"]
    if patterns is not None or read.noise is not None or first == 0:
        return 0.0, []
    median = float(np.median(readings[1:]))
    ratio = median / first
    if abs(ratio) < SIGNED_BELOW and not raw.unsigned:
        return 0.0, []
    if ratio < UNSIGNED_ABOVE and not raw.unsigned:
        raise FileError(
            f"{raw.path}: the readings lie around {ratio:.0%} of that with all mirrors on: patterns of +1 and -1 read "
            "about 0, those of 0 and 1 half of it or more; state what they are: --set patterns=signed, 0/1 or pairs"
        )
    deviation = float(np.median(np.abs(readings[1:] - median))) / NORMAL_MEDIAN
    error = MEDIAN_ERROR * deviation / (len(readings) - 1) ** 0.5
    far = abs(median - half) > max(MEDIAN_ERRORS * error, MEDIAN_PART * abs(first))
    common = median if far else half
    shown_as = "patterns of 0 and 1 with a dark level" if far else "patterns of 0 and 1"
    return common, [
        f"put right: the readings lie around {median:.6g} (that with all mirrors on is {first:.6g}), as of {shown_as}; "
        f"{common:.6g} is taken off all (--set patterns=signed leaves it)"
    ]


def _noise(rows: Rows, signed: Array, on: int) -> float:
    """An upper bound of the deviation of a reading: of the finest quarter of the rows, where it is known which are."""
    others = np.delete(np.arange(len(signed)), on)
    if isinstance(rows, HadamardRows) and not any(side & (side - 1) for side in rows.size):
        rank = np.empty(math.prod(rows.size), dtype=np.intp)
        rank[hadamard_order_rows(*rows.size)["diagonal"]] = np.arange(rank.size)
        others = others[np.argsort(rank[rows.numbers[others]])]
        others = others[-max(len(others) // 4, 4) :]
    return noise_level(np.concatenate([signed[[on]], signed[others]]))
