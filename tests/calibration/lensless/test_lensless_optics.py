"""Shadows: rays and waves where both are known."""

import numpy as np
import pytest
from scipy.special import fresnel

from cidesign.calibration.lensless.optics import Geometry, Lines, irradiance, overlap, shadow

GREEN = Lines(np.array([0.55]), np.array([1.0]))


def test_an_edge_throws_fresnels_fringes() -> None:
    step_um, distance_um = 1.0, 2000.0
    plate = np.zeros((1600, 1600))
    plate[:, 800:] = 1
    light = irradiance(plate, step_um, GREEN, distance_um)
    row = light[light.shape[0] // 2]
    place_um = (np.arange(light.shape[1]) - (light.shape[1] - 1) / 2) * step_um
    sine, cosine = fresnel(place_um * np.sqrt(2 / (0.55 * distance_um)))
    wanted = 0.5 * ((0.5 + cosine) ** 2 + (0.5 + sine) ** 2)
    near = np.abs(place_um) < 150
    assert np.abs(row - wanted)[near].max() < 0.06


def test_samples_share_all_of_the_light() -> None:
    parts = overlap(31, 1.7, 40, 2.3)
    assert parts.sum(axis=0) * 2.3 == pytest.approx(np.full(31, 1.7))


def test_a_shadow_lies_as_the_mask_is_drawn_and_moves_down_and_right() -> None:
    levels = np.zeros((8, 8))
    levels[1, 2] = 1
    geometry = Geometry((8, 8), 10.0, 1.0, 10.0, (16, 16), (1, 1))
    psf = shadow(levels, geometry, GREEN, "shadow")
    assert np.argwhere(psf > 0.5).tolist() == [[5, 6]]
    moved = shadow(levels, geometry, GREEN, "shadow", (20.0, 10.0))
    assert np.argwhere(moved > 0.5).tolist() == [[7, 7]]


def test_a_near_scene_enlarges_the_shadow() -> None:
    levels = np.ones((10, 10))
    far = Geometry((10, 10), 10.0, 100.0, 10.0, (32, 32), (1, 1))
    near = Geometry((10, 10), 10.0, 100.0, 10.0, (32, 32), (1, 1), scene_distance_um=200.0)
    ratio = shadow(levels, near, GREEN, "shadow").sum() / shadow(levels, far, GREEN, "shadow").sum()
    assert ratio == pytest.approx(near.magnification**2)
    assert near.magnification == 1.5


def test_waves_become_rays_behind_large_openings() -> None:
    levels = np.random.default_rng(0).integers(0, 2, (6, 6))
    geometry = Geometry((6, 6), 300.0, 300.0, 12.4, (160, 160), (1, 1))
    waves, rays = (shadow(levels, geometry, GREEN, model) for model in ("waves", "shadow"))
    assert np.linalg.norm(waves - rays) < 0.1 * np.linalg.norm(rays)
