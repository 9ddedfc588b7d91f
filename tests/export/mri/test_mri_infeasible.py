"""What a scanner cannot play: each error names what was asked, the minimum, what binds, and what to relax."""

import re

import numpy as np
import pytest

from cidesign.errors import InputError, LimitError
from cidesign.export.mri.blocks import Limits, lobe_in, shortest_lobe
from cidesign.export.mri.lines import plan_scan
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.export.mri.readout import legal_dwells_ns
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

GRE = {
    "fov_mm": 220.0,
    "slice_thickness_mm": 5.0,
    "flip_angle_deg": 15.0,
    "te_ms": None,
    "tr_ms": None,
    "dwell_us": 20.0,
    "dummies": 2,
}
TSE = {**GRE, "flip_angle_deg": 90.0, "echo_train_length": 4}


def scanner(name: str) -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def lines(profile: MriProfile, matrix: int = 128, readout: int = 128) -> CartesianLines:
    acquired = np.sort(np.r_[3, np.arange(matrix // 2 - 3, matrix // 2 + 3), matrix - 5]).astype(np.int64)
    return CartesianLines(matrix, readout, acquired, 6, profile.id, profile.digest)


def refusal(kind: str, profile: str = "mri-generic-3t", readout: int = 128, **changes: object) -> str:
    values = {**(GRE if kind == "gre" else TSE), **changes}
    protocol = GreProtocol(**values) if kind == "gre" else TseProtocol(**values)  # type: ignore[arg-type]
    device = scanner(profile)
    with pytest.raises(LimitError) as caught:
        plan_scan(lines(device, readout=readout), protocol, device)
    return str(caught.value)


def test_te_too_short() -> None:
    text = refusal("gre", te_ms=2.0)
    assert re.search(r"TE: 2 ms asked for, the minimum is \d\.\d+ ms; what binds is the (slice|phase|readout)", text)
    assert "at a gradient of 17.32 mT/m (the design limit shared by the axes)" in text
    assert "at a slew of 69.28 T/m/s" in refusal("gre", te_ms=2.0, slice_thickness_mm=20.0, fov_mm=500.0)
    assert "give te_ms of at least" in text
    least = float(re.search(r"te_ms of at least ([\d.]+)", text)[1])  # type: ignore[index]
    device = scanner("mri-generic-3t")
    plan = plan_scan(lines(device), GreProtocol(**{**GRE, "te_ms": least}), device)  # type: ignore[arg-type]
    assert plan.te_ns == round(least * 1e6)


def test_te_bound_by_the_gradient_of_a_weak_system() -> None:
    weak = scanner("mri-generic-3t").model_dump()
    weak["design"]["max_gradient_mt_per_m"]["value"] = 8.0
    device = MriProfile.model_validate(weak)
    protocol = GreProtocol(**{**GRE, "te_ms": 2.0, "dwell_us": 40.0})  # type: ignore[arg-type]
    with pytest.raises(LimitError, match=r"gradient of 4\.619 mT/m \(the design"):
        plan_scan(lines(device), protocol, device)


def test_tr_too_short() -> None:
    text = refusal("gre", tr_ms=5.0)
    assert re.search(r"TR: 5 ms asked for, the minimum is \d+\.\d+ ms; what binds is the sum of pulse", text)
    assert "give tr_ms of at least" in text


def test_readout_needs_too_much_gradient() -> None:
    text = refusal("gre", dwell_us=1.0)
    assert "a dwell of 1 us (3906 Hz/px) over 220 mm needs 53.38 mT/m, the limit is 30 mT/m" in text
    assert "give a dwell of at least 1.779 us, a bandwidth of at most 2195 Hz/px, or a fov_mm of at least 391.5" in text


def test_slice_too_thin() -> None:
    text = refusal("gre", slice_thickness_mm=0.5)
    assert "slice: 0.5 mm needs a slice gradient of 62.63 mT/m, the limit is 30 mT/m" in text
    assert "give at least 1.04 mm, or an rf_duration_ms of 6.26" in text


def test_pulse_off_the_raster() -> None:
    assert "not a multiple of 20 us; give rf_duration_ms 3 or 3.02" in refusal("gre", rf_duration_ms=3.013)


@pytest.mark.parametrize(
    ("kind", "profile", "dwell_us", "expected"),
    [
        ("gre", "mri-generic-3t", 20.03, r"The nearest are 20 us \(195\.3 Hz/px\) or 20\.1 us \(194\.3 Hz/px\)"),
        ("gre", "mri-ge-uhp", 25.0, r"raster of 2000 ns\. The nearest are 24 us \(162\.8 Hz/px\) or 26 us"),
        ("tse", "mri-generic-3t", 21.0, r"half times 257 on whole microseconds\. The nearest are 20 us .* or 22 us"),
        ("gre", "mri-ge-uhp", 0.5, r"The nearest are 2 us \(1953 Hz/px\)$"),
    ],
)
def test_dwell_off_the_raster(kind: str, profile: str, dwell_us: float, expected: str) -> None:
    text = refusal(kind, profile, dwell_us=dwell_us)
    assert f"dwell: {dwell_us:g} us is not legal on {profile}" in text
    assert re.search(expected, text), text


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("samples", [15, 256])
def test_legal_dwells_are_legal_and_the_nearest(symmetric: bool, samples: int) -> None:
    device = scanner("mri-generic-3t")
    for wanted_ns in (55.0, 10_030.0, 17_361.1):
        for dwell_ns in legal_dwells_ns(wanted_ns, samples, device, symmetric):
            assert dwell_ns % 100 == 0
            assert not symmetric or dwell_ns * (2 * (samples // 2) + 1) / 2 % 1000 == 0
            assert abs(dwell_ns - wanted_ns) <= 2000


def test_samples_of_a_readout() -> None:
    text = refusal("gre", "mri-siemens-prisma", readout=8000)
    assert "16000 samples (8000 with 2 x oversampling), the limit is 8192 (mri-siemens-prisma" in text
    text = refusal("gre", "mri-siemens-prisma", readout=125)
    assert "250 samples are not a multiple of 4" in text
    assert "give a readout of 124 or 126 samples" in text


def test_echo_spacing_too_short() -> None:
    text = refusal("tse", echo_spacing_ms=5.0)
    assert re.search(r"echo spacing: 5 ms asked for, the minimum is \d+\.\d+ ms; what binds is .*half a readout", text)
    assert "give echo_spacing_ms of at least" in text


def test_te_of_a_train_that_no_echo_has() -> None:
    text = refusal("tse", te_ms=17.0, echo_spacing_ms=12.0)
    assert "TE: 17 ms asked for, the minimum is 12 ms and the maximum 48 ms in steps of the echo spacing" in text
    assert "TE: 90 ms asked for" in refusal("tse", te_ms=90.0, echo_spacing_ms=12.0)
    assert "measures the centre on the first echo, 12 ms" in refusal(
        "tse", te_ms=24.0, echo_spacing_ms=12.0, order="centre-out"
    )


def test_tr_of_a_train_too_short() -> None:
    assert "TR: 40 ms asked for" in refusal("tse", tr_ms=40.0, echo_spacing_ms=12.0)


def test_lines_that_do_not_fill_the_trains() -> None:
    assert "8 lines do not fill trains of 3 echoes" in refusal("tse", echo_train_length=3)


def test_a_design_for_another_scanner() -> None:
    protocol = GreProtocol(**GRE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"designed for mri-ge-uhp .* not for mri-generic-3t"):
        plan_scan(lines(scanner("mri-ge-uhp")), protocol, scanner("mri-generic-3t"))


@pytest.mark.parametrize("area", [0.5, 30.0, 290.0, 3000.0, -290.0])
def test_lobes_have_their_area_within_the_limits(area: float) -> None:
    limits = Limits(30e-3 * 42.576e6, 120 * 42.576e6, 10_000)
    least_ns, _ = shortest_lobe(area, limits)
    for duration_ns in (least_ns, least_ns + 10_000, 3 * least_ns):
        lobe = lobe_in(area, duration_ns, limits)
        assert lobe.duration_ns == duration_ns
        assert lobe.flat_ns >= 0
        assert lobe.rise_ns % 10_000 == lobe.flat_ns % 10_000 == 0
        assert lobe.area_per_m == pytest.approx(area)
        assert abs(lobe.amplitude_hz_per_m) <= limits.max_hz_per_m * (1 + 1e-9)
        assert abs(lobe.amplitude_hz_per_m) / (lobe.rise_ns * 1e-9) <= limits.max_hz_per_m_per_s * (1 + 1e-9)
