"""Entry points of packages that come and go while the program runs."""

import os
import shutil
from pathlib import Path

import pytest

from cidesign.errors import InputError
from cidesign.plugins import known_names, load

GROUP = "cidesign.things"
OWN = {"own": "cidesign.errors:InputError"}


def _changed(folder: Path) -> None:
    """As a clock would show it that is finer than the steps of this file system's."""
    later_ns = folder.stat().st_mtime_ns + 10**9
    os.utime(folder, ns=(later_ns, later_ns))


def test_a_package_that_came_or_left_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert known_names(OWN, GROUP) == ["own"]
    info = tmp_path / "added-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nnew = os:sep\n")
    _changed(tmp_path)
    assert known_names(OWN, GROUP) == ["own", "new"]
    assert load("new", OWN, GROUP, str) == os.sep
    shutil.rmtree(info)
    _changed(tmp_path)
    assert known_names(OWN, GROUP) == ["own"]
    with pytest.raises(InputError, match="'new' is no str known here; known are own, "):
        load("new", OWN, GROUP, str)
