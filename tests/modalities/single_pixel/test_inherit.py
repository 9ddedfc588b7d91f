"""Patterns that a student takes over from a teacher of another number, size, bit depth or light."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.modalities.single_pixel.optics import SinglePixelOptics


def _optics(make_settings: Callable[..., Any], profile_of: Callable[[str], Any], **changes: Any) -> SinglePixelOptics:
    return SinglePixelOptics(make_settings("single-pixel", **changes), profile_of("single-pixel"))


def _encoder(optics: SinglePixelOptics, relaxation: str | None = None) -> Any:
    encoder = optics.encoder(relaxation)
    with torch.no_grad():
        encoder.weight.copy_(optics.start(relaxation, torch.zeros(1, 1, *optics.size)))
    return encoder


def _taught(optics: SinglePixelOptics, seed: int = 1) -> Any:
    """A teacher whose patterns are its own: smooth, and not the start."""
    teacher = _encoder(optics, "real")
    side = optics.size[0]
    place = (torch.arange(side) + 0.5) / side
    with torch.no_grad():
        for number, pattern in enumerate(teacher.weight):
            wave = torch.cos(math.pi * (number % 3) * place + seed)
            pattern.copy_(0.8 * wave[:, None] * torch.cos(math.pi * (number // 3) * place)[None])
    return teacher


@pytest.mark.parametrize("changes", [{"bit_depth": 4}, {"photoelectrons_per_frame": 1e3}, {"encoding": "offset"}, {}])
def test_the_same_shape_is_taken_as_it_is(changes: dict[str, Any], make_settings: Any, profile_of: Any) -> None:
    teacher = _taught(_optics(make_settings, profile_of))
    optics = _optics(make_settings, profile_of, **changes)
    encoder = _encoder(optics)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight)


def test_fewer_patterns_are_the_first_and_more_go_on_as_they_start(make_settings: Any, profile_of: Any) -> None:
    teacher = _taught(_optics(make_settings, profile_of, patterns=7))
    fewer, more = (_optics(make_settings, profile_of, patterns=count) for count in (4, 11))
    small, large = _encoder(fewer), _encoder(more)
    start = large.weight.detach().clone()
    fewer.inherit(small, teacher)
    more.inherit(large, teacher)
    assert torch.equal(small.weight, teacher.weight[:4])
    assert torch.equal(large.weight[:7], teacher.weight)
    assert torch.equal(large.weight[7:], start[7:])
    # All of them are different measurements.
    assert torch.linalg.matrix_rank(large.matrix()) == 11


def test_values_beyond_what_mirrors_show_are_limited(make_settings: Any, profile_of: Any) -> None:
    optics = _optics(make_settings, profile_of)
    teacher = _taught(optics)
    with torch.no_grad():
        teacher.weight.mul_(3)
    encoder = _encoder(optics)
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight, teacher.weight.clamp(-1, 1))


@pytest.mark.parametrize("side", [6, 12, 16, 20])
def test_patterns_of_another_size_see_the_same_field(side: int, make_settings: Any, profile_of: Any) -> None:
    """What a smooth scene reads on the resampled patterns is what it reads on the teacher's."""
    taught, optics = (_optics(make_settings, profile_of, side=size, patterns=6) for size in (10, side))
    teacher, encoder = _taught(taught), _encoder(optics)
    optics.inherit(encoder, teacher)

    def readings(patterns: torch.Tensor) -> torch.Tensor:
        size = patterns.shape[-1]
        place = (torch.arange(size) + 0.5) / size
        scene = (1 + place[:, None]) * (1 - 0.5 * place[None])
        return (patterns.detach() * scene).mean(dim=(1, 2))

    torch.testing.assert_close(readings(encoder.weight), readings(teacher.weight), atol=0.02, rtol=0.05)
    # Contrast is signal: each pattern keeps its r.m.s. value, as far as the levels reach.
    own, wanted = (weight.detach().square().mean(dim=(1, 2)).sqrt() for weight in (encoder.weight, teacher.weight))
    torch.testing.assert_close(own, wanted, atol=0.01, rtol=0.03)


def test_a_pattern_finer_than_the_pixels_stays_as_it_starts(make_settings: Any, profile_of: Any) -> None:
    taught, optics = (_optics(make_settings, profile_of, side=size, patterns=3) for size in (16, 8))
    teacher, encoder = _taught(taught), _encoder(optics)
    board = (torch.arange(16)[:, None] + torch.arange(16)[None]) % 2 * 2.0 - 1
    with torch.no_grad():
        teacher.weight[1].copy_(board)
    start = encoder.weight.detach().clone()
    optics.inherit(encoder, teacher)
    assert torch.equal(encoder.weight[1], start[1])
    assert not torch.equal(encoder.weight[2], start[2])


def test_limits_name_what_a_student_has_less_of(make_settings: Any, profile_of: Any) -> None:
    optics = _optics(make_settings, profile_of, patterns=9, bit_depth=3)
    assert optics.limits() == {"pattern share": 9 / 64, "levels": 8, "light": 1e6}
    assert optics.apart(_optics(make_settings, profile_of, patterns=5)) is None
    assert optics.apart(_optics(make_settings, profile_of, side=12)) == "its images are 12 x 12, and this run's 8 x 8"
