"""A scan of a known phantom: its orientation, where it lies, and what became of its readouts.

The phantom is a drawing t with structure in all four corners, and no symmetry.  Receive sensitivities are smooth, so
every coil's k-space is that of t times a polynomial P_c, line by line in the order j in which the lines were measured:

    k_c(j) = exp(i b j) exp(-2 pi i s (l_j - N // 2) / N) F[P_c t](l_j) + n,
    l_j = order(j), or order(j + d) from j = p on,

with a drift of the phase b, a shift s along phase encoding, and d readouts lost at p.  The P_c follow from a
linear fit for every choice of the others, which are searched.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples, centred_fft, centred_ifft
from cidesign.calibration.polynomials import smooth_fields
from cidesign.orientation import ORIENTATIONS, Orientation

Complex = NDArray[np.complex128]
Plane = NDArray[np.float64]
SUBPIXELS = 8
# (top, bottom, left, right, brightness) in parts of the field of view: an F, and another mark in each corner.
MARKS = (
    (0.25, 0.78, 0.33, 0.42, 1.0), (0.25, 0.34, 0.42, 0.66, 0.9), (0.46, 0.54, 0.42, 0.58, 0.8),
    (0.08, 0.20, 0.08, 0.20, 0.7), (0.08, 0.13, 0.70, 0.92, 0.9), (0.13, 0.22, 0.87, 0.92, 0.6),
    (0.74, 0.92, 0.10, 0.14, 1.0), (0.70, 0.75, 0.76, 0.81, 0.9), (0.84, 0.93, 0.83, 0.92, 0.5),
    (0.60, 0.66, 0.60, 0.90, 0.6),
)  # fmt: skip
# A polynomial of this total degree follows the sensitivity of a loop to 0.1 % of its energy; fewer for few pixels.
MOST_DEGREE = 5
PIXELS_PER_DEGREE = 6
MOST_COILS = 4
MOST_LOST = 3
DRIFT_STEP_RAD, MOST_DRIFT_RAD = np.deg2rad(45.0), np.deg2rad(360.0)
# Around where the image seems to lie; a strong drift puts its ghost, half a field of view off, in its place.
TRIED_PX = np.arange(-1.0, 1.01, 0.5)
# Each round of the search narrows the steps by this factor.
NARROWER, ROUNDS = 3.0, 5
RIDGE = 1e-9
# So many numbers are held at once.
MOST_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class PhantomScan:
    """`k` (coils, N, n) in the order of time, `order` (N,) the line of each readout, `picture` (N, n) the drawing.

    `ordered` says whether the order of time is known; otherwise lines are taken to be measured one after the other.
    `at_limit` is that of `RawKspace`.
    """

    k: Samples
    order: NDArray[np.int64]
    picture: Plane
    ordered: bool = True
    at_limit: int = 1

    @property
    def separable(self) -> bool:
        """Whether a drift in time differs from a shift: the order is known, and not that of the lines."""
        return self.ordered and len(np.unique(np.diff(self.order))) > 1


class Match(NamedTuple):
    """How well the phantom matches its drawing once its image is so oriented (-1 to 1), and where it lies.

    `rows_px`, `columns_px`: down and right of the drawing, as lines and samples of the scan.
    """

    orientation: Orientation
    correlation: float
    rows_px: int
    columns_px: int


class Readouts(NamedTuple):
    """What the readouts tell: `lost` readouts before the `lost_at`-th (0: none), and the rest of the model.

    `relative_residual` is the part of the energy above the noise that the model leaves; `without_loss` the same with no
    readout lost.
    """

    lost: int
    lost_at: int
    drift_rad_per_readout: float
    shift_px: float
    relative_residual: float
    without_loss: float


def draw_phantom(lines: int, samples: int) -> Plane:
    """The drawing (lines, samples), 0 to 1: an F, and four different marks in the corners."""
    fine = np.zeros((lines * SUBPIXELS, samples * SUBPIXELS))
    for top, bottom, left, right, level in MARKS:
        rows = slice(round(top * len(fine)), round(bottom * len(fine)))
        fine[rows, round(left * fine.shape[1]) : round(right * fine.shape[1])] = level
    return np.asarray(fine.reshape(lines, SUBPIXELS, samples, SUBPIXELS).mean(axis=(1, 3)), dtype=np.float64)


def interleaved(lines: int) -> NDArray[np.int64]:
    """Every other line upwards, then those between downwards: no drift in time looks like a shift in space."""
    return np.concatenate([np.arange(0, lines, 2), np.arange(1, lines, 2)[::-1]]).astype(np.int64)


def mirrored(count: int) -> NDArray[np.int64]:
    """Indices that reverse an axis about its centre, count // 2, as a reversed gradient does."""
    return np.asarray((2 * (count // 2) - np.arange(count)) % count, dtype=np.int64)


def find_orientations(scan: PhantomScan) -> list[Match]:
    """How well the magnitude of the phantom matches its drawing in each orientation, the best one first.

    The orientation is what is done to the image to have the drawing.
    """
    placed = np.zeros(scan.k.shape, dtype=np.complex64)
    placed[:, scan.order] = scan.k
    image = np.sqrt((np.abs(centred_ifft(placed, (-2, -1))) ** 2).sum(axis=0)).astype(np.float64)
    return orientations_of(image, scan.picture)


def orientations_of(image: Plane, picture: Plane) -> list[Match]:
    """How well a magnitude image (N, n) of a phantom matches its drawing in each orientation, the best one first."""
    spectrum = np.fft.fft2(_unit(image))
    found = []
    for orientation in ORIENTATIONS:
        if orientation.transpose and image.shape[0] != image.shape[1]:
            continue
        expected = as_acquired(picture, orientation)
        likeness = np.fft.ifft2(spectrum * np.fft.fft2(_unit(expected)).conj()).real
        row, column = np.unravel_index(likeness.argmax(), likeness.shape)
        down, right = _signed(int(row), image.shape[0]), _signed(int(column), image.shape[1])
        found.append(Match(orientation, float(likeness.max()), down, right))
    return sorted(found, key=lambda match: -match.correlation)


def as_acquired(picture: Plane, orientation: Orientation) -> Plane:
    """The image that a scan shows of what looks like `picture` once it is so oriented.

    That is its inverse but for one pixel along axes of even length: gradients reverse them about their centre.
    """
    image = picture[mirrored(picture.shape[0])] if orientation.flip_vertical else picture
    image = image[:, mirrored(image.shape[1])] if orientation.flip_horizontal else image
    return np.asarray(image.T if orientation.transpose else image, dtype=np.float64)


def _unit(image: Plane) -> Plane:
    centred = image - image.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-30), dtype=np.float64)


def _signed(shift: int, count: int) -> int:
    return shift - count if shift > count // 2 else shift


def fit_readouts(scan: PhantomScan, match: Match, noise_variance: float) -> Readouts:
    """Fit the model above to `scan`, whose k is whitened, in one orientation; `noise_variance` is that of a sample."""
    model = _Model(scan, match)
    steps = np.arange(-MOST_DRIFT_RAD, MOST_DRIFT_RAD + 1e-9, DRIFT_STEP_RAD) if scan.separable else np.zeros(1)
    tried = np.concatenate([TRIED_PX, TRIED_PX + len(scan.order) // 2])
    drifts, moves = (axis.ravel() for axis in np.meshgrid(steps, tried))
    fits = {}
    for lost in range(MOST_LOST + 1):
        fits[lost] = _refined(model, lost, model.best(lost, drifts, moves), scan.separable)
    signal = max(model.energy - noise_variance * model.k.size, 1e-30)
    fitted = noise_variance * (model.k.size - model.unknowns)
    left = {lost: max(model.energy - fit.explained - fitted, 0.0) / signal for lost, fit in fits.items()}
    lost = min(left, key=lambda number: left[number])
    best = fits[lost]
    count = len(scan.order)
    drift, moved = best.drift_rad / max(count - 1, 1), match.rows_px + best.moved_px
    moved -= count * round(moved / count)
    return Readouts(lost, best.at, drift, moved, left[lost], left[0])


class _Fit(NamedTuple):
    explained: float
    at: int
    drift_rad: float
    moved_px: float


def _refined(model: "_Model", lost: int, start: _Fit, separable: bool) -> _Fit:
    best, step = start, np.array([DRIFT_STEP_RAD, 0.5])
    turned, moved = (axis.ravel() for axis in np.meshgrid([-1, 0, 1] if separable else [0], [-1, 0, 1]))
    for _ in range(ROUNDS):
        step = step / NARROWER
        best = max(best, model.best(lost, best.drift_rad + turned * step[0], best.moved_px + moved * step[1]))
    return best


class _Model:
    """Sums over the readouts, from which the energy that a hypothesis explains follows by small linear systems."""

    def __init__(self, scan: PhantomScan, match: Match) -> None:
        lines, samples = scan.picture.T.shape if match.orientation.transpose else scan.picture.shape
        self.order, self.lines = scan.order, lines
        ramp = np.exp(2j * np.pi * match.columns_px / samples * (np.arange(samples) - samples // 2))
        self.k = _fewer_coils(scan.k) * ramp
        self.rows_px = match.rows_px
        self.energy = float((np.abs(self.k) ** 2).sum())
        image = as_acquired(scan.picture, match.orientation)
        spread = _polynomials(image.shape)
        self.unknowns = len(spread) * len(self.k)
        basis = centred_fft((spread * image).astype(np.complex64), (-2, -1)).astype(np.complex128).transpose(1, 0, 2)
        gram = basis.conj() @ basis.transpose(0, 2, 1)
        gram += RIDGE * np.trace(gram.sum(axis=0)).real / lines * np.eye(len(spread))
        data = self.k.transpose(1, 2, 0)
        self.cross, self.inverse = [], []
        for lost in range(MOST_LOST + 1):
            source = self.order[lost:]
            self.cross.append(basis[source].conj() @ data[: len(source)])
            systems = np.concatenate([np.zeros_like(gram[:1]), np.cumsum(gram[self.order], axis=0)[:-1]])
            systems[: len(source)] += _later(gram[source][None])[0]
            self.inverse.append(np.linalg.inv(systems[:1] if not lost else systems))

    def best(self, lost: int, drift_rad: Plane, moved_px: Plane) -> _Fit:
        """Of pairs of a drift over the scan and a shift (T,), and places of the loss, what explains most."""
        size = self.cross[0][0].size * len(self.order)
        parts = max(len(drift_rad) * size // MOST_AT_ONCE, 1)
        pairs = zip(np.array_split(drift_rad, parts), np.array_split(moved_px, parts), strict=True)
        return max(self._best(lost, drift, moved) for drift, moved in pairs)

    def _best(self, lost: int, drift_rad: Plane, moved_px: Plane) -> _Fit:
        count = len(self.order)
        time = np.arange(count) / max(count - 1, 1)
        line = (self.order - self.lines // 2) / self.lines
        turned = 2 * np.pi * np.outer(self.rows_px + moved_px, line) - np.outer(drift_rad, time)
        phase = np.exp(1j * turned)
        if not lost:
            sums = np.tensordot(phase, self.cross[0], axes=1)[:, None]
        else:
            later = phase[:, lost:, None, None] * self.cross[lost]
            sums = np.zeros((len(phase), count, *self.cross[0].shape[1:]), dtype=np.complex128)
            sums[:, : count - lost] = _later(later)
            sums[:, 1:] += np.cumsum(phase[:, :-1, None, None] * self.cross[0][:-1], axis=1)
        explained = (sums.conj() * (self.inverse[lost] @ sums)).real.sum(axis=(2, 3))
        first = 1 if lost else 0  # a loss before the first readout is none
        trial, at = np.unravel_index(explained[:, first:].argmax(), explained[:, first:].shape)
        place = int(at) + first
        best = float(explained[trial, place])
        return _Fit(best, place, float(drift_rad[trial]), float(moved_px[trial]))


def _later(values: Complex) -> Complex:
    """Sums (T, J, ...) from each readout to the last one."""
    return np.asarray(np.cumsum(values[:, ::-1], axis=1)[:, ::-1], dtype=np.complex128)


def _fewer_coils(k: Samples) -> Complex:
    """The strongest combinations of the coils (at most 4, J, n): the sensitivities of sums of coils are as smooth."""
    flat = k.reshape(len(k), -1).astype(np.complex128)
    _, vectors = np.linalg.eigh(flat @ flat.conj().T)
    combined = vectors[:, -MOST_COILS:].conj().T @ flat
    return np.asarray(combined.reshape(-1, *k.shape[1:]), dtype=np.complex128)


def _polynomials(shape: tuple[int, int]) -> Plane:
    """What sensitivities are made of (B, N, n)."""
    return smooth_fields(shape, min(MOST_DEGREE, min(shape) // PIXELS_PER_DEGREE))
