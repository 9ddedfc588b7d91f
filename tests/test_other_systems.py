"""What only Linux has is not needed: without it everything is imported, and a design is made, checked and exported."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cidesign.io import child
from cidesign.sweep import local

ROOT = Path(__file__).parent.parent
# Windows has none of these; its Python has no such names either.
PROGRAM = """
import os, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for name in ("fork", "killpg", "getpgid", "getuid", "sched_getaffinity", "forkpty", "openpty"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGXCPU"):
    delattr(signal, name)
import importlib
import cidesign as ci
for name in {modules!r}:
    importlib.import_module("cidesign." + name)
run = ci.distill("dlp4500", side=8, patterns=6, images=32, validation_images=8, batch=8, channels=4,
                 teacher_epochs=1, student_epochs=1, device="cpu", out="run")
assert ci.check(ci.export(run, "export")).ok
ci.reconstruct(run, ci.simulate(run, "capture"))
"""


def _modules() -> list[str]:
    """All modules of the product but the command that is `python -m`."""
    found = []
    for source in ("cidesign", "export", "calibration", "hardware_profiles"):
        for path in (ROOT / source).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[1:] if parts[0] == "cidesign" else parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(set(found) - {"", "__main__"})


@pytest.mark.skipif(sys.platform == "win32", reason="there it is so")
def test_a_design_is_made_without_what_windows_does_not_have(tmp_path: Path) -> None:
    program = PROGRAM.format(modules=_modules())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_macos_refuses_limits_of_memory_and_takes_that_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {}

    def setrlimit(kind: str, bounds: tuple[int, int]) -> None:
        if kind != "cpu":
            raise ValueError("current limit exceeds maximum limit")
        limits[kind] = bounds

    names = {"RLIMIT_AS": "as", "RLIMIT_DATA": "data", "RLIMIT_CPU": "cpu"}
    monkeypatch.setitem(sys.modules, "resource", SimpleNamespace(setrlimit=setrlimit, **names))  # type: ignore[arg-type]
    monkeypatch.setattr(child.time, "process_time", lambda: 1.5)
    monkeypatch.setattr(sys, "platform", "darwin")
    child._limit(10**9, 4, 1000)
    assert limits == {"cpu": (6, 11)}
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ValueError, match="limit"):
        child._limit(10**9, 4, 1000)


def test_windows_ends_a_worker_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    job = SimpleNamespace(process=SimpleNamespace(pid=1, terminate=lambda: ended.append("terminated")))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "killpg", lambda *_: ended.append("killed"))
    local._end(job, at_once=False)  # type: ignore[arg-type]
    assert ended == ["terminated"]
