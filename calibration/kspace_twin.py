"""A simulated scanner: raw k-space of a known image, with receive coils, correlated noise and a noise scan.

    k_c = gain (F (s_c x) + n_c) on the lines measured, n ~ N(0, Psi) over the coils,
    Psi_ij = 2 s_i s_j r^|i - j| exp(i (a_i - a_j)),

with F the centred orthonormal transform of the field of view that readout oversampling makes wider, and standard
deviations s_i of real and imaginary part that differ from coil to coil.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.calibration.kspace import Samples, centred_fft
from cidesign.calibration.kspace_capture import KspaceCaptureRecord, SimulatedScanner
from cidesign.errors import InputError
from cidesign.pattern import Trajectory

NOISE_SAMPLES = 4096
# Coils of one array differ about as much.
NOISE_SPREAD = 0.2


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
) -> SimulatedScanner:
    """The scanner's settings; raises `InputError` that names the first one out of range."""
    values = dict(locals())
    try:
        return SimulatedScanner(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"scanner: {problem['loc'][0]} {problem['input']}: {problem['msg']}") from error


def noise_covariance(scanner: SimulatedScanner) -> NDArray[np.complex128]:
    """Psi (coils, coils) of complex samples, before the gain."""
    rng = np.random.default_rng([scanner.seed, 1])
    deviation = 1 + NOISE_SPREAD * rng.uniform(-1, 1, scanner.coils)
    deviation *= scanner.noise / np.sqrt(np.mean(deviation**2))
    steering = deviation * np.exp(1j * rng.uniform(0, 2 * np.pi, scanner.coils))
    apart = np.abs(np.subtract.outer(np.arange(scanner.coils), np.arange(scanner.coils)))
    return np.asarray(2 * scanner.correlation**apart * np.outer(steering, steering.conj()), dtype=np.complex128)


def simulate_kspace(
    lines: NDArray[np.int64], image: Samples, maps: Samples, scanner: SimulatedScanner
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture: k (coils, L, m), lines (L,), noise (coils, 4096) and truth (N, n).

    `image` (N, n) and `maps` (coils, N, n) share one grid.  Raises `InputError` where they do not.
    """
    if image.ndim != 2 or maps.shape != (scanner.coils, *image.shape):
        raise InputError(f"scanner: an image of shape {image.shape} and {maps.shape} coil maps do not fit together")
    if not np.isfinite(image).all() or not np.abs(image).max() > 0:
        raise InputError("scanner: the image holds nothing, or values that are not finite")
    samples = image.shape[1]
    wide = np.zeros((scanner.coils, image.shape[0], samples * scanner.oversampling), dtype=np.complex64)
    first = wide.shape[2] // 2 - samples // 2
    # An echo behind the middle of the readout is a phase along it.
    phase = np.exp(2j * np.pi * scanner.echo_shift_samples / samples * (np.arange(samples) - samples // 2))
    wide[:, :, first : first + samples] = maps * (image * phase)
    k = centred_fft(wide, (-2, -1))[:, lines]
    covariance = noise_covariance(scanner) + 1e-12 * scanner.noise**2 * np.eye(scanner.coils)
    factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.complex128)
    rng = np.random.default_rng([scanner.seed, 2])
    return {
        "k": (scanner.gain * (k + _noise(rng, factor, k.shape[1:]))).astype(np.complex64),
        "lines": lines.astype(np.int64),
        "noise": (scanner.gain * _noise(rng, factor, (NOISE_SAMPLES,))).astype(np.complex64),
        "truth": image.astype(np.complex64),
    }


def capture_record(trajectory: Trajectory, scanner: SimulatedScanner, created_utc: str) -> KspaceCaptureRecord:
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


def _noise(rng: np.random.Generator, factor: NDArray[np.complex128], shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Complex Gaussian noise (coils, *shape) with covariance factor factor^H."""
    draws = (rng.standard_normal((2, len(factor), *shape)) * 0.5**0.5).astype(np.float64)
    return np.asarray(np.tensordot(factor, draws[0] + 1j * draws[1], axes=1), dtype=np.complex128)
