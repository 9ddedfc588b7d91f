"""What a scan shows of the scanner, measured without judging it: noise, offset, dead coils, the phantom."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.centre import centre_offset
from cidesign.calibration.mri.kspace import RawKspace, Samples
from cidesign.calibration.mri.noise import CoilNoise, measure_edges, measure_noise
from cidesign.calibration.mri.phantom import Match, PhantomScan, Readouts, find_orientations, fit_readouts
from cidesign.calibration.mri.response import Corrections, echo_shift, shift_echo
from cidesign.errors import FileError

# An offset of the noise scan beyond this many standard errors of its mean is none of the noise.
OFFSET_ERRORS = 6.0
# A coil whose power in the centre of k-space is not even this many times its noise hears nothing, where another hears
# so many times its noise, or none anything.
DEAD_POWER, ALIVE_POWER = 1.5, 9.0
LAGS = 4
# A fit that leaves more is tried in the other orientations as well, and so is a drawing that looks alike in two.
DOUBTFUL, ALIKE = 0.1, 0.75
LEAST_PHANTOM_SIDE = 12
CENTRE_LINES = 8


@dataclass(frozen=True)
class PhantomFindings:
    """The eight orientations, best first; the readouts in the best one; how late the echo is, in samples.

    `centre_lines`: how many lines the centre of k-space lies above the middle one.
    """

    matches: list[Match]
    readouts: Readouts
    echo_samples: float
    at_limit: int
    separable: bool
    centre_lines: float


@dataclass(frozen=True)
class Findings:
    """`offset` (coils,) is None where it does not stand out of the noise, `offset_known` False without a noise scan.

    `autocorrelation`: the largest of the noise scan over a few lags; `edges_over_scan`: the variance beside the field
    of view over that of the noise scan; `signal_power` (coils,): of the centre of k-space over the noise;
    `centre_lines`: how many lines it lies above the middle one, with the object's own linear phase.
    """

    noise: CoilNoise
    offset: NDArray[np.complex128] | None
    offset_known: bool
    offset_part: float
    autocorrelation: float | None
    autocorrelation_error: float
    edges_over_scan: float | None
    signal_power: NDArray[np.float64]
    dead: tuple[int, ...]
    alive: tuple[int, ...]
    at_limit: int
    centre_lines: float
    phantom: PhantomFindings | None

    def corrections(self) -> Corrections:
        """What these findings call for; dead coils stay where there is no other."""
        seen = self.phantom
        return Corrections(
            coils=self.alive if self.dead and self.alive else None,
            offset=self.offset,
            shift_px=seen.readouts.shift_px if seen else 0.0,
            drift_rad_per_readout=seen.readouts.drift_rad_per_readout if seen else 0.0,
        )


def examine(raw: RawKspace, known: CoilNoise | None = None) -> Findings:
    """Look at a capture; without a noise scan the noise is `known`, or measured at the edges.

    Raises `FileError` where its noise cannot be measured.
    """
    offset = _offset(raw)
    corrected = Corrections(offset=offset).apply(raw)
    noise = known if known is not None and raw.noise is None else measure_noise(corrected)
    power = _signal_power(corrected, noise)
    told = power.max() > ALIVE_POWER or power.max() < DEAD_POWER
    dead = tuple(np.flatnonzero(power < DEAD_POWER).tolist()) if told else ()
    alive = tuple(coil for coil in range(raw.coils) if coil not in dead)
    largest = float(np.abs(raw.k).max()) / raw.oversampling**0.5
    active = Corrections(coils=alive or None).apply(corrected)
    return Findings(
        noise=noise,
        offset=offset,
        offset_known=raw.noise is not None,
        offset_part=0.0 if offset is None else float(np.abs(offset).max()) / largest,
        autocorrelation=None if corrected.noise is None else autocorrelation(corrected.noise),
        autocorrelation_error=1.0 if raw.noise is None else raw.noise.size**-0.5,
        edges_over_scan=_edges_over_scan(corrected, noise),
        signal_power=power,
        dead=dead,
        alive=alive,
        at_limit=raw.at_limit,
        centre_lines=centre_offset(active.k, active.lines, active.matrix_lines),
        phantom=_phantom(active.phantom, noise.select(alive)) if active.phantom is not None and alive else None,
    )


def _offset(raw: RawKspace) -> NDArray[np.complex128] | None:
    """The mean of the noise scan by coil, before it was brought to the image's bandwidth."""
    if raw.noise is None:
        return None
    samples = raw.noise.astype(np.complex128) / raw.noise_factor
    mean = samples.mean(axis=1)
    error = samples.std(axis=1) / samples.shape[1] ** 0.5
    return mean if float((np.abs(mean) / np.maximum(error, 1e-300)).max()) > OFFSET_ERRORS else None


