"""Lines that a student takes over from a teacher of another budget, matrix or number of coils."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.modalities.mri.optics import MriOptics
from cidesign.modalities.mri.relax import hard_choice


def _optics(make_settings: Callable[..., Any], profile_of: Callable[[str], Any], **changes: Any) -> MriOptics:
    return MriOptics(make_settings("mri", **changes), profile_of("mri"))


def _encoder(optics: MriOptics, relaxation: str | None, seed: int) -> Any:
    encoder = optics.encoder(relaxation)
    draws = torch.randn(encoder.weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        encoder.weight.copy_(draws)
    return encoder


@pytest.mark.parametrize("changes", [{"acquired": 8}, {"coils": 3}, {"noise": 0.05}, {"readout": 24}, {"acs_lines": 0}])
def test_scores_of_the_same_matrix_are_taken_as_they_are(
    changes: dict[str, Any], make_settings: Any, profile_of: Any
) -> None:
    optics = _optics(make_settings, profile_of, **changes)
    teacher, encoder = _encoder(_optics(make_settings, profile_of), "R2", 1), _encoder(optics, None, 2)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight)


@pytest.mark.parametrize(("lines", "of_teacher"), [(24, 16), (16, 24), (17, 12), (12, 17), (15, 24)])
def test_lines_of_the_same_frequency_keep_their_rank(
    lines: int, of_teacher: int, make_settings: Any, profile_of: Any
) -> None:
    own = _optics(make_settings, profile_of, side=lines)
    teacher = _encoder(_optics(make_settings, profile_of, side=of_teacher), "R1.5", 1)
    encoder = _encoder(own, None, 2)
    start = encoder.weight.detach().clone()
    own.inherit(encoder, teacher)
    # Line j of the scan is the frequency j - centre, in cycles per field of view.
    offsets = [j - lines // 2 for j in range(lines) if 0 <= j - lines // 2 + of_teacher // 2 < of_teacher]
    assert len(offsets) == min(lines, of_teacher)
    here = torch.tensor([offset + lines // 2 for offset in offsets])
    there = torch.tensor([offset + of_teacher // 2 for offset in offsets])
    assert torch.equal(encoder.weight[here].argsort(), teacher.weight[there].argsort())
    # Mean and spread are those that the temperatures of training are made for.
    torch.testing.assert_close(encoder.weight[here].mean(), start[here].mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.weight[here].std(), start[here].std(), atol=1e-5, rtol=1e-5)
    beyond = torch.ones(lines, dtype=torch.bool)
    beyond[here] = False
    assert torch.equal(encoder.weight[beyond], start[beyond])
    assert int(hard_choice(encoder.rule, encoder.weight).sum()) == own.rule.acquired


def test_lines_that_were_given_rank_too(make_settings: Any, profile_of: Any) -> None:
    """Scores of 0 and 1, all alike included, leave nothing that is not finite."""
    own = _optics(make_settings, profile_of, side=24)
    for chosen in (range(0, 16, 4), range(16)):
        teacher, encoder = _encoder(_optics(make_settings, profile_of), None, 1), _encoder(own, None, 2)
        with torch.no_grad():
            teacher.weight.zero_()
            teacher.weight[list(chosen)] = 1
        own.inherit(encoder, teacher)
        assert bool(encoder.weight.isfinite().all())


def test_limits_name_what_a_student_has_less_of(make_settings: Any, profile_of: Any) -> None:
    optics = _optics(make_settings, profile_of)
    assert optics.limits() == {"acceleration": 4.0, "coils": 1, "noise": 0.01}
    assert optics.apart(_optics(make_settings, profile_of, coils=3)) is None
    assert optics.apart(_optics(make_settings, profile_of, readout=24)) == (
        "its images are 16 x 24, and this run's 16 x 16"
    )
