"""Kinds of trajectories: where their samples lie, by hand, and refusal of what is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.errors import FileError, InputError
from cidesign.pattern import CartesianLines, Trajectory
from cidesign.testing.trajectories import lines, points, shots


def test_samples_of_cartesian_scans_lie_where_the_matrix_has_them() -> None:
    one, other = lines(), points()
    assert one.is_cartesian
    assert (one.matrix, one.samples.shape) == ((9, 12), (5, 12, 2))
    assert one.samples[[1, -1], [0, -1]].tolist() == [[-1, -6], [4, 5]]
    assert other.is_cartesian
    assert (other.matrix, other.samples.shape, other.acceleration) == ((6, 4), (6, 12, 3), 4)
    assert other.samples[[0, -1], [6, 0]].tolist() == [[-3, 0, 0], [2, -2, -6]]
    assert np.argwhere(other.mask).tolist() == other.acquired.tolist()


def test_samples_of_shots_are_the_integral_of_their_gradients() -> None:
    found = shots()
    assert not found.is_cartesian
    assert (found.matrix, found.acceleration) == ((8, 6), 4)
    # 42.576 MHz/T, straight pieces, by adding up many thin slices of time.
    fine_ns = np.arange(40_000) + 0.5
    edges_ns = np.arange(5) * 10_000
    for shot in range(2):
        for axis in range(2):
            g = np.interp(fine_ns, edges_ns, found.gradients_mt_per_m[shot, :, axis])
            k = found.starts[shot, axis] + np.cumsum(g) * 42.576e3 * 1e-9 * 0.2
            at = np.interp(found.sample_times_ns, fine_ns + 0.5, k)
            np.testing.assert_allclose(found.samples[shot, :, axis], at, atol=2e-6)
    np.testing.assert_allclose(found.corners[0, -1], [6.0 * 42.576e3 * 1e-5 * 0.2, 0.5])
    assert found.sample_times_ns.tolist() == [7_000, 13_000, 19_000, 25_000, 31_000]


def test_anylines_is_read_by_the_base_of_all(tmp_path: Path) -> None:
    for make in (lines, points, shots):
        make().save(tmp_path / "design.npz")
        assert type(Trajectory.load(tmp_path / "design.npz")) is type(make())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"acquired": np.array([[2, 1], [2, 2], [3, 1]])}, "1 points of the calibration region are missing"),
        ({"acquired": np.array([[6, 1]]), "calibration": (0, 0)}, "outside a matrix of 6 lines and 4 partitions"),
        ({"acquired": np.array([[1, 1], [0, 3]]), "calibration": (0, 0)}, "must rise"),
        ({"acquired": np.array([1, 2])}, r"int64 of shape \(P, 2\)"),
        ({"calibration": (7, 1)}, "calibration region of 7 x 1"),
        ({"partitions": 10**12}, "matrix of 1000000000000 partitions"),
    ],
)
def test_wrongpoints_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(points(), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gradients_mt_per_m": np.ones((2, 5, 2))}, "begin and end at 0"),
        ({"gradients_mt_per_m": np.full((2, 5, 2), np.nan)}, "finite float64"),
        ({"gradients_mt_per_m": np.zeros((2, 5, 3))}, "finite float64"),
        ({"starts": np.zeros((3, 2))}, "finite float64"),
        ({"fov_mm": 0.0}, "0.0 mm is none"),
        ({"samples_per_shot": 7}, "samples until 46000 ns, while the gradients of a shot end at 40000 ns"),
        ({"samples_per_shot": 10**9}, "too many"),
        ({"dwell_ns": 0}, "1 or more"),
        ({"delay_ns": -1}, "not negative"),
    ],
)
def test_wrong_shots_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(shots(), **changes)


def test_a_trajectory_of_another_kind_is_refused_by_its_kind(tmp_path: Path) -> None:
    points().save(tmp_path / "design.npz")
    with pytest.raises(FileError, match="this design is points of k-space, not lines"):
        CartesianLines.load(tmp_path / "design.npz")
