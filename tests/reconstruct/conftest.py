"""Finished single-pixel runs, and a scene that no flip or turn leaves as it is."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.modalities.single_pixel.run import SinglePixelRun


@pytest.fixture(scope="session")
def make_run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Callable[..., SinglePixelRun]:
    @functools.cache  # runs are only read
    def make(side: int = 16, patterns: int = 40, bit_depth: int = 1, encoding: Any = "complementary") -> SinglePixelRun:
        path = tmp_path_factory.mktemp("runs") / f"{side}-{patterns}-{bit_depth}-{encoding}"
        settings = make_settings(
            side=side, patterns=patterns, bit_depth=bit_depth, encoding=encoding, read_noise_photoelectrons=50.0
        )
        run: SinglePixelRun = finished_run(path, settings, SinglePixelRun, side + patterns)
        return run

    return make


@pytest.fixture(scope="session")
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
