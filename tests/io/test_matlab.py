"""MATLAB files: the same matrices as SciPy reads, and nothing but an error from damaged ones."""

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from cidesign.errors import CidesignError, FileError
from cidesign.io.mat import read_every_matrix, read_matrices


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


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    """30 kB that declare 2.4 GB of doubles, and as many bytes that are no matrix at all."""
    flags = struct.pack("<IIII", 6, 8, 6, 0)
    body = flags + struct.pack("<IIii", 5, 8, 20_000, 15_000) + struct.pack("<HH", 1, 1) + b"m\0\0\0"
    stream = zlib.compressobj()
    packed = stream.compress(struct.pack("<II", 14, 2**31) + body + struct.pack("<II", 9, 2**31 - 100))
    packed += stream.compress(bytes(30_000_000)) + stream.flush()
    header = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    (tmp_path / "x.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(FileError, match=r"`m` declares shape \(20000, 15000\); at most 256000000 values"):
        read_matrices(tmp_path / "x.mat", ("m",))


@pytest.mark.parametrize("kind", ["i2", "u1", "i4", "f4", "f8"])
def test_level_4(tmp_path: Path, kind: str) -> None:
    matrix = np.arange(6).reshape(2, 3).astype(kind)
    savemat(tmp_path / "x.mat", {"m": matrix, "text": "abc", "z": 1j * np.ones((2, 2))}, format="4")
    matrices, others = read_every_matrix(tmp_path / "x.mat")
    assert list(matrices) == ["m"]
    assert matrices["m"].tolist() == matrix.tolist()
    assert set(others) == {"text", "z"}
    assert others["z"] == "a complex matrix"


def test_level_4_by_hand(tmp_path: Path) -> None:
    """[1 3; 2 4] as doubles of a big-endian machine: type 1000, then rows, columns, imaginary, length of the name."""
    head = struct.pack(">5i", 1000, 2, 2, 0, 2) + b"m\0"
    (tmp_path / "x.mat").write_bytes(head + struct.pack(">4d", 1, 2, 3, 4))
    assert read_matrices(tmp_path / "x.mat", ("m",))["m"].tolist() == [[1, 3], [2, 4]]
    (tmp_path / "x.mat").write_bytes(head + struct.pack(">3d", 1, 2, 3))
    with pytest.raises(FileError, match="not a sound MATLAB file"):
        read_matrices(tmp_path / "x.mat", ("m",))
    (tmp_path / "x.mat").write_bytes(struct.pack(">5i", 1000, 2**20, 2**20, 0, 2) + b"m\0" + bytes(64))
    with pytest.raises(FileError, match="declares shape"):
        read_matrices(tmp_path / "x.mat", ("m",))


def test_level_7_3(tmp_path: Path) -> None:
    """As MATLAB writes it: HDF5 behind a block of text, the last index slowest, classes as attributes."""
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        for name, values, kind in (
            ("m", np.arange(6.0).reshape(2, 3), b"double"),
            ("text", np.array([[97], [98]], dtype=np.uint16), b"char"),
            ("scan/readings", np.arange(4, dtype=np.uint16)[None], b"uint16"),
            ("sparse/data", np.arange(4.0), b"double"),
            ("#refs#/a", np.ones((3, 3)), b"double"),
            ("none", np.array([0, 0], dtype=np.uint64), b"double"),
        ):
            file.create_dataset(name, data=values.T).attrs["MATLAB_class"] = kind
        file["none"].attrs["MATLAB_empty"] = 1
        file["sparse"].attrs["MATLAB_sparse"] = 4
        file.create_dataset("z", data=np.zeros(3, dtype=[("real", "f8"), ("imag", "f8")]))
    with (tmp_path / "x.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    matrices, others = read_every_matrix(tmp_path / "x.mat")
    assert set(matrices) == {"m", "scan.readings"}
    assert matrices["m"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (others["text"], others["sparse"], others["z"]) == ("a char", "a sparse matrix", "a complex matrix")
    assert read_matrices(tmp_path / "x.mat", ("readings",))["readings"].tolist() == [[0, 1, 2, 3]]


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
    cells = np.array([np.eye(2), "x", {"deep": np.ones(3)}], dtype=object)
    savemat(
        tmp_path / "x.mat",
        {"m": matrix, "s": {"a": 1, "b": {"c": np.eye(3)}}, "cells": cells, "text": "abc", "z": np.ones((2, 2)) * 1j}
        | {"sparse": csc_matrix(np.eye(3)), "yes": np.array([True, False])},
    )
    matrices, others = read_every_matrix(tmp_path / "x.mat")
    assert set(matrices) == {"m", "yes", "s.b.c", "cells{1}", "cells{3}.deep"}
    assert np.array_equal(matrices["m"], matrix)
    assert np.array_equal(matrices["s.b.c"], np.eye(3))
    for name, what in {"s": "a struct", "text": "a char", "z": "a complex matrix", "sparse": "a sparse matrix"}.items():
        assert others[name] == what
    assert others["cells{2}"] == "a char"
    assert np.array_equal(read_matrices(tmp_path / "x.mat", ("c",))["c"], np.eye(3))
    with pytest.raises(FileError, match="`sparse` is a sparse matrix; a real numeric matrix is needed"):
        read_matrices(tmp_path / "x.mat", ("sparse",))


@settings(max_examples=12, deadline=None)  # each starts a process
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
