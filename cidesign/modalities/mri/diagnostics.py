"""How far the student's MR image can be trusted: where it leaves CG-SENSE, and how noise makes it scatter."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cidesign.calibration.mri.kspace import Samples
from cidesign.reconstruct.outcome import NamedMap
from cidesign.reconstruct.record import Disagreement, Trust, Uncertainty
from cidesign.reconstruct.uncertainty import Image, disagreement, generators

DRAWS, SEED = 16, 0
STUDENT = "student"
MAPS = {
    "disagreement": (
        "{who} less CG-SENSE",
        "The magnitude of the {who} less that of CG-SENSE from the same {what}. Where it is near 0 the readings "
        "themselves show the detail; where it is not, the {who} adds what its training images or its prior say, or "
        "CG-SENSE leaves what it cannot unfold",
    ),
    "uncertainty": (
        "{who}: scatter",
        "How much the magnitude of the {who} would vary, pixel by pixel, were the {what} measured again: noise of the "
        f"receiver alone, from {DRAWS} draws. It does not hold what the {{what}} cannot see, nor errors of the coil "
        "maps, so the error is larger",
    ),
}


class Diagnosis(NamedTuple):
    """Maps to write and draw, their numbers for the record, and what they say in words."""

    maps: list[NamedMap]
    trust: Trust
    notes: list[str]


def redrawn(k: Samples, noise: float, draws: int = DRAWS) -> Iterator[Samples]:
    """Whitened k-space (coils, N, n) with fresh noise on top, of deviation `noise` in real and imaginary part.

    Pseudo-replicas (Robson et al., Magn. Reson. Med. 60, 895, 2008): what is added scatters an image as the noise of
    the scan did, and a linear one exactly so.  Lines that were not measured get noise too, so a design has to choose
    its own.
    """
    for rng in generators(draws, SEED):
        yield (k + noise * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))).astype(np.complex64)


def diagnose(
    student: Image,
    baseline: Image,
    scatter: Image,
    error_over_scatter: float | None,
    who: str = STUDENT,
    what: str = "lines",
) -> Diagnosis:
    """What the images of student and CG-SENSE and the student's scatter, all (N, n) as they are looked at, say.

    `who`: what is said for the student, where another decoder stands in its place; `what` was measured.
    `error_over_scatter`: root mean square of the true error in units of the scatter, None where no truth is known.
    """
    apart = disagreement(student, baseline)
    row, column = apart.place
    rms = float(np.sqrt(np.mean(scatter.astype(np.float64) ** 2)))
    captions = {
        "disagreement": f"r.m.s. {apart.rms:.3f}, most at {row}, {column}",
        "uncertainty": f"r.m.s. {rms:.4f}",
    }
    images = {"disagreement": apart.difference, "uncertainty": scatter}
    trust = Trust(
        Disagreement(baseline="CG-SENSE", rms=apart.rms, row=row, column=column, largest=apart.largest),
        Uncertainty(draws=DRAWS, student_rms=rms),
        {name: text.format(who=who, what=what) for name, (_, text) in MAPS.items()},
        None if error_over_scatter is None else {"student": error_over_scatter},
    )
    known = ""
    if error_over_scatter is not None:
        known = f"; the true error of this simulated scan is {error_over_scatter:.1f} times the scatter"
    notes = [
        f"the {who} and CG-SENSE differ by {apart.rms:.3f} (root mean square; 1 is the brightest pixel), most at row "
        f"{row}, column {column} (counted from 0), by {apart.largest:+.3f}: detail there is not given by the readings "
        "alone; treat it with care",
        f"uncertainty: noise alone makes the image of the {who} scatter by {rms:.4f} (root mean square, {DRAWS} draws "
        f"of the receiver's noise on the measured {what}). This holds neither what the {what} cannot see nor errors of "
        f"the coil maps, so the error is larger{known}",
    ]
    maps = [
        NamedMap(
            name,
            title.format(who=who),
            images[name],
            text.format(who=who, what=what),
            captions[name],
            signed=name == "disagreement",
        )
        for name, (title, text) in MAPS.items()
    ]
    return Diagnosis(maps, trust, notes)
