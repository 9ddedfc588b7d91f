"""The rules of axe-core for those who see little, hear the page or use no mouse: the report, and pages of the site.

axe-core (MPL-2.0) is a tool of these tests and no part of cidesign: `make tools` puts it below node_modules/.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.runs import Run

ROOT = Path(__file__).parents[3]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SITE = ROOT / "docs" / "_build"
RUN = """
addEventListener("load", async () => {
  if (VIEW.name === "1200-light") document.querySelector("figure .tools button:last-child")?.click();
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
  const broken = violations.map((one) => [one.id, one.impact, one.nodes.map((node) => node.html.slice(0, 120))]);
  parent.postMessage({ [VIEW.name]: { violations: broken, passed: passes.length } }, "*");
});
"""
Views = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def script() -> str:
    """axe-core and what runs it."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: `make tools` gets it")
    return f"{AXE.read_text()}\n{RUN}"


def test_the_report_breaks_no_rule(reported: Run, script: str, tmp_path: Path, tell: Callable[..., Views]) -> None:
    found, _ = tell(tmp_path, (reported.path / "report.html").read_text(), script)
    for name, view in found.items():
        assert view["violations"] == [], name
        assert view["passed"] >= 15, name


@pytest.mark.parametrize("name", ["index", "tutorials/dmd", "own", "results"])
def test_a_page_of_the_site_breaks_no_rule(name: str, script: str, tmp_path: Path, tell: Callable[..., Views]) -> None:
    path = SITE / f"{name}.html"
    if not path.is_file():
        pytest.skip("the site is not built: `make docs` does it")
    page = path.read_text().replace("<head>", f'<head><base href="{path.parent.as_uri()}/">', 1)
    found, _ = tell(tmp_path, page, script)
    for view, told in found.items():
        assert told["violations"] == [], view
