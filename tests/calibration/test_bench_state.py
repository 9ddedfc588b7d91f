"""A calibration and a capture, compared field by field."""

from typing import Any

import pytest
from pydantic import ValidationError

from cidesign.calibration.circumstances import BenchState, Circumstances, circumstances_checks

STATE: dict[str, Any] = {"temperature_c": 20.0, "roi_px": (0, 0, 8, 8), "binning": 1, "detector_gain": "low"}


def _of(**changes: Any) -> Circumstances:
    values: dict[str, Any] = {
        "design_digest": "d" * 64, "profile_digest": "a" * 64, "exposure_us": 235.0,
        "created_utc": "2026-01-01T12:00:00+00:00", "bench": BenchState(**STATE),
    }  # fmt: skip
    return Circumstances(**(values | changes))


def _statuses(captured: Circumstances, design_matters: bool = False) -> dict[str, str]:
    checks = circumstances_checks(_of(), captured, design_matters=design_matters)
    return {check.name: check.status for check in checks if check.status != "passed"}


def test_all_alike() -> None:
    assert _statuses(_of()) == {}


@pytest.mark.parametrize(
    ("changes", "name", "status"),
    [
        ({"profile_digest": "b" * 64}, "profile", "failed"),
        ({"design_digest": "e" * 64}, "design", "warning"),
        ({"exposure_us": 236.0}, "exposure", "failed"),
        ({"bench": BenchState(**STATE | {"roi_px": (0, 1, 8, 8)})}, "region of interest", "failed"),
        ({"bench": BenchState(**STATE | {"binning": 2})}, "binning", "failed"),
        ({"bench": BenchState(**STATE | {"detector_gain": "high"})}, "detector gain", "failed"),
        ({"bench": BenchState(**STATE | {"temperature_c": 22.5})}, "temperature", "warning"),
        ({"bench": BenchState(**STATE | {"temperature_c": 9.0})}, "temperature", "failed"),
        ({"bench": BenchState(**STATE | {"temperature_c": None})}, "temperature", "not checked"),
        ({"created_utc": "2026-01-03T12:00:00+00:00"}, "age", "warning"),
        ({"created_utc": "2026-02-03T12:00:00"}, "age", "failed"),
        ({"created_utc": "2025-12-01T12:00:00+00:00"}, "age", "warning"),
        ({"created_utc": "yesterday"}, "age", "not checked"),
    ],
)
def test_one_field_is_another(changes: dict[str, Any], name: str, status: str) -> None:
    assert _statuses(_of(**changes)) == {name: status}


def test_an_operator_is_void_for_another_design() -> None:
    assert _statuses(_of(design_digest="e" * 64), design_matters=True) == {"design": "failed"}


def test_clocks_may_differ() -> None:
    assert _statuses(_of(created_utc="2026-01-01T11:55:00+00:00")) == {}
    assert _statuses(_of(created_utc="2026-01-01T13:00:00+01:00")) == {}


def test_what_nobody_wrote_down_is_left_out() -> None:
    bare = _of(bench=BenchState(), exposure_us=None)
    assert {check.name for check in circumstances_checks(bare, bare, design_matters=True)} == {
        "profile",
        "design",
        "age",
    }


@pytest.mark.parametrize("wrong", [{"temperature_c": float("nan")}, {"binning": 0}, {"roi_px": (1, 2)}, {"nosuch": 1}])
def test_wrong_states(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BenchState(**wrong)
