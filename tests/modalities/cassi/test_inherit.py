"""Masks that a student takes over from a teacher of another size, feature limit or axis of dispersion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.optics import CassiOptics, _laid_out

APERTURE = (Path(__file__).parents[3] / "hardware_profiles" / "aperture" / "chrome-laser-10um.toml").read_text()


def _optics(make_settings: Callable[..., Any], profile: Any, **changes: Any) -> CassiOptics:
    return CassiOptics(make_settings("cassi", **changes), profile)


def _encoder(optics: CassiOptics, relaxation: str | None, seed: int) -> Any:
    encoder = optics.encoder(relaxation)
    with torch.no_grad():
        encoder.weight.copy_(torch.rand(encoder.weight.shape, generator=torch.Generator().manual_seed(seed)))
    return encoder


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A profile whose smallest feature is three code pixels."""
    path = tmp_path_factory.mktemp("profiles") / "coarse.toml"
    text = APERTURE.replace("min_feature_um = { value = 6.0", "min_feature_um = { value = 30.0")
    assert text != APERTURE
    path.write_text(text)
    return load_profile(str(path))


def test_the_same_size_is_taken_as_it_is(make_settings: Any, profile_of: Any) -> None:
    optics = _optics(make_settings, profile_of("cassi"))
    teacher, encoder = _encoder(optics, "real", 1), _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight)


def test_a_coarser_process_takes_the_mean_of_each_cell(make_settings: Any, profile_of: Any, coarse: Any) -> None:
    fine, optics = _optics(make_settings, profile_of("cassi")), _optics(make_settings, coarse)
    teacher, encoder = _encoder(fine, "real", 1), _encoder(optics, None, 2)
    assert encoder.weight.shape == (4, 4)
    optics.inherit(encoder, teacher)
    wanted = teacher.weight.reshape(4, 3, 4, 3).mean(dim=(1, 3))
    torch.testing.assert_close(encoder.weight, wanted, atol=1e-6, rtol=0)


def test_a_finer_process_takes_the_cells_of_a_coarser_student(make_settings: Any, profile_of: Any, coarse: Any) -> None:
    teacher = _encoder(_optics(make_settings, coarse), None, 1)
    optics = _optics(make_settings, profile_of("cassi"))
    encoder = _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    wanted = teacher.weight.repeat_interleave(3, 0).repeat_interleave(3, 1)
    assert torch.equal(encoder.weight, wanted)


def test_of_a_larger_mask_a_part_is_taken(make_settings: Any, profile_of: Any) -> None:
    large, optics = (_optics(make_settings, profile_of("cassi"), side=side) for side in (20, 12))
    teacher, encoder = _encoder(large, "real", 1), _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight[:12, :12])


def test_a_smaller_mask_is_laid_like_bricks_along_the_dispersion(make_settings: Any, profile_of: Any) -> None:
    small, optics = (_optics(make_settings, profile_of("cassi"), side=side) for side in (12, 30))
    teacher, encoder = _encoder(small, "real", 1), _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    along = 1 if optics.dispersion.axis == "columns" else 0
    laid = encoder.weight if along else encoder.weight.mT
    tile = teacher.weight if along else teacher.weight.mT
    assert torch.equal(laid[:12, :12], tile)
    assert torch.equal(laid[12:24, :12], tile)
    # Bands that are one mask apart do not see the same code.
    assert torch.equal(laid[:12, 12:24], tile.roll(-6, 0))
    assert not torch.equal(laid[:12, 12:24], laid[:12, :12])


def test_a_mask_for_the_other_axis_is_turned(make_settings: Any, profile_of: Any, tmp_path: Path) -> None:
    path = tmp_path / "turned.toml"
    old, new = ('axis = { value = "rows"', 'axis = { value = "columns"')
    path.write_text(APERTURE.replace(old, new) if old in APERTURE else APERTURE.replace(new, old))
    turned = load_profile(str(path))
    optics, other = _optics(make_settings, profile_of("cassi")), _optics(make_settings, turned)
    assert optics.dispersion.axis != other.dispersion.axis
    teacher, encoder = _encoder(other, "real", 1), _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight.mT)
    assert optics.apart(other) == "its bands are displaced otherwise than those of chrome-laser-10um"


def test_masks_of_other_sizes_cannot_guide(make_settings: Any, profile_of: Any) -> None:
    """Trained in crops of one size, they see other places of a scene."""
    optics, other = (_optics(make_settings, profile_of("cassi"), side=side, crop=12) for side in (24, 36))
    assert optics.size == other.size
    assert optics.apart(other) == "its mask has 36 x 36 code pixels, and this run's 24 x 24"
    assert optics.limits() == {"cell": 1, "light": 20_000.0}


def test_a_layout_is_made_of_the_mask_alone() -> None:
    mask = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(_laid_out(mask, (2, 3)), mask)
    assert _laid_out(mask, (3, 7)).tolist() == [
        [0, 1, 2, 3, 4, 5, 0],
        [3, 4, 5, 0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5, 0],
    ]
