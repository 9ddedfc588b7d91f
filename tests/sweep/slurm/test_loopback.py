"""The SLURM that other tests submit to runs jobs, and leaves nothing behind, however its starter ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_a_job_runs(slurm: None) -> None:
    done = subprocess.run(
        ["srun", "--ntasks=1", "echo", "here"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "here\n"


def test_it_keeps_no_accounts(slurm: None) -> None:
    asked = subprocess.run(["sacct"], capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode != 0
    assert "disabled" in asked.stderr + asked.stdout


STARTER = """
import subprocess, sys, time
server = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(server.stdout.readline().decode(), end="", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_its_starter(number: int, slurm_conf: Path) -> None:
    folder = slurm_conf.parent / f"second-{number}"
    folder.mkdir()
    loopback = str(Path(__file__).parent / "loopback.py")
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, loopback, str(folder)], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        # Runs beside the first: another port, another key.
        subprocess.run(["srun", "true"], env=environment, timeout=60, check=True)
        job = ["sbatch", "--output=/dev/null", "--wrap", "sleep 600"]
        subprocess.run(job, env=environment, timeout=60, check=True, capture_output=True)
        until = time.monotonic() + 30
        while not any("sleep" in one for one in _commands(folder)) and time.monotonic() < until:
            time.sleep(0.1)
        assert any("sleep" in one for one in _commands(folder))
        starter.send_signal(number)
    until = time.monotonic() + 30
    while _commands(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert _commands(folder) == []


def _commands(folder: Path) -> list[str]:
    """The processes that know this configuration."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/slurm.conf".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
