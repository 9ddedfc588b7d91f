"""The report in a real browser: no errors, nothing fetched, readable on any width, in the dark and on paper."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.runs import Run

# What WCAG asks of text at level AA.
LEAST_CONTRAST = 4.5
Views = tuple[dict[str, Any], str]


def test_the_page_has_no_errors_and_fetches_nothing(seen: Views) -> None:
    views, log = seen
    assert set(views) == {"400-light", "1200-light", "400-dark", "1200-dark", "print"}
    for name, view in views.items():
        assert view["errors"] == [], name
        assert view["requests"] == [], name
        assert view["broken"] == 0 < view["pictures"], name
    assert "CONSOLE" not in log


def test_the_page_is_readable_on_any_width_in_the_dark_and_on_paper(seen: Views) -> None:
    for name, view in seen[0].items():
        assert view["scrolled_width"] <= view["width"], name
        assert view["contrast"][0] >= LEAST_CONTRAST, (name, view["contrast"])
        assert view["dark"] == (not name.endswith("light"))
        assert (view["background"] == "rgb(255, 255, 255)") == (not name.endswith("dark")), name
    # Where nothing can be scrolled, nothing is wider than the paper.
    assert seen[0]["print"]["overflowing"] == 0


def test_the_page_is_in_order_for_those_who_hear_it(seen: Views) -> None:
    for view in seen[0].values():
        assert view["lang"] == "en"
        assert view["headings"][0] == 1
        assert set(view["headings"][1:]) == {2}
        assert view["without_text"] == 0
        assert view["tables_without_header"] == 0 < view["tables"]


def test_pictures_are_enlarged_and_read_by_pointer_and_keyboard(seen: Views) -> None:
    for name in ("400-light", "1200-dark"):
        tried = seen[0][name]["pictures_tried"]
        assert tried["names"] == ["Value before", "Next value", "Enlarge this picture"]
        assert tried["hovered"].startswith(tried["last_text"])
        assert tried["left_with"] == ""
        assert tried["first"] == tried["first_text"] != tried["last_text"]
        assert tried["before_first"] == tried["last_text"]
        opened = tried["opened"]
        assert [opened["open"], opened["alt"], tried["closed"]] == [True] * 3
        assert opened["times"] == pytest.approx(1, rel=1e-3)  # one pixel of the picture is one of the screen
        assert opened["larger"] == pytest.approx(2, rel=1e-3)


def test_the_focus_goes_into_an_enlarged_picture_and_back(alone: Views) -> None:
    # Of several frames side by side only one can have the focus.
    tried = alone[0]["1200-light"]["pictures_tried"]
    assert [tried["opened"]["inside"], tried["focus_back"]] == [True] * 2


def test_the_page_is_printed(reported: Run, tmp_path: Path, browse: Callable[..., tuple[str, str]]) -> None:
    browse(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", url=(reported.path / "report.html").as_uri())
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2


def test_no_other_script_may_run(reported: Run) -> None:
    page = (reported.path / "report.html").read_text()
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page
