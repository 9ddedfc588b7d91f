"""What a scan of shots says of the scanner: noise, gradient delays, coil maps and the scale to the training images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.coils import choose_kernel, espirit_maps, require_places
from cidesign.calibration.mri.examine import ALIVE_POWER, DEAD_POWER
from cidesign.calibration.mri.kspace import Samples, centred_ifft
from cidesign.calibration.mri.noise import CoilNoise, covariance_of
from cidesign.calibration.mri.response import unit_maps
from cidesign.calibration.mri.shots.capture import RawShots
from cidesign.calibration.mri.shots.centre import Centre, central, covered_radius
from cidesign.calibration.mri.shots.delays import Delay, estimate_delay
from cidesign.calibration.mri.shots.nufft import ShotSums
from cidesign.errors import FileError
from cidesign.pattern import NonCartesian

# The 99th percentile of the magnitude of training slices (largest magnitude 1) in the central 8 x 8 to 24 x 24 steps of
# k-space: the median of 24 procedural slices of 64 and 128 pixels (0.68 to 0.78, single slices 0.42 to 1.03).
TRAINING_PERCENTILE, TRAINING_LEVEL = 99.0, 0.72
MOST_RADIUS, LEAST_RADIUS = 12, 4
# Without shots that cross, what is near the centre still tells coils and scale of one coil.
LEAST_SEEN = 2
# A delay is known where its standard error is below this; what is larger is wrong in another way than by a delay.
DETERMINED_NS, LARGEST_DELAY_NS = 1_000.0, 30_000.0
# Outermost part of k-space that stands in for a noise scan.
OUTER_PART = 0.9


@dataclass(frozen=True)
class ShotsCalibration:
    """What a capture says of the scanner.

    `maps` (coils, H, W) have unit norm over the coils that receive, and are 0 where there is no object.  A sample times
    `scale` is in units of the training images.  `delays_ns` of rows and columns are those that samples are placed with;
    `radius` that of the k-space that maps were made of, with a kernel of `kernel` (None for one coil).  `coils` are
    those that receive.
    """

    noise: CoilNoise
    maps: Samples
    scale: float
    delays_ns: tuple[float, float]
    radius: int
    kernel: int | None
    coils: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def noise_deviation(self) -> float:
        """Standard deviation of real and imaginary part of a whitened, scaled sample."""
        return float(self.scale * (self.noise.variance / 2) ** 0.5)

    @cached_property
    def operator(self) -> tuple[Samples, NDArray[np.float32]]:
        """Maps of whitened data at unit norm over the coils, and the norm (H, W) that was divided out."""
        white = self.noise.whiten(self.maps)
        norm = np.sqrt((np.abs(white) ** 2).sum(axis=0)).astype(np.float32)
        return unit_maps(white), norm

    def measurements(self, raw: RawShots) -> Samples:
        """Whitened samples (coils, shots, samples) in units of the training images."""
        return np.asarray(self.noise.whiten(raw.k[list(self.coils)]) * np.float32(self.scale), dtype=np.complex64)

    def points(self, design: NonCartesian) -> NDArray[np.float64]:
        """(shots, samples, 2) in 1/FOV, where the late gradients really sample."""
        return design.delayed(self.delays_ns)


@dataclass(frozen=True)
class ShotsFindings:
    """What a scan shows, measured without judging it: `left` and `noise_part` are those of the placed samples."""

    noise: CoilNoise
    coils: tuple[int, ...]
    dead: tuple[int, ...]
    radius: int
    delay: Delay | None
    white: Samples


def examine_shots(raw: RawShots, design: NonCartesian) -> ShotsFindings:
    """Look at a capture; raises `FileError` where its noise cannot be measured, or no coil receives."""
    raw.require_design(design)
    noise = _noise(raw, design)
    near = np.linalg.norm(design.samples, axis=2) <= LEAST_SEEN
    if not near.any():
        raise FileError(f"{raw.path}: no shot comes within {LEAST_SEEN} steps of the centre of k-space")
    power = (np.abs(raw.k[:, near]) ** 2).mean(axis=1) / np.diag(noise.covariance).real
    if power.max() < ALIVE_POWER:
        raise FileError(
            f"{raw.path}: the centre of k-space has {power.max():.3g} times the power of the noise ({noise.source}); "
            "no signal was received; check the coil, its plug and the transmitter; this resembles: coil-loss",
            fault="coil-loss",
        )
    dead = tuple(np.flatnonzero(power < DEAD_POWER).tolist())
    coils = tuple(coil for coil in range(raw.coils) if coil not in dead)
    kept = noise.select(coils)
    white = kept.whiten(raw.k[list(coils)])
    radius = covered_radius(design.samples, MOST_RADIUS)
    delay = None
    if radius >= LEAST_RADIUS:
        delay = estimate_delay(design, white.astype(np.complex128), kept.variance, radius)
    return ShotsFindings(kept, coils, dead, radius, delay, white)


def determined(delay: Delay | None) -> bool:
    """Whether a delay was told."""
    return delay is not None and max(delay.errors_ns) <= DETERMINED_NS


def calibrate_shots(raw: RawShots, design: NonCartesian, seen: ShotsFindings) -> ShotsCalibration:
    """Maps and scale of the samples placed with the delay; raises `FileError` where too little is sampled for maps."""
    known = seen.delay is not None and determined(seen.delay) and max(map(abs, seen.delay.delays_ns)) < LARGEST_DELAY_NS
    delays = seen.delay.delays_ns if known and seen.delay is not None else (0.0, 0.0)
    points = design.delayed(delays)
    chosen = central(points, seen.radius)
    y = seen.white[:, chosen].astype(np.complex128)
    if len(seen.coils) > 1 and seen.radius < LEAST_RADIUS:
        raise FileError(
            f"{raw.path}: shots cover k-space without gaps up to {seen.radius} steps of 1/FOV from its centre only, "
            f"coil maps call for {LEAST_RADIUS}; design with more shots, or shots that stay longer near the centre"
        )
    centre = Centre(points[chosen], max(seen.radius, LEAST_SEEN), seen.noise.variance / float((np.abs(y) ** 2).mean()))
    acs = centre.grid(y)
    kernel = None
    maps = np.ones((1, *design.size), dtype=np.complex64)
    if len(seen.coils) > 1:
        kernel = choose_kernel(acs.shape[1], None, raw.path)
        small = acs.astype(np.complex64)
        require_places(raw.path, small, kernel)
        white_maps = espirit_maps(small, design.size, kernel, seen.noise.variance * centre.grid_noise)
        maps = unit_maps(seen.noise.unwhiten(white_maps))
        if not maps.any():
            raise FileError(
                f"{raw.path}: no pixel has coil maps that agree with the centre of k-space; too much noise?"
            )
    received = seen.noise.unwhiten(acs.astype(np.complex64))
    level = float(np.percentile(_low_resolution(received, design.size), TRAINING_PERCENTILE))
    notes = (seen.noise.source, *raw.notes, *(() if raw.scanner is None else ("the capture is simulated",)))
    return ShotsCalibration(seen.noise, maps, TRAINING_LEVEL / level, delays, seen.radius, kernel, seen.coils, notes)


def _noise(raw: RawShots, design: NonCartesian) -> CoilNoise:
    if raw.noise is not None:
        return covariance_of(raw.path, raw.noise, "noise scan", True)
    reach = np.linalg.norm(design.samples, axis=2)
    outer = raw.k[:, reach >= OUTER_PART * reach.max()]
    return covariance_of(
        raw.path, outer, "the outermost samples (no noise scan), an upper bound as signal is in them", False
    )


def _low_resolution(acs: Samples, size: tuple[int, int]) -> NDArray[np.float32]:
    """Root of the sum of squares (H, W) of coils' images of the centre (coils, a, a) of k-space alone."""
    whole = np.zeros((len(acs), *size), dtype=np.complex64)
    half = acs.shape[1] // 2
    rows, columns = (slice(n // 2 - half, n // 2 + half) for n in size)
    whole[:, rows, columns] = acs
    return np.asarray(np.sqrt((np.abs(centred_ifft(whole, (-2, -1))) ** 2).sum(axis=0)), dtype=np.float32)


def coil_images(points: NDArray[np.float64], size: tuple[int, int], samples: Samples, steps: int = 12) -> Samples:
    """Images (coils, H, W) of samples (coils, shots, samples), by so many steps of conjugate gradients from 0."""
    sums = ShotSums(points, size)
    right = sums.adjoint(samples)
    x, left = np.zeros_like(right), right.copy()
    direction, energy = left.copy(), float((np.abs(left) ** 2).sum())
    for _ in range(steps):
        applied = sums.adjoint(sums.forward(direction))
        step = energy / max(float(np.vdot(direction, applied).real), 1e-300)
        x, left = x + step * direction, left - step * applied
        before, energy = energy, float((np.abs(left) ** 2).sum())
        direction = left + energy / max(before, 1e-300) * direction
    return x.astype(np.complex64)
