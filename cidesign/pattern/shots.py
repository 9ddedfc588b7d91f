"""A non-Cartesian 2-D trajectory: shots of free gradients."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import JsonObject
from cidesign.pattern.trajectory import MAX_MATRIX, Trajectory

# Proton gyromagnetic ratio of Pulseq, Hz/T (42.576 MHz/T).
GAMMA_HZ_PER_T = 42.576e6
NS_PER_S = 1_000_000_000
# Of gradients and of samples together: 2 GB, far above any scan of a slice.
MAX_VALUES = 2**27
# Of k-space in files: per field of view, per length, per pixel, in whole turns or in radians.
Unit = Literal["1/fov", "1/m", "rad/m", "cycles/px", "rad/px"]
UNITS: tuple[Unit, ...] = ("1/fov", "1/m", "rad/m", "cycles/px", "rad/px")


def units_in_steps(fov_mm: float, pixels: float) -> dict[Unit, float]:
    """What 1 of each unit is in 1/FOV of an image of `pixels` along a side over `fov_mm`."""
    per_m = fov_mm * 1e-3
    return {
        "1/fov": 1.0,
        "1/m": per_m,
        "rad/m": per_m / (2 * np.pi),
        "cycles/px": pixels,
        "rad/px": pixels / (2 * np.pi),
    }


@dataclass(frozen=True)
class NonCartesian(Trajectory):
    """Shots of gradients, each sampled while it plays.

    `gradients_mt_per_m` (shots, corners, 2), float64: the gradients at the edges of the raster (`raster_ns`), straight
    between them, along the two sides of the image (down, right); all are 0 at both ends of a shot.  `starts` (shots, 2)
    is where a shot starts, in 1/FOV: what a prephaser plays before.  `samples_per_shot` samples of `dwell_ns` each
    begin `delay_ns` after the start; a sample stands for the middle of its dwell time.
    """

    size: tuple[int, int]
    fov_mm: float
    gradients_mt_per_m: NDArray[np.float64]
    starts: NDArray[np.float64]
    raster_ns: int
    samples_per_shot: int
    dwell_ns: int
    delay_ns: int
    profile_id: str
    profile_digest: str

    kind, is_cartesian, array_name = "shots", False, "shots"

    def __post_init__(self) -> None:
        g, start = self.gradients_mt_per_m, self.starts
        for name, array, shape in (("gradients", g, (None, None, 2)), ("starts", start, (len(g), 2))):
            fits = array.ndim == len(shape) and all(a in (b, b or a) for a, b in zip(array.shape, shape, strict=True))
            if array.dtype != np.float64 or not fits or not array.size or not np.isfinite(array).all():
                raise InputError(
                    f"trajectory: {name} must be finite float64 of shape (shots, corners, 2) and (shots, 2), not "
                    f"{array.dtype} {array.shape}"
                )
        if not (0 < self.fov_mm < 10_000 and all(1 <= n <= MAX_MATRIX for n in self.size)):
            raise InputError(f"trajectory: an image of {self.size} pixels and {self.fov_mm} mm is none")
        if min(self.raster_ns, self.dwell_ns, self.samples_per_shot) < 1 or self.delay_ns < 0:
            raise InputError("trajectory: raster, dwell time and samples are 1 or more, and the delay is not negative")
        if 2 * len(g) * self.samples_per_shot > MAX_VALUES:
            raise InputError(f"trajectory: {len(g)} shots of {self.samples_per_shot} samples are too many")
        if np.any(g[:, 0] != 0) or np.any(g[:, -1] != 0):
            raise InputError("trajectory: the gradients of a shot begin and end at 0")
        end_ns = self.delay_ns + self.samples_per_shot * self.dwell_ns
        if end_ns > self.duration_ns:
            raise InputError(
                f"trajectory: samples until {end_ns} ns, while the gradients of a shot end at {self.duration_ns} ns"
            )

    @property
    def matrix(self) -> tuple[int, int]:
        """The pixels of the image."""
        return self.size

    @property
    def shots(self) -> int:
        """How many shots there are."""
        return len(self.gradients_mt_per_m)

    @property
    def duration_ns(self) -> int:
        """How long a shot plays, without prephaser and rewinder."""
        return (int(self.gradients_mt_per_m.shape[1]) - 1) * self.raster_ns

    @property
    def acceleration(self) -> float:
        """R = lines of the image / shots: against a Cartesian scan of as many repetitions."""
        return self.size[0] / self.shots

    @property
    def sample_times_ns(self) -> NDArray[np.float64]:
        """(samples,), the middle of each dwell time, from the start of a shot."""
        return self.delay_ns + (np.arange(self.samples_per_shot, dtype=np.float64) + 0.5) * float(self.dwell_ns)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """(shots, corners, 2), k-space in 1/FOV at the edges of the raster."""
        steps: NDArray[np.float64] = (
            0.5 * (self.gradients_mt_per_m[:, 1:] + self.gradients_mt_per_m[:, :-1]) * self._per_raster
        )
        return np.concatenate([self.starts[:, None], self.starts[:, None] + np.cumsum(steps, axis=1)], axis=1)

    @property
    def _per_raster(self) -> float:
        """1/FOV that 1 mT/m plays in one raster time."""
        return 1e-3 * GAMMA_HZ_PER_T * self.raster_ns / NS_PER_S * self.fov_mm * 1e-3

    @cached_property
    def samples(self) -> NDArray[np.float64]:
        """(shots, samples, 2) in 1/FOV, exact: k is the integral of straight pieces."""
        return self.at(self.sample_times_ns)

    def at(self, times_ns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(shots, times, 2), k-space in 1/FOV at times from the start of a shot, before and behind which it rests."""
        g = self.gradients_mt_per_m
        place = np.clip(times_ns / self.raster_ns, 0, g.shape[1] - 1)
        before = np.minimum(place.astype(np.int64), g.shape[1] - 2)
        part = (place - before)[:, None]
        first, last = g[:, before], g[:, before + 1]
        within: NDArray[np.float64] = self._per_raster * part * (first + 0.5 * part * (last - first))
        return self.corners[:, before] + within

    def delayed(self, delays_ns: tuple[float, float]) -> NDArray[np.float64]:
        """(shots, samples, 2), where samples lie when the gradients along rows and columns come so much later."""
        axes = [self.at(self.sample_times_ns - delay)[..., axis] for axis, delay in enumerate(delays_ns)]
        return np.stack(axes, axis=-1)

    def stored(self) -> tuple[NDArray[Any], JsonObject]:
        """Starts and gradients of every shot in one array, and the times."""
        header: JsonObject = {
            "size": list(self.size),
            "fov_mm": self.fov_mm,
            "raster_ns": self.raster_ns,
            "samples_per_shot": self.samples_per_shot,
            "dwell_ns": self.dwell_ns,
            "delay_ns": self.delay_ns,
        }
        return np.concatenate([self.starts[:, None], self.gradients_mt_per_m], axis=1), header

    @classmethod
    def of_stored(cls, array: NDArray[Any], header: Mapping[str, Any]) -> Self:
        """The shots of what `stored` gave."""
        if array.ndim != 3 or array.shape[1] < 3:
            raise InputError(f"trajectory: shots of shape {array.shape} are none")
        height, width = header["size"]
        return cls(
            (int(height), int(width)),
            float(header["fov_mm"]),
            np.ascontiguousarray(array[:, 1:]),
            np.ascontiguousarray(array[:, 0]),
            int(header["raster_ns"]),
            int(header["samples_per_shot"]),
            int(header["dwell_ns"]),
            int(header["delay_ns"]),
            str(header["profile_id"]),
            str(header["profile_digest"]),
        )
