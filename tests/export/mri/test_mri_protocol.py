"""Protocols, dummies, the order of lines and masks that no 2-D scan can play."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.constraints.kspace import LineBudget, count_for
from cidesign.errors import InputError, LimitError
from cidesign.export.mri.manifest import protocol_from, protocol_record
from cidesign.export.mri.protocol import (
    GreProtocol,
    TseProtocol,
    dummies_for,
    dummies_to_steady_state,
    echo_trains,
    ordered_lines,
    trajectory_from_mask,
)
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

LINES = (1, 3, 7, 8, 9, 12)


def generic() -> MriProfile:
    profile = load_profile("mri-generic-3t")
    assert isinstance(profile, MriProfile)
    return profile


def trajectory(lines: tuple[int, ...] = LINES, matrix: int = 16, calibration: int = 3) -> CartesianLines:
    return CartesianLines(matrix, 12, np.array(lines, dtype=np.int64), calibration, "some", "0" * 64)


def gre(**changes: object) -> GreProtocol:
    values = {
        "fov_mm": 220.0,
        "slice_thickness_mm": 5.0,
        "flip_angle_deg": 15.0,
        "te_ms": None,
        "tr_ms": None,
        "dwell_us": 20.0,
        "dummies": 2,
    }
    return GreProtocol(**{**values, **changes})  # type: ignore[arg-type]


def tse(**changes: object) -> TseProtocol:
    values = {
        "fov_mm": 220.0,
        "slice_thickness_mm": 5.0,
        "flip_angle_deg": 90.0,
        "te_ms": None,
        "tr_ms": None,
        "dwell_us": 20.0,
        "echo_train_length": 3,
    }
    return TseProtocol(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fov_mm": 0}, "fov_mm is 0"),
        ({"fov_mm": float("nan")}, "fov_mm is nan"),
        ({"te_ms": -1}, "te_ms is -1"),
        ({"tr_ms": float("inf")}, "tr_ms is inf"),
        ({"flip_angle_deg": 120}, "120 deg is not an excitation"),
        ({"bandwidth_hz_per_px": 300.0}, "exactly one of dwell_us and bandwidth_hz_per_px"),
        ({"dwell_us": None}, "exactly one of dwell_us and bandwidth_hz_per_px"),
        ({"oversampling": 3}, "oversampling of 3"),
        ({"order": "spiral"}, "'spiral' is not one of sequential, centre-out"),
        ({"dummies": -1}, "-1 dummies are outside"),
    ],
)
def test_impossible_protocols_are_refused(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        gre(**changes)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"echo_train_length": 0}, "echo train of 0"),
        ({"refocusing_deg": 60}, "refocusing angle of 60"),
        ({"echo_spacing_ms": 0}, "echo_spacing_ms is 0"),
    ],
)
def test_impossible_trains_are_refused(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        tse(**changes)
    assert expected in str(caught.value)


# Computed independently by iterating the recursion of an ideal spoiled gradient echo.
@pytest.mark.parametrize(
    ("tr_ms", "t1_ms", "expected"),
    [(12, 800, 110), (12, 1500, 142), (12, 4000, 187), (50, 800, 41), (50, 1500, 68), (50, 4000, 119), (300, 800, 5)],
)
def test_dummies_to_the_steady_state(tr_ms: float, t1_ms: float, expected: int) -> None:
    assert dummies_to_steady_state(15, tr_ms, t1_ms) == expected


@given(st.floats(1, 90), st.floats(1, 5000), st.floats(10, 5000))
def test_the_estimate_is_the_first_excitation_within_one_per_cent(flip: float, tr_ms: float, t1_ms: float) -> None:
    count = dummies_to_steady_state(flip, tr_ms, t1_ms)
    e1 = np.exp(-tr_ms / t1_ms)
    decay = e1 * np.cos(np.radians(flip))
    steady = (1 - e1) / (1 - decay)
    m = 1.0
    for _ in range(count):
        before, m = m, 1 - (1 - m * np.cos(np.radians(flip))) * e1
    assert abs(m - steady) <= 0.01001 * steady
    if count > 1:
        assert abs(before - steady) >= 0.00999 * steady


def test_dummies_are_asked_for_or_estimated_and_explained() -> None:
    assert dummies_for(gre(dummies=4), 10)[0] == 4
    count, why = dummies_for(gre(dummies=None, t1_ms=800.0), 12)
    assert count == 110
    assert "110 estimated" in why
    assert "T1 800 ms" in why
    assert "7 asked for; 110 estimated" in dummies_for(gre(dummies=7, t1_ms=800.0), 12)[1]
    assert dummies_for(tse(), 500)[0] == 1
    with pytest.raises(InputError, match="give dummies, or t1_ms"):
        dummies_for(gre(dummies=None), 10)


def test_dummies_beyond_reason_are_a_limit() -> None:
    with pytest.raises(LimitError, match=r"dummies: \d+ needed .* 10000 is the most"):
        dummies_for(gre(dummies=None, t1_ms=99_999.0, flip_angle_deg=0.1), 1)


def test_order_of_lines() -> None:
    assert ordered_lines(trajectory(), "sequential") == list(LINES)
    assert ordered_lines(trajectory(), "centre-out") == [8, 7, 9, 12, 3, 1]


def test_trains_hold_every_line_once_and_put_the_centre_on_its_echo() -> None:
    design = trajectory()
    for centre_echo in range(3):
        trains = echo_trains(design, tse(), centre_echo)
        assert sorted(line for lines in trains for line in lines) == list(LINES)
        assert 8 in [lines[centre_echo] for lines in trains]
    assert echo_trains(design, tse(order="centre-out"), 0) == [[8, 9, 3], [7, 12, 1]]


def test_lines_that_do_not_fill_the_trains() -> None:
    with pytest.raises(LimitError, match="6 lines do not fill trains of 4 echoes; give an echo_train_length of 2 or 3"):
        echo_trains(trajectory(), tse(echo_train_length=4), 0)


def test_a_point_wise_mask_is_refused_with_the_reason() -> None:
    mask = np.zeros((16, 12), dtype=np.uint8)
    mask[[3, 7, 8, 9]] = 1
    assert trajectory_from_mask(mask, 3, generic()).acquired.tolist() == [3, 7, 8, 9]
    mask[3, 5] = 0
    mask[11, 2] = 1
    with pytest.raises(InputError) as caught:
        trajectory_from_mask(mask, 3, generic())
    assert "k-space columns differ in rows 3, 11" in str(caught.value)
    assert "a 2-D scan can only skip whole phase-encode lines" in str(caught.value)
    assert "3-D scan" in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "calibration", "expected"),
    [
        (np.full((4, 4), 0.5), 0, "other than 0"),
        (np.ones(4), 0, "shape"),
        (np.zeros((4, 4)), 0, "lines must be int64"),
        (np.repeat(np.isin(np.arange(8), (1, 2))[:, None], 3, axis=1) * 1.0, 2, "calibration lines 3, 4 are missing"),
    ],
)
def test_masks_that_are_no_design(mask: np.ndarray, calibration: int, expected: str) -> None:
    if expected.startswith("lines"):
        expected = "lines"
    with pytest.raises(InputError) as caught:
        trajectory_from_mask(mask, calibration, generic())
    assert expected in str(caught.value)


def test_budgets_name_both_neighbours_and_what_fits() -> None:
    with pytest.raises(InputError, match=r"57 lines give R = 4\.035 and 58 lines R = 3\.966"):
        count_for(230, 4)
    with pytest.raises(LimitError, match=r"24 calibration lines do not fit a budget of 20 lines .* at most 9\.583"):
        LineBudget(230, 20, 24)


def test_protocols_survive_their_record() -> None:
    for protocol in (gre(), tse(order="centre-out", echo_spacing_ms=12.5)):
        assert protocol_from(protocol_record(protocol)) == protocol
    with pytest.raises(InputError, match="'epi' is not one of gre, tse"):
        protocol_from({"kind": "epi"})
    with pytest.raises(InputError, match="fov"):
        protocol_from({**protocol_record(gre()), "fov": 3})
