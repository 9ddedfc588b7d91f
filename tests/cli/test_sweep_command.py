"""`cidesign sweep` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cidesign as ci
from cidesign.errors import InputError
from cidesign.sweep.folder import place
from cidesign.sweep.points import points_of
from cidesign.sweep.spec import read_spec
from cidesign.sweep.work import work

BASE = """[base]
profile = "dlp4500"
side = 8
patterns = 6
images = 16
validation_images = 8
batch = 8
channels = 4
teacher_epochs = 1
student_epochs = 1
device = "cpu"
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tiny.toml: two seeds with one teacher."""
    monkeypatch.chdir(tmp_path)
    path = Path("tiny.toml")
    path.write_text(BASE + "[grid]\nseed = [1, 2]\n[teacher]\nseed = 9\n")
    return path


def test_plan_shows_all_and_writes_nothing(spec: Path, cidesign: Callable[..., Any]) -> None:
    done = cidesign("sweep", "plan", spec)
    assert done.code == 0
    assert "3 points (1 stored teacher and 2 runs); 3 to do" in done.out
    assert "training with one worker: not known yet" in done.out
    assert done.err.splitlines()[-1] == "next: cidesign sweep run tiny.toml"
    value = json.loads(cidesign("sweep", "plan", spec, "--json").out)
    # The teacher's epoch, and one of each student: two steps each.
    assert (value["steps"], value["counts"]["to do"], value["refused"]) == (6, 3, [])
    assert value["disk_bytes"] < value["disk_free_bytes"]
    assert not Path("runs").exists()


def test_what_does_not_fit_is_named(spec: Path, cidesign: Callable[..., Any]) -> None:
    spec.write_text(spec.read_text().replace("[grid]", "[grid]\nexposure_us = [5000.0, 0.5]"))
    done = cidesign("sweep", "plan", spec)
    assert done.code == 3
    assert done.out.count("refused: exposure_us 0.5, seed ") == 2
    assert cidesign("sweep", "run", spec).code == 3
    assert not Path("runs").exists()


def test_status(spec: Path, cidesign: Callable[..., Any]) -> None:
    done = cidesign("sweep", "status", spec)
    assert (done.code, done.out) == (5, "")
    assert "`cidesign sweep run SPEC` makes one" in done.err
    asked = read_spec(spec)
    sweep = place(Path("runs/tiny"), asked, points_of(asked).points)
    work(sweep.path, sweep.points[0].name)
    done = cidesign("sweep", "status", "runs/tiny", "--all")
    assert done.out.splitlines()[-1] == "runs/tiny: 1 done and 2 to do"
    assert [line.split()[1:4] for line in done.out.splitlines()[1:4]] == [
        ["done", "1/1"], ["to", "do", "0/1"], ["to", "do", "0/1"],
    ]  # fmt: skip
    value = json.loads(cidesign("sweep", "status", spec, "--json").out)
    assert value["counts"] == {"done": 1, "running": 0, "failed": 0, "to do": 2}
    assert list(ci.sweep("tiny.toml").runs()) == [sweep.points[0].name]
    assert "3 points" in cidesign("sweep", "plan", "runs/tiny").out


def test_words_that_are_wrong(spec: Path, cidesign: Callable[..., Any]) -> None:
    assert cidesign("sweep", "plan", "no.toml").err.startswith("error: no.toml: no such sweep spec")
    spec.write_text("[base\n")
    done = cidesign("sweep", "plan", spec)
    assert (done.code, done.err.count("\n")) == (5, 1)
    assert "is not sound TOML" in done.err
    assert "work" not in cidesign("sweep", "--help").out.split("Commands:")[1]


def test_a_mapping_needs_a_folder() -> None:
    with pytest.raises(InputError, match="out: name the folder"):
        ci.sweep({"base": {"profile": "dlp4500"}, "grid": {"seed": [1]}})