def _signal_power(raw: RawKspace, noise: CoilNoise) -> NDArray[np.float64]:
    """The mean power of the strongest eighth of the lines' central samples over the noise, by coil."""
    near = np.argsort(np.abs(raw.lines - raw.matrix_lines // 2), kind="stable")[:CENTRE_LINES]
    middle, half = raw.k.shape[2] // 2, max(raw.k.shape[2] // 16, 1)
    centre = raw.k[:, near, middle - half : middle + half + 1]
    variance = np.diag(noise.covariance).real
    return np.asarray((np.abs(centre) ** 2).mean(axis=(1, 2)) / variance, dtype=np.float64)


def autocorrelation(noise: Samples) -> float:
    """The largest magnitude of the correlation of noise samples (coils, M) with those 1 to 4 samples later."""
    if noise.shape[1] <= 2 * LAGS:
        return 0.0
    samples = noise.astype(np.complex128)
    samples = samples - samples.mean(axis=1, keepdims=True)
    power = float((np.abs(samples) ** 2).mean())
    lags = [samples[:, lag:] * samples[:, :-lag].conj() for lag in range(1, LAGS + 1)]
    return float(max(abs(complex(lag.mean())) for lag in lags)) / max(power, 1e-300)


def _edges_over_scan(raw: RawKspace, noise: CoilNoise) -> float | None:
    if raw.noise is None or raw.edges is None:
        return None
    try:
        return measure_edges(raw).variance / noise.variance
    except FileError:
        return None  # too few samples beside the field of view


def _phantom(scan: PhantomScan, noise: CoilNoise) -> PhantomFindings | None:
    if min(scan.picture.shape) < LEAST_PHANTOM_SIDE:
        return None
    count = len(scan.order)
    above = round(centre_offset(scan.k, scan.order, count))
    # Lost readouts move the strongest line as well: what explains the scan better is taken.
    moves = sorted({0, above}, key=abs)
    found = [_located(replace(scan, order=(scan.order - move) % count), noise) for move in moves]
    best = min(range(len(found)), key=lambda number: found[number].readouts.relative_residual)
    return replace(found[best], centre_lines=found[best].centre_lines + moves[best] if moves[best] else 0.0)


def _located(scan: PhantomScan, noise: CoilNoise) -> PhantomFindings:
    placed = np.zeros_like(scan.k)
    placed[:, scan.order] = scan.k
    echo = echo_shift(placed)
    white = replace(scan, k=shift_echo(noise.whiten(scan.k), -echo))
    matches = find_orientations(white)
    fits = {matches[0].orientation: fit_readouts(white, matches[0], noise.variance)}
    if fits[matches[0].orientation].relative_residual > DOUBTFUL or matches[1].correlation > ALIKE:
        fits |= {match.orientation: fit_readouts(white, match, noise.variance) for match in matches[1:]}
    # Lost lines and drifts blur the image: how much of k-space a fit explains tells the orientation better.
    known = {orientation: max(1 - fit.relative_residual, 0.0) ** 0.5 for orientation, fit in fits.items()}
    likely = [match._replace(correlation=known.get(match.orientation, match.correlation)) for match in matches]
    likely.sort(key=lambda match: -match.correlation)
    readouts = fits[likely[0].orientation]
    centre = centre_offset(scan.k, scan.order, len(scan.order))
    return PhantomFindings(likely, readouts, echo, scan.at_limit, scan.separable, centre)
