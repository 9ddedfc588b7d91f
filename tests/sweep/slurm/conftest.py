"""A real SLURM on loopback for these tests, or the reason why there is none."""

import importlib.util
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cidesign.sweep.folder import Sweep

LOOPBACK = Path(__file__).parent / "loopback.py"
UP_WITHIN_S, DOWN_WITHIN_S = 70, 30


@pytest.fixture(scope="session")
def slurm_conf() -> Iterator[Path]:
    """The configuration of a running SLURM of one node, for SLURM_CONF; nothing of it survives the tests."""
    if (reason := _missing()) is not None:
        pytest.skip(f"no SLURM on loopback: {reason}")
    # munged has another user, who cannot enter pytest's folders.
    with tempfile.TemporaryDirectory(prefix="cidesign-slurm-") as name:
        folder = Path(name)
        with (folder / "loopback.log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, str(LOOPBACK), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        try:
            if server.stdout is None or not select.select([server.stdout], [], [], UP_WITHIN_S)[0]:
                pytest.skip(f"no SLURM on loopback: it did not come up within {UP_WITHIN_S} s")
            if server.stdout.readline() != b"up\n":
                logs = [*folder.glob("*.log"), *folder.glob("munge/log-file")]
                last = "; ".join(f"{log.name}: {log.read_text()[-300:]}" for log in logs)
                pytest.skip(f"no SLURM on loopback: it did not come up ({last})")
            yield folder / "slurm.conf"
        finally:
            server.communicate(timeout=DOWN_WITHIN_S)


@pytest.fixture
def slurm(slurm_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process and what it starts speak to the SLURM on loopback; jobs of a test end with it."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    yield
    environment = {**os.environ, "SLURM_CONF": str(slurm_conf)}
    subprocess.run(["scancel", "--full", "--user", "root"], env=environment, check=True, timeout=30)


@pytest.fixture
def has_ended() -> Callable[[Sweep], bool]:
    """Whether every point of a sweep is done and its last attempt has left: a run is whole a moment before that."""

    def ended(sweep: Sweep) -> bool:
        exits = [[attempt.exit for attempt in sweep.attempts(point)] for point in sweep.points]
        return {state.status for state in sweep.states().values()} == {"done"} and all(
            tried and tried[-1] is not None for tried in exits
        )

    return ended


def _missing() -> str | None:
    spec = importlib.util.spec_from_file_location("loopback", LOOPBACK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reason: str | None = module.missing()
    return reason
