"""The noise of the receive coils, and whitening."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, Samples, centred_ifft
from cidesign.errors import FileError

# Fewer samples than this many per coil do not give a covariance.
LEAST_SAMPLES_PER_COIL = 16
# Without a noise scan: the outermost parts of the field of view or of the readouts.
EDGE_PART = 1 / 16
WITHOUT_SCAN = "whitening from readout edges (no noise scan)"


@dataclass(frozen=True)
class CoilNoise:
    """`covariance` (coils, coils) of complex samples, `source` says from what, with what caveat."""

    covariance: NDArray[np.complex128]
    source: str
    from_scan: bool

    @property
    def variance(self) -> float:
        """Mean over the coils of the variance of a complex sample."""
        return float(np.trace(self.covariance).real / len(self.covariance))

    @property
    def largest_correlation(self) -> float:
        """The largest correlation between two coils, 0 for one coil."""
        deviation = np.sqrt(np.diag(self.covariance).real)
        correlation = np.abs(self.covariance) / np.outer(deviation, deviation)
        return float((correlation - np.diag(np.diag(correlation))).max())

    @property
    def mixing(self) -> NDArray[np.complex128]:
        """L (coils, coils), lower triangular, with L L^H = covariance / variance."""
        return np.asarray(np.linalg.cholesky(self.covariance / self.variance), dtype=np.complex128)

    def select(self, coils: tuple[int, ...]) -> "CoilNoise":
        """The noise of some of the coils."""
        return CoilNoise(self.covariance[np.ix_(coils, coils)], self.source, self.from_scan)

    def whiten(self, values: Samples) -> Samples:
        """L^-1 v for (coils, ...): noise that is independent and of one variance, the mean of the coils'."""
        flat = np.linalg.solve(self.mixing, values.reshape(len(values), -1))
        return flat.reshape(values.shape).astype(np.complex64)

    def unwhiten(self, values: Samples) -> Samples:
        """L v, the inverse of `whiten`."""
        return np.asarray(np.tensordot(self.mixing, values, axes=1), dtype=np.complex64)


def measure_noise(raw: RawKspace) -> CoilNoise:
    """The noise covariance from the noise scan; without one from the edges of the readout, which is said.

    The edges are a part of the field of view that removing oversampling cut off (air).  Where nothing was cut off, they
    are the outermost sixteenths of the outer half of the lines, or of the field of view, whichever is quieter: an
    upper bound.  Raises `FileError` for coils without noise.
    """
    if raw.noise is not None:
        return covariance_of(raw.path, raw.noise, "noise scan", True)
    if raw.edges is not None:
        return measure_edges(raw)
    width = max(round(raw.k.shape[2] * EDGE_PART), 1)
    # Ends of readouts that were padded with zeros hold no noise.
    held = np.flatnonzero((raw.k != 0).any(axis=(0, 1)))
    first, last = int(held[0]), int(held[-1]) + 1
    thinned = np.float32((raw.k.shape[2] / (last - first)) ** 0.5)
    outer = np.abs(raw.lines - raw.matrix_lines // 2) >= np.median(np.abs(raw.lines - raw.matrix_lines // 2))
    candidates = [
        covariance_of(
            raw.path, np.concatenate([k[..., :width], k[..., -width:]], axis=-1), f"{WITHOUT_SCAN}: {where}", False
        )
        for k, where in (
            (raw.k[:, outer, first:last], "the outermost samples, an upper bound as signal is in them"),
            (
                _along_readout(raw.k) * thinned,
                "the borders of the field of view, an upper bound where the object reaches them",
            ),
        )
    ]
    # Signal only adds to noise.
    return min(candidates, key=lambda noise: noise.variance)


def measure_edges(raw: RawKspace) -> CoilNoise:
    """The noise covariance in the air beside the field of view, which removing oversampling cut off."""
    if raw.edges is None:
        raise FileError(f"{raw.path}: its readout was not oversampled, so that no air lies beside the field of view")
    # Half-way between the object and the flanks of the receiver's filter, which let no noise through.
    air = _along_readout(raw.edges)
    half = air.shape[-1] // 2
    width = max(round(2 * air.shape[-1] * EDGE_PART), 1)
    first = max(half // 2 - width // 2, 0)
    parts = [air[..., first : first + width], air[..., half + first : half + first + width]]
    return covariance_of(
        raw.path, np.concatenate(parts, axis=-1), f"{WITHOUT_SCAN}: the air beside the field of view", False
    )


def _along_readout(k: Samples) -> Samples:
    """Where along the readout the samples (..., n) come from: the transform of that axis alone."""
    return centred_ifft(k, (-1,))


def covariance_of(path: Path, samples: Samples, source: str, from_scan: bool) -> CoilNoise:
    """The noise of samples (coils, ...) that hold no signal; raises `FileError` for coils without noise."""
    flat = samples.reshape(len(samples), -1).astype(np.complex128)
    if flat.shape[1] < LEAST_SAMPLES_PER_COIL * len(flat):
        raise FileError(
            f"{path}: {flat.shape[1]} samples of noise do not give the covariance of {len(flat)} coils; at least "
            f"{LEAST_SAMPLES_PER_COIL * len(flat)} are needed, record a noise scan"
        )
    if not np.isfinite(flat).all():
        raise FileError(f"{path}: the noise samples hold numbers that are not finite")
    flat = flat - flat.mean(axis=1, keepdims=True) if from_scan else flat
    covariance = flat @ flat.conj().T / flat.shape[1]
    dead = np.flatnonzero(np.diag(covariance).real <= 1e-6 * np.trace(covariance).real / len(covariance))
    if dead.size:
        raise FileError(
            f"{path}: coil {', '.join(map(str, dead.tolist()))} has no noise ({source}), so it is not connected, "
            "or the file was padded with zeros; record a noise scan, or leave the coil out"
        )
    smallest = float(np.linalg.eigvalsh(covariance)[0])
    if smallest <= 1e-9 * np.trace(covariance).real:
        raise FileError(f"{path}: the noise of its coils is linearly dependent ({source}); coils were combined before")
    return CoilNoise(np.asarray(covariance, dtype=np.complex128), source, from_scan)
