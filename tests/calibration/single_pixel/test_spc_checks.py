"""Limits of the checks, each on both sides."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel import checks as spc_checks
from cidesign.calibration.single_pixel.calibrate import SpcCalibration
from cidesign.calibration.single_pixel.operator import Placement
from cidesign.calibration.single_pixel.response import Response
from cidesign.orientation import Orientation

Calibrated = Callable[..., SpcCalibration]


def _status(found: list[spc_checks.Check], name: str) -> tuple[str, str | None]:
    check = next(check for check in found if check.name == name)
    return check.status, check.fault


def test_the_detector(ideal_response: Callable[..., Response]) -> None:
    good = replace(ideal_response(3e4), step_counts=1.0)
    assert {check.status for check in spc_checks.detector_checks(good)} == {"passed"}
    for change, name, expected in (
        ({"stray_counts": 300.0}, "dark level", ("corrected", "dark")),
        ({"step_counts": 16.0}, "converter", ("corrected", "bit-justification")),
        ({"step_counts": 0.0}, "converter", ("passed", None)),
        ({"linearity_percent": 1.1}, "linearity", ("warning", None)),
        ({"gain_counts_per_photoelectron": Estimate(0.2, 0.1)}, "gain", ("warning", None)),
    ):
        assert _status(spc_checks.detector_checks(replace(good, **change)), name) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("relative_residual", "status"),
    [(0.0, "passed"), (0.05, "passed"), (0.06, "warning"), (0.15, "warning"), (0.16, "failed")],
)
def test_the_gate(relative_residual: float, status: str) -> None:
    assert spc_checks.held_out_check(relative_residual, "shift").status == status


def test_the_place(calibrated: Calibrated) -> None:
    fit = calibrated().fit
    assert fit is not None

    def status(name: str, place: Placement | None = None, **changes: object) -> tuple[str, str | None]:
        operator = fit.operator if place is None else replace(fit.operator, placement=place)
        return _status(spc_checks.placement_checks(replace(fit, operator=operator, **changes)), name)  # type: ignore[arg-type]

    assert status("turn", Placement(0.2)) == ("passed", None)
    assert status("turn", Placement(-0.5)) == ("corrected", "rotation")
    assert status("shift", Placement(0.0, 0.07, 0.05)) == ("passed", None)
    assert status("shift", Placement(0.0, 0.1, 0.1)) == ("corrected", "shift")
    assert status("orientation", Placement(orientation=Orientation(flip_vertical=True))) == ("corrected", "mirror")
    turned = Placement(orientation=Orientation(False, True, True))
    assert status("orientation", turned) == ("corrected", "rotation")
    assert status("orientation", margin=0.04) == ("failed", None)
    assert status("orientation", turned, margin=0.04) == ("failed", "rotation")
    assert status("light of the card", card_level=0.94) == ("warning", None)
    assert status("light of the card", card_level=1.04) == ("passed", None)
    unsure = replace(fit, operator=replace(fit.operator, placement=Placement(2.0), rotation_error_deg=1.0))
    assert _status(spc_checks.placement_checks(unsure), "turn") == ("not checked", None)
