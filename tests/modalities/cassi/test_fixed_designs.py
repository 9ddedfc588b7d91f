"""Fixed masks: exact counts, spectra, and feasibility under every rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.constraints.aperture import MinimumFeature
from cidesign.errors import InputError
from cidesign.modalities.cassi.fixed_designs import (
    blue_noise_mask,
    feasible_blue_noise_mask,
    feasible_random_mask,
    random_mask,
)
from cidesign.pattern import ApertureMask

FEASIBLE = {"random": feasible_random_mask, "blue noise": feasible_blue_noise_mask}


def _rule(feature_px: int = 1, gap_px: int = 1, contacts: bool = False) -> MinimumFeature:
    return MinimumFeature(feature_px, gap_px, contacts, 10.0, "test")


def _low_frequency_power(mask: NDArray[np.uint8]) -> float:
    """Mean power of the periodic spectrum below an eighth of a cycle per pixel, white noise of 50 % being 0.25."""
    power = np.abs(np.fft.fft2(mask - mask.mean())) ** 2 / mask.size
    radius = np.hypot(np.fft.fftfreq(mask.shape[0])[:, None], np.fft.fftfreq(mask.shape[1])[None, :])
    return float(power[(radius > 0) & (radius < 1 / 8)].mean())


@pytest.mark.parametrize(("height", "width", "fraction", "wanted"), [(8, 6, 0.5, 24), (5, 5, 0.5, 13), (9, 4, 0.1, 4)])
def test_random_mask_has_an_exact_count(height: int, width: int, fraction: float, wanted: int) -> None:
    masks = [random_mask(height, width, seed, fraction) for seed in range(20)]
    assert {int(mask.sum()) for mask in masks} == {wanted}
    assert all(mask.shape == (height, width) and mask.dtype == np.uint8 and mask.max() == 1 for mask in masks)
    assert len({mask.tobytes() for mask in masks}) > 15
    assert np.array_equal(masks[7], random_mask(height, width, 7, fraction))


def test_random_mask_is_white() -> None:
    assert _low_frequency_power(random_mask(64, 64, 1)) == pytest.approx(0.25, abs=0.05)


@given(height=st.integers(1, 24), width=st.integers(1, 24), seed=st.integers(0, 2**40))
@settings(deadline=None, max_examples=40)
def test_blue_noise_of_any_size_has_an_exact_count(height: int, width: int, seed: int) -> None:
    if height * width == 1:
        with pytest.raises(InputError, match="one closed"):
            blue_noise_mask(height, width, seed)
        return
    mask = blue_noise_mask(height, width, seed)
    assert mask.shape == (height, width)
    assert mask.sum() == (height * width + 1) // 2
    assert set(np.unique(mask)) == {0, 1}


def test_blue_noise_has_no_low_frequencies() -> None:
    masks = [blue_noise_mask(64, 48, seed) for seed in (1, 2)]
    assert max(_low_frequency_power(mask) for mask in masks) < 0.01  # random: 0.25
    assert not np.array_equal(*masks)
    assert np.array_equal(masks[0], blue_noise_mask(64, 48, 1))


def test_blue_noise_is_periodic() -> None:
    """Across the border pixels repeat as often as inside; a mask evened out without wrapping would show a seam."""
    masks = np.stack([blue_noise_mask(32, 32, seed) for seed in range(6)])
    inside = (masks[:, :, 1:] == masks[:, :, :-1]).mean()
    across = (masks[:, :, 0] == masks[:, :, -1]).mean()
    assert inside < 0.45
    assert across == pytest.approx(inside, abs=0.12)


@pytest.mark.parametrize("design", FEASIBLE)
@pytest.mark.parametrize("rule", [_rule(), _rule(3, 1), _rule(2, 2, True), _rule(1, 1, True)])
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_feasible_masks_can_be_made(design: str, rule: MinimumFeature, data: st.DataObject) -> None:
    sides = st.integers(2 * rule.cell_px, 30)
    height, width, seed = data.draw(sides), data.draw(sides), data.draw(st.integers(0, 2**40))
    mask = FEASIBLE[design](rule, height, width, seed)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert rule.check(ApertureMask(mask, 10.0, "test", "0" * 64)) == []
    assert np.array_equal(mask, FEASIBLE[design](rule, height, width, seed))


def test_feasible_random_mask_is_about_half_open() -> None:
    masks = [feasible_random_mask(_rule(), 64, 64, seed) for seed in range(4)]
    assert all(mask.mean() == pytest.approx(0.5, abs=0.03) for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 4
    unrepaired = ApertureMask(random_mask(64, 64, 0), 10.0, "test", "0" * 64)
    assert [found.name for found in _rule().check(unrepaired)] == ["corner contacts"]


def test_feasible_blue_noise_keeps_half_open_and_few_low_frequencies() -> None:
    for seed in (1, 2):
        mask = feasible_blue_noise_mask(_rule(), 64, 64, seed)
        assert mask.mean() == 0.5
        assert _low_frequency_power(mask) < 0.02  # feasible random: 0.3
    cells = feasible_blue_noise_mask(_rule(2, 2), 96, 96, 3)[::2, ::2]
    assert _low_frequency_power(cells) < 0.02


def test_masks_that_code_nothing() -> None:
    for fraction in (0.0, 1.0, 0.01, -0.5, float("nan"), float("inf")):
        with pytest.raises(InputError, match="at least one pixel must be open and one closed"):
            random_mask(4, 4, 0, fraction)
    for height, width in ((0, 4), (-2, -2)):
        with pytest.raises(InputError, match=f"mask of {height} x {width} pixels"):
            blue_noise_mask(height, width, 0)
    for design in FEASIBLE.values():
        with pytest.raises(InputError, match="at least 6 a side"):
            design(_rule(3), 5, 20, 0)
