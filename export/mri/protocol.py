"""What is asked of a scan: the protocol, the order of its lines, and its dummies."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError, LimitError
from cidesign.export.mri.blocks import TIME_BANDWIDTH
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

LineOrder = Literal["sequential", "centre-out"]
MAX_DUMMIES = 10_000
# The longitudinal magnetisation is called steady when it is within this fraction of its final value.
STEADY_TOLERANCE = 0.01
_LARGEST = 1e5


@dataclass(frozen=True, kw_only=True)
class ScanProtocol(ABC):
    """What every scan needs to be told; None is the shortest (times).

    `dummies` None: estimated from `t1_ms`, TR and flip angle.
    """

    kind: ClassVar[str]
    # Of the pulse that excites.
    time_bandwidth: ClassVar[float] = TIME_BANDWIDTH

    flip_angle_deg: float
    te_ms: float | None
    tr_ms: float | None
    dummies: int | None = None
    t1_ms: float | None = None
    rf_duration_ms: float = 3.0
    noise_scan: bool = True

    def __post_init__(self) -> None:
        for name in ("flip_angle_deg", "rf_duration_ms"):
            self._positive(name, optional=False)
        for name in ("te_ms", "tr_ms", "t1_ms"):
            self._positive(name, optional=True)
        if self.flip_angle_deg > 90:
            raise InputError(
                f"protocol: a flip angle of {self.flip_angle_deg:g} deg is not an excitation; give at most 90"
            )
        if self.dummies is not None and not 0 <= self.dummies <= MAX_DUMMIES:
            raise InputError(f"protocol: {self.dummies} dummies are outside 0..{MAX_DUMMIES}")

    def _positive(self, name: str, optional: bool) -> None:
        value = getattr(self, name)
        if value is None and optional:
            return
        if not isinstance(value, (int, float)) or not 0 < value < _LARGEST:
            raise InputError(f"protocol: {name} is {value}; a positive number is needed")

    @property
    @abstractmethod
    def excited_mm(self) -> float:
        """The thickness that a pulse excites."""

    @property
    @abstractmethod
    def depth_fov(self) -> float:
        """The field of view along the third direction, in mm: what is excited, where nothing encodes it."""


@dataclass(frozen=True, kw_only=True)
class Protocol(ScanProtocol):
    """What every Cartesian scan needs to be told beside; `phase_fov_mm` None is the same as `fov_mm`.

    Exactly one of `dwell_us` (time between samples as played, oversampling included) and `bandwidth_hz_per_px`
    (a wish; the nearest dwell on the profile's raster is taken and shown) is given.  `oversampling` is that of the
    readout.
    """

    fov_mm: float
    dwell_us: float | None = None
    bandwidth_hz_per_px: float | None = None
    phase_fov_mm: float | None = None
    oversampling: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("fov_mm", optional=False)
        for name in ("dwell_us", "bandwidth_hz_per_px", "phase_fov_mm"):
            self._positive(name, optional=True)
        if (self.dwell_us is None) == (self.bandwidth_hz_per_px is None):
            raise InputError("protocol: give exactly one of dwell_us and bandwidth_hz_per_px")
        if self.oversampling not in (1, 2):
            raise InputError(f"protocol: an oversampling of {self.oversampling} is not known; give 1 or 2")

    @property
    def phase_fov(self) -> float:
        """The field of view along the phase-encode direction, in mm."""
        return self.fov_mm if self.phase_fov_mm is None else self.phase_fov_mm

    @property
    def fovs_mm(self) -> tuple[float, float, float]:
        """The fields of view along readout, lines and the third direction."""
        return self.fov_mm, self.phase_fov, self.depth_fov


@dataclass(frozen=True, kw_only=True)
class SliceProtocol(ScanProtocol):
    """A scan of one slice."""

    slice_thickness_mm: float

    def __post_init__(self) -> None:
        self._positive("slice_thickness_mm", optional=False)
        super().__post_init__()

    @property
    def excited_mm(self) -> float:
        """The thickness of the slice."""
        return self.slice_thickness_mm

    @property
    def depth_fov(self) -> float:
        """The thickness of the slice."""
        return self.slice_thickness_mm


@dataclass(frozen=True, kw_only=True)
class LineProtocol(SliceProtocol, Protocol):
    """A Cartesian scan of one slice."""

    order: LineOrder = "sequential"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in get_args(LineOrder):
            raise InputError(f"protocol: line order {self.order!r} is not one of {', '.join(get_args(LineOrder))}")


@dataclass(frozen=True, kw_only=True)
class GreProtocol(LineProtocol):
    """A 2-D spoiled gradient echo: one line for each excitation."""

    kind: ClassVar[str] = "gre"


@dataclass(frozen=True, kw_only=True)
class TseProtocol(LineProtocol):
    """A 2-D turbo spin echo: `echo_train_length` lines for each excitation, `te_ms` is the effective echo time.

    `echo_spacing_ms` None is the shortest.  `te_ms` None puts the centre of k-space on the first echo (centre-out)
    or on the middle one (sequential).
    """

    kind: ClassVar[str] = "tse"

    echo_train_length: int
    echo_spacing_ms: float | None = None
    refocusing_deg: float = 180.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive("echo_spacing_ms", optional=True)
        if not 1 <= self.echo_train_length <= 1024:
            raise InputError(f"protocol: an echo train of {self.echo_train_length} is outside 1..1024")
        if not 91 <= self.refocusing_deg <= 180:
            raise InputError(f"protocol: a refocusing angle of {self.refocusing_deg:g} deg is outside 91..180")


def trajectory_from_mask(mask: NDArray[np.generic], calibration_lines: int, profile: MriProfile) -> CartesianLines:
    """The lines of a mask (lines, readout) of 0 and 1, row 0 the most negative ky.

    Raises `InputError` for a point-wise mask: in a 2-D scan the readout of a line is measured whole or not at all.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise InputError(f"mask: must be of shape (lines, readout), not {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise InputError("mask: values other than 0 (skipped) and 1 (measured); round it first")
    broken = np.flatnonzero((mask != mask[:, :1]).any(axis=1))
    if len(broken):
        rows = ", ".join(map(str, broken[:5])) + (", ..." if len(broken) > 5 else "")
        raise InputError(
            f"mask: k-space columns differ in rows {rows}; a 2-D scan can only skip whole phase-encode lines. Use a "
            "line-wise design, or take the mask as the points (ky, kz) of a 3-D scan: `cidesign design MASK --set "
            "sampling=points`"
        )
    acquired = np.flatnonzero(mask[:, 0]).astype(np.int64)
    return CartesianLines(mask.shape[0], mask.shape[1], acquired, calibration_lines, profile.id, profile.digest)


def dummies_to_steady_state(flip_angle_deg: float, tr_ms: float, t1_ms: float) -> int:
    """Excitations until an ideal spoiled gradient echo is within 1 % of its steady state.

    Mz(n+1) = 1 - (1 - Mz(n) cos a) E1 with E1 = exp(-TR / T1), from equilibrium; Mss = (1 - E1) / (1 - E1 cos a).
    """
    e1 = math.exp(-tr_ms / t1_ms)
    decay = e1 * math.cos(math.radians(flip_angle_deg))
    steady = (1 - e1) / (1 - decay)
    excess = (1 - steady) / steady
    if excess <= STEADY_TOLERANCE or decay <= 0:
        return 1 if excess > STEADY_TOLERANCE else 0
    return math.ceil(math.log(STEADY_TOLERANCE / excess) / math.log(decay))


def dummies_for(protocol: ScanProtocol, tr_ms: float) -> tuple[int, str]:
    """The number of dummies and why; raises `InputError` when there is nothing to estimate it from."""
    if isinstance(protocol, TseProtocol):
        estimate, why = 1, "an ideal echo train is steady from its second shot on"
    elif protocol.t1_ms is not None:
        estimate = dummies_to_steady_state(protocol.flip_angle_deg, tr_ms, protocol.t1_ms)
        why = (
            f"ideal spoiled gradient echo within 1 % of its steady state: flip angle {protocol.flip_angle_deg:g} deg, "
            f"TR {tr_ms:g} ms, T1 {protocol.t1_ms:g} ms"
        )
    elif protocol.dummies is not None:
        return protocol.dummies, f"{protocol.dummies} asked for; no t1_ms to estimate the need from"
    else:
        raise InputError("protocol: give dummies, or t1_ms to estimate how many it takes to the steady state")
    if protocol.dummies is not None:
        return protocol.dummies, f"{protocol.dummies} asked for; {estimate} estimated ({why})"
    if estimate > MAX_DUMMIES:
        raise LimitError(
            f"dummies: {estimate} needed ({why}), {MAX_DUMMIES} is the most; give a longer tr_ms, a larger flip angle, "
            "or dummies"
        )
    return estimate, f"{estimate} estimated ({why})"


def ordered_lines(trajectory: CartesianLines, order: LineOrder) -> list[int]:
    """The acquired lines in the order of a scan with one line for each excitation."""
    lines: list[int] = trajectory.acquired.tolist()
    if order == "sequential":
        return lines
    centre = trajectory.lines // 2
    return sorted(lines, key=lambda line: (abs(line - centre), line))


def echo_trains(trajectory: CartesianLines, protocol: TseProtocol, centre_echo: int) -> list[list[int]]:
    """The lines of each shot, (shots, echo_train_length): the bands of k-space go to the echoes.

    Centre-out: the innermost band comes first.  Sequential: the bands rise with ky, turned so that the one with the
    centre falls on echo `centre_echo` (from 0).  Raises `LimitError` unless the lines fill all trains.
    """
    length, lines = protocol.echo_train_length, ordered_lines(trajectory, protocol.order)
    if len(lines) % length:
        near = sorted((abs(n - length), n) for n in range(1, len(lines) + 1) if len(lines) % n == 0)[:2]
        lengths = " or ".join(str(n) for n in sorted(n for _, n in near))
        raise LimitError(
            f"echo train: {len(lines)} lines do not fill trains of {length} echoes; give an echo_train_length of "
            f"{lengths}, or a budget of {max(len(lines) // length, 1) * length} or "
            f"{(len(lines) // length + 1) * length} lines"
        )
    shots = len(lines) // length
    bands = [lines[echo * shots : (echo + 1) * shots] for echo in range(length)]
    if protocol.order == "sequential":
        shift = centre_echo - centre_band(trajectory, length)
        bands = [bands[(echo - shift) % length] for echo in range(length)]
    return [[band[shot] for band in bands] for shot in range(shots)]


def centre_band(trajectory: CartesianLines, bands: int) -> int:
    """Which of `bands` equal shares of the rising lines holds the line nearest to the centre of k-space."""
    nearest = int(np.argmin(np.abs(trajectory.acquired - trajectory.lines // 2)))
    return nearest * bands // len(trajectory.acquired)
