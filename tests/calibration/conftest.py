"""Designs, scenes, ideal detectors and simulated captures for the calibration tests."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.calibrate import SpcCalibration, calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture, SimulatedBench
from cidesign.calibration.single_pixel.response import Response
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
from cidesign.pattern import Encoding, PatternStack

PROFILE_DIGEST = "a" * 64
FRAME_US = 235.0
UTC = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="session")
def make_design() -> Callable[..., PatternStack]:
    def make(side: int = 8, count: int = 20, bit_depth: int = 1, encoding: Encoding = "complementary") -> PatternStack:
        rng = np.random.default_rng([side, count, bit_depth])
        levels = rng.integers(0, 2**bit_depth, (count, side, side), dtype=np.uint8)
        return PatternStack(levels, bit_depth, encoding, "dlp4500", PROFILE_DIGEST)

    return make


@pytest.fixture(scope="session")
def frame_means() -> Callable[[PatternStack, NDArray[np.float64]], NDArray[np.float64]]:
    """mean(P_f x) of every displayed frame, (F,), written out: nothing of the code under test."""

    def means(design: PatternStack, scene: NDArray[np.float64]) -> NDArray[np.float64]:
        shown = design.displayed().astype(np.float64) / (2**design.bit_depth - 1)
        return np.array([(frame * scene).mean() for frame in shown])

    return means


@pytest.fixture(scope="session")
def ideal_response() -> Callable[..., Response]:
    """A response known without error."""

    def make(scale: float, dark: float = 0.0, gain: float = 1.0, read_noise: float = 1.0) -> Response:
        return Response(
            dark_counts=Estimate(dark, 0.0),
            read_noise_counts=Estimate(read_noise, 0.0),
            gain_counts_per_photoelectron=Estimate(gain, 0.0),
            scale_counts=Estimate(scale, 0.0),
            photon_transfer_intercept_counts2=Estimate(read_noise**2, 0.0),
            linearity_percent=0.0,
            step_counts=0.0,
            notes=(),
        )

    return make


@pytest.fixture(scope="session")
def make_bench() -> Callable[..., SimulatedBench]:
    """A bench as the twin takes it: white fills 60 % of 16 bits with 1e7 photoelectrons unless said otherwise."""

    def make(**changes: Any) -> SimulatedBench:
        values: dict[str, Any] = {
            "dark_counts": 200.0, "gain": None, "photoelectrons_per_frame": 1e7, "read_noise_counts": None,
            "read_noise_photoelectrons": 100.0, "adc_bits": 16, "seed": 0, "scene": "F", "faults": {},
        }  # fmt: skip
        return bench_settings(**(values | changes))

    return make


@pytest.fixture(scope="session")
def take(make_bench: Callable[..., SimulatedBench], f_scene: Callable[..., NDArray[np.float64]]) -> Callable[..., Any]:
    """A whole capture of the F with a design: `take(design, seed=3, faults={"shift": 1})`."""

    def make(design: PatternStack, *, scene: NDArray[np.float64] | None = None, **changes: Any) -> Capture:
        bench = make_bench(**changes)
        times = FRAME_US * np.arange(len(design.frames()))
        readings = simulate_readings(design, f_scene(design.side) if scene is None else scene, bench, times)
        arrays = {name: array.astype(np.float64) for name, array in readings.items()}
        return Capture(Path("capture"), capture_record(design, bench, FRAME_US, UTC), arrays)

    return make


@pytest.fixture(scope="session")
def card_design(make_design: Callable[..., PatternStack]) -> PatternStack:
    """A design large enough to find its place on a card."""
    return make_design(16, 80)


@pytest.fixture(scope="session")
def calibrated(take: Callable[..., Capture], card_design: PatternStack) -> Callable[..., SpcCalibration]:
    """The calibration of a bench with faults, made once: `calibrated(shift=1)`; `_` stands for `-` in names."""

    @functools.cache
    def make(**faults: float) -> SpcCalibration:
        named = {name.replace("_", "-"): strength for name, strength in faults.items()}
        return calibrate_spc(take(card_design, faults=named), card_design)

    return make


@pytest.fixture(scope="session")
def changed() -> Callable[..., Capture]:
    """The same capture with other arrays; None leaves one out."""

    def make(capture: Capture, **arrays: NDArray[np.float64] | None) -> Capture:
        kept = {**capture.arrays, **arrays}
        return replace(capture, arrays={name: array for name, array in kept.items() if array is not None})

    return make
