"""Amplitude, slew and nerve stimulation of the gradients that a file would play."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.export.mri.blocks import GAMMA_HZ_PER_T
from cidesign.export.mri.pulseq.read import AXES, PlayedSequence
from cidesign.hardware_profiles.mri.schema import NerveStimulation

# The response of a nerve has decayed to (c / (c + T))^2 < 1e-4 of its start after this time.
RESPONSE_S = 0.1
CHUNK_S = 5.0
MAX_PNS_S = 600.0


class Peak(NamedTuple):
    """The largest value of a quantity, in mT/m or T/m/s or a fraction, and where it is."""

    value: float
    where: str
    time_s: float


def amplitude_peaks(played: PlayedSequence) -> list[Peak]:
    """The largest gradient of each axis, in mT/m."""
    peaks = []
    for axis, wave in zip(AXES, played.waveforms, strict=True):
        index = _first_peak(np.abs(wave.gradients_hz_per_m))
        peaks.append(Peak(_mt_per_m(abs(wave.gradients_hz_per_m[index])), axis, float(wave.times_s[index])))
    return peaks


def slew_peaks(played: PlayedSequence, raster_s: float) -> list[Peak]:
    """The steepest slew of each axis, in T/m/s; a jump counts as a ramp of one raster."""
    peaks = []
    for axis, wave in zip(AXES, played.waveforms, strict=True):
        slopes = np.abs(_slopes(wave.times_s, wave.gradients_hz_per_m))
        index = _first_peak(slopes) if len(slopes) else 0
        best = Peak(float(slopes[index]) / GAMMA_HZ_PER_T if len(slopes) else 0.0, axis, float(wave.times_s[index]))
        for time_s, height in wave.jumps:
            jump = Peak(abs(height) / raster_s / GAMMA_HZ_PER_T, f"{axis} (a step without a ramp)", time_s)
            best = max(best, jump)
        peaks.append(best)
    return peaks


def vector_peaks(played: PlayedSequence) -> tuple[Peak, Peak]:
    """The largest norm of the three gradients (mT/m) and of the three slews (T/m/s): what a turned slice can need.

    The gradients are straight between the corners of all axes together, so the corners hold the largest norm.
    """
    times = np.unique(np.concatenate([wave.times_s for wave in played.waveforms]))
    heights = np.stack([np.interp(times, wave.times_s, wave.gradients_hz_per_m) for wave in played.waveforms])
    norm = np.sqrt((heights**2).sum(axis=0))
    index = _first_peak(norm)
    amplitude = Peak(_mt_per_m(norm[index]), "norm", float(times[index]))
    slopes = np.stack([_slopes(times, axis) for axis in heights])
    if not slopes.size:
        return amplitude, Peak(0.0, "norm", 0.0)
    slew = np.sqrt((slopes**2).sum(axis=0))
    index = _first_peak(slew)
    return amplitude, Peak(float(slew[index]) / GAMMA_HZ_PER_T, "norm", float(times[index]))


def nerve_stimulation_peak(played: PlayedSequence, model: NerveStimulation, raster_s: float) -> Peak:
    """The largest PNS as a fraction of the threshold (IEC 60601-2-33:2022, equation AA.21).

    PNS(t) = |integral of slew(t - s) c / (S_min (c + s)^2) ds|, S_min = rheobase / effective length; the axes are
    joined by the root of the sum of squares with weight 1 each, the worst case of all orientations.
    """
    c_s = model.chronaxie_us.value * 1e-6
    s_min = model.rheobase_t_per_s.value / model.effective_length_m.value
    edges = np.arange(math.ceil(RESPONSE_S / raster_s) + 1) * raster_s
    # The integral over each raster in closed form: exact where the slew is constant over a raster.
    kernel = -np.diff(c_s / (c_s + edges)) / s_min
    best = Peak(0.0, "all axes", 0.0)
    chunk = max(math.ceil(CHUNK_S / raster_s), len(kernel))
    ticks = math.ceil(played.total_s / raster_s)
    for first in range(0, ticks, chunk):
        start = max(first - len(kernel), 0)
        times = np.arange(start, min(first + chunk, ticks) + 1) * raster_s
        total = np.zeros(len(times) - 1)
        for wave in played.waveforms:
            heights = np.interp(times, wave.times_s, wave.gradients_hz_per_m, left=0.0, right=0.0)
            slews = np.diff(heights) / raster_s / GAMMA_HZ_PER_T
            total += _convolved(slews, kernel) ** 2
        total = np.sqrt(total)[first - start :]
        index = _first_peak(total)
        best = max(best, Peak(float(total[index]), "all axes", (first + index + 1) * raster_s))
    return best


def _first_peak(values: NDArray[np.float64]) -> int:
    """Where the largest value is first reached; repetitions that differ by rounding count as equal."""
    return int(np.argmax(values >= values.max() * (1 - 1e-6)))


def _convolved(slews: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import oaconvolve

    found: NDArray[np.float64] = oaconvolve(slews, kernel)[: len(slews)]
    return found


def _slopes(times: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hz/m/s between corners; instants that coincide (events that touch) have none, their step is a jump."""
    steps = np.diff(times)
    return np.divide(np.diff(heights), steps, out=np.zeros_like(steps), where=steps > 1e-9)


def _mt_per_m(hz_per_m: float) -> float:
    return float(1e3 * hz_per_m / GAMMA_HZ_PER_T)
