"""What is free of a machine, read from files as Linux writes them."""

from pathlib import Path

import pytest

from cidesign.distill.computing import machine

MEMINFO = (
    "MemTotal:       24590512 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\nHugePages_Total:       0\n"
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 20,480,000,000 bytes to be had and no limits."""
    for name, file in (("STATUS", "status"), ("MACHINE", "meminfo"), ("OWN_GROUPS", "own"), ("GROUPS", "groups")):
        monkeypatch.setattr(machine, name, tmp_path / file)
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "status").write_text("Name:\tpython\nVmSize:\t 2000000 kB\nVmRSS:\t  300000 kB\n")
    monkeypatch.setattr(machine, "_of_own_limit", lambda: None)
    return tmp_path


def _group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_machine_without_limits(files: Path) -> None:
    assert machine.free_bytes() == 20_480_000_000
    assert machine.held_bytes() == 307_200_000


def test_the_narrowest_group_counts(files: Path) -> None:
    """A batch system sets the limit on a group above the process's own; files that are cached are given back."""
    (files / "own").write_text("0::/slurm/job7/step0\n")
    _group(files / "groups" / "slurm" / "job7", memory__max="8000000000\n", memory__current="5000000000\n",
           memory__stat="anon 100\ninactive_file 1500000000\n")  # fmt: skip
    _group(files / "groups" / "slurm" / "job7" / "step0", memory__max="max\n", memory__current="4000000000\n")
    _group(files / "groups", memory__max="30000000000\n", memory__current="1\n")
    assert machine.free_bytes() == 4_500_000_000


def test_groups_of_the_old_kind(files: Path) -> None:
    """In a container the path that the process is told is that of the machine; its own group is the uppermost."""
    (files / "own").write_text("9:name=systemd:/\n4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n0::/\n")
    _group(files / "groups" / "memory", memory__limit_in_bytes="3000000000\n", memory__usage_in_bytes="1000000000\n",
           memory__stat="total_inactive_file 500000000\n")  # fmt: skip
    assert machine.free_bytes() == 2_500_000_000
    _group(files / "groups" / "memory", memory__limit_in_bytes="9223372036854771712\n")
    assert machine.free_bytes() == 20_480_000_000


def test_a_group_that_is_over_its_limit_has_nothing(files: Path) -> None:
    (files / "own").write_text("0::/\n")
    _group(files / "groups", memory__max="1000\n", memory__current="2000\n")
    assert machine.free_bytes() == 0


def test_a_limit_of_the_process_itself(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.undo()
    monkeypatch.setattr(machine, "STATUS", files / "status")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3_048_000_000, resource.RLIM_INFINITY))
    assert machine._of_own_limit() == 1_000_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert machine._of_own_limit() is None


def test_other_systems_say_nothing(files: Path) -> None:
    for name in ("status", "meminfo"):
        (files / name).unlink()
    assert machine.free_bytes() is None
    assert machine.held_bytes() == 0
    (files / "own").write_text("damaged\n\n:\n")
    (files / "meminfo").write_text("MemAvailable:\nMemAvailable: many kB\n")
    assert machine.free_bytes() is None
