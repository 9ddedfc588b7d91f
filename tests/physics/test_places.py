"""Places cover a plane, whatever is drawn, and strips are weighted so that they add up to the whole."""

import numpy as np
import pytest
import torch

from cidesign.physics.places import drawn_places, places_of, strips


@pytest.mark.parametrize(("plane", "size"), [((40, 40), (16, 16)), ((33, 64), (16, 16)), ((17, 16), (16, 16))])
def test_drawn_places_cover_the_plane_and_are_as_many_for_every_draw(
    plane: tuple[int, int], size: tuple[int, int]
) -> None:
    firsts = set()
    for seed in range(40):
        found = places_of(plane, size, torch.Generator().manual_seed(seed))
        seen = np.zeros(plane, dtype=int)
        for place in found:
            assert place.top >= 0
            assert place.left >= 0
            assert seen[place.slices].shape == size
            seen[place.slices] += 1
        assert seen.min() >= 1
        assert len(found) == drawn_places(plane, size)
        assert found == places_of(plane, size, torch.Generator().manual_seed(seed))
        firsts.add(found[0])
    assert len(firsts) > 1


def test_no_seam_is_privileged() -> None:
    """Over many draws, every line between two pixels away from the border is a seam about as often."""
    seams = np.zeros(64)
    for seed in range(4000):
        tops = {place.top for place in places_of((64, 16), (16, 16), torch.Generator().manual_seed(seed))}
        seams[sorted(tops)] += 1
    inner = seams[16:48] / 4000
    np.testing.assert_allclose(inner, 1 / 16, atol=0.02)


def test_places_that_are_not_drawn_lie_edge_on_edge() -> None:
    assert [place[:2] for place in places_of((32, 40), (16, 16), None)] == [
        (0, 0), (0, 16), (0, 24), (16, 0), (16, 16), (16, 24)
    ]  # fmt: skip
    assert [place[:2] for place in places_of((16, 16), (16, 16), None)] == [(0, 0)]


@pytest.mark.parametrize(
    ("length", "longest", "margin"), [(660, 227, 33), (1024, 146, 32), (200, 190, 8), (300, 10, 16)]
)
def test_weights_of_strips_sum_to_one_and_vanish_near_their_ends(length: int, longest: int, margin: int) -> None:
    found = strips(length, longest, margin)
    assert len(found) > 1
    total = np.zeros(length)
    for strip in found:
        assert 0 <= strip.first < strip.last <= length
        assert strip.first % 8 == 0
        total[strip.first : strip.last] += strip.weight
        assert ((strip.weight >= 0) & (strip.weight <= 1)).all()
        if strip.first:
            assert not strip.weight[: margin // 2].any()
        if strip.last < length:
            assert not strip.weight[-(margin // 2) :].any()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_what_is_no_longer_than_a_strip_is_not_cut() -> None:
    assert strips(227, 227, 32) == []
