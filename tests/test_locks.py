"""One holder at a time: named to the others, gone with the process, and taken over from a killed one exactly once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cidesign import locks
from cidesign.errors import FileError
from cidesign.locks import FolderLock, refuse_held

# Takes the lock, says so, and keeps it until its input ends.
HOLDER = """
import sys
from pathlib import Path
from cidesign import locks
if sys.argv[2] == "without": locks._system_lock = lambda stream: None
try:
    with locks.FolderLock(Path(sys.argv[1]), "cidesign distill --resume") as lock:
        print("held" if lock.took_over is None else "took over", flush=True)
        sys.stdin.read()
except locks.FileError as error:
    print(error, flush=True)
"""


class Process:
    """Another process that wants the lock."""

    def __init__(self, folder: Path, system: str) -> None:
        words = [sys.executable, "-c", HOLDER, str(folder), system]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        """Its first line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """Let it go on to its end."""
        self.process.communicate("")


@pytest.fixture(params=["with", "without"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the locks of the system, and as on a file system that has none."""
    if request.param == "without":
        monkeypatch.setattr(locks, "_system_lock", lambda stream: None)
    return str(request.param)


@pytest.fixture
def other(tmp_path: Path, system: str) -> Iterator[Process]:
    """Another process that holds the folder."""
    process = Process(tmp_path, system)
    assert process.says() == "held"
    yield process
    process.end()


def _refused(folder: Path) -> str:
    before = (folder / ".lock").read_bytes()
    with pytest.raises(FileError) as refusal, FolderLock(folder, "cidesign distill"):
        pytest.fail("two hold one folder")
    with pytest.raises(FileError) as asked:
        refuse_held(folder)
    assert str(asked.value) == str(refusal.value)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert (folder / ".lock").read_bytes() == before
    return str(refusal.value)


def _change(folder: Path, **values: Any) -> None:
    record = json.loads((folder / ".lock").read_text())
    (folder / ".lock").write_text(json.dumps({**record, **values}))


def test_the_second_is_told_who_holds_the_folder(other: Process, tmp_path: Path) -> None:
    pid = other.process.pid
    said = _refused(tmp_path)
    assert said.startswith(
        f"{tmp_path}: in use by `cidesign distill --resume` (process {pid} on {os.uname().nodename}, "
    )
    assert said.endswith(f"wait until it ends, or end it with `kill {pid}`, and repeat")
    other.end()
    assert list(tmp_path.iterdir()) == []
    refuse_held(tmp_path)
    with FolderLock(tmp_path, "cidesign distill") as lock:
        assert lock.took_over is None


def test_released_by_every_exception(tmp_path: Path, system: str) -> None:
    for error in (KeyboardInterrupt, SystemExit, FileError("x")):
        with pytest.raises(type(error) if isinstance(error, FileError) else error), FolderLock(tmp_path, system):
            raise error
        assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_is_taken_over_from_with_its_name(other: Process, tmp_path: Path) -> None:
    other.process.kill()
    other.process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    refuse_held(tmp_path)  # nobody holds it, and this takes nothing
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with FolderLock(tmp_path, "cidesign distill") as lock:
        assert lock.took_over is not None
        assert lock.took_over.pid == other.process.pid
        assert f"process {os.getpid()} " in _refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_holder_is_alive(other: Process, tmp_path: Path) -> None:
    other.process.send_signal(signal.SIGSTOP)
    assert "in use" in _refused(tmp_path)
    other.process.send_signal(signal.SIGCONT)


@pytest.mark.skipif(sys.platform != "linux", reason="start times of processes")
@pytest.mark.usefixtures("system")
def test_a_process_number_that_was_given_again_holds_nothing(tmp_path: Path) -> None:
    """The number lives, but its process began at another time than the holder."""
    (tmp_path / ".lock").write_bytes(FolderLock(tmp_path, "cidesign distill")._content)
    _change(tmp_path, started="1")
    with FolderLock(tmp_path, "cidesign distill") as lock:
        assert lock.took_over is not None


@pytest.mark.usefixtures("system")
def test_another_computers_lock_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(FolderLock(tmp_path, "cidesign distill")._content)
    _change(tmp_path, host="node17", pid=1, boot="another", started="1")
    said = _refused(tmp_path)
    assert "(process 1 on node17, since " in said
    assert said.endswith(
        f"it cannot be seen whether that still runs: if it does not, remove {tmp_path / '.lock'} and repeat"
    )
    (tmp_path / ".lock").unlink()
    with FolderLock(tmp_path, "cidesign distill"):
        pass


def test_a_restarted_computer_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(FolderLock(tmp_path, "cidesign distill")._content)
    _change(tmp_path, boot="the one before")
    with FolderLock(tmp_path, "cidesign distill") as lock:
        assert lock.took_over is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": 3}', b"\xff" * 20_000])
def test_a_file_that_names_nobody(content: bytes, tmp_path: Path, system: str) -> None:
    """Where the system locks files it is nobody's; where it does not, a person must look."""
    (tmp_path / ".lock").write_bytes(content)
    if system == "without":
        assert _refused(tmp_path).endswith(
            f"in use by another process; if there is none, remove {tmp_path / '.lock'} and repeat"
        )
        return
    with FolderLock(tmp_path, "cidesign distill"):
        assert f"process {os.getpid()} " in _refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_find_a_dead_lock_one_wins(other: Process, tmp_path: Path, system: str) -> None:
    other.process.kill()
    other.process.wait()
    processes = [Process(tmp_path, system) for _ in range(4)]
    said = [process.says() for process in processes]
    winners = [process for process, line in zip(processes, said, strict=True) if line in ("held", "took over")]
    assert len(winners) == 1
    assert sum(f"process {winners[0].process.pid} " in line for line in said) == 3
    for process in processes:
        process.end()
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    with FolderLock(tmp_path, "cidesign distill"):
        assert f"process {os.getpid()} " in _refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_renamed_folder_is_released(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with FolderLock(tmp_path / "a", "cidesign distill") as lock:
        os.replace(tmp_path / "a", tmp_path / "b")
        lock.moved_to(tmp_path / "b")
        assert "in use" in _refused(tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


def test_a_lock_that_a_person_removed_is_not_anothers(tmp_path: Path) -> None:
    with FolderLock(tmp_path, "first"):
        (tmp_path / ".lock").unlink()
        with FolderLock(tmp_path, "second"):
            held = (tmp_path / ".lock").read_bytes()
            (tmp_path / "kept").write_bytes(held)
        (tmp_path / ".lock").write_bytes(held)
    assert (tmp_path / ".lock").read_bytes() == held


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"\.lock: cannot be written \(No such file"), FolderLock(tmp_path / "no", "x"):
        pytest.fail("no folder is there")
