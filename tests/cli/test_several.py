"""Commands that torchrun started several times: one run, one voice, one error line."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cidesign import cli

TINY = [
    "distill",
    "--profile",
    "dlp4500",
    "--side",
    "8",
    "--patterns",
    "7",
    "--teacher-epochs",
    "1",
    "--student-epochs",
    "1",
    "--device",
    "cpu",
    "--set",
    "images=40",
    "--set",
    "validation_images=8",
    "--set",
    "batch=10",
    "--set",
    "channels=4",
]


def _together(words: list[str], folder: Path) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of two processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "cidesign", *words],
            env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]  # fmt: skip
    return [(one.returncode, *said) for one in started for said in [one.communicate(timeout=120)]]


def test_one_run_is_trained_and_told_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    # Without the -- torchrun takes --log and --start for options of its own.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--", "cidesign"]
    done = subprocess.run(
        [*torchrun, *TINY, "--out", "run", "--json", "--log", "tensorboard", "--start", "teacher"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["training_processes"] == 2
    assert done.stderr.count("student epoch 1/1 (2 of 2 in all): validation") == 1
    assert done.stderr.count("next: cidesign export run") == 1
    assert {one.name for one in tmp_path.iterdir()} == {"run"}
    assert len(list(tmp_path.glob("run/tensorboard/events.out.tfevents.*"))) == 1


def test_what_is_wrong_for_all_is_said_once(tmp_path: Path) -> None:
    first, second = _together([*TINY, "--set", "batch=1", "--out", "run"], tmp_path)
    assert first[0] == 2  # --set batch twice
    assert "batch" in first[2]
    assert second[1:] == ("", "")
    first, second = _together([*TINY[:-4], "--set", "batch=1", "--out", "run"], tmp_path)
    assert first[0] == 3
    assert [line for line in first[2].splitlines() if line.startswith("error: ")] == [
        "error: batch 1: 2 processes share it, and each needs an image; start 1 at the most, or raise batch"
    ]
    assert second == (1, "", "")
    assert not list(tmp_path.iterdir())


def _ended(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["cidesign", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_other_commands_work_in_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _ended(["evaluate", "run"], monkeypatch) == 2
    assert capsys.readouterr().err == (
        "error: evaluate: works in one process, and WORLD_SIZE is 2; start it without torchrun, or unset WORLD_SIZE\n"
    )
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    assert _ended(["evaluate", "run"], monkeypatch) == 2
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert _ended(["evaluate", "run"], monkeypatch) == 5


@pytest.mark.parametrize(("rank", "said"), [("0", True), ("1", False)])
def test_a_mistyped_option_is_said_once(
    rank: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert _ended(["distill", "--profil", "dlp4500"], monkeypatch) == 2
    assert ("--profil" in capsys.readouterr().err) == said


def test_a_tracker_that_cannot_be_used_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _ended([*TINY, "--log", "tensorbord"], monkeypatch) == 2
    assert "'tensorboard', 'wandb'" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _ended([*TINY, "--log", "wandb"], monkeypatch) == 2
    assert capsys.readouterr().err == (
        "error: log wandb: the package wandb is not installed; install it with `pip install cidesign[wandb]`, or leave "
        "it out (metrics.jsonl holds the same numbers)\n"
    )
    assert not list(tmp_path.iterdir())
