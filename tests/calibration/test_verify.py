"""The gate: verdict, faults, what is refused and what is said."""

from pathlib import Path

import pytest

from cidesign.calibration.essential import essential_check, essentials
from cidesign.calibration.verify import Judgement, Verification, check_rows, finding, require_passed, verdict_words
from cidesign.checks import Check
from cidesign.errors import LimitError

ESSENTIAL = essentials()
RENAMED = {earlier: name for name, one in ESSENTIAL.items() for earlier in one.earlier}
GOOD = Check(name="dark", status="passed", text="fine")
WARNED = Check(name="scatter", status="warning", text="look", fault="drift")
FIXED = Check(name="turn", status="corrected", text="turned", fault="rotation", value=1.25, limit=0.25, unit="degrees")
BAD = Check(name="card", status="failed", text="wrong", fault="mirror", value=0.5, limit=0.15)


def _of(*checks: Check) -> Verification:
    return Verification(score=None, score_meaning="", checks=list(checks))


def test_verdict_and_faults() -> None:
    assert _of(GOOD, WARNED, FIXED).verdict == "passed"
    assert _of().verdict == "not verified"  # nothing was looked at
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


def _unseen(name: str) -> Check:
    return Check(name=name, status="not checked", text="it was not captured")


@pytest.mark.parametrize("name", sorted(ESSENTIAL))
def test_an_essential_check_that_was_not_made_leaves_it_unverified(name: str) -> None:
    found = _of(GOOD, _unseen(name))
    assert found.verdict == "not verified"
    (missing,) = found.not_looked_at
    assert (missing.check, missing.why, missing.when) == (name, "it was not captured", "calibration")
    said = verdict_words(found)
    assert said.startswith("verification: not verified; score none; NOT LOOKED AT: ")
    assert ESSENTIAL[name].target in said
    assert ESSENTIAL[name].unseen in said
    assert _of(BAD, _unseen(name)).verdict == "failed"
    for other in ESSENTIAL[name].or_else:
        assert _of(Check(name=other, status="passed", text=""), _unseen(name)).verdict == "passed"
        assert _of(_unseen(other), _unseen(name)).verdict == "not verified"


@pytest.mark.parametrize("earlier", sorted(RENAMED))
def test_checks_of_older_calibrations_are_essential_by_their_earlier_names(earlier: str) -> None:
    unsure = _of(GOOD, _unseen(earlier))
    assert unsure.verdict == "not verified"
    assert [one.check for one in unsure.not_looked_at] == [RENAMED[earlier]]
    # The same check of a later capture is not said twice.
    assert len(Judgement(unsure, _of(GOOD, _unseen(RENAMED[earlier]))).not_looked_at) == 1


def test_each_folder_says_its_own_and_none_claims_the_name_of_another() -> None:
    assert {"place of the patterns", "white target", "orientation"} <= set(ESSENTIAL)
    names = [*ESSENTIAL, *RENAMED]
    assert len(set(names)) == len(names)
    assert all(essential_check(name) == (RENAMED.get(name, name), ESSENTIAL[RENAMED.get(name, name)]) for name in names)
    assert essential_check("temperature") is None


def test_other_checks_may_be_left_out() -> None:
    assert _of(GOOD, _unseen("temperature")).verdict == "passed"


def test_a_result_rests_on_its_calibration_and_its_capture() -> None:
    sound, unsure, wrong = _of(GOOD), _of(GOOD, _unseen("place of the patterns")), _of(BAD)
    assert Judgement(sound, sound).verdict == "passed"
    assert Judgement(sound, wrong).verdict == Judgement(wrong, unsure).verdict == "failed"
    assert "ACCEPTED all the same" in Judgement(wrong, sound).words
    for calibration, capture, when in ((unsure, sound, "calibration"), (sound, unsure, "capture")):
        judged = Judgement(calibration, capture)
        assert judged.verdict == judged.entry["verdict"] == "not verified"
        assert [one["when"] for one in judged.entry["not_looked_at"]] == [when]
    # Said once, and not at all where the capture is the one that was calibrated.
    assert len(Judgement(unsure, unsure).not_looked_at) == 1
    assert Judgement(sound, unsure, same=True).verdict == "passed"
    assert Judgement(sound, _of()).verdict == "passed"
