"""Guiding terms where nobody says which: features and operators, balanced, where that was measured; none elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest

from cidesign.distill.choices.guiding import NO_TERMS
from cidesign.distill.presets import settings_for

Make = Callable[..., Any]


def _terms(settings: Any) -> tuple[Any, ...]:
    return settings.weighting, *(getattr(settings, name) for name in NO_TERMS)


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri"])
def test_learnt_optics_with_a_teacher_have_both(modality: str, profile_of: Make) -> None:
    profile = profile_of(modality)
    assert _terms(settings_for(profile)) == ("gradient", 0.1, 0.1, 0.0)
    assert _terms(settings_for(profile, teacher="stored")) == ("gradient", 0.1, 0.1, 0.0)
    assert _terms(settings_for(profile, only_teacher=True)) == ("fixed", 0.0, 0.0, 0.0)
    assert _terms(settings_for(profile, strategy="e2e")) == ("fixed", 0.0, 0.0, 0.0)


def test_what_is_named_is_all_there_is(profile_of: Make) -> None:
    profile = profile_of("single-pixel")
    alone = settings_for(profile, weight_decoder=0, weight_encoder=0)
    assert _terms(alone) == ("fixed", 0.0, 0.0, 0.0)
    assert not alone.guided
    assert _terms(settings_for(profile, weight_output=0.3)) == ("fixed", 0.0, 0.0, 0.3)
    assert _terms(settings_for(profile, weighting="uncertainty")) == ("uncertainty", 0.1, 0.1, 0.0)
    assert _terms(settings_for(profile, losses="published")) == ("fixed", 0.1, 0.8, 0.0)


def test_classes_have_none(profile_of: Make) -> None:
    assert _terms(settings_for(profile_of("single-pixel"), task="classify", data="x")) == ("fixed", 0.0, 0.0, 0.0)
