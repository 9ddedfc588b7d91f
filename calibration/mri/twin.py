"""A simulated scanner: raw k-space of a known image, with receive coils, correlated noise and a noise scan.

    k_c = gain (F (s_c x) + n_c) on the lines measured, n ~ N(0, Psi) over the coils,
    Psi_ij = 2 s_i s_j r^|i - j| exp(i (a_i - a_j)),

with F the centred orthonormal transform of the field of view that readout oversampling makes wider, and standard
deviations s_i of real and imaginary part that differ from coil to coil.  A known phantom is scanned with the same
coils, all lines, every other one first (see `interleaved`).  What is wrong with the scanner (`calibration.faults`) is
so in all scans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.calibration.mri.capture import KspaceCaptureRecord, SimulatedScanner
from cidesign.calibration.mri.kspace import Samples, centred_fft
from cidesign.calibration.mri.phantom import interleaved, mirrored
from cidesign.checks import FaultName
from cidesign.errors import InputError
from cidesign.pattern import CartesianLines

FAULTS: FaultKinds = {
    "lost-trigger": FaultKind("readouts lost, so that the following lines move up", "lines", 1, 1, 3, whole=True),
    "drift": FaultKind("phase drift of the field during a scan of all lines", "degrees", 60, -360, 360),
    "saturation": FaultKind("the largest sample", "% of the converter's range", 200, 100, 1000),
    "dark": FaultKind("constant offset of every sample", "% of the largest sample", 1, 0, 20),
    "mirror": FaultKind("1: readout reversed, 2: phase encoding reversed", "", 1, 1, 2, whole=True),
    "shift": FaultKind("field of view shifted along phase encoding", "pixels", 3, -64, 64),
    "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
    "trajectory-delay": FaultKind("echo behind the middle of the readout", "samples", 1.5, -8, 8),
    "line-offset": FaultKind("centre of k-space above the middle line", "lines", 2, -16, 16),
}

NOISE_SAMPLES = 4096
# Coils of one array differ about as much.
NOISE_SPREAD = 0.2
# Readouts are lost in the middle part of a scan: at its ends there is little to lose.
LOST_FROM, LOST_TO = 0.1, 0.9


def scanner_settings(
    *,
    coils: int,
    gain: float,
    noise: float,
    correlation: float,
    echo_shift_samples: float,
    oversampling: int,
    seed: int,
    scene: str,
    faults: dict[FaultName, float] | None = None,
) -> SimulatedScanner:
    """The scanner's settings; raises `InputError` that names the first one out of range."""
    values = {**locals(), "faults": faults or {}}
    lost_coils = values["faults"].get("coil-loss", 0)
    if lost_coils > coils:
        raise InputError(f"--fault coil-loss={lost_coils:g}: the scanner has {coils} coil(s)")
    try:
        return SimulatedScanner(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"scanner: {problem['loc'][0]} {problem['input']}: {problem['msg']}") from error


class NoisyCoils(Protocol):
    """What the noise of simulated coils depends on."""

    @property
    def coils(self) -> int:
        """How many."""

    @property
    def noise(self) -> float:
        """The standard deviation of real and imaginary part, the mean over the coils."""

    @property
    def correlation(self) -> float:
        """Of neighbouring coils."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""


def noise_covariance(scanner: NoisyCoils) -> NDArray[np.complex128]:
    """Psi (coils, coils) of complex samples, before the gain."""
    rng = np.random.default_rng([scanner.seed, 1])
    deviation = 1 + NOISE_SPREAD * rng.uniform(-1, 1, scanner.coils)
    deviation *= scanner.noise / np.sqrt(np.mean(deviation**2))
    steering = deviation * np.exp(1j * rng.uniform(0, 2 * np.pi, scanner.coils))
    apart = np.abs(np.subtract.outer(np.arange(scanner.coils), np.arange(scanner.coils)))
    return np.asarray(2 * scanner.correlation**apart * np.outer(steering, steering.conj()), dtype=np.complex128)


def noise_factor(scanner: NoisyCoils) -> NDArray[np.complex128]:
    """L (coils, coils) with L L^H the covariance of the noise."""
    covariance = noise_covariance(scanner) + 1e-12 * scanner.noise**2 * np.eye(scanner.coils)
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.complex128)


def simulate_kspace(
    lines: NDArray[np.int64],
    image: Samples,
    maps: Samples,
    scanner: SimulatedScanner,
    phantom: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture (see `kspace_capture`): of `lines`, in this order, and of `phantom` where it is given.

    `image` and `phantom` (N, n) and `maps` (coils, N, n) share one grid.  Raises `InputError` where they do not.
    """
    if image.ndim != 2 or maps.shape != (scanner.coils, *image.shape):
        raise InputError(f"scanner: an image of shape {image.shape} and {maps.shape} coil maps do not fit together")
    if not np.isfinite(image).all() or not np.abs(image).max() > 0:
        raise InputError("scanner: the image holds nothing, or values that are not finite")
    factor = noise_factor(scanner)
    rng = np.random.default_rng([scanner.seed, 2])
    wrong = WrongScanner(scanner, np.random.default_rng([scanner.seed, 4]))
    scene = wrong.signal(lines, maps * image)
    scene = scene + coil_noise(rng, factor, scene.shape[1:])
    offset = wrong.offset(scene)
    silence = coil_noise(rng, factor, (NOISE_SAMPLES,))
    arrays: dict[str, NDArray[np.generic]] = {
        "k": wrong.recorded(scene, offset),
        "lines": lines.astype(np.int64),
        "noise": (scanner.gain * (silence + offset[:, :, 0])).astype(np.complex64),
        "truth": image.astype(np.complex64),
    }
    if phantom is not None:
        order = interleaved(len(phantom))
        known = wrong.signal(order, maps * phantom)
        known = known + coil_noise(np.random.default_rng([scanner.seed, 3]), factor, known.shape[1:])
        arrays |= {"phantom": wrong.recorded(known, offset), "phantom_lines": order, "phantom_truth": phantom}
    return arrays


