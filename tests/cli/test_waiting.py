"""What bench commands show of a long computation: lines where there is no terminal, else a bar that vanishes."""

import contextlib
import io
import sys

import pytest
from rich.console import Console

from cidesign import progress
from cidesign.cli.display import bars as drawn
from cidesign.cli.display import waiting as shown
from cidesign.cli.display.waiting import LINE_EVERY_S, QUIET_S, Bar, Lines, waiting
from cidesign.progress import Part


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_line_tells_how_much_is_done_and_when_it_will_be() -> None:
    clock = Clock()
    lines = Lines(clock)
    assert lines.at(Part("GAP-TV", 0.0)) is None
    clock.now_s += QUIET_S + 120
    assert lines.at(Part("GAP-TV", 0.25)) == "GAP-TV: 25 %, about 6 minutes to go"
    clock.now_s += LINE_EVERY_S / 2
    assert lines.at(Part("GAP-TV", 0.3)) is None
    clock.now_s += LINE_EVERY_S
    assert lines.at(Part("GAP-TV", 0.9)) == "GAP-TV: 90 %, less than a minute to go"
    assert lines.at(Part("GAP-TV", 1.0)) is None


def test_short_parts_are_not_worth_a_line_and_each_has_its_own_time() -> None:
    clock = Clock()
    lines = Lines(clock)
    for name in ("dark", "lines", "white"):
        assert lines.at(Part(name, 0.0)) is None
        clock.now_s += QUIET_S / 2
        assert lines.at(Part(name, 0.5)) is None
    clock.now_s += 600
    assert lines.at(Part("scatter", 0.0)) is None
    clock.now_s += 60
    assert lines.at(Part("scatter", 0.5)) == "scatter: 50 %, about 1 minute to go"


def test_lines_are_written_beside_the_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(shown, "QUIET_S", 0.0)
    with waiting():
        for _ in progress.steps("lines", range(4)):
            pass
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == "lines: 25 %, less than a minute to go\n"


def test_on_a_terminal_a_bar_comes_late_shows_one_part_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(drawn, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=80))
    clock = Clock()
    bar = Bar(clock)
    bar.at(Part("lines", 0.5))
    assert screen.getvalue() == ""
    clock.now_s += QUIET_S
    bar.at(Part("lines", 0.75))
    bar._progress.refresh()
    bar.at(Part("white", 0.0))
    bar._progress.refresh()
    bar.end()
    text = screen.getvalue()
    assert "lines" in text
    assert "75 %" in text
    assert text.rindex("white") > text.rindex("lines")
    # The last it does is to wipe what it drew, and to show the cursor again.
    assert "\x1b[2K" in text[text.rindex("white") :]
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_bar_goes_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(drawn, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=80))
    monkeypatch.setattr(shown, "QUIET_S", -1.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with contextlib.suppress(ZeroDivisionError), waiting():
        for _ in progress.steps("lines", range(4)):
            raise ZeroDivisionError
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")
