"""Words for people."""

import pytest

from cidesign.text import about, counted, joined


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than a minute"),
        (59.9, "less than a minute"),
        (60, "about 1 minute"),
        (750, "about 12 minutes"),
        (5_300, "about 88 minutes"),
        (5_400, "about 1.5 hours"),
        (26_000, "about 7.2 hours"),
        (43_000, "about 12 hours"),
        (172_800, "about 2.0 days"),
        (4e6, "about 46 days"),
    ],
)
def test_times_for_planning(seconds: float, said: str) -> None:
    assert about(seconds) == said


def test_numbers_and_lists() -> None:
    assert (counted(1, "step"), counted(0, "step"), counted(7, "step")) == ("1 step", "0 steps", "7 steps")
    assert [joined(words, "or") for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a or b",
        "a, b or c",
    ]
