"""Amplitude, slew and nerve stimulation of known waveforms, computed a second way."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.export.mri.pulseq.limits import amplitude_peaks, nerve_stimulation_peak, slew_peaks, vector_peaks
from cidesign.export.mri.pulseq.read import PlayedBlock, PlayedSequence, Waveform, _Played
from cidesign.export.mri.pulseq.text import SeqText
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile, NerveStimulation

GAMMA = 42.576e6
RASTER_S = 10e-6


def wave(times_ms: list[float], mt_per_m: list[float], jumps: tuple[tuple[float, float], ...] = ()) -> Waveform:
    return Waveform(np.array(times_ms) * 1e-3, np.array(mt_per_m) * 1e-3 * GAMMA, jumps)


def played(x: Waveform, y: Waveform, z: Waveform, total_s: float = 0.02) -> PlayedSequence:
    block = PlayedBlock(1, 0.0, total_s, 0, {})
    return PlayedSequence(SeqText((1, 5, 0), {}, None, 1), _Played((x, y, z), (), (), (block,)), (), ())


FLAT = wave([0], [0])
LOBE = wave([0, 1, 1.2, 2, 2.4, 5], [0, 0, 24, 24, 0, 0])


def model(name: str = "mri-ge-mr750") -> NerveStimulation:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    assert profile.nerve_stimulation is not None
    return profile.nerve_stimulation


def test_one_lobe() -> None:
    sequence = played(FLAT, LOBE, FLAT)
    assert [(peak.where, round(peak.value, 6)) for peak in amplitude_peaks(sequence)] == [("x", 0), ("y", 24), ("z", 0)]
    assert [round(peak.value, 6) for peak in slew_peaks(sequence, RASTER_S)] == [0, 120, 0]
    assert amplitude_peaks(sequence)[1].time_s == pytest.approx(1.2e-3)


def test_lobes_of_several_axes_add_as_a_vector_where_they_overlap() -> None:
    late = wave([0, 1.9, 2.1, 2.5, 3], [0, 0, -18, -18, 0])
    amplitude, slew = vector_peaks(played(LOBE, FLAT, late))
    # At 2.0 ms the one still stands at 24 and the other is on its way to -18, at -9.
    assert amplitude.value == pytest.approx(math.hypot(24, 9), rel=1e-9)
    assert amplitude.time_s == pytest.approx(2e-3)
    assert slew.value == pytest.approx(120, rel=1e-9)
    together = vector_peaks(played(LOBE, LOBE, LOBE))
    assert together[0].value == pytest.approx(24 * math.sqrt(3))
    assert together[1].value == pytest.approx(120 * math.sqrt(3))


def test_a_step_without_a_ramp_is_a_slew_of_one_raster() -> None:
    step = wave([0, 1], [0, 0], ((1e-3, 5e-3 * GAMMA),))
    peak = slew_peaks(played(step, FLAT, FLAT), RASTER_S)[0]
    assert peak.value == pytest.approx(500)
    assert "without a ramp" in peak.where


def response(slews: NDArray[np.float64], step_s: float, nerve: NerveStimulation) -> NDArray[np.float64]:
    """The IEC response by a plain sum over much finer steps."""
    c = nerve.chronaxie_us.value * 1e-6
    s_min = nerve.rheobase_t_per_s.value / nerve.effective_length_m.value
    tau = (np.arange(len(slews)) + 0.5) * step_s
    return np.convolve(slews, step_s / s_min * c / (c + tau) ** 2)[: len(slews)]


@pytest.mark.parametrize("name", ["mri-ge-mr750", "mri-ge-premier"])
def test_nerve_stimulation_equals_a_finer_sum(name: str) -> None:
    found = nerve_stimulation_peak(played(LOBE, FLAT, LOBE, 0.006), model(name), RASTER_S)
    step_s = 1e-6
    times = np.arange(6001) * step_s
    heights = np.interp(times, LOBE.times_s, LOBE.gradients_hz_per_m) / GAMMA
    expected = np.abs(response(np.diff(heights) / step_s, step_s, model(name))).max() * math.sqrt(2)
    assert found.value == pytest.approx(expected, rel=2e-3)
    assert found.time_s == pytest.approx(1.2e-3, abs=2e-5)


def test_a_long_constant_slew_has_its_closed_form() -> None:
    """A slew s for the time T stimulates s / S_min * T / (c + T)."""
    nerve = model()
    c = nerve.chronaxie_us.value * 1e-6
    s_min = nerve.rheobase_t_per_s.value / nerve.effective_length_m.value
    ramp = wave([0, 2], [0, 40])
    found = nerve_stimulation_peak(played(ramp, FLAT, FLAT, 0.002), nerve, RASTER_S)
    assert found.value == pytest.approx(20 / s_min * 2e-3 / (c + 2e-3), rel=1e-6)


def test_chunks_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(0, 400.0, 1.0)
    train = wave(times.tolist(), (20 * np.sin(times)).tolist())
    sequence = played(train, LOBE, FLAT, 0.4)
    whole = nerve_stimulation_peak(sequence, model(), RASTER_S)
    monkeypatch.setattr("cidesign.export.mri.pulseq.limits.CHUNK_S", 0.05)
    assert nerve_stimulation_peak(sequence, model(), RASTER_S).value == pytest.approx(whole.value, rel=1e-4)
