"""Masks that are trained in parts: what a part is, that all are trained, and that the rule holds on the whole."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.constraints.aperture import MinimumFeature, feature_rule
from cidesign.distill.fine_tune import fine_tune, fine_tune_settings
from cidesign.distill.loop import places_of_step
from cidesign.distill.presets import settings_for
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.family import CassiFamily
from cidesign.modalities.cassi.solve import designed_operator
from cidesign.models.optics import optics_for
from cidesign.physics.noise import PixelNoise
from cidesign.physics.places import Place

PROFILE = load_profile("chrome-laser-10um")
OPTICS = Dispersion((0.0, 1.0, 2.5), "columns", 1)
NOISE = PixelNoise(20_000.0, 5.0, 3.0)


def encoder_of(rule: MinimumFeature | None = None, size: tuple[int, int] = (24, 20)) -> SdCassiEncoder:
    weight = torch.rand(size, generator=torch.Generator().manual_seed(1))
    return SdCassiEncoder(weight, size, rule, OPTICS, NOISE, (12, 12))


def test_a_place_is_the_whole_mask_in_front_of_a_scene_that_is_dark_beside_it() -> None:
    encoder, place = encoder_of(), Place(5, 7, 12, 12)
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    scene = torch.zeros(2, 3, 24, 20)
    scene[(..., *place.slices)] = x
    seen = encoder.A(scene)
    encoder.look_at(place)
    y = encoder.A(x)
    assert y.shape == (2, 12, 15)
    torch.testing.assert_close(y, seen[:, 5:17, 7:22])
    torch.testing.assert_close(seen.sum(), y.sum())
    torch.testing.assert_close(encoder.row_energy(), encoder._products(encoder.mask().square())[0])
    encoder.look_at(None)
    assert encoder.size == (24, 20)


def test_the_gradient_of_a_place_is_that_of_its_weights() -> None:
    encoder = encoder_of(feature_rule(PROFILE))
    encoder.look_at(Place(5, 7, 12, 12))
    encoder.A(torch.ones(1, 3, 12, 12)).sum().backward()
    assert encoder.weight.grad is not None
    touched = encoder.weight.grad != 0
    assert bool(touched[5:17, 7:19].all())
    assert int(touched.sum()) == 144


def test_the_rule_holds_across_the_border_of_a_place() -> None:
    """Two cells that touch at a corner on the border of a crop: the whole mask mends that, the crop alone could not."""
    rule = feature_rule(PROFILE)
    weight = torch.full((24, 20), 0.9)
    weight[11, 8], weight[12, 9] = 0.1, 0.2
    encoder = SdCassiEncoder(weight, (24, 20), rule, OPTICS, NOISE, (12, 12))
    parts = []
    for place in encoder.places(None):
        encoder.look_at(place)
        parts.append((place, encoder.mask()))
    encoder.look_at(None)
    joined = torch.full((24, 20), float("nan"))
    for place, part in parts:
        assert place is not None
        joined[place.slices] = part
    assert torch.equal(joined, encoder.mask())
    design = encoder.pattern(10.0, PROFILE.id, PROFILE.digest)
    np.testing.assert_array_equal(design.levels, joined.detach().numpy())
    assert rule.check(design) == []


@pytest.mark.parametrize(("per_epoch", "each"), [(30, 1), (9, 1), (5, 2), (2, 5)])
def test_every_epoch_comes_to_all_of_the_mask(per_epoch: int, each: int, make_settings: Callable[..., Any]) -> None:
    encoder, settings = encoder_of(), make_settings("cassi", batch=16)
    for epoch in range(3):
        seen = np.zeros((24, 20), dtype=int)
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            places = places_of_step(encoder, settings, "student", step, per_epoch)
            assert len(places) == each
            assert places == places_of_step(encoder, settings, "student", step, per_epoch)
            for place in places:
                assert place is not None
                seen[place.slices] += 1
        assert seen.min() >= 1
    whole = SdCassiEncoder(torch.rand(8, 8), (8, 8), None, OPTICS, NOISE)
    assert places_of_step(whole, settings, "student", 3, per_epoch) == [None]


def test_a_step_of_several_places_has_the_mean_gradient_of_them(
    make_settings: Callable[..., Any], make_system: Callable[..., Any]
) -> None:
    """Without noise, a step's gradients are those of each place with its own images, weighted by their number."""
    from cidesign.distill.checkpoint import Progress
    from cidesign.distill.computing.ranks import ALONE
    from cidesign.distill.loop import _backward

    settings = make_settings("cassi", side=24, crop=12, images=64)
    x = torch.rand(6, 8, 12, 12, generator=torch.Generator().manual_seed(3))
    system = make_system(settings, x, "real")
    system.encoder.noise = None
    places = [Place(0, 0, 12, 12), Place(5, 12, 12, 12)]
    seen = _backward(system, None, x, x, places, settings, Progress("teacher"), ALONE)
    assert system.encoder.place is None
    together = system.encoder.weight.grad.clone()
    system.zero_grad()
    values = []
    for part, place in zip(x.chunk(2), places, strict=True):
        system.encoder.look_at(place)
        value = (system(part).prediction - part).square().mean()
        (value / 2).backward()
        values.append(float(value.detach()))
    torch.testing.assert_close(system.encoder.weight.grad, together)
    assert seen["task"] == seen["loss"] == pytest.approx(np.mean(values))


