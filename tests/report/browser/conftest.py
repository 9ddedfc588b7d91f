"""Pages in headless Chromium: copies in several views in one start, each with a script that tells what it found."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cidesign.runs import Run

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROBE = (Path(__file__).parent / "probe.js").read_text()
TIMEOUT_S = 120
Views = tuple[dict[str, Any], str]


class View(NamedTuple):
    """A page as a reader has it: its width in pixels, the scheme of colours, and whether the rules for paper hold."""

    width: int
    scheme: str
    paper: bool = False

    @property
    def name(self) -> str:
        return "print" if self.paper else f"{self.width}-{self.scheme}"


# A4 less its margins is 718 pixels wide.
VIEWS = (View(400, "light"), View(1200, "light"), View(400, "dark"), View(1200, "dark"), View(718, "dark", paper=True))


def chromium() -> str:
    """The program; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no headless browser: none of {', '.join(NAMES)} is installed")
    return found


def start(folder: Path, *options: str, url: str) -> tuple[str, str]:
    """Output and log of one start that ends by itself, with a profile of its own below `folder`."""
    command = [
        chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
        "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options, url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stdout, done.stderr


def allowed(page: str, script: str) -> str:
    """The page with one more script, first of all, which its policy lets run; whatever else it forbids stays so."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-", 1)
    return re.sub("(<meta name=.viewport.[^>]*>)", lambda found: f"{found[1]}<script>{script}</script>", page, count=1)


def told(folder: Path, page: str, script: str, views: tuple[View, ...] = VIEWS) -> Views:
    """What a script tells of a page in each view, by the view's name, and the log of the browser.

    The script finds the view in `VIEW`, and tells with `parent.postMessage({[VIEW.name]: found}, "*")`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number, view in enumerate(views):
        said = json.dumps({"name": view.name, "paper": view.paper})
        (folder / f"{number}.html").write_text(allowed(page, f"const VIEW = {said};\n{script}"))
        style = f"width: {view.width}px; height: 800px; border: 0; color-scheme: {view.scheme}"
        frames.append(f'<iframe src="{number}.html" style="{style}"></iframe>')
    collect = (
        "const found = {}; addEventListener('message', (event) => { Object.assign(found, event.data); "
        f"if (Object.keys(found).length === {len(views)}) "
        "{ document.getElementById('found').textContent = JSON.stringify(found); } });"
    )
    wrapper = f'<!DOCTYPE html><pre id="found"></pre><script>{collect}</script>{"".join(frames)}'
    (folder / "wrapper.html").write_text(wrapper)
    url = (folder / "wrapper.html").as_uri()
    for _ in range(2):
        # On a machine with much else to do the browser now and then ends its time before a frame has begun.
        out, log = start(folder, "--window-size=1300,900", "--virtual-time-budget=60000", "--dump-dom", url=url)
        content = re.search(r'<pre id="found">(.+?)</pre>', out, re.DOTALL)
        if content is not None:
            break
    assert content is not None, f"the scripts told nothing: {log[-2000:]}"
    return json.loads(unescape(content[1])), log


@pytest.fixture(scope="session")
def browse() -> Callable[..., tuple[str, str]]:
    """One start of the browser: `browse(folder, *options, url=...)` gives its output and its log."""
    return start


@pytest.fixture(scope="session")
def tell() -> Callable[..., Views]:
    """What a script tells of a page: `tell(folder, page, script, views)`."""
    return told


@pytest.fixture(scope="module")
def alone(reported: Run, tmp_path_factory: pytest.TempPathFactory) -> Views:
    """The same in one view."""
    page = (reported.path / "report.html").read_text()
    return told(tmp_path_factory.mktemp("alone"), page, PROBE, (View(1200, "light"),))


@pytest.fixture(scope="module")
def seen(reported: Run, tmp_path_factory: pytest.TempPathFactory) -> Views:
    """What the probe found in the report of a run of each kind."""
    return told(tmp_path_factory.mktemp("browser"), (reported.path / "report.html").read_text(), PROBE)
