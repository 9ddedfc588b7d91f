"""Snakemake runs a sweep by the Snakefile that is shipped."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cidesign.sweep.folder import Sweep

ROOT = Path(__file__).parent.parent.parent
SNAKEFILE = ROOT / "packaging" / "Snakefile"
SPEC = """
[base]
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
[grid]
seed = [1, 2]
[teacher]
seed = 3
"""


def _snakemake() -> str:
    own = ROOT / ".snakemake-venv" / "bin" / "snakemake"
    found = str(own) if own.exists() else shutil.which("snakemake")
    if found is None:
        pytest.skip("snakemake is not installed; `make tools` does that")
    return found


def test_it_is_of_a_dozen_lines() -> None:
    lines = [line for line in SNAKEFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 14


def test_a_sweep_runs_teachers_first_and_a_second_call_finds_it_done(tmp_path: Path) -> None:
    snakemake = _snakemake()
    (tmp_path / "light.toml").write_text(SPEC)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "cidesign").write_text(f'#!/bin/sh\nexec {sys.executable} -m cidesign "$@"\n')
    (programs / "cidesign").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = [snakemake, "--snakefile", str(SNAKEFILE), "--cores", "2", "--config", "spec=light.toml"]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stderr + done.stdout
    sweep = Sweep(tmp_path / "runs" / "light")
    assert {state.status for state in sweep.states().values()} == {"done"}
    assert [[one.exit for one in sweep.attempts(point)] for point in sweep.points] == [[0], [0], [0]]
    begun = {point.kind: sweep.attempts(point)[0] for point in sweep.points}
    assert str(begun["teacher"].ended_utc) <= begun["run"].started_utc
    assert json.loads((sweep.path / "sweep.json").read_text())["kind"] == "sweep"
