"""Patterns that are chosen by what they tell: each step is the best one, and light decides what is repeated."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.distill.presets import settings_for
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.modalities.single_pixel.search import searched_patterns
from cidesign.models.optics import START_MAGNITUDE, optics_for
from cidesign.physics.cosine_filter import dct_matrix

SIDE = 8


def _variance(side: int = SIDE) -> Tensor:
    """As of photographs: power falls with frequency, and not alike along both axes."""
    u, v = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return 1 / (1 + u + 2 * v).double() ** 2


def _error(patterns: Tensor, noise: float, side: int = SIDE) -> float:
    """tr C after the readings, from the covariance in pixels, formed whole."""
    dct = dct_matrix(side).double()
    basis = torch.kron(dct, dct)
    covariance = basis.T @ torch.diag(_variance(side).flatten()) @ basis
    rows = patterns.double().flatten(1) / side
    known = rows @ covariance @ rows.T + noise * torch.eye(len(rows), dtype=torch.float64)
    gain = covariance @ rows.T @ torch.linalg.inv(known)
    return float(torch.trace(covariance - gain @ rows @ covariance))


@pytest.mark.parametrize("noise", [1e-6, 0.05])
def test_each_pattern_is_the_best_after_those_before_it(noise: float) -> None:
    found = searched_patterns(SIDE, 6, _variance(), noise)
    choices = torch.from_numpy(low_frequency_cosines(SIDE, SIDE**2))
    for count in range(6):
        errors = [_error(torch.cat([found[:count], one[None]]), noise) for one in choices]
        assert _error(found[: count + 1], noise) == pytest.approx(min(errors), rel=1e-9)


def test_light_decides_what_is_repeated() -> None:
    count = 12
    bright, dim = (searched_patterns(SIDE, count, _variance(), noise) for noise in (1e-6, 1.0))
    assert len(torch.unique(bright, dim=0)) == count
    assert len(torch.unique(dim, dim=0)) < count / 2
    low_pass = torch.from_numpy(low_frequency_cosines(SIDE, count))
    assert _error(bright, 1e-6) < _error(low_pass, 1e-6)
    assert _error(dim, 1.0) < 0.9 * _error(low_pass, 1.0)


def test_training_starts_there_where_it_is_asked_for() -> None:
    profile = load_profile("dlp4500")
    settings = settings_for(profile, side=SIDE, patterns=12, optics_start="searched", photoelectrons=1e3)
    draws = np.random.default_rng(0)
    images = torch.from_numpy(draws.random((64, 1, SIDE, SIDE), dtype=np.float32))
    images = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    optics = optics_for(settings, profile)
    start = optics.start(None, images)
    assert set(start.abs().unique().tolist()) == {START_MAGNITUDE}
    assert len(torch.unique(start, dim=0)) < 12
    usual = optics_for(settings.changed(optics_start="designed"), profile).start(None, images)
    assert not torch.equal(start, usual)
    # A teacher of more patterns begins with the student's own.
    assert torch.equal(optics.start("real@20", images)[:12], start)


@pytest.mark.parametrize("profile", ["chrome-laser-10um", "mri-generic-3t"])
def test_other_optics_are_not_searched_for(profile: str) -> None:
    with pytest.raises(InputError, match="optics_start searched: should be 'designed' or 'random'"):
        settings_for(load_profile(profile), optics_start="searched")
