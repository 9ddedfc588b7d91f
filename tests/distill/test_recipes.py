"""Recipes: settings that are taken together, what is given by name wins and is said, and runs that keep the name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cidesign as ci
from cidesign.data.source import load_images
from cidesign.distill.alone import train_alone
from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Listener
from cidesign.distill.loop import make_optimiser
from cidesign.distill.presets import settings_for, values_of_texts
from cidesign.distill.recipes import recipe_said
from cidesign.distill.systems import SystemMaker
from cidesign.errors import InputError
from cidesign.modality import Preset, modalities
from cidesign.models.back_projection import BackProjectionUNet
from cidesign.pattern import PatternStack
from cidesign.runs import Run

Make = Callable[..., Any]
LADDERS = {"single-pixel": ("real",), "cassi": ("real",), "mri": ("R2",)}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset, two thousand times smaller."""
    for kind in modalities():
        monkeypatch.setitem(kind.presets, "quick", Preset(12, 32, 8, 8, 4, 2, 1))


@pytest.mark.parametrize("modality", LADDERS)
def test_the_published_settings(modality: str, profile_of: Make) -> None:
    settings = settings_for(profile_of(modality), recipe="published")
    assert settings.recipe == "published"
    assert (settings.decoder, settings.start, settings.optics_start) == ("back-projection", "fresh", "random")
    assert (settings.learning_rate, settings.optics_learning_rate, settings.schedule) == (5e-4, 5e-4, "constant")
    assert (settings.losses, settings.weighting, settings.exploring) == ("published", "fixed", False)
    weights = (settings.weight_task, settings.weight_decoder, settings.weight_encoder, settings.weight_output)
    assert weights == (0.1, 0.1, 0.8, 0.0)
    assert settings.ladder == LADDERS[modality]
    # All the rest is that of a run without the recipe: sizes, epochs, device, noise.
    usual = settings_for(profile_of(modality))
    changed = {name for name, value in settings.model_dump().items() if getattr(usual, name) != value}
    assert changed == {
        "recipe", "decoder", "start", "optics_start", "learning_rate", "optics_learning_rate", "schedule", "losses",
        "exploring", "weighting", "weight_task", "weight_encoder",
    }  # fmt: skip


def test_without_a_recipe_nothing_changes(profile_of: Make) -> None:
    settings = settings_for(profile_of("mri"))
    assert (settings.recipe, settings.optics_start, settings.schedule, settings.exploring) == (
        None, "designed", "cosine", True,
    )  # fmt: skip
    assert recipe_said(settings) is None


def test_what_is_given_by_name_wins_and_is_said(profile_of: Make) -> None:
    settings = settings_for(
        profile_of("single-pixel"), recipe="published", start="teacher", learning_rate=1e-3, weight_encoder=0.5,
        decoder="unrolled", stages=3,
    )  # fmt: skip
    assert (settings.start, settings.learning_rate, settings.optics_learning_rate) == ("teacher", 1e-3, 5e-4)
    assert (settings.weight_task, settings.weight_encoder) == (0.1, 0.5)
    assert settings.decoder_settings["stages"] == 3
    said = recipe_said(settings)
    assert said is not None
    taken, otherwise = said.split("; given otherwise by name: ")
    assert taken.startswith("recipe published: optics_start random, ")
    assert otherwise == (
        "decoder unrolled (not back-projection), start teacher (not fresh), learning_rate 0.001 (not 0.0005), "
        "weight_encoder 0.5 (not 0.8)"
    )
    other = settings_for(profile_of("single-pixel"), recipe="published", losses="effective")
    assert (other.weight_task, other.weight_decoder, other.weight_encoder) == (1.0, 0.0, 0.0)
    assert "losses effective (not published)" in str(recipe_said(other))
    whole = recipe_said(settings_for(profile_of("single-pixel"), recipe="published"))
    assert "otherwise" not in str(whole)
    assert "weight_task 0.1, weight_decoder 0.1, weight_encoder 0.8" in str(whole)


def test_a_recipe_that_there_is_not(profile_of: Make) -> None:
    for wrong in ("publishd", 3):
        with pytest.raises(InputError, match=f"recipe {wrong}: use published, or leave it out"):
            settings_for(profile_of("mri"), recipe=wrong)


