"""Masks and lines: digests, the centre block, and refusal of what is neither."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import InputError
from cidesign.pattern import (
    ApertureMask,
    CartesianLines,
    centre_block,
)


def _mask() -> ApertureMask:
    levels = (np.arange(5 * 7) % 3 == 0).astype(np.uint8).reshape(5, 7)
    return ApertureMask(levels, 10.0, "chrome-laser-10um", "ab" * 32)


def _trajectory(lines: int = 9, calibration: int = 3) -> CartesianLines:
    return CartesianLines(lines, 12, np.array([0, 3, 4, 5, 8]), calibration, "mri-generic-3t", "ab" * 32)


def test_mask_digest_sees_pixels_shape_pitch_and_process() -> None:
    mask = _mask()
    others = [
        ApertureMask(1 - mask.levels, 10.0, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels.reshape(7, 5), 10.0, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels, 10.5, mask.profile_id, mask.profile_digest),
        ApertureMask(mask.levels, 10.0, mask.profile_id, "cd" * 32),
    ]
    assert len({mask.design_digest, *(other.design_digest for other in others)}) == 5
    assert mask.open_fraction == pytest.approx(12 / 35)


def test_trajectory_digest_sees_lines_matrix_and_scanner() -> None:
    one = _trajectory()
    others = [
        CartesianLines(9, 12, np.array([0, 3, 4, 5, 7]), 3, one.profile_id, one.profile_digest),
        CartesianLines(10, 12, one.acquired, 2, one.profile_id, one.profile_digest),
        CartesianLines(9, 14, one.acquired, 3, one.profile_id, one.profile_digest),
        CartesianLines(9, 12, one.acquired, 1, one.profile_id, one.profile_digest),
        CartesianLines(9, 12, one.acquired, 3, one.profile_id, "cd" * 32),
    ]
    assert len({one.design_digest, *(other.design_digest for other in others)}) == 6
    assert one.acceleration == pytest.approx(9 / 5)
    assert one.mask.tolist() == [1, 0, 0, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("lines", "count", "block"),
    [
        (8, 0, []),
        (8, 1, [4]),
        (8, 2, [3, 4]),
        (8, 3, [3, 4, 5]),
        (9, 2, [3, 4]),
        (9, 3, [3, 4, 5]),
        (4, 4, [0, 1, 2, 3]),
    ],
)
def test_the_centre_block_holds_the_centre_of_the_fft(lines: int, count: int, block: list[int]) -> None:
    assert list(centre_block(lines, count)) == block
    assert count == 0 or np.flatnonzero(np.fft.fftshift(np.fft.fftfreq(lines)) == 0)[0] in block


@pytest.mark.parametrize(
    ("levels", "pitch_um"),
    [
        (np.zeros((3, 4), np.float64), 10.0),
        (np.full((3, 4), 1.5, np.float32), 10.0),
        (np.full((3, 4), -0.1, np.float32), 10.0),
        (np.full((3, 4), np.nan, np.float32), 10.0),
        (np.zeros((2, 3, 4), np.uint8), 10.0),
        (np.zeros((0, 4), np.uint8), 10.0),
        (np.full((3, 4), 2, np.uint8), 10.0),
        (np.zeros((3, 4), np.uint8), 0.0),
        (np.zeros((3, 4), np.uint8), float("inf")),
        (np.zeros((3, 4), np.uint8), float("nan")),
    ],
)
def test_wrong_masks_are_refused(levels: np.ndarray, pitch_um: float) -> None:
    with pytest.raises(InputError, match="mask"):
        ApertureMask(levels, pitch_um, "test", "")


@pytest.mark.parametrize(
    ("lines", "readout", "acquired", "calibration", "said"),
    [
        (8, 8, np.array([1, 4], dtype=np.int32), 1, "int64"),
        (8, 8, np.array([], dtype=np.int64), 0, "int64 of shape"),
        (8, 8, np.array([[1, 4]]), 1, "int64 of shape"),
        (8, 8, np.array([4, 8]), 1, r"lines 4\.\.8 are outside 0\.\.7"),
        (8, 8, np.array([-1, 4]), 1, "outside"),
        (8, 8, np.array([4, 1]), 1, "must rise"),
        (8, 8, np.array([4, 4]), 1, "none may occur twice"),
        (8, 8, np.array([1, 2, 4]), 2, "calibration lines 3 are missing"),
        (8, 0, np.array([4]), 1, "8 lines of 0 samples are no matrix"),
        (10**12, 8, np.array([4]), 0, "1000000000000 lines of 8 samples"),
        (8, 8, np.array([3, 4]), 10**12, "1000000000000 calibration lines among 2 lines"),
        (8, 8, np.array([3, 4]), -1, "-1 calibration lines"),
    ],
)
def test_wrong_trajectories_are_refused(
    lines: int, readout: int, acquired: np.ndarray, calibration: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        CartesianLines(lines, readout, acquired, calibration, "test", "")


def _grey() -> ApertureMask:
    levels = np.linspace(0.02, 1, 35, dtype=np.float32).reshape(5, 7)
    return ApertureMask(levels, 10.0, "chrome-laser-10um", "ab" * 32)


def test_a_grey_mask_is_kept_exactly_and_no_plate_can_have_it(tmp_path: Path) -> None:
    mask = _grey()
    mask.save(tmp_path / "design.npz")
    again = ApertureMask.load(tmp_path / "design.npz")
    assert again.levels.dtype == np.float32
    assert np.array_equal(again.levels, mask.levels)
    assert again.design_digest == mask.design_digest
    assert not again.is_binary
    assert mask.open_fraction == pytest.approx(0.51, abs=1e-7)
    with pytest.raises(InputError, match=r"34 of 35 code pixels are grey \(0.02 to 1\); a plate is open or opaque"):
        _ = mask.plate_levels


def test_one_mask_has_one_form_and_digest() -> None:
    binary = _mask()
    stored = ApertureMask(binary.levels.astype(np.float32), 10.0, binary.profile_id, binary.profile_digest)
    assert stored.is_binary
    assert stored.design_digest == binary.design_digest
    assert stored.plate_levels.dtype == np.uint8
    nearly = binary.levels.astype(np.float32)
    nearly[0, 0] = 0.5
    assert not ApertureMask(nearly, 10.0, binary.profile_id, binary.profile_digest).is_binary
