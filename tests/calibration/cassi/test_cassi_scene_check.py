"""A scene without a white target: a bench that changed is named, a sound one passes, a blank scene cannot tell."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.cassi.calibrate import calibrate_bench
from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.scene_check import NAME, scene_check
from cidesign.calibration.cassi.twin import CassiTwin, TwinSettings
from cidesign.calibration.cassi.verify import verify_against
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.mat import read_matrices
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.pattern import ApertureMask

PROFILE = load_profile("chrome-laser-10um")
SIDE = 32
BANDS_NM = np.array(PROFILE.spectrograph.wavelengths_nm.value)
MASK = ApertureMask(
    np.random.default_rng(1).integers(0, 2, (SIDE, SIDE)).astype(np.uint8), 10.0, PROFILE.id, PROFILE.digest
)
REAL = Path(__file__).parents[4] / "shared" / "data" / "hsi" / "aviris_90x90x224.mat"


def captured(cube: np.ndarray, faults: dict | None = None, seed: int = 0) -> CassiCapture:
    twin = CassiTwin(MASK, PROFILE, TwinSettings(seed=seed), faults or {})
    arrays = {name: array.astype(np.float64) for name, array in twin.arrays(cube).items()}
    return CassiCapture(Path("bench"), twin.record("2026-01-01T00:00:00+00:00", "a scene"), arrays)


def leaves(seed: int) -> np.ndarray:
    return spectral_dead_leaves(1, SIDE, list(BANDS_NM), 2**34 + seed)[0] / 255.0


@cache
def calibration() -> CassiCalibration:
    return calibrate_bench(captured(leaves(0)), MASK, PROFILE).calibration


def looked_at(cube: np.ndarray, faults: dict | None = None, seed: int = 9) -> Check:
    return scene_check(calibration(), captured(cube, faults, seed).scene)


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_bench_passes(seed: int) -> None:
    check = looked_at(leaves(100 + seed), seed=seed)
    assert (check.status, check.fault) == ("passed", None)
    assert check.value is not None
    assert check.value > 0.6


CHANGED = [
    ({"mirror": 1}, "mirror"), ({"mirror": 2}, "mirror"), ({"inversion": 1}, "inversion"), ({"shift": 0.7}, "shift"),
    ({"shift": 3}, "shift"), ({"shift": -5}, "shift"), ({"rotation": 3}, "rotation"),
    ({"wrong-step": 20}, "wrong-step"), ({"mirror": 1, "shift": 2}, "mirror"),
]  # fmt: skip


@pytest.mark.parametrize(("faults", "fault"), CHANGED)
def test_a_bench_that_changed_is_named(faults: dict, fault: str) -> None:
    check = looked_at(leaves(7), faults)
    assert (check.name, check.status, check.fault) == (NAME, "failed", fault)


@pytest.mark.parametrize("seed", range(5))
def test_a_shorter_spectrum_is_never_passed(seed: int) -> None:
    """Less dispersion looks like a scene without light in the outer bands; which of both cannot be told."""
    assert looked_at(leaves(seed), {"wrong-step": -20}).status in ("failed", "not checked")


def test_a_scene_that_shows_nothing_cannot_tell() -> None:
    dark, spot = np.zeros((8, SIDE, SIDE)), np.zeros((8, SIDE, SIDE))
    spot[:, 10:14, 10:14] = 1.0
    for cube in (dark, spot):
        for faults in ({}, {"mirror": 1}):
            assert looked_at(cube, faults).status == "not checked"


def test_it_stands_in_for_a_white_target_where_it_can_tell() -> None:
    def verdict(cube: np.ndarray, faults: dict) -> str:
        capture = captured(cube, faults, 5)
        bare = CassiCapture(capture.path, capture.record, {"scene": capture.arrays["scene"]})
        checks = verify_against(calibration(), bare, MASK)
        return Verification(score=None, score_meaning="", checks=checks).verdict

    assert verdict(leaves(7), {}) == "passed"
    assert verdict(leaves(7), {"mirror": 1}) == "failed"
    assert verdict(0 * leaves(7), {}) == "not verified"


@pytest.mark.skipif(not REAL.is_file(), reason="real cubes are not here")
@pytest.mark.parametrize("corner", [(0, 0), (58, 29), (29, 58)])
def test_real_scenes(corner: tuple[int, int]) -> None:
    arrays = read_matrices(REAL, ("wavelengths", "hsi_img"))
    nm = np.asarray(arrays["wavelengths"], dtype=np.float64).ravel()
    bands = [int(np.abs(nm - one).argmin()) for one in BANDS_NM]
    row, column = corner
    cut = np.asarray(arrays["hsi_img"], dtype=np.float64)[row : row + SIDE, column : column + SIDE, bands]
    cube = np.clip(np.moveaxis(cut, 2, 0) / np.percentile(cut, 99.8), 0, 1)
    assert looked_at(cube).status == "passed"
    for faults, fault in (({"mirror": 1}, "mirror"), ({"wrong-step": 20}, "wrong-step"), ({"shift": 0.7}, "shift")):
        check = looked_at(cube, faults)
        assert (check.status, check.fault) == ("failed", fault)
