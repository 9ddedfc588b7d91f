"""A simulated 3-D scan: raw k-space of a known volume, with receive coils, correlated noise and a noise scan.

    k_c = gain (F (s_c x) + n_c) at the points measured,

with F the centred orthonormal transform in three dimensions, its readout of the wider field of view that oversampling
sees, and noise, gain and faults as in the twin of 2-D scans.
"""

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.calibration.mri.capture import SimulatedScanner
from cidesign.calibration.mri.kspace import Samples, centred_fft
from cidesign.calibration.mri.points.capture import PointsCaptureRecord
from cidesign.calibration.mri.twin import NOISE_SAMPLES, WrongScanner, coil_noise, lost_coils, noise_factor
from cidesign.errors import InputError
from cidesign.pattern import CartesianPoints

FAULTS: FaultKinds = {
    "lost-trigger": FaultKind("readouts lost, so that the following points move up", "points", 1, 1, 3, whole=True),
    "drift": FaultKind("phase drift of the field during a scan of all points", "degrees", 60, -360, 360),
    "saturation": FaultKind("the largest sample", "% of the converter's range", 200, 100, 1000),
    "dark": FaultKind("constant offset of every sample", "% of the largest sample", 1, 0, 20),
    "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
    "trajectory-delay": FaultKind("echo behind the middle of the readout", "samples", 1.5, -8, 8),
    "line-offset": FaultKind("centre of k-space above the middle line", "lines", 2, -16, 16),
}


def simulate_volume(
    points: NDArray[np.int64], volume: Samples, maps: Samples, scanner: SimulatedScanner
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture (see `points.capture`) of `points` (P, 2), in this order.

    `volume` (n, lines, partitions) and `maps` (coils, n, lines, partitions) share one grid, the readout first.  Raises
    `InputError` where they do not.
    """
    if volume.ndim != 3 or maps.shape != (scanner.coils, *volume.shape):
        raise InputError(f"scanner: a volume of shape {volume.shape} and {maps.shape} coil maps do not fit together")
    if not np.isfinite(volume).all() or not np.abs(volume).max() > 0:
        raise InputError("scanner: the volume holds nothing, or values that are not finite")
    factor = noise_factor(scanner)
    rng = np.random.default_rng([scanner.seed, 2])
    wrong = WrongScanner(scanner, np.random.default_rng([scanner.seed, 4]))
    scene = _signal(wrong, points, volume, maps)
    scene += coil_noise(rng, factor, scene.shape[1:])
    offset = wrong.offset(scene)
    silence = coil_noise(rng, factor, (NOISE_SAMPLES,))
    return {
        "k": wrong.recorded(scene, offset),
        "points": points.astype(np.int64),
        "noise": (scanner.gain * (silence + offset[:, :, 0])).astype(np.complex64),
        "truth": volume.astype(np.complex64),
    }


def _signal(wrong: WrongScanner, points: NDArray[np.int64], volume: Samples, maps: Samples) -> NDArray[np.complex128]:
    """What the coils give without noise: (coils, P, m), one coil after the other as a volume of all is large."""
    scanner, faults = wrong.scanner, wrong.scanner.faults
    samples, lines, partitions = volume.shape
    time, seen, phase = wrong.in_time(len(points), lines * partitions)
    late = scanner.echo_shift_samples + faults.get("trajectory-delay", 0.0)
    ramp = np.exp(2j * np.pi * late / samples * (np.arange(samples) - samples // 2))
    above = np.exp(2j * np.pi * faults.get("line-offset", 0.0) / lines * (np.arange(lines) - lines // 2))
    width = samples * scanner.oversampling
    first = width // 2 - samples // 2
    lost = set(lost_coils(scanner.seed, scanner.coils, scanner.faults).tolist())
    found = np.zeros((scanner.coils, len(points), width), dtype=np.complex128)
    for coil in range(scanner.coils):
        if coil in lost:
            continue
        wide = np.zeros((width, lines, partitions), dtype=np.complex64)
        wide[first : first + samples] = maps[coil] * volume * ramp[:, None, None] * above[:, None]
        k = centred_fft(wide, (0, 1, 2))
        found[coil] = k[:, points[:, 0], points[:, 1]].T[time] * (seen * phase)[:, None]
    return found


def points_record(design: CartesianPoints, scanner: SimulatedScanner, created_utc: str) -> PointsCaptureRecord:
    """The record that goes with `simulate_volume`."""
    return PointsCaptureRecord(
        schema_version=1,
        kind="capture",
        modality="mri-points",
        design_digest=design.design_digest,
        profile_digest=design.profile_digest,
        matrix_lines=design.lines,
        matrix_partitions=design.partitions,
        readout_samples=design.readout,
        oversampling=scanner.oversampling,
        coils=scanner.coils,
        created_utc=created_utc,
        arrays_sha256="0" * 64,
        scanner=scanner,
    )
