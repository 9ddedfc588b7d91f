"""Tones of the gradients against the bands in which a gradient coil resonates."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check
from cidesign.export.mri.pulseq.limits import MAX_PNS_S
from cidesign.export.mri.pulseq.read import PlayedSequence
from cidesign.export.mri.results import not_evaluated, verdict
from cidesign.hardware_profiles.mri.schema import AcousticBand, MriProfile

CHECK = "acoustics"
# As Pulseq's gradSpectrum has it: Hann windows of 50 ms that overlap by half, padded threefold.
WINDOW_S, PADDING = 0.05, 3
# Below it lies the rhythm of the repetitions, at which no gradient coil resonates.
LOWEST_HZ = 100.0
SOURCE = "spectrum as Pulseq's gradSpectrum: Hann windows of 50 ms, root of the sum of squares of the axes"


class Tones(NamedTuple):
    """Of each frequency the largest amplitude of any window, and when that window begins."""

    frequencies_hz: NDArray[np.float64]
    amplitudes: NDArray[np.float64]
    starts_s: NDArray[np.float64]


def acoustics(played: PlayedSequence | None, profile: MriProfile) -> Check:
    """Whether the strongest tone of the gradients lies in a band that the profile names.

    It says nothing of loudness.  No published limit tells how strong a weaker tone in a band may be: it is shown.
    """
    bands = profile.acoustic_bands
    if bands is None:
        return not_evaluated(CHECK, "the resonances of the gradient coil are not in the profile; the scanner decides")
    if played is None:
        return not_evaluated(CHECK, "the file was not read")
    if played.total_s > MAX_PNS_S:
        return not_evaluated(
            CHECK, f"the sequence lasts {played.total_s:.0f} s, at most {MAX_PNS_S:.0f} s are looked at"
        )
    tones = tones_of(played, profile.rasters.gradient_us.value * 1e-6)
    strongest = int(np.argmax(tones.amplitudes))
    if not tones.amplitudes[strongest] > 0:
        return verdict(CHECK, True, "no gradient oscillates", "", SOURCE)
    found_hz = float(tones.frequencies_hz[strongest])
    struck = next((band for band in bands if _inside(band, found_hz)), None)
    limit = "the strongest tone outside " + ", ".join(map(_shown, bands))
    if struck is not None:
        value = (
            f"strongest tone at {found_hz:.0f} Hz, from {tones.starts_s[strongest] * 1e3:.0f} ms on, inside the band "
            f"{_shown(struck)}"
        )
        return verdict(CHECK, False, value, limit, f"{SOURCE}; {profile.id}: {struck.centre_hz.source}", "limit")
    shares = [f"{_strength(tones, band) / tones.amplitudes[strongest]:.0%} of it in {_shown(band)}" for band in bands]
    value = f"strongest tone at {found_hz:.0f} Hz, {', '.join(shares)}"
    return verdict(CHECK, True, value, limit, f"{SOURCE}; {profile.id}: {bands[0].centre_hz.source}")


def tones_of(played: PlayedSequence, raster_s: float) -> Tones:
    """The spectrum of the gradients, from 100 Hz to half the frequency of the raster."""
    width = round(WINDOW_S / raster_s)
    shape = np.hanning(width)
    frequencies = np.fft.rfftfreq(width * PADDING, raster_s).astype(np.float64)
    kept = frequencies >= LOWEST_HZ
    best = np.zeros(int(kept.sum()))
    starts = np.zeros(len(best))
    for first in range(0, max(round(played.total_s / raster_s), 1), max(width // 2, 1)):
        times = (first + np.arange(width) + 0.5) * raster_s
        squares = np.zeros(len(best))
        for wave in played.waveforms:
            heights = np.interp(times, wave.times_s, wave.gradients_hz_per_m, left=0.0, right=0.0)
            spectrum = np.fft.rfft((heights - heights.mean()) * shape, width * PADDING)[kept]
            squares += np.abs(spectrum) ** 2
        louder = np.sqrt(squares) > best
        best[louder], starts[louder] = np.sqrt(squares)[louder], first * raster_s
    return Tones(frequencies[kept], best, starts)


def _inside(band: AcousticBand, frequency_hz: float) -> bool:
    return abs(frequency_hz - band.centre_hz.value) <= band.width_hz.value / 2


def _strength(tones: Tones, band: AcousticBand) -> float:
    inside = np.abs(tones.frequencies_hz - band.centre_hz.value) <= band.width_hz.value / 2
    return float(tones.amplitudes[inside].max(initial=0.0))


def _shown(band: AcousticBand) -> str:
    low, high = (band.centre_hz.value + sign * band.width_hz.value / 2 for sign in (-1, 1))
    return f"{low:g} to {high:g} Hz"
