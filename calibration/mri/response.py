"""The MRI calibration: noise, coil maps, echo shift, orientation and the scale to the training images."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.centre import recounted
from cidesign.calibration.mri.coils import (
    MOST_ACS_LINES,
    centre_of,
    choose_kernel,
    espirit_maps,
    low_resolution,
    require_places,
)
from cidesign.calibration.mri.kspace import RawKspace, Samples, centred_fft, centred_ifft, require_design
from cidesign.calibration.mri.noise import CoilNoise, measure_noise
from cidesign.calibration.mri.virtual_coils import VirtualCoils, covariance_of, strongest
from cidesign.errors import FileError, InputError
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianLines, centre_block

# The 99th percentile of the magnitude of training slices (largest magnitude 1) that 10 to 24 central lines show: the
# median of 24 procedural slices of 64 to 160 pixels (0.73 to 0.79 by size and lines, single slices 0.42 to 0.92).
TRAINING_PERCENTILE = 99.0
TRAINING_LEVEL = 0.75
# An echo further off the middle is a wrong header or a wrong sequence, not a delay.
LARGEST_ECHO_SHIFT = 4.0
# Below this ratio to the noise the centre of k-space holds no image.
LEAST_SIGNAL = 3.0
# Virtual coils leave out at most so many times the noise variance of a sample, in the centre of k-space: 0.1 % of the
# energy.  With 1, 10 and 100 times, images by total variation were within 0.04 dB of those of all of 32 simulated coils
# (64 lines), and those by conjugate gradients 0.04 to 0.23 dB better.
LOST_NOISES = 10.0


@dataclass(frozen=True)
class Corrections:
    """What is put right in raw k-space before anything else.

    `coils`: those that receive (None: all).  `offset` (coils,): what every sample has too much (None: nothing).
    `shift_px`: how far the image lies down its phase encoding.  `drift_rad_per_readout`: of the phase, in time.
    `offset_lines`: how many lines the centre of k-space lies above the middle one; see `recounted`.
    """

    coils: tuple[int, ...] | None = None
    offset: NDArray[np.complex128] | None = None
    shift_px: float = 0.0
    drift_rad_per_readout: float = 0.0
    offset_lines: int = 0

    def excluded_coils(self, count: int) -> list[int]:
        """Which of `count` coils are left out, rising."""
        return [] if self.coils is None else sorted(set(range(count)) - set(self.coils))

    def apply(self, raw: RawKspace) -> RawKspace:
        """The capture with its scene, noise and phantom put right; the drift only where the order of lines is known."""
        raw = recounted(raw, self.offset_lines)
        k, noise, phantom = raw.k.astype(np.complex128), raw.noise, raw.phantom
        if self.offset is not None:
            k -= self._offset(raw.oversampling)
            noise = None if noise is None else (noise - raw.noise_factor * self.offset[:, None]).astype(np.complex64)
        time = np.zeros(len(raw.lines), dtype=np.int64) if raw.order is None else raw.order
        k *= self._phase(raw.lines, time, raw.matrix_lines)
        if phantom is not None:
            known = phantom.k if self.offset is None else phantom.k - self._offset(raw.oversampling)
            known = known * self._phase(phantom.order, np.arange(len(phantom.order)), raw.matrix_lines)
            phantom = replace(phantom, k=self._kept(known.astype(np.complex64)))
        return replace(
            raw,
            k=self._kept(k.astype(np.complex64)),
            noise=None if noise is None else self._kept(noise),
            edges=None if raw.edges is None else self._kept(raw.edges),
            phantom=phantom,
        )

    def _offset(self, oversampling: float) -> NDArray[np.complex128]:
        # A constant is one pixel in the middle; the narrower field of view spreads it over fewer samples.
        offset = np.zeros(1) if self.offset is None else self.offset
        return np.asarray(offset[:, None, None] * oversampling**0.5, dtype=np.complex128)

    def _phase(self, lines: NDArray[np.int64], time: NDArray[np.int64], count: int) -> NDArray[np.complex128]:
        moved = 2 * np.pi * self.shift_px * (lines - count // 2) / count
        return np.asarray(np.exp(1j * (moved - self.drift_rad_per_readout * time))[:, None], dtype=np.complex128)

    def _kept(self, values: Samples) -> Samples:
        return values if self.coils is None else np.ascontiguousarray(values[list(self.coils)])


NO_CORRECTIONS = Corrections()


@dataclass(frozen=True)
class KspaceCalibration:
    """What a capture says of the scanner.

    `maps` (coils, N, n) have unit norm over the coils that receive, and are 0 where there is no object.  k times
    `scale` is in units of the training images; `corrections` and `echo_shift_samples` are removed first; `acs_lines`
    central lines were used, with a kernel of `kernel` (None for one coil).  `support` is the part of the field of view
    with maps.  `virtual`: what many coils, whitened, are combined to.
    """

    noise: CoilNoise
    maps: Samples
    scale: float
    echo_shift_samples: float
    acs_lines: int
    kernel: int | None
    orientation: Orientation
    notes: tuple[str, ...]
    corrections: Corrections = NO_CORRECTIONS
    virtual: VirtualCoils | None = None

    @property
    def coils(self) -> int:
        """Coils that receive."""
        return len(self.maps)

    @property
    def support(self) -> float:
        """The part of the field of view with maps."""
        return float((np.abs(self.maps).max(axis=0) > 0).mean())

    @property
    def noise_deviation(self) -> float:
        """Standard deviation of real and imaginary part of a whitened, scaled sample."""
        return float(self.scale * (self.noise.variance / 2) ** 0.5)

    def operator(self) -> tuple[Samples, NDArray[np.float32]]:
        """Maps of whitened data, L^-1 S, brought to unit norm over the coils, and the norm (N, n) that was divided out.

        Of unit norm, k-space of all lines has the noise of one coil everywhere, as decoders expect; an image divided by
        the norm (where it is not 0) is in units of the root of the sum of squares over the coils.
        """
        white = self._combined(self.noise.whiten(self.maps))
        norm = np.sqrt((np.abs(white) ** 2).sum(axis=0)).astype(np.float32)
        return unit_maps(white), norm

    def measurements(self, raw: RawKspace) -> Samples:
        """Whitened k-space (coils, N, n) in units of the training images, the echo centred; 0 on other lines.

        Of many coils it is that of the virtual ones, as in `operator`.
        """
        return self._combined(self.noise.whiten(self.coil_kspace(raw)))

    def _combined(self, values: Samples) -> Samples:
        return values if self.virtual is None else self.virtual.combine(values)

    def coil_kspace(self, raw: RawKspace) -> Samples:
        """The same before whitening: coil by coil as received."""
        placed = self.corrections.apply(raw).placed()
        return np.asarray(shift_echo(placed, -self.echo_shift_samples) * np.float32(self.scale))


def calibrate_kspace(
    raw: RawKspace,
    design: CartesianLines,
    orientation: Orientation,
    acs_lines: int | None = None,
    kernel: int | None = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> KspaceCalibration:
    """Calibrate from the central lines that the design and the capture share, once `corrections` are made.

    `acs_lines` and `kernel` None: the contiguous lines of the design, at most 24, and the largest kernel that fits.
    Raises `FileError` for a capture of other lines, with too few central ones, or without signal.
    """
    require_design(raw, design)
    raw = corrections.apply(raw)
    require_design(raw, design)
    block = _calibration_block(raw, design, acs_lines)
    noise = measure_noise(raw)
    k = raw.placed()
    padding = raw.padding_note()
    notes = [*raw.notes, *([] if padding is None else [padding]), noise.source]
    require_level(raw.path, k[:, block.start : block.stop], noise, f"{len(block)} lines")
    shift = echo_shift(k[:, block.start : block.stop])
    require_near_echo(raw.path, shift)
    k = shift_echo(k, -shift)
    size: int | None = None
    virtual: VirtualCoils | None = None
    if raw.coils == 1:
        maps = np.ones(k.shape, dtype=np.complex64)
    else:
        size = choose_kernel(len(block), kernel, raw.path)
        maps, virtual = _maps(raw, k, block, size, noise)
    if virtual is not None:
        notes.append(
            f"{raw.coils} coils are combined to {len(virtual.matrix)} virtual ones, which keep {virtual.kept:.3%} "
            "of the energy of the calibration lines"
        )
    if raw.coils == 1 and kernel is not None:
        raise InputError(f"--set kernel: {raw.path} has one coil, which needs no maps; leave it out")
    level = float(np.percentile(low_resolution(k, block.start, len(block)), TRAINING_PERCENTILE))
    return KspaceCalibration(
        noise, maps, TRAINING_LEVEL / level, shift, len(block), size, orientation, tuple(notes), corrections, virtual
    )


def _maps(
    raw: RawKspace, k: Samples, block: range, kernel: int, noise: CoilNoise
) -> tuple[Samples, VirtualCoils | None]:
    """Maps of unit norm over the coils of placed k (coils, N, n), and what many coils were combined to for them."""
    acs = centre_of(noise.whiten(k), block.start, len(block))
    require_places(raw.path, acs, kernel)
    virtual = strongest(covariance_of(acs), LOST_NOISES * noise.variance, noise.variance)
    maps = maps_from(acs, (k.shape[1], k.shape[2]), kernel, noise, virtual)
    if not maps.any():
        raise FileError(f"{raw.path}: no pixel has coil maps that agree with the calibration lines; too much noise?")
    return maps, virtual


def maps_from(
    acs: Samples, shape: tuple[int, int], kernel: int, noise: CoilNoise, virtual: VirtualCoils | None
) -> Samples:
    """Maps of unit norm over the coils (coils, *shape) from whitened calibration data (coils, a, r)."""
    few = acs if virtual is None else virtual.combine(acs)
    white = espirit_maps(few, shape, kernel, noise.variance)
    if virtual is not None:
        white = np.tensordot(virtual.matrix.conj().T, white, axes=1).astype(np.complex64)
    return unit_maps(noise.unwhiten(white))


def require_near_echo(path: Path, shift: float) -> None:
    """Raise `FileError` for an echo that is too far from the middle of the readout."""
    if abs(shift) > LARGEST_ECHO_SHIFT:
        raise FileError(
            f"{path}: the echo lies {shift:+.2f} samples from the middle of the readout, at most "
            f"{LARGEST_ECHO_SHIFT:g} are corrected; check readout oversampling and the prephaser; this resembles: "
            "trajectory-delay",
            fault="trajectory-delay",
        )


def _calibration_block(raw: RawKspace, design: CartesianLines, acs_lines: int | None) -> range:
    """The contiguous central lines that both have, at most as many as asked for; symmetric about the centre."""
    centre, designed = design.lines // 2, set(design.acquired.tolist())
    shared = [line in designed for line in raw.central_lines()]
    lines = dict(zip(raw.central_lines(), shared, strict=True))
    count = 0
    while all(lines.get(line, False) for line in centre_block(design.lines, count + 1)):
        count += 1
    wanted = min(count, MOST_ACS_LINES) if acs_lines is None else acs_lines
    if not 1 <= wanted <= count:
        raise FileError(
            f"{raw.path}: {count} contiguous lines around line {centre} (the centre of k-space) are in both the design "
            f"and the capture; {max(wanted, 1)} are asked for. Scan more, or "
            "design with --acs-lines"
        )
    return centre_block(design.lines, wanted)


def require_level(path: Path, readouts: Samples, noise: CoilNoise, what: str) -> None:
    """Raise `FileError` where the central samples of readouts (coils, L, n) hold no signal."""
    level = float((np.abs(centre_of(readouts, 0, readouts.shape[1])) ** 2).mean()) ** 0.5
    if level < LEAST_SIGNAL * noise.variance**0.5:
        raise FileError(
            f"{path}: the centre of k-space ({what}) is {level:.3g} on average, the noise {noise.variance**0.5:.3g} "
            f"({noise.source}); no signal was received; check the coil, its plug and the transmitter; this resembles: "
            "coil-loss",
            fault="coil-loss",
        )


def unit_maps(maps: Samples) -> Samples:
    """Maps (coils, N, n) brought to unit norm over the coils, 0 where they are."""
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return np.asarray(np.where(norm > 0, maps / np.where(norm > 0, norm, 1), 0), dtype=np.complex64)


def echo_shift(acs: Samples) -> float:
    """How many samples the echo lies behind the middle of the readout, from lines (coils, a, n).

    The mean phase step between neighbouring pixels along the readout, weighted with their magnitudes, is
    2 pi shift / n.  A linear phase of the object itself counts as well: it moves the echo just so.
    """
    image = centred_ifft(acs, (-1,))
    step = (image[..., :-1].conj() * image[..., 1:]).sum()
    return float(np.angle(step) * acs.shape[-1] / (2 * np.pi))


def shift_echo(k: Samples, samples: float) -> Samples:
    """Move the echo of k-space (..., n) by a fraction of samples towards later ones."""
    count = k.shape[-1]
    phase = np.exp(2j * np.pi * samples / count * (np.arange(count) - count // 2))
    return centred_fft(centred_ifft(k, (-1,)) * phase.astype(np.complex64), (-1,))
