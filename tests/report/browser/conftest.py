"""A page in headless Chromium: copies of it in several views in one start, each with a probe that tells of it."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from cidesign.runs import Run

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROBE = (Path(__file__).parent / "probe.js").read_text()
TIMEOUT_S = 120
# Width in pixels, scheme of colours, and whether the rules for paper hold; A4 less its margins is 718 pixels wide.
VIEWS = (
    (400, "light", False),
    (1200, "light", False),
    (400, "dark", False),
    (1200, "dark", False),
    (718, "dark", True),
)


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
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options, url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stdout, done.stderr


def allowed(page: str, script: str) -> str:
    """The page with one more script, first of all, which its policy lets run; whatever else it forbids stays so."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.count("script-src 'sha256-") == 1
    page = page.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-")
    return page.replace("<style>", f"<script>{script}</script><style>", 1)


def looked_at(page: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """What the probe found in each view of a page, by `WIDTH-SCHEME`, or `print`; and the browser's log."""
    folder.mkdir(parents=True, exist_ok=True)
    text, frames = page.read_text(), []
    for number, (width, scheme, paper) in enumerate(VIEWS):
        view = {"name": "print" if paper else f"{width}-{scheme}", "paper": paper}
        (folder / f"{number}.html").write_text(allowed(text, f"const VIEW = {json.dumps(view)};\n{PROBE}"))
        style = f"width: {width}px; height: 800px; border: 0; color-scheme: {scheme}"
        frames.append(f'<iframe src="{number}.html" style="{style}"></iframe>')
    collect = (
        "const found = {}; addEventListener('message', (event) => { Object.assign(found, event.data); "
        f"if (Object.keys(found).length === {len(VIEWS)}) "
        "{ document.getElementById('found').textContent = JSON.stringify(found); } });"
    )
    wrapper = f'<!DOCTYPE html><pre id="found"></pre><script>{collect}</script>{"".join(frames)}'
    (folder / "wrapper.html").write_text(wrapper)
    url = (folder / "wrapper.html").as_uri()
    out, log = start(folder, "--window-size=1300,900", "--virtual-time-budget=60000", "--dump-dom", url=url)
    told = re.search(r'<pre id="found">(.*?)</pre>', out, re.DOTALL)
    assert told is not None
    assert told[1], f"the probes told nothing: {log[-2000:]}"
    return json.loads(unescape(told[1])), log


Views = tuple[dict[str, Any], str]


@pytest.fixture(scope="session")
def browse() -> Callable[..., tuple[str, str]]:
    """One start of the browser: `browse(folder, *options, url=...)` gives its output and its log."""
    return start


@pytest.fixture(scope="module")
def seen(reported: Run, tmp_path_factory: pytest.TempPathFactory) -> Views:
    """What the probe found in the report of a run of each kind."""
    return looked_at(reported.path / "report.html", tmp_path_factory.mktemp("browser"))
