"""`cidesign sweep run --slurm`, `script` and `status`, as they are typed, on a real SLURM."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.sweep.folder import Sweep
from cidesign.sweep.slurm.queue import MARK

WITHIN_S = 240


def _written(path: Path, base: dict[str, Any], slurm: str = "minutes = 60", rest: str = "") -> Path:
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in {**base, "threads": 1}.items())
    path.write_text(f"[base]\n{settings}\n[grid]\nseed = [1, 2]\n[slurm]\n{slurm}\n{rest}")
    return path


def _sweep(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cidesign", "sweep", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == code, done.stderr
    return done


def _until(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + WITHIN_S
    while not (answer := what()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return answer


def test_run_status_and_run_again(
    slurm: None, tmp_path: Path, base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = _written(tmp_path / "light.toml", base, "minutes = 60\nthrottle = 1\n[slurm.extra]\nhold = ''")
    first = _sweep("run", spec, "--slurm")
    (line, folder) = first.stdout.splitlines()
    job = line.partition(":")[0].removeprefix("job ")
    assert line == f"job {job}: 2 points, at most 1 at once"
    assert folder == "runs/light: 2 submitted"
    assert first.stderr.splitlines()[-1] == f"next: cidesign sweep status {spec}"
    assert _sweep("run", spec, "--slurm").stdout == "runs/light: 2 in the queue before\n"
    names = [point.name for point in Sweep(Path("runs/light")).points]
    said = _sweep("status", spec).stdout
    for index, name in enumerate(names):
        (row,) = (line for line in said.splitlines() if line.startswith(name))
        assert row.split(maxsplit=1)[1] == f"queued          job {job}_{index}: PENDING (JobHeldUser)"
    subprocess.run(["scontrol", "release", job], check=True, timeout=60)
    sweep = Sweep(Path("runs/light"))
    _until(lambda: {state.status for state in sweep.states().values()} == {"done"})
    assert json.loads(_sweep("run", spec, "--slurm", "--json").stdout)["submitted"] == []


def test_the_script_submits_itself_is_told_and_goes_on(
    slurm: None, tmp_path: Path, base: dict[str, Any], has_ended: Callable[[Sweep], bool]
) -> None:
    place = tmp_path / "a b's $(touch here)"
    place.mkdir()
    base = {**base, "student_epochs": 50}
    spec = _written(tmp_path / "s.toml", base, rest="[teacher]\nteacher_epochs = 1\n")
    script = tmp_path / "jobs.sh"
    script.write_text(_sweep("script", spec, "--slurm", "--out", place / "s").stdout)
    subprocess.run(["bash", "-n", script], check=True, timeout=60)
    sweep = Sweep(place / "s")
    submitted = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, check=True).stdout
    first, then = submitted.removeprefix("submitted: ").split()
    trained = sweep.run_path(sweep.points[-1]) / "metrics.jsonl"
    _until(lambda: trained.exists() and b'"student"' in trained.read_bytes())
    subprocess.run(["scancel", "--batch", "--signal=USR2", f"{then}_1"], check=True, timeout=60)
    _until(lambda: has_ended(sweep))
    exits = [[attempt.exit for attempt in sweep.attempts(point)] for point in sweep.points]
    assert exits == [[0], [0], [0], [143, 0]] or exits == [[0], [0], [143, 0]]
    assert (place / "s" / "slurm" / f"{first}_0.log").exists()
    assert json.loads((sweep.job_path(sweep.points[-1]) / MARK).read_text())["job"] == f"{then}_1"
    assert not list(tmp_path.rglob("here"))


def test_a_run_that_outlives_its_time_limit_is_requeued_by_it(
    slurm: None, tmp_path: Path, base: dict[str, Any]
) -> None:
    """A limit of two minutes, of which SLURM tells between 60 and 120 s before, when it next looks: a busy machine may
    have trained nothing by then, and is requeued until it has."""
    spec = _written(tmp_path / "s.toml", {**base, "student_epochs": 4000}, "minutes = 2\nthrottle = 1")
    _sweep("run", spec, "--slurm", "--out", tmp_path / "s")
    sweep = Sweep(tmp_path / "s")

    def stopped_in_training() -> list[str]:
        return [
            point.name
            for point in sweep.points
            if (sweep.run_path(point) / "metrics.jsonl").exists() and 143 in [one.exit for one in sweep.attempts(point)]
        ]

    (name, *_) = _until(stopped_in_training)
    point = sweep.point(name)
    attempts = len(sweep.attempts(point))
    before = (sweep.run_path(point) / "metrics.jsonl").read_bytes()
    _until(lambda: len(sweep.attempts(point)) > attempts)
    _until(lambda: len((sweep.run_path(point) / "metrics.jsonl").read_bytes()) > len(before))
    assert (sweep.run_path(point) / "metrics.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "--slurm", "--workers", "2"), 2, "--slurm: --workers and --gpus are of this machine"),
        (("script",), 2, "what for? say --slurm, --kubernetes or --json"),
        (("script", "--kubernetes"), 2, "--kubernetes needs --image NAME and --claim NAME"),
        (("script", "--slurm", "--image", "x"), 2, "--image and --claim are for --kubernetes"),
        (("run", "--slurm"), 2, "error: --slurm: no sbatch, srun, squeue or scontrol on this machine; go to a login"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    tmp_path: Path, base: dict[str, Any], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = _written(tmp_path / "s.toml", base)
    done = _sweep(words[0], spec, *words[1:], "--out", tmp_path / "s", code=code)
    assert said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("slurm", "rest", "said"),
    [
        ("minutes = 60", "[search]\ntrials = 2\nmetric = 'psnr_db'\n[search.space]\nchannels = [4, 8]\n", "[search]"),
        ("minutes = 60\nmemory_gb = 0.01", "", "[slurm] memory_gb 0.01: the largest run takes about"),
        ("minutes = 0", "", "minutes 0"),
        ("partition = 'x'", "", "minutes"),
    ],
)
def test_what_slurm_cannot_do_is_said_before_anything_is_written(
    slurm_programs: None, tmp_path: Path, base: dict[str, Any], slurm: str, rest: str, said: str
) -> None:
    values = {name: value for name, value in base.items() if name != "channels"}
    spec = _written(tmp_path / "s.toml", values, slurm, rest)
    command = [sys.executable, "-m", "cidesign", "sweep", "run", str(spec), "--slurm", "--out", str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode in (2, 3)
    assert last.startswith("error: ")
    assert said in last
    assert not (tmp_path / "s").exists()


@pytest.fixture
def slurm_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of the names of SLURM's, of which none is to be called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "scontrol"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path / 's'))}\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
