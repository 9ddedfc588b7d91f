"""The result of a check, and its words on the way out."""

import pytest
from pydantic import ValidationError

from cidesign.checks import Check, exceeds, not_checked, passed, printed, remarked
from cidesign.text import MARKS, totals


def test_a_broken_rule_says_what_where_and_the_way_out() -> None:
    found = exceeds("exposure", "entry 3", "90 us", "at least 105 us", "use a longer one")
    assert (found.status, found.name, found.value, found.limit, found.fault) == (
        "failed", "exposure", "90 us", "at least 105 us", "limit",
    )  # fmt: skip
    assert str(found) == "entry 3: exposure is 90 us, the limit is at least 105 us; use a longer one"


def test_checks_of_files_are_printed_and_counted_by_their_status() -> None:
    checks = [
        passed("files", "none failed, not evaluated or remarked on"),
        remarked("note", "passed"),
        not_checked("SAR", "failed to be looked at"),
        exceeds("grid", "a.tif", "1 um", "2 um", "mend it"),
    ]
    assert [printed(check)["status"] for check in checks] == ["pass", "remark", "not evaluated", "fail"]
    assert printed(checks[1]) == {"check": "note", "result": "passed", "status": "remark"}
    assert totals([check.status for check in checks]) == "1 passed, 1 failed, 1 not evaluated, 1 remarked on"
    assert "".join(MARKS[check.status] for check in checks) == "ok..--xx"
    assert totals([checks[0].status]) == "all 1 checks passed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "pass"},
        {"fault": "Hail 3"},
        {"value": float("nan")},
        {"limit": float("inf")},
        {"name": ""},
        {"more": 1},
    ],
)
def test_what_is_no_check_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Check.model_validate({"name": "a", "status": "passed", "text": "b", **wrong})


def test_numbers_stay_numbers_and_words_stay_words() -> None:
    stored = Check(name="a", status="passed", text="b", value=3, limit="3").model_dump(mode="json")
    again = Check.model_validate(stored)
    assert (again.value, again.limit) == (3.0, "3")
    assert isinstance(again.value, float)
