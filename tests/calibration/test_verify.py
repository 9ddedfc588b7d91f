"""The gate: verdict, faults, what is refused and what is said."""

from pathlib import Path

import pytest

from cidesign.calibration.verify import Check, Verification, check_rows, finding, require_passed
from cidesign.errors import LimitError

GOOD = Check(name="dark", status="passed", text="fine")
WARNED = Check(name="scatter", status="warning", text="look", fault="drift")
FIXED = Check(name="turn", status="corrected", text="turned", fault="rotation", value=1.25, limit=0.25, unit="degrees")
BAD = Check(name="card", status="failed", text="wrong", fault="mirror", value=0.5, limit=0.15)


def _of(*checks: Check) -> Verification:
    return Verification(score=None, score_meaning="", checks=list(checks))


def test_verdict_and_faults() -> None:
    assert _of().verdict == _of(GOOD, WARNED, FIXED).verdict == "passed"
    assert _of(GOOD, BAD).verdict == "failed"
    assert _of(FIXED, WARNED, BAD, BAD).faults == ("mirror", "drift", "rotation")
    assert _of(GOOD).faults == ()


def test_the_gate_names_check_value_and_fault() -> None:
    path = Path("cal")
    with pytest.raises(
        LimitError, match=r"cal: failed its verification: card: wrong; this resembles: mirror \(and 1 more"
    ) as e:
        require_passed(path, _of(GOOD, BAD, BAD), accept_failed=False)
    assert "--accept-failed" in str(e.value)
    assert require_passed(path, _of(BAD, WARNED), accept_failed=True) == [
        "ACCEPTED although failed: card: wrong",
        "scatter: look",
    ]
    assert require_passed(path, _of(GOOD, FIXED), accept_failed=False) == []


def test_rows_and_findings() -> None:
    assert check_rows([FIXED, GOOD]) == [
        ("corrected", "turn", "1.25 degrees", "0.25", "rotation", "turned"),
        ("passed", "dark", "-", "-", "-", "fine"),
    ]
    wrong = finding("x", True, "right", "wrong", value=2.0, fault="shift")
    assert (wrong.status, wrong.text, wrong.fault) == ("corrected", "wrong", "shift")
    right = finding("x", False, "right", "wrong", status="failed", fault="shift")
    assert (right.status, right.text, right.fault) == ("passed", "right", None)
