"""Readouts that were sampled backwards, as in echo-planar imaging, and what puts them right.

A readout backwards in time is turned round.  Delays of the gradients and eddy currents then still move it against
those that were sampled forwards, by a phase a + b x of its transform along the readout (Ahn and Cho, IEEE Trans. Med.
Imaging 6, 32, 1987).  Readouts without phase encoding in both directions (phase-correction readouts, navigators) say a
and b.  The field's own phase grows from echo to echo; it drops out where an echo is compared with the opposed ones
before and after it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples, centred_fft, centred_ifft
from cidesign.errors import FileError

# Part of the compared navigators that agrees on one linear phase; of noise alone next to nothing does.
LEAST_AGREEMENT = 0.5
REFINEMENTS = 3

Profile = NDArray[np.complex128]


class ReversedPhase(NamedTuple):
    """What reversed readouts, once turned, have beside those sampled forwards.

    The phase of their transform is `phase_rad` + 2 pi `delay_samples` (x - m // 2) / m at pixel x of m.  `left_rad`:
    root mean square of what the navigators have beside such a phase, weighted with their energy.  `drift_known`: the
    phase that the field makes between two echoes was told apart from `phase_rad`.  `pairs`: of opposed navigators.
    """

    delay_samples: float
    phase_rad: float
    left_rad: float
    drift_known: bool
    pairs: int


def reversed_phase(
    path: Path, navigators: Samples, backwards: NDArray[np.bool_], adjacent: NDArray[np.bool_]
) -> ReversedPhase:
    """Compare navigators (coils, R, m), turned already, in the order of time, with those next to them.

    `backwards` (R,): which were sampled so; `adjacent` (R - 1,): whether nothing else was measured between one and the
    next.  Raises `FileError` where no two neighbours are opposed, or they do not agree on a linear phase.
    """
    image = centred_ifft(navigators, (-1,)).astype(np.complex128)
    opposed = np.flatnonzero(adjacent & (backwards[1:] != backwards[:-1]))
    if not opposed.size:
        raise FileError(
            f"{path}: no two of its phase-correction readouts are of opposite direction, one right after the other; "
            "reversed readouts (EPI or bipolar echoes) cannot be put right without"
        )
    # Of the reversed one over the forward one, by which of them is the later.
    profiles = {later: np.zeros(image.shape[2], dtype=np.complex128) for later in (True, False)}
    for first in opposed:
        one, other = image[:, first], image[:, first + 1]
        later = bool(backwards[first + 1])
        profiles[later] += ((other * one.conj()) if later else (one * other.conj())).sum(axis=0)
    known = all(profile.any() for profile in profiles.values())
    # The field's phase has opposite signs in the two, and is no part of the phase of a sum of equal parts.
    profile = _of_equal_parts(*profiles.values()) if known else profiles[True] + profiles[False]
    offset, slope = _linear_phase(profile)
    count = len(profile)
    rest = profile * np.exp(-1j * (offset + slope * (np.arange(count) - count // 2)))
    weight = np.abs(rest)
    agreement = abs(complex(rest.sum())) / max(float(weight.sum()), 1e-300)
    if agreement < LEAST_AGREEMENT:
        raise FileError(
            f"{path}: its phase-correction readouts agree on no linear phase ({agreement:.2f}, at least "
            f"{LEAST_AGREEMENT:g} is needed); reversed readouts (EPI or bipolar echoes) cannot be put right"
        )
    left = float(np.sqrt((weight * np.angle(rest) ** 2).sum() / weight.sum()))
    phase = (offset + np.pi) % (2 * np.pi) - np.pi
    return ReversedPhase(slope * count / (2 * np.pi), phase, left, known, len(opposed))


def _of_equal_parts(one: Profile, other: Profile) -> Profile:
    sizes = np.abs(one), np.abs(other)
    units = [part / np.maximum(size, 1e-300) for part, size in zip((one, other), sizes, strict=True)]
    return np.asarray((units[0] + units[1]) * np.sqrt(sizes[0] * sizes[1]), dtype=np.complex128)


def _linear_phase(profile: Profile) -> tuple[float, float]:
    """Phase at the middle pixel, and slope a pixel, of a profile (m,), weighted with its magnitude."""
    places = np.arange(len(profile)) - len(profile) // 2
    slope = float(np.angle((profile[1:] * profile[:-1].conj()).sum()))
    offset = float(np.angle((profile * np.exp(-1j * slope * places)).sum()))
    weight = np.abs(profile) / max(float(np.abs(profile).sum()), 1e-300)
    mean = float((weight * places).sum())
    spread = max(float((weight * (places - mean) ** 2).sum()), 1e-300)
    for _ in range(REFINEMENTS):
        rest = weight * np.angle(profile * np.exp(-1j * (offset + slope * places)))
        more = float((rest * (places - mean)).sum()) / spread
        offset += float(rest.sum()) - more * mean
        slope += more
    return offset, slope


def put_right(k: Samples, backwards: NDArray[np.bool_], found: ReversedPhase) -> Samples:
    """Readouts (coils, R, m), turned already, with the phase of those sampled backwards taken away."""
    count = k.shape[2]
    places = np.arange(count) - count // 2
    phase = found.phase_rad + 2 * np.pi * found.delay_samples * places / count
    image = centred_ifft(k[:, backwards], (-1,)) * np.exp(-1j * phase).astype(np.complex64)
    right = k.copy()
    right[:, backwards] = centred_fft(image, (-1,))
    return right
