"""What settings follow from a profile: rays or waves, and what is said of them."""

import numpy as np
import pytest
import torch

from cidesign.calibration.lensless.optics import RAY_FRESNEL_NUMBER, Geometry, Lines
from cidesign.distill.presets import settings_for
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.modalities.lensless.encoders.propagation import Propagation
from cidesign.modalities.lensless.settings import (
    geometry_of,
    propagation_text,
    smallest_fresnel_number,
)
from cidesign.modalities.lensless.settings import (
    settings_for as lensless_settings,
)


def at_distance(distance_mm: float) -> LenslessProfile:
    raw = load_profile("lensless-imx250").model_dump(mode="json")
    raw["mask_distance_mm"]["value"] = distance_mm
    found = validate_profile(raw, "test")
    assert isinstance(found, LenslessProfile)
    return found


@pytest.mark.parametrize(
    ("distance_mm", "model", "said"), [(6.0, "waves", "waves"), (0.012, "shadow", "straight rays")]
)
def test_rays_or_waves_by_the_fresnel_number(distance_mm, model, said) -> None:
    """a^2 / (lambda d) of a code pixel of 60 um at the longest wavelength of 525 nm +- a band of 20 nm."""
    profile = at_distance(distance_mm)
    settings = lensless_settings({"preset": "quick", "side": 16, **_common()}, profile, {})
    longest_um = 0.525 + 3**0.5 * 0.020 / 2.354820045
    assert smallest_fresnel_number(profile) == pytest.approx(60**2 / (longest_um * distance_mm * 1000))
    assert settings.propagation == model
    assert said in propagation_text(settings, profile)


def _common() -> dict[str, object]:
    given = settings_for(load_profile("lensless-imx250"), side=16).model_dump()
    own = ("sensor_side", "binning", "mask_rows", "mask_columns", "propagation", "modality", "preset", "side")
    return {name: value for name, value in given.items() if name not in own}


def test_above_that_number_rays_and_waves_hardly_differ() -> None:
    """Less than a tenth on samples of 6 um at 500; at 1 it is a large part of the shadow."""
    levels = (np.random.default_rng(1).random((12, 10)) < 0.5).astype(float)
    apart = []
    for number in (RAY_FRESNEL_NUMBER, 1.0):
        geometry = Geometry(levels.shape, 50.0, 50.0**2 / (0.55 * number), 6.0, (1, 1), (100, 84))
        shadow, waves = (
            Propagation(geometry, [Lines(np.array([0.55]), np.ones(1))], model).psf(torch.from_numpy(levels)[None])
            for model in ("shadow", "waves")
        )
        apart.append(float((shadow - waves).square().mean().sqrt() / shadow.square().mean().sqrt()))
    assert apart[0] < 0.1
    assert apart[1] > 0.3


def test_a_larger_sensor_of_a_teacher_is_that_of_the_geometry_alone() -> None:
    profile = load_profile("lensless-pi-hq")
    assert isinstance(profile, LenslessProfile)
    settings = settings_for(profile, side=16)
    own, larger = geometry_of(settings, profile), geometry_of(settings, profile, 40)  # type: ignore[arg-type]
    assert (own.sensor, larger.sensor) == ((16, 16), (40, 40))
    assert own.field_deg == larger.field_deg
    assert own.sample_um == pytest.approx(16 / 16 * 190 * 1.55)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"sensor_side": 4000}, LimitError, "has 1520 samples"),
        ({"binning": 3}, InputError, "whole number of squares of 2 pixels"),
        ({"photoelectrons_full_scale": -1.0}, InputError, "photoelectrons"),
    ],
)
def test_what_the_sensor_cannot_do_is_said(changes, error, said) -> None:
    with pytest.raises(error, match=said):
        settings_for(load_profile("lensless-pi-hq"), side=16, **changes)
