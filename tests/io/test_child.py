"""The bounded child process: whatever a reader does there is an answer, or one line of error here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.errors import FileError
from cidesign.io.child import ask

# The readers of these tests: a module of its own, put on the child's path.
READER = """
import os, sys, time
import numpy as np
from cidesign.io.child import Refused

def answer(request):
    how = request["how"]
    if how == "arrays":
        print("a library prints on standard output")
        return {"path": request["path"]}, {
            "a": np.arange(6, dtype=np.int16).reshape(2, 3), "none": np.zeros((0, 4)), "c": np.array([1 + 2j])[:, None]
        }
    if how == "refused":
        raise Refused("holds\\nnothing\\x1b[31m of use")
    if how == "raise":
        raise KeyError("MeasYaps")
    if how == "abort":
        os.abort()
    if how == "exit":
        sys.exit(7)
    if how == "grow a little":
        return {}, {"a": np.ones(10**8)}
    if how == "grow":
        return {}, {"a": np.ones(2**33)}
    while how == "loop":
        pass
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "reader_of_tests.py").write_text(READER)
    (tmp_path / "file.bin").write_bytes(b"0123")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def read(how: str, longest_s: float = 30, cpu_s: float | None = None) -> Any:
        return ask(tmp_path / "file.bin", "reader_of_tests", {"how": how}, "test file", longest_s, cpu_s=cpu_s)

    return read


def test_arrays_come_back_bit_for_bit(read: Any, tmp_path: Path) -> None:
    head, arrays = read("arrays")
    assert head == {"path": str(tmp_path / "file.bin")}
    assert arrays["a"].dtype == np.int16
    np.testing.assert_array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]])
    assert arrays["none"].shape == (0, 4)
    np.testing.assert_array_equal(arrays["c"], [[1 + 2j]])


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("refused", "file.bin: holds?nothing?[31m of use"),
        ("raise", "not a sound test file (KeyError: 'MeasYaps')"),
        ("abort", "not a sound test file (its reader crashed: signal 6)"),
        ("exit", "not a sound test file (its reader crashed: status 7)"),
        ("grow a little", "takes more memory than such a file can need"),
        ("grow", "takes more memory than such a file can need"),
    ],
)
def test_what_ends_the_child_is_one_line_here(read: Any, how: str, text: str) -> None:
    with pytest.raises(FileError) as caught:
        read(how)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reader_without_end_is_ended(read: Any) -> None:
    with pytest.raises(FileError, match="did not end within 2 s"):
        read("hang", longest_s=2)


def test_a_loop_is_ended_by_its_processor_time(read: Any) -> None:
    with pytest.raises(FileError, match="took more than 1 s of computing"):
        read("loop", longest_s=60, cpu_s=1)


def test_a_missing_file_starts_no_child(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        ask(tmp_path / "absent", "os", {}, "test file", 1)


def test_nothing_of_the_current_folder_is_imported(read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path / "here")
    assert read("arrays")[0]
