"""Spokes, arms and lines: where they sample, and that a scanner can play them."""

import math

import numpy as np
import pytest

from cidesign.constraints.gradients import GradientRule, gradient_sizes, slew_sizes
from cidesign.errors import LimitError
from cidesign.modalities.mri.shots.fixed_designs import fixed_designs
from cidesign.modalities.mri.shots.settings import ShotSettings, settings_for
from cidesign.modalities.mri.shots.shapes import GOLDEN_ANGLE, Shots, arms, block, spokes

RULE = GradientRule(30.0, 130.0, 10_000, 100.0, 8192, 4)


def _scan(**values: object) -> Shots:
    settings: ShotSettings = settings_for({"side": 32, "shots": 5, **values}, RULE, {})
    return Shots(settings, RULE, "mri-generic-3t", "ab" * 32)


def test_spokes_cross_the_centre_at_golden_angles_with_even_steps() -> None:
    scan = _scan()
    found = scan.design(spokes(scan))
    assert RULE.check(found) == []
    k = found.samples
    # 64 samples of 32 steps: half a step each, even about the centre.
    np.testing.assert_allclose(np.linalg.norm(np.diff(k, axis=1), axis=2), 0.5, atol=1e-9)
    np.testing.assert_allclose(k, -k[:, ::-1], atol=1e-9)
    assert np.linalg.norm(k[:, -1], axis=1) == pytest.approx(15.75)
    turn = np.arctan2(k[:, -1, 1], k[:, -1, 0])
    np.testing.assert_allclose(np.exp(1j * turn), np.exp(1j * GOLDEN_ANGLE * np.arange(5)), atol=1e-9)
    assert math.degrees(GOLDEN_ANGLE) == pytest.approx(111.246, abs=1e-3)


def test_arms_start_in_the_centre_and_reach_the_edge_within_the_limits() -> None:
    scan = _scan()
    found = scan.design(arms(scan))
    assert RULE.check(found) == []
    radius = np.linalg.norm(found.samples, axis=2)
    assert radius[:, 0].max() < 0.1
    assert radius[:, -1] == pytest.approx(16, abs=0.6)
    assert (np.diff(radius, axis=1) > 0).all()
    # All arms are one arm, turned by a fifth of a circle each.
    as_complex = found.samples @ np.array([1, 1j])
    np.testing.assert_allclose(as_complex[3], as_complex[0] * np.exp(0.6j * math.pi * 2), atol=1e-6)


def test_a_long_readout_gives_all_turns_and_a_short_one_uses_the_slew_rate() -> None:
    slow, fast = _scan(readout_ms=5.12), _scan(readout_ms=0.64)
    turned = []
    for scan in (slow, fast):
        found = scan.design(arms(scan))
        assert RULE.check(found) == []
        angle = np.unwrap(np.angle(found.samples[0] @ np.array([1, 1j])))
        turned.append((angle[-1] - angle[0]) / (2 * math.pi))
        if scan is fast:
            assert slew_sizes(found).max() > 0.99 * 130
        else:
            # Without the brake after the samples.
            assert slew_sizes(found)[:, : scan.window].max() < 0.5 * 130
    # 16 steps by 5 arms: 3.2 turns are a full sampling.
    assert turned[0] == pytest.approx(3.2, abs=0.1)
    assert turned[1] < 1.5


def test_the_block_is_of_cartesian_lines() -> None:
    scan = _scan()
    found = scan.design(block(scan))
    assert RULE.check(found) == []
    np.testing.assert_allclose(found.samples[..., 0], np.repeat(np.arange(-2, 3)[:, None], 64, axis=1), atol=1e-9)
    assert found.samples[0, 0, 1] == pytest.approx(-15.75)


def test_a_readout_that_is_too_short_says_what_binds_and_what_to_change() -> None:
    scan = _scan(readout_ms=0.064)
    with pytest.raises(LimitError, match=r"radial: needs 45\.\d+ mT/m .* limit is 30 mT/m; take a longer readout_ms"):
        spokes(scan)
    with pytest.raises(LimitError, match=r"spiral: needs [\d.]+ T/m/s .* limit is 130 T/m/s"):
        arms(scan)
    assert fixed_designs(scan) == {}


def test_gradients_of_spokes_are_those_of_the_field_of_view() -> None:
    scan = _scan(fov_mm=128.0)
    found = scan.design(spokes(scan))
    # 32 steps of 1/0.128 m in 0.64 ms.
    expected = 32 / 0.128 / 0.64e-3 / 42.576e6 * 1e3
    assert gradient_sizes(found).max() == pytest.approx(expected)


def test_fixed_designs_are_of_as_many_shots_and_samples() -> None:
    scan = _scan()
    designs = fixed_designs(scan)
    assert list(designs) == ["radial", "spiral", "centre block"]
    assert {one.samples.shape for one in designs.values()} == {(5, 64, 2)}  # type: ignore[attr-defined]
