"""The calibration of a 3-D scan: noise, coil maps of every slice, echo shift, and the scale to the training images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.coils import MOST_ACS_LINES, READOUT_WINDOW, choose_kernel, require_places
from cidesign.calibration.mri.kspace import Samples, centred_ifft
from cidesign.calibration.mri.noise import CoilNoise, measure_noise
from cidesign.calibration.mri.points.volume import RawVolume, placed, require_points
from cidesign.calibration.mri.response import (
    LOST_NOISES,
    NO_CORRECTIONS,
    TRAINING_LEVEL,
    TRAINING_PERCENTILE,
    Corrections,
    KspaceCalibration,
    maps_from,
    require_level,
    require_near_echo,
    shift_echo,
)
from cidesign.calibration.mri.response import echo_shift as shift_of
from cidesign.calibration.mri.virtual_coils import VirtualCoils, covariance_of, strongest
from cidesign.errors import FileError, InputError
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianPoints, calibration_region


@dataclass(frozen=True)
class VolumeCalibration:
    """What a capture says of the scanner; see `KspaceCalibration`, of which every slice has one.

    `maps` (n, coils, lines, partitions); `acs` (lines, partitions) of the region that they are from.
    """

    noise: CoilNoise
    maps: Samples
    scale: float
    echo_shift_samples: float
    acs: tuple[int, int]
    kernel: int | None
    notes: tuple[str, ...]
    corrections: Corrections = NO_CORRECTIONS
    virtual: VirtualCoils | None = None

    @property
    def coils(self) -> int:
        """Coils that receive."""
        return int(self.maps.shape[1])

    @property
    def support(self) -> float:
        """The part of the volume with maps."""
        return float((np.abs(self.maps).max(axis=1) > 0).mean())

    @property
    def noise_deviation(self) -> float:
        """Standard deviation of real and imaginary part of a whitened, scaled sample."""
        return float(self.scale * (self.noise.variance / 2) ** 0.5)

    def slice(self, number: int) -> KspaceCalibration:
        """That of the slice at one position of the readout."""
        return KspaceCalibration(
            self.noise,
            self.maps[number],
            self.scale,
            self.echo_shift_samples,
            min(self.acs),
            self.kernel,
            Orientation(),
            (),
            virtual=self.virtual,
        )

    def slices(self, raw: RawVolume) -> Samples:
        """K-space (n, coils, lines, partitions) of every slice, whitened and in units of the training images.

        Of many coils it is that of the virtual ones.
        """
        found = self.noise.whiten(self._readouts(raw) * np.float32(self.scale))
        few = found if self.virtual is None else self.virtual.combine(found)
        return placed(few, raw.points, raw.matrix)

    def coil_slices(self, raw: RawVolume) -> Samples:
        """The same coil by coil as received, before whitening."""
        return placed(self._readouts(raw) * np.float32(self.scale), raw.points, raw.matrix)

    def _readouts(self, raw: RawVolume) -> Samples:
        return shift_echo(self.corrections.apply(raw.readouts).k, -self.echo_shift_samples)


def calibrate_volume(
    raw: RawVolume,
    design: CartesianPoints,
    acs: tuple[int, int] | None = None,
    kernel: int | None = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> VolumeCalibration:
    """Calibrate from the fully sampled centre of the design, once `corrections` are made.

    `acs` None: its whole, at most 24 each way.  Raises `FileError` for a capture of other points, with a centre that is
    too small, or without signal.
    """
    require_points(raw, design)
    scan = corrections.apply(raw.readouts)
    size = _region(raw, design, acs)
    inside = calibration_region(raw.matrix, size)[raw.points[:, 0], raw.points[:, 1]] == 1
    noise = measure_noise(scan)
    readouts = scan.k[:, inside]
    middle = raw.samples // 2
    peak = readouts[..., max(middle - READOUT_WINDOW // 2, 0) : middle + READOUT_WINDOW // 2]
    require_level(raw.path, peak, noise, f"{size[0]} x {size[1]} points")
    shift = shift_of(readouts)
    require_near_echo(raw.path, shift)
    along = centred_ifft(shift_echo(readouts, -shift), (-1,))
    # (n, coils, lines, partitions): the points rise, so those of the region are in its order.
    centre = along.transpose(2, 0, 1).reshape(raw.samples, len(scan.k), *size)
    notes = [*scan.notes, noise.source]
    if scan.coils == 1:
        if kernel is not None:
            raise InputError(f"--set kernel: {raw.path} has one coil, which needs no maps; leave it out")
        maps, places, virtual = np.ones((raw.samples, 1, *raw.matrix), dtype=np.complex64), None, None
    else:
        places = choose_kernel(min(size), kernel, raw.path)
        maps, virtual = _maps(raw, centre, places, noise)
    if virtual is not None:
        notes.append(
            f"{scan.coils} coils are combined to {len(virtual.matrix)} virtual ones, which keep {virtual.kept:.3%} "
            "of the energy of the calibration region"
        )
    found = VolumeCalibration(noise, maps, 1.0, shift, size, places, tuple(notes), corrections, virtual)
    return replace(found, scale=TRAINING_LEVEL / _level(centre, raw.matrix))


def _region(raw: RawVolume, design: CartesianPoints, acs: tuple[int, int] | None) -> tuple[int, int]:
    lines, partitions = (min(size, MOST_ACS_LINES) for size in design.calibration)
    if min(lines, partitions) < 1:
        raise FileError(
            f"{raw.path}: the design has no fully sampled centre, from which coil maps, echo and scale follow; design "
            "with acs_lines and acs_partitions"
        )
    if acs is None:
        return lines, partitions
    if not (1 <= acs[0] <= lines and 1 <= acs[1] <= partitions):
        raise InputError(
            f"--set acs_lines={acs[0]} acs_partitions={acs[1]}: the design samples {lines} x {partitions} fully"
        )
    return acs


def _maps(raw: RawVolume, centre: Samples, kernel: int, noise: CoilNoise) -> tuple[Samples, VirtualCoils | None]:
    """Maps of unit norm (n, coils, lines, partitions), and what many coils were combined to for them."""
    white = noise.whiten(np.ascontiguousarray(centre.swapaxes(0, 1))).swapaxes(0, 1)
    require_places(raw.path, white[0], kernel)
    together = covariance_of(white.swapaxes(0, 1))
    virtual = strongest(together, LOST_NOISES * noise.variance, noise.variance)
    maps = np.stack([maps_from(one, raw.matrix, kernel, noise, virtual) for one in white])
    if not maps.any():
        raise FileError(f"{raw.path}: no pixel has coil maps that agree with the calibration region; too much noise?")
    return maps, virtual


def _level(centre: Samples, matrix: tuple[int, int]) -> float:
    """How bright the brightest slice is, as the calibration region shows it: one scale for the whole volume."""
    whole = np.zeros((len(centre), centre.shape[1], *matrix), dtype=np.complex64)
    size = centre.shape[2:]
    first = [count // 2 - part // 2 for count, part in zip(matrix, size, strict=True)]
    whole[:, :, first[0] : first[0] + size[0], first[1] : first[1] + size[1]] = centre
    magnitude: NDArray[np.float32] = np.sqrt((np.abs(centred_ifft(whole, (-2, -1))) ** 2).sum(axis=1))
    return float(np.percentile(magnitude, TRAINING_PERCENTILE, axis=(1, 2)).max())