def test_knobs_are_those_of_the_recipes_decoder(profile_of: Make) -> None:
    values = values_of_texts(profile_of("mri"), {"recipe": "published", "channels": "8"})
    assert settings_for(profile_of("mri"), **values).decoder_settings == {"channels": 8}
    with pytest.raises(InputError, match="stages: no such setting here"):
        values_of_texts(profile_of("mri"), {"recipe": "published", "stages": "8"})


def test_a_design_that_exists_takes_what_can_act(profile_of: Make) -> None:
    """Fixed designs beside the published method have its decoder: no term moves optics that are given."""
    levels = np.ones((3, 16, 16), dtype=np.uint8)
    profile = profile_of("single-pixel")
    given = GivenDesign("mine.npy", PatternStack(levels, 1, "complementary", profile.id, profile.digest))
    taught = settings_for(profile, given=given, recipe="published")
    assert (taught.weight_task, taught.weight_decoder, taught.weight_encoder) == (0.1, 0.1, 0.0)
    alone = settings_for(profile, given=given, recipe="published", teacher_epochs=0)
    assert (alone.weight_task, alone.weight_decoder, alone.weight_encoder) == (0.1, 0.0, 0.0)
    assert "otherwise" not in str(recipe_said(alone))
    with pytest.raises(InputError, match=r"weight_encoder 0\.8: moves optics, which are given"):
        settings_for(profile, given=given, recipe="published", weight_encoder=0.8)


@pytest.mark.parametrize("modality", LADDERS)
def test_end_to_end_of_a_recipe_has_its_settings(modality: str, make_settings: Make, profile_of: Make) -> None:
    """The baseline without a teacher: the same start, network and rates, the task alone."""
    settings = make_settings(
        modality, decoder="back-projection", optics_start="random", exploring=False, schedule="constant",
        losses="published", learning_rate=5e-4, optics_learning_rate=5e-4, start="fresh", recipe="published",
    )  # fmt: skip
    profile = profile_of(modality)
    train = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, train)
    start = maker.system("student")
    assert isinstance(start.decoder, BackProjectionUNet)
    assert torch.equal(start.encoder.weight, maker.optics.start(None, train))
    assert [group["lr"] for group in make_optimiser(start, settings).param_groups] == [5e-4, 5e-4]
    trained = train_alone(maker, train, 3, None)
    moved = (trained.encoder.weight - start.encoder.weight).detach().abs()
    assert 0 < float(moved.max()) < 5e-4 * 18 * 1.2  # Adam's steps are no longer than its rate


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("cosine", 0.5 * (1 + np.cos(np.pi * 11 / 12)))])
def test_rates_stay_or_fall(
    schedule: str, last: float, make_settings: Make, profile_of: Make, monkeypatch: Any
) -> None:
    from cidesign.distill import alone

    optimisers = []
    original = alone.make_optimiser

    def noted(*words: Any) -> Any:
        optimisers.append(original(*words))
        return optimisers[-1]

    monkeypatch.setattr(alone, "make_optimiser", noted)
    settings = make_settings(schedule=schedule)
    train = torch.from_numpy(load_images(settings, profile_of("single-pixel")).train)
    train_alone(SystemMaker(settings, profile_of("single-pixel"), train), train, 2, None)
    rates = [group["lr"] for group in optimisers[0].param_groups]
    assert rates == pytest.approx([1e-2 * last, 1e-3 * last])


class _Hears(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.usefixtures("tiny")
def test_in_python(tmp_path: Path) -> None:
    listener = _Hears()
    run = ci.distill(
        "chrome-laser-10um", out=tmp_path / "run", recipe="published", schedule="cosine", listener=listener
    )
    assert run.settings.recipe == "published"
    assert run.settings.decoder == "back-projection"
    strategy, recipe = listener.said
    assert strategy == "strategy distill: the recipe published is of a teacher and a student"
    assert recipe.startswith("recipe published: decoder back-projection")
    assert "given otherwise by name: schedule cosine (not constant)" in recipe
    again = Run(tmp_path / "run")
    assert again.settings == run.settings
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["recipe"] == "published"
    assert ci.evaluate(again).rows
