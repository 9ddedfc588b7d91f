"""Patterns that are chosen by what they tell: each step is the best one, and light decides what is repeated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.data.procedural import dead_leaves
from cidesign.distill.job import Listener, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import settled_start
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.modalities.single_pixel.search import searched_patterns
from cidesign.models.optics import START_MAGNITUDE, optics_for
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.noise import DetectorNoise
from cidesign.report.run_report import write_report

SIDE = 8


def _variance(side: int = SIDE) -> Tensor:
    """As of photographs: power falls with frequency, and not alike along both axes."""
    u, v = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return 1 / (1 + u + 2 * v).double() ** 2


def _error(patterns: Tensor, noise: float, side: int = SIDE, prior: Tensor | None = None) -> float:
    """tr C after the readings, from the covariance in pixels, formed whole."""
    variance = _variance(side) if prior is None else prior
    dct = dct_matrix(side).double()
    basis = torch.kron(dct, dct)
    covariance = basis.T @ torch.diag(variance.flatten()) @ basis
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


def _leaves(side: int) -> Tensor:
    return torch.from_numpy(dead_leaves(64, side, 1)).float()[:, None] / 255


@pytest.mark.parametrize(("photoelectrons", "start"), [(1e3, "searched"), (1e7, "designed")])
def test_little_light_is_searched_for_unasked(photoelectrons: float, start: str) -> None:
    """What `auto` takes is what the word for it starts from, and the gain that it says is that of the covariance."""
    profile, side, images = load_profile("dlp4500"), 16, _leaves(16)
    auto = settings_for(profile, side=side, patterns=26, photoelectrons=photoelectrons)
    assert auto.optics_start == "auto"
    optics = optics_for(auto, profile)
    settled, said = optics.settled(auto, images)
    assert settled == auto.changed(optics_start=start)
    assert optics_for(settled, profile).settled(settled, images) == (settled, None)
    assert torch.equal(optics.start(None, images), optics_for(settled, profile).start(None, images))
    if start == "designed":
        assert said is None
        return
    prior = optics.prior(images)
    light = DetectorNoise(photoelectrons, settled.read_noise_photoelectrons, "complementary")
    noise = light.typical_variance(float(prior.mean[0]), side)
    low_pass = torch.from_numpy(low_frequency_cosines(side, 26))
    searched = optics.start(None, images).sign()
    before, after = (_error(patterns, noise, side, prior.variance[0].double()) for patterns in (low_pass, searched))
    gain_db = 10 * np.log10(before / after)
    assert gain_db > 1
    assert f"in this light, {gain_db:.1f} dB better than low-pass cosines" in (said or "")


def test_images_that_low_pass_patterns_tell_badly_are_searched_for_in_any_light() -> None:
    """Stripes: what varies is one row of the cosines."""
    profile, side = load_profile("dlp4500"), 16
    rows = torch.rand(64, 1, side, 1, generator=torch.Generator().manual_seed(0))
    auto = settings_for(profile, side=side, patterns=26)
    settled, _ = optics_for(auto, profile).settled(auto, rows.expand(64, 1, side, side))
    assert settled.optics_start == "searched"


def test_classes_are_not_searched_for_unasked(tmp_path: Path) -> None:
    profile = load_profile("dlp4500")
    pictures = tmp_path / "pictures.npz"
    pictures.touch()
    asked = {"side": 16, "patterns": 26, "photoelectrons": 1e3, "data": str(pictures)}
    for task, start in (("reconstruct", "searched"), ("classify", "designed")):
        auto = settings_for(profile, **asked, task=task)
        assert optics_for(auto, profile).settled(auto, _leaves(16))[0].optics_start == start


def test_nothing_is_searched_for_where_a_design_is_given() -> None:
    """It may have more patterns than pixels, too."""
    profile = load_profile("dlp4500")
    usual = settings_for(profile, side=8, patterns=60, photoelectrons=1e3)
    given = usual.changed(design="mine", patterns=100, weight_encoder=0.0)
    settled, said = optics_for(given, profile).settled(given, _leaves(8))
    assert (settled.optics_start, said) == ("designed", None)


def test_a_search_that_takes_minutes_is_asked_for() -> None:
    profile = load_profile("dlp4500")
    large = settings_for(profile, side=128, photoelectrons=1e3)
    settled, said = optics_for(large, profile).settled(large, torch.zeros(2, 1, 128, 128))
    assert (settled.optics_start, said) == ("designed", None)


@pytest.mark.parametrize("start", ["teacher", "fresh"])
def test_nothing_is_said_of_a_start_that_a_stored_teacher_replaces(
    start: str, make_settings: Callable[..., Any], profile_of: Callable[[str], Any]
) -> None:
    dark = make_settings(photoelectrons_per_frame=1e3, read_noise_photoelectrons=100.0, optics_start="auto")
    taught = dark.changed(teacher="stored", teacher_epochs=0, start=start)
    images = dead_leaves(64, dark.side, 1)[:, None]
    assert (settled_start(taught, profile_of("single-pixel"), images)[1] is None) == (start == "teacher")


def test_a_run_says_and_records_what_its_patterns_started_as(
    tmp_path: Path, make_settings: Callable[..., Any], profile_of: Callable[[str], Any]
) -> None:
    remarks: list[str] = []

    class Heard(Listener):
        def remark(self, text: str) -> None:
            remarks.append(text)

    dark = make_settings(photoelectrons_per_frame=1e3, read_noise_photoelectrons=100.0, optics_start="auto")
    run = start_run(tmp_path / "run", dark, profile_of("single-pixel"), False, Heard())
    assert run.settings == dark.changed(optics_start="searched")
    assert [text for text in remarks if "optics_start auto" in text]
    assert "a searched design, new decoder" in write_report(run, (), False).page.read_text()
    named = start_run(tmp_path / "named", run.settings, profile_of("single-pixel"), False, Listener())
    assert np.array_equal(named.design.levels, run.design.levels)
