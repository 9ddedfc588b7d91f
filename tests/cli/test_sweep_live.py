"""What a driver shows while its workers train."""

import io
import json
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from rich.live import Live

from cidesign.cli.sweep.live import Board, Lines
from cidesign.sweep.folder import State, Sweep, place
from cidesign.sweep.local import Job, Slot
from cidesign.sweep.points import points_of
from cidesign.sweep.spec import spec_of

BASE: dict[str, Any] = {"profile": "dlp4500", "side": 8, "patterns": 6, "teacher_epochs": 2, "student_epochs": 2}


class _Process:
    pid = 4711


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """A point whose first epoch of four took 600 s."""
    spec = spec_of({"base": BASE, "grid": {"seed": [7]}})
    found = place(tmp_path / "s", spec, points_of(spec).points)
    folder = found.run_path(found.points[0])
    folder.mkdir(parents=True)
    line = {"phase": "teacher", "epoch": 1, "step": 125, "loss": 0.25, "seconds": 600.0, "threads": 1}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + '\n{"phase": "teac')
    return found


def _job(sweep: Sweep) -> Job:
    process = cast("subprocess.Popen[bytes]", _Process())
    return Job(sweep.points[0], Slot(2, "1", 1), process, time.monotonic())


def test_a_table_of_what_runs(sweep: Sweep) -> None:
    console = Console(record=True, width=160, force_terminal=True, file=io.StringIO())
    with Live(console=console, auto_refresh=False) as live:
        board = Board(live)
        board.started(sweep, _job(sweep))
        board.tick(sweep, [_job(sweep)], 3)
        live.refresh()
    shown = console.export_text()
    name = sweep.points[0].name
    assert f"started {name} (worker 2, GPU 1, process 4711, on from epoch 1)" in shown
    row = next(line for line in shown.splitlines() if line.startswith(name) and "teacher" in line)
    assert row.split()[1:4] == ["teacher", "1/4", "0.25000"]
    assert row.rstrip().endswith("about 30 minutes")
    # 600 s each of four epochs: 1800 s of this point and 2400 s of each of three.
    assert "3 points waiting; about 2.5 hours to go for all points" in shown


def test_a_line_for_each_event(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    lines, job, name = Lines(), _job(sweep), sweep.points[0].name
    lines.ended(sweep, job, State("done"), again=False)
    lines.ended(sweep, job, State("failed", why="no light"), again=True)
    lines.ended(sweep, job, State("to do"), again=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"done {name} (0 s)", f"failed {name} (0 s): no light; tried again", f"stopped {name} (0 s)",
    ]  # fmt: skip


def test_a_line_for_each_epoch_that_is_done_meanwhile(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    lines, job, name = Lines(), _job(sweep), sweep.points[0].name
    lines.started(sweep, job)
    lines.tick(sweep, [job], 1)
    assert "epoch 1/4" not in capsys.readouterr().err  # it was there before the worker began
    later = {"phase": "teacher", "epoch": 2, "step": 250, "loss": 0.125, "seconds": 1200.0, "psnr_db": 21.5}
    with (sweep.run_path(job.point) / "metrics.jsonl").open("w") as stream:
        stream.write(json.dumps({**later, "epoch": 1, "seconds": 600.0}) + "\n" + json.dumps(later) + "\n")
    lines.tick(sweep, [job], 1)
    lines.tick(sweep, [job], 1)
    assert capsys.readouterr().err.splitlines() == [
        f"{name}: teacher epoch 2/4, loss 0.12500, PSNR 21.50 dB; 0:20:00 so far, about 20 minutes to go (about 60 "
        "minutes to go for all points)"
    ]
