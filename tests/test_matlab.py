"""MATLAB files: the same matrices as SciPy reads, and nothing but an error from damaged ones."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from cidesign import matlab
from cidesign.errors import CidesignError, FileError
from cidesign.matlab import read_every_matrix, read_matrices


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_the_same_as_scipy(tmp_path: Path, kind: str, compressed: bool) -> None:
    rng = np.random.default_rng(0)
    matrix, one = rng.integers(0, 100, (3, 5)).astype(kind), np.array([[7]], dtype=kind)
    savemat(tmp_path / "x.mat", {"other": {"a": 1}, "m": matrix, "text": "abc", "one": one}, do_compression=compressed)
    found, wanted = read_matrices(tmp_path / "x.mat", ("m", "one")), loadmat(tmp_path / "x.mat")
    assert np.array_equal(found["m"], matrix)
    assert np.array_equal(found["m"], wanted["m"])
    assert found["one"].tolist() == [[7]]


def test_big_endian_by_hand(tmp_path: Path) -> None:
    """[1 3; 2 4] as int16, written as MATLAB does on a big-endian machine: column by column, small elements."""
    flags = struct.pack(">IIII", 6, 8, 10, 0)  # class int16
    shape = struct.pack(">IIii", 5, 8, 2, 2)
    name = struct.pack(">HH", 1, 1) + b"m\0\0\0"
    data = struct.pack(">II4h", 3, 8, 1, 2, 3, 4)
    body = flags + shape + name + data
    content = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(body)) + body
    (tmp_path / "x.mat").write_bytes(content)
    assert read_matrices(tmp_path / "x.mat", ("m",))["m"].tolist() == [[1, 3], [2, 4]]
    assert loadmat(tmp_path / "x.mat")["m"].tolist() == [[1, 3], [2, 4]]


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "MAX_INFLATED_BYTES", 1_000_000)
    packed = zlib.compress(bytes(1_000_001))
    header = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    (tmp_path / "x.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(FileError, match="inflates to more than"):
        read_matrices(tmp_path / "x.mat", ("m",))


def test_declared_size_and_names(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"m": np.zeros((2, 3)), "n": np.zeros((1, 1))})
    content = bytearray((tmp_path / "x.mat").read_bytes())
    position = content.index(struct.pack("<ii", 2, 3))
    content[position : position + 4] = struct.pack("<i", 2**30)
    (tmp_path / "y.mat").write_bytes(content)
    with pytest.raises(FileError, match="declares shape"):
        read_matrices(tmp_path / "y.mat", ("m",))
    with pytest.raises(FileError, match="no variable `absent`, only m, n"):
        read_matrices(tmp_path / "x.mat", ("absent",))


def test_every_matrix_and_what_else_there_is(tmp_path: Path) -> None:
    matrix = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    savemat(tmp_path / "x.mat", {"m": matrix, "s": {"a": 1}, "text": "abc", "z": np.ones((2, 2)) * 1j})
    matrices, others = read_every_matrix(tmp_path / "x.mat")
    assert list(matrices) == ["m"]
    assert np.array_equal(matrices["m"], matrix)
    assert others == {"s": "a struct", "text": "a char", "z": "a complex matrix"}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_files_are_an_error_or_matrices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    target = io.BytesIO()
    savemat(
        target,
        {"m": np.arange(16.0)[None], "s": {"a": 1}, "n": np.eye(4, dtype=np.int8)},
        do_compression=data.draw(st.booleans()),
    )
    content = bytearray(target.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(110, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "x.mat"
    path.write_bytes(content[: data.draw(st.integers(100, len(content)) | st.just(len(content)))])
    message = ""
    try:
        assert set(read_matrices(path, ("m", "n"))) == {"m", "n"}
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message
