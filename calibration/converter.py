"""The converter behind a detector: which of its low bits are in use, and whether its range was enough."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check

# An average of N frames reaches the converter's limit only where all of them do, and rounds on the way.
AVERAGE_ROUNDING_COUNTS = 0.5


def converter_step(readings: NDArray[np.float64]) -> float:
    """The largest power of two that divides all readings: 1 for a plain converter, 16 for 12 bits at the top of 16.

    0 for readings that are no whole numbers, 1 for equal ones, which say nothing.
    """
    whole = np.rint(readings)
    if not np.array_equal(readings, whole) or np.abs(whole).max() >= 2**53:
        return 0.0
    bits = int(np.bitwise_or.reduce(np.abs(whole).astype(np.int64).ravel()))
    return float(bits & -bits) if bits and np.ptp(whole) > 0 else 1.0


def bits_check(step_counts: float, read_noise_counts: float) -> Check:
    """Low bits that are never used; a known read noise below the noise of such steps was found with finer ones."""
    bits = round(np.log2(step_counts)) if step_counts >= 1 else 0
    coarser = read_noise_counts < 0.99 * step_counts / 12**0.5
    if step_counts == 0:
        text = "the readings are no whole numbers; the converter's step cannot be seen"
        return Check(name="converter bits", status="not checked", text=text)
    return Check(
        name="converter bits",
        status="failed" if bits and coarser else "corrected" if bits else "passed",
        text="the lowest bit is in use"
        if not bits
        else f"the {bits} low bits are always 0 (readings are justified to the left): all counts are steps of "
        f"{step_counts:g}, "
        + ("coarser than when the bench was calibrated; calibrate again" if coarser else "which the noise allows for"),
        value=float(bits),
        limit=0.0,
        unit="unused bits",
        fault="bit-justification" if bits else None,
    )


def range_check(arrays: Mapping[str, NDArray[np.float64]], limit_counts: float | None, most_percent: float) -> Check:
    """The share of saturated readings in the worst of `arrays`, of which there is at least one, in counts.

    `limit_counts`: where the converter ends; None where a capture does not say it.
    """
    if limit_counts is None:
        return Check(name="saturation", status="not checked", text="the capture gives no saturation_counts")
    full = limit_counts - AVERAGE_ROUNDING_COUNTS
    shares = {name: 100 * float(np.mean(readings >= full)) for name, readings in arrays.items()}
    worst = max(shares, key=lambda name: shares[name])
    failed = shares[worst] > most_percent
    fullest = max(float(np.percentile(readings, 99.5)) for readings in arrays.values()) / limit_counts
    return Check(
        name="saturation",
        status="failed" if failed else "passed",
        text=f"{shares[worst]:.3g} % of the readings of {worst} are at {limit_counts:g} counts; take less light or a "
        "shorter exposure"
        if failed
        else f"at most {shares[worst]:.2g} % of the readings of any array; the brightest use {fullest:.0%} of the "
        "range",
        value=shares[worst],
        limit=most_percent,
        unit="%",
        fault="saturation" if failed else None,
    )