@dataclass(frozen=True)
class WrongScanner:
    """A scanner with its faults; `rng` says where readouts are lost, and which coils are."""

    scanner: SimulatedScanner
    rng: np.random.Generator

    def signal(self, order: NDArray[np.int64], images: Samples) -> NDArray[np.complex128]:
        """What the coils (coils, N, n) give without noise: (coils, L, m) for the lines of `order`."""
        faults, scanner = self.scanner.faults, self.scanner
        count, samples = images.shape[1:]
        wide = np.zeros((scanner.coils, count, samples * scanner.oversampling), dtype=np.complex64)
        first = wide.shape[2] // 2 - samples // 2
        # An echo behind the middle of the readout is a phase along it.
        late = scanner.echo_shift_samples + faults.get("trajectory-delay", 0.0)
        phase = np.exp(2j * np.pi * late / samples * (np.arange(samples) - samples // 2))
        # Lines that are counted from another one, or a prephaser of another size, are a phase along them.
        above = faults.get("line-offset", 0.0)
        along = np.exp(2j * np.pi * above / count * (np.arange(count) - count // 2))
        wide[:, :, first : first + samples] = images * phase * along[:, None]
        k = centred_fft(wide, (-2, -1)).astype(np.complex128)
        side = faults.get("mirror")
        if side is not None:
            k = k[:, :, mirrored(k.shape[2])] if side == 1 else k[:, mirrored(count)]
        moved = faults.get("shift", 0.0) * (np.arange(count) - count // 2) / count
        k *= np.exp(-2j * np.pi * moved)[:, None]
        k[lost_coils(self.scanner.seed, self.scanner.coils, self.scanner.faults)] = 0
        time, seen, phase = self.in_time(len(order), count)
        return np.asarray(k[:, order[time]] * (seen * phase)[:, None], dtype=np.complex128)

    def in_time(self, count: int, full: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.complex128]]:
        """Which of `count` readouts each is that is recorded, whether there is one, and the phase it has by then.

        `full`: readouts of a scan of everything, over which the field drifts by the angle that is said.
        """
        faults = self.scanner.faults
        lost = round(faults.get("lost-trigger", 0))
        at = round(self.rng.uniform(LOST_FROM, LOST_TO) * (count - lost)) if lost else 0
        time = np.arange(count)
        time[at:] += lost
        seen = time < count
        # The field drifts at a constant rate, whatever is measured meanwhile.
        rate = np.deg2rad(faults.get("drift", 0.0)) / max(full - 1, 1)
        return np.where(seen, time, 0), seen, np.exp(1j * rate * time)

    def offset(self, scene: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """(coils, 1, 1): what every sample of a coil has too much, by the largest one of the scene."""
        size = self.scanner.faults.get("dark", 0.0) / 100 * float(np.abs(scene).max())
        angle = np.random.default_rng([self.scanner.seed, 5]).uniform(0, 2 * np.pi, len(scene))
        return np.asarray(size * np.exp(1j * angle)[:, None, None], dtype=np.complex128)

    def recorded(self, k: NDArray[np.complex128], offset: NDArray[np.complex128]) -> Samples:
        """Through the converter, whose range the scanner sets before each scan by its largest sample."""
        shifted = k + offset
        if "saturation" in self.scanner.faults:
            parts = np.stack([shifted.real, shifted.imag])
            most = float(np.abs(parts).max()) * 100 / self.scanner.faults["saturation"]
            parts = np.clip(parts, -most, most)
            shifted = parts[0] + 1j * parts[1]
        return np.asarray(self.scanner.gain * shifted, dtype=np.complex64)


def lost_coils(seed: int, coils: int, faults: Mapping[FaultName, float]) -> NDArray[np.int64]:
    """The coils that give nothing, of a simulated scanner of any kind."""
    order = np.random.default_rng([seed, 6]).permutation(coils)
    return order[: round(faults.get("coil-loss", 0))]


def capture_record(trajectory: CartesianLines, scanner: SimulatedScanner, created_utc: str) -> KspaceCaptureRecord:
    """The record that goes with `simulate_kspace`."""
    return KspaceCaptureRecord(
        schema_version=1,
        kind="capture",
        modality="mri",
        design_digest=trajectory.design_digest,
        profile_digest=trajectory.profile_digest,
        matrix_lines=trajectory.lines,
        readout_samples=trajectory.readout,
        oversampling=scanner.oversampling,
        coils=scanner.coils,
        created_utc=created_utc,
        arrays_sha256="0" * 64,
        scanner=scanner,
    )


def coil_noise(
    rng: np.random.Generator, factor: NDArray[np.complex128], shape: tuple[int, ...]
) -> NDArray[np.complex128]:
    """Complex Gaussian noise (coils, *shape) with covariance factor factor^H."""
    draws = (rng.standard_normal((2, len(factor), *shape)) * 0.5**0.5).astype(np.float64)
    return np.asarray(np.tensordot(factor, draws[0] + 1j * draws[1], axes=1), dtype=np.complex128)