def test_large_masks_are_trained_in_crops() -> None:
    chosen = settings_for(PROFILE, side=512, images=64, batch=4, device="cpu")
    assert (chosen.crop, chosen.mask_size, chosen.image_size) == (128, (512, 512), (128, 128))
    assert settings_for(PROFILE, side=128).crop is None
    assert settings_for(PROFILE, side=128, crop=128).crop is None
    assert settings_for(PROFILE, side=64, crop=32).crop == 32
    optics = optics_for(chosen, PROFILE)
    assert optics.size == (128, 128)
    assert optics.encoder(None).weight.shape == (512, 512)
    raw = PROFILE.model_dump(mode="json")
    raw["spectrograph"]["shift_px"]["value"] = [12.0 * band for band in range(8)]
    wide = type(PROFILE).model_validate(raw)
    assert settings_for(wide, side=512, device="cpu").crop == 168


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"side": 64, "crop": 7}, LimitError, "spreads the bands over 7 code pixels, .* at least 8, better 14"),
        ({"side": 64, "crop": 65}, InputError, "crop 65: the mask has 64 x 64 code pixels; use at most 64"),
        ({"side": 64, "crop": 2}, InputError, "crop 2"),
        ({"side": 1024, "images": 80, "batch": 4}, InputError, "at 81 places, and an epoch of 80 images .* use 84 im"),
        ({"side": 1025}, InputError, "side 1025: between 8 and 1024"),
    ],
)
def test_crops_that_cannot_be_trained_are_refused_before_training(
    changes: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        settings_for(PROFILE, device="cpu", **changes)


def test_a_decoder_is_tuned_to_places_of_the_calibrated_operator(
    make_settings: Callable[..., Any], make_system: Callable[..., Any]
) -> None:
    """Each place is decoded with its own part of the masks; the design looks where the family does."""
    settings = make_settings("cassi", side=24, crop=12, weight_decoder=0.0, weight_encoder=0.0)
    x = torch.from_numpy(spectral_dead_leaves(24, 12, PROFILE.spectrograph.wavelengths_nm.value, 1))
    system = make_system(settings, x.float() / 255)
    design = optics_for(settings, PROFILE).design(system.encoder)
    operator = designed_operator(design, PROFILE, (30, 40), (2.0, 3.0))
    family = CassiFamily.around(operator, 0.05, PixelNoise(20_000.0, 5.0, 8.0))
    place = Place(5, 7, 12, 12)
    scene = torch.zeros(1, 8, 24, 24)
    scene[(..., *place.slices)] = x[:1].float() / 255
    here = family.at(place)
    seen = here.centre.A(scene[(..., *place.slices)])
    assert float(seen.sum()) == pytest.approx(float(family.centre.A(scene).sum()), rel=1e-5)
    for encoder in (here.centre, here.draw(np.random.default_rng(0)).encoder):
        assert encoder.A(scene[(..., *place.slices)]).shape == seen.shape
    tuning = replace(fine_tune_settings(settings, 1, 16, 0, "cpu"), batch=4)
    before = {name: tensor.clone() for name, tensor in system.decoder.state_dict().items()}
    tuned = fine_tune(system, family, (x[:16], x[16:]), settings, tuning)
    assert system.encoder.place is None
    assert np.isfinite([tuned.choosing.mean, tuned.reported.after.mean]).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in system.decoder.state_dict().items())
