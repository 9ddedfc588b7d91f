"""A simulated scanner of shots: what it records of a known image.

    y_c = gain (A(k') (s_c x) + n_c),  k'(t) = k(t - delay),  n ~ N(0, Psi) over the coils (see `calibration.mri.twin`),

with A the orthonormal sums of `ShotSums` at the samples that late gradients really play, and coil maps s_c.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.calibration.faults import FaultKind, FaultKinds
from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.shots.capture import ShotsCaptureRecord, SimulatedShots
from cidesign.calibration.mri.shots.nufft import Complex, ShotSums
from cidesign.calibration.mri.twin import LOST_FROM, LOST_TO, NOISE_SAMPLES, coil_noise, lost_coils, noise_factor
from cidesign.errors import InputError
from cidesign.pattern import NonCartesian

FAULTS: FaultKinds = {
    "lost-trigger": FaultKind("shots lost, so that the following ones move up", "shots", 1, 1, 3, whole=True),
    "drift": FaultKind("phase drift of the field during the scan", "degrees", 60, -360, 360),
    "mirror": FaultKind("1: columns reversed, 2: rows reversed", "", 1, 1, 2, whole=True),
    "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
    "trajectory-delay": FaultKind("gradients behind the samples", "us", 4, -100, 100),
}


def shots_scanner(**values: object) -> SimulatedShots:
    """The scanner's settings; raises `InputError` that names the first one out of range."""
    try:
        scanner = SimulatedShots.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"scanner: {problem['loc'][0]} {problem['input']}: {problem['msg']}") from error
    lost = scanner.faults.get("coil-loss", 0)
    if lost > scanner.coils:
        raise InputError(f"--fault coil-loss={lost:g}: the scanner has {scanner.coils} coil(s)")
    return scanner


def simulate_shots(
    design: NonCartesian,
    image: Samples,
    maps: Samples,
    scanner: SimulatedShots,
    phantom: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture of `image`, and of `phantom` where one is given; maps (coils, H, W)."""
    if image.shape != design.size or maps.shape != (scanner.coils, *design.size):
        raise InputError(f"scanner: an image of shape {image.shape} and {maps.shape} coil maps do not fit together")
    if not np.isfinite(image).all() or not np.abs(image).max() > 0:
        raise InputError("scanner: the image holds nothing, or values that are not finite")
    factor = noise_factor(scanner)
    scene = _signal(design, maps * image, scanner)
    scene = scene + coil_noise(np.random.default_rng([scanner.seed, 2]), factor, scene.shape[1:])
    silence = coil_noise(np.random.default_rng([scanner.seed, 7]), factor, (NOISE_SAMPLES,))
    arrays: dict[str, NDArray[np.generic]] = {
        "k": (scanner.gain * scene).astype(np.complex64),
        "noise": (scanner.gain * silence).astype(np.complex64),
        "truth": image.astype(np.complex64),
    }
    if phantom is not None:
        known = _signal(design, maps * phantom, scanner)
        known = known + coil_noise(np.random.default_rng([scanner.seed, 3]), factor, known.shape[1:])
        arrays |= {"phantom": (scanner.gain * known).astype(np.complex64), "phantom_truth": phantom}
    return arrays


def _signal(design: NonCartesian, images: Samples, scanner: SimulatedShots) -> Complex:
    """What the coils (coils, H, W) give without noise: (coils, shots, samples), with what is wrong."""
    faults = scanner.faults
    points = design.delayed(scanner.delays_ns)
    side = faults.get("mirror")
    if side is not None:
        points = points * ([1.0, -1.0] if side == 1 else [-1.0, 1.0])
    k = ShotSums(points, design.size).forward(images)
    k[lost_coils(scanner.seed, scanner.coils, scanner.faults)] = 0
    lost = round(faults.get("lost-trigger", 0))
    shots = np.arange(design.shots)
    if lost:
        part = np.random.default_rng([scanner.seed, 4]).uniform(LOST_FROM, LOST_TO)
        shots[round(part * max(design.shots - lost, 0)) :] += lost
    seen = shots < design.shots
    found = k[:, np.where(seen, shots, 0)] * seen[:, None]
    rate = np.deg2rad(faults.get("drift", 0.0)) / max(design.shots - 1, 1)
    return np.asarray(found * np.exp(1j * rate * shots)[:, None], dtype=np.complex128)


def shots_record(design: NonCartesian, scanner: SimulatedShots, created_utc: str) -> ShotsCaptureRecord:
    """The record that goes with `simulate_shots`."""
    return ShotsCaptureRecord(
        schema_version=1,
        kind="capture",
        modality="mri-shots",
        design_digest=design.design_digest,
        profile_digest=design.profile_digest,
        shots=design.shots,
        samples=design.samples_per_shot,
        coils=scanner.coils,
        created_utc=created_utc,
        arrays_sha256="0" * 64,
        scanner=scanner,
    )
