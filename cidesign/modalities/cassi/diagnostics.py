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
# What the cube of a decoder is called in sentences.
WORDS = {"student": "the student", "linear": "the linear estimate"}
DISAGREEMENT = (
    "How far the cube of {name} is from that of GAP-TV, root mean square over the bands. Where it is small, two "
    "methods that assume different things see the same; where it is not, one of them fills in what the detector image "
    "does not tell"
)
SCATTER = (
    "How much the cube of {name} would vary, root mean square over the bands, were the scene captured again: noise of "
    "the detector, the part of the light that the operator does not predict, and the place of the code, from "
    f"{DRAWS} draws. It does not hold how one detector image leaves the bands open, so the error is larger"
)


class Diagnosis(NamedTuple):
    """Maps to write, their numbers for the record, and what they say in words."""

    maps: list[CubeMap]
    trust: Trust
    notes: list[str]


def redrawn(
    y: Plane, variance: Plane, operator: CassiOperator, cube: Image, uncertainty_px: float, draws: int = DRAWS
) -> Plane:
    """Readings (D, h, w) as they could have come out: y (h, w) with fresh noise of `variance` (h, w), and the code
    displaced.

    The code lies off its calibrated place by a normal deviate of `uncertainty_px` along rows and columns, the same in
    all bands, which changes the light of the `cube` (L, H, W); who decodes the readings is told the calibrated place.
    """
    predicted, drawn = operator.predict(cube), []
    for rng in generators(draws, SEED):
        moved = operator.to_code + np.pad(uncertainty_px * rng.standard_normal(2)[:, None], ((0, 0), (2, 0)))
        change = replace(operator, to_code=moved).predict(cube) - predicted
        drawn.append(y + change + np.sqrt(variance) * rng.standard_normal(y.shape))
    return np.stack(drawn)


class Compared(NamedTuple):
    """The cube (L, H, W) that is diagnosed, what it is called in sentences, that of GAP-TV, its `deviation` (None where
    it was not drawn) and the truth, where it is known."""

    name: str
    cube: Image
    baseline: Image
    deviation: Image | None
    truth: Image | None


def diagnose(compared: Compared, bands_nm: list[float]) -> Diagnosis:
    """What a cube, that of GAP-TV and its deviation say."""
    name, cube, baseline, deviation, _ = compared
    apart = disagreement(cube, baseline)
    band, row, column = apart.place
    nm = bands_nm[band]
    apart_from = Disagreement(
        baseline="GAP-TV", rms=apart.rms, wavelength_nm=nm, row=row, column=column, largest=apart.largest
    )
    notes = [
        f"{name} and GAP-TV differ by {apart.rms:.3f} (root mean square over all bands; 1 is white), most at "
        f"{nm:g} nm in row {row}, column {column} (counted from 0), by {apart.largest:+.3f}: one of them fills "
        "in there what the detector image does not tell; treat it with care"
    ]
    caption, text = f"r.m.s. {apart.rms:.3f}, most at {nm:g} nm, {row}, {column}", DISAGREEMENT.format(name=name)
    title = f"{name.removeprefix('the ')} against GAP-TV"
    maps = [CubeMap("disagreement", title, apart.difference, text, caption, bands_nm)]
    if deviation is None:
        values = f"{cube.size:,}".replace(",", " ")
        notes.append(
            f"uncertainty: not evaluated: {name} of {values} values would have to be found {DRAWS} times more; cut the "
            "capture and the mask to a part to have it"
        )
        return Diagnosis(maps, Trust(apart_from, None, {one.name: one.text for one in maps}), notes)
    scatter = _scatter(compared, deviation, bands_nm)
    maps.append(scatter.drawn)
    trust = Trust(
        apart_from,
        Uncertainty(draws=DRAWS, student_rms=scatter.rms),
        {one.name: one.text for one in maps},
        None if scatter.error_over is None else {"student": scatter.error_over},
    )
    return Diagnosis(maps, trust, [*notes, scatter.note])


class _Scatter(NamedTuple):
    """The map of the deviation, its root mean square, the true error over it where that is known, and a note."""

    drawn: CubeMap
    rms: float
    error_over: float | None
    note: str


def _scatter(compared: Compared, deviation: Image, bands_nm: list[float]) -> _Scatter:
    name, cube, _, _, truth = compared
    rms = float(np.sqrt(np.mean(deviation.astype(np.float64) ** 2)))
    known, over = "", None
    if truth is not None:
        over = error_over(cube - truth, deviation)
        known = f"; the true error of this simulated capture is {over:.1f} times the scatter"
    note = (
        f"uncertainty: noise, the light that the operator does not predict and the place of the code make the cube of "
        f"{name} scatter by {rms:.4f} (root mean square, {DRAWS} draws). This does not hold how one detector image "
        f"leaves the bands open, so the error is larger{known}"
    )
    title = f"{name.removeprefix('the ')}: scatter"
    drawn = CubeMap("uncertainty", title, deviation, SCATTER.format(name=name), f"r.m.s. {rms:.4f}", bands_nm)
    return _Scatter(drawn, rms, over, note)
