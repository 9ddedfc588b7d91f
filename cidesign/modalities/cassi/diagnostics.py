"""How far the student's cube can be trusted: where it leaves GAP-TV, and how much it scatters."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.modalities.cassi.outcome import CubeMap
from cidesign.reconstruct.record import Disagreement, Trust, Uncertainty
from cidesign.reconstruct.uncertainty import Image, disagreement, error_over, generators

Plane = NDArray[np.float64]

# A decoder of many steps takes its time for each; the relative error of the scatter is about (2 (8 - 1))^-1/2.
DRAWS, SEED = 8, 0
MAPS = {
    "disagreement": (
        "student against GAP-TV",
        "How far the student's cube is from that of GAP-TV, root mean square over the bands. Where it is small, two "
        "methods that assume different things see the same; where it is not, one of them fills in what the detector "
        "image does not tell",
    ),
    "uncertainty": (
        "student: scatter",
        "How much the student's cube would vary, root mean square over the bands, were the scene captured again: noise "
        "of the detector, the part of the light that the operator does not predict, and the place of the code, from "
        f"{DRAWS} draws. It does not hold how one detector image leaves the bands open, so the error is larger",
    ),
}


class Diagnosis(NamedTuple):
    """Maps to write, their numbers for the record, and what they say in words."""

    maps: list[CubeMap]
    trust: Trust
    notes: list[str]


def redrawn(
    y: Plane, variance: Plane, operator: CassiOperator, cube: Image, uncertainty_px: float, draws: int = DRAWS
) -> Plane:
    """Readings (D, h, w) as they could have come out: y (h, w) with fresh noise of `variance` (h, w), and the code
    shifted.

    The code lies off its calibrated place by a normal deviate of `uncertainty_px` along rows and columns, the same in
    all bands, which changes the light of the `cube` (L, H, W); who decodes the readings is told the calibrated place.
    """
    predicted, drawn = operator.predict(cube), []
    for rng in generators(draws, SEED):
        moved = operator.to_code + np.pad(uncertainty_px * rng.standard_normal(2)[:, None], ((0, 0), (2, 0)))
        change = replace(operator, to_code=moved).predict(cube) - predicted
        drawn.append(y + change + np.sqrt(variance) * rng.standard_normal(y.shape))
    return np.stack(drawn)


def diagnose(
    student: Image, baseline: Image, deviation: Image, truth: Image | None, bands_nm: list[float]
) -> Diagnosis:
    """What the cubes of student and GAP-TV and the student's deviation, all (L, H, W), say."""
    apart = disagreement(student, baseline)
    band, row, column = apart.place
    rms = float(np.sqrt(np.mean(deviation.astype(np.float64) ** 2)))
    nm = bands_nm[band]
    known, over = "", None
    if truth is not None:
        over = error_over(student - truth, deviation)
        known = f"; the true error of this simulated capture is {over:.1f} times the scatter"
    notes = [
        f"the student and GAP-TV differ by {apart.rms:.3f} (root mean square over all bands; 1 is white), most at "
        f"{nm:g} nm in row {row}, column {column} (counted from 0), by {apart.largest:+.3f}: one of them fills "
        "in there what the detector image does not tell; treat it with care",
        f"uncertainty: noise, the light that the operator does not predict and the place of the code make the "
        f"student's cube scatter by {rms:.4f} (root mean square, {DRAWS} draws). This does not hold how one detector "
        f"image leaves the bands open, so the error is larger{known}",
    ]
    trust = Trust(
        Disagreement(baseline="GAP-TV", rms=apart.rms, wavelength_nm=nm, row=row, column=column, largest=apart.largest),
        Uncertainty(draws=DRAWS, student_rms=rms),
        {name: text for name, (_, text) in MAPS.items()},
        None if over is None else {"student": over},
    )
    values = {
        "disagreement": (apart.difference, f"r.m.s. {apart.rms:.3f}, most at {nm:g} nm, {row}, {column}"),
        "uncertainty": (deviation, f"r.m.s. {rms:.4f}"),
    }
    maps = [
        CubeMap(name, title, values[name][0], text, values[name][1], bands_nm) for name, (title, text) in MAPS.items()
    ]
    return Diagnosis(maps, trust, notes)
