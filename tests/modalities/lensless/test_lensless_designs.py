"""Settings that follow from the sensor, fixed designs, and what a profile refuses."""

from typing import get_args

import numpy as np
import pytest
import torch

from cidesign.distill.presets import settings_for
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.hardware_profiles.schema import sourced_values
from cidesign.hardware_profiles.sourced import Confidence
from cidesign.modalities.lensless.fixed_designs import fixed_designs, mura, separable, zone_aperture
from cidesign.modalities.lensless.optics import LenslessOptics

IDS = ["lensless-pi-hq", "lensless-imx250"]


@pytest.fixture(params=IDS)
def profile(request) -> LenslessProfile:
    return load_profile(request.param)


def test_every_number_has_a_source_and_a_known_confidence(profile) -> None:
    for path, value in sourced_values(profile):
        assert len(value.source) > 5, path
        assert value.confidence in get_args(Confidence), path


def test_nodes_have_the_moments_of_a_gaussian_band(profile) -> None:
    for channel in profile.sensor.channels:
        wavelengths, weights = np.array(channel.nodes).T
        middle, deviation = channel.wavelength_nm.value, channel.bandwidth_nm.value / 2.354820045
        moments = [float(weights @ (wavelengths - middle) ** order) for order in range(6)]
        np.testing.assert_allclose(moments, [1, 0, deviation**2, 0, 3 * deviation**4, 0], rtol=1e-8, atol=1e-3)


def test_a_bayer_filter_has_three_channels() -> None:
    raw = load_profile("lensless-imx250").model_dump(mode="json")
    raw["sensor"]["colour_filter"]["value"] = "bayer"
    with pytest.raises(Exception, match="1 for a bayer filter, which has 3"):
        validate_profile(raw, "test")


def test_noise_and_mask_follow_from_the_sensor() -> None:
    settings = settings_for(load_profile("lensless-pi-hq"), side=32)
    # Samples of 94 x 94 pixels with the light and the noise of one; 63 samples of 145.7 um by 50 um.
    assert (settings.binning, settings.mask_rows, settings.mask_columns) == (94, 184, 184)
    assert (settings.photoelectrons_full_scale, settings.read_noise_photoelectrons) == (8180.0, 3.0)


def test_samples_that_the_sensor_cannot_have_are_refused() -> None:
    pi = load_profile("lensless-pi-hq")
    with pytest.raises(InputError, match="binning 3"):
        settings_for(pi, side=32, binning=3)
    with pytest.raises(LimitError, match="at most 94"):
        settings_for(pi, side=32, binning=96)


def test_fixed_designs_can_be_made_and_placed(profile) -> None:
    optics = LenslessOptics(settings_for(profile, side=16), profile)
    found = fixed_designs(optics, 1)
    assert set(found) == {
        "random 50 %",
        "MURA",
        "separable m-sequence",
        "Fresnel zone aperture",
        "pinhole",
        "wide pinhole",
    }
    for name, mask in found.items():
        assert not optics.rule.check(mask), name
        encoder = optics.encoder(None)
        optics.place(encoder, mask)
        np.testing.assert_array_equal(encoder.mask()[0].detach().numpy(), mask.levels)
        assert 0 < mask.open_fraction < 1, name


def test_a_teacher_with_a_larger_sensor_sees_all_of_the_shadow() -> None:
    profile = load_profile("lensless-imx250")
    optics = LenslessOptics(settings_for(profile, side=16), profile)
    teacher = optics.encoder("sensor")
    with torch.no_grad():
        teacher.weight.fill_(1.0)
        light = teacher.psf().sum(dim=(2, 3))
        beside = optics.encoder("sensor").light.geometry.shadow
    # A whole open mask passes its own area, in samples; diffraction takes little of it out of the plane.
    assert float(light[0, 0]) == pytest.approx(beside[0] * beside[1], rel=0.02)
    with pytest.raises(InputError, match="knows the relaxations"):
        optics.encoder("grey")


@pytest.mark.parametrize("prime", [5, 7, 13, 31])
def test_a_mura_is_decoded_to_one_point(prime) -> None:
    """(p^2 - 1) / 2 at one place of the circular correlation with its decoding array, and 0 at all others."""
    array = mura(prime)
    decoding = 2 * array - 1
    decoding[0, 0] = 1
    found = np.fft.ifft2(np.fft.fft2(array).conj() * np.fft.fft2(decoding)).real
    wanted = np.zeros((prime, prime))
    wanted[0, 0] = (prime**2 - 1) / 2
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_a_separable_mask_less_its_mean_has_rank_one_and_a_flat_spectrum() -> None:
    array = separable(20)
    assert array.shape == (15, 15)
    signs = 2 * array - 1
    assert np.linalg.matrix_rank(signs) == 1
    power = np.abs(np.fft.fft(signs[0])) ** 2
    # An m-sequence of n elements has n + 1 at all frequencies but 0, where it has 1.
    np.testing.assert_allclose(power, [1.0] + [16.0] * 14, atol=1e-9)


def test_zones_are_where_the_formula_has_them() -> None:
    """Open up to r_1 / 2^0.5 and from r_1 (3/2)^0.5 to r_1 (5/2)^0.5; the outermost zone has its width."""
    radius, outermost = 60.0, 4.0
    plane = zone_aperture((161, 161), radius, outermost)
    line, r = plane[80, 80:] > 0.5, np.arange(81)
    squared = r**2 / (2 * radius * outermost)
    np.testing.assert_array_equal(line, (np.cos(np.pi * squared) > 0) & (r <= radius))
    changes = np.flatnonzero(np.diff(line[: int(radius)]))
    assert np.diff(changes)[-1] == pytest.approx(outermost, abs=1)


def test_a_run_starts_from_the_fixed_design_of_the_least_error_in_its_light() -> None:
    """In much light a sharp pinhole, in little a mask of many openings; students and teachers begin alike."""
    profile = load_profile("lensless-imx250")
    images = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(1)).repeat_interleave(4, 2)
    images = images.repeat_interleave(4, 3)
    opened = []
    for light in (1e7, 50.0):
        optics = LenslessOptics(settings_for(profile, side=16, photoelectrons_full_scale=light), profile)
        start = optics.start(None, images)
        assert 0.01 < float((start - 0.5).abs().max()) <= 0.25
        opened.append(float((start > 0.5).float().mean()))
        teacher = optics.start("shots@2", images)
        assert torch.equal(teacher[0] > 0.5, start[0] > 0.5)
        assert float(teacher.min()) == pytest.approx(0.02)
        assert not torch.equal(teacher[0], teacher[1])
    assert opened[0] < 0.001 < 0.01 < opened[1]
