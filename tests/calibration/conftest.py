"""Designs, scenes and ideal detectors for the calibration tests."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.response import Estimate, Response
from cidesign.pattern import Encoding, PatternStack

PROFILE_DIGEST = "a" * 64


@pytest.fixture
def make_design() -> Callable[..., PatternStack]:
    def make(side: int = 8, count: int = 20, bit_depth: int = 1, encoding: Encoding = "complementary") -> PatternStack:
        rng = np.random.default_rng([side, count, bit_depth])
        levels = rng.integers(0, 2**bit_depth, (count, side, side), dtype=np.uint8)
        return PatternStack(levels, bit_depth, encoding, "dlp4500", PROFILE_DIGEST)

    return make


@pytest.fixture
def f_scene() -> Callable[[int], NDArray[np.float64]]:
    """An F on a slope: no flip, turn or transposition leaves it as it is."""

    def make(side: int) -> NDArray[np.float64]:
        scene = np.linspace(0.05, 0.2, side * side).reshape(side, side)
        stroke = max(side // 8, 1)
        left, top, bottom = side // 4, side // 8, side - side // 8
        scene[top:bottom, left : left + stroke] = 0.9
        scene[top : top + stroke, left : left + side // 2] = 0.8
        middle = side // 2 - stroke
        scene[middle : middle + stroke, left : left + side // 3] = 0.7
        return scene

    return make


@pytest.fixture
def ideal_response() -> Callable[..., Response]:
    """A response known without error."""

    def make(scale: float, dark: float = 0.0, gain: float = 1.0, read_noise: float = 1.0) -> Response:
        return Response(
            dark_counts=Estimate(dark, 0.0),
            read_noise_counts=Estimate(read_noise, 0.0),
            gain_counts_per_photoelectron=Estimate(gain, 0.0),
            scale_counts=Estimate(scale, 0.0),
            intercept_counts2=Estimate(read_noise**2, 0.0),
            linearity_percent=0.0,
            step_counts=0.0,
            notes=(),
        )

    return make
