"""Arrays of readings from .npy, .npz, .csv and .mat files (pictures are in test_image_stacks)."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from cidesign.errors import CidesignError, FileError
from cidesign.io.arrays import ARRAY_SUFFIXES, read_array


def test_npy_is_read_in_its_order(tmp_path: Path) -> None:
    for order in ("C", "F"):
        array = np.asarray(np.arange(6, dtype=np.uint16).reshape(2, 3), order=order)  # type: ignore[call-overload]
        np.save(tmp_path / "scene.npy", array)
        assert read_array(tmp_path / "scene.npy", "scene").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_signalling_nan_is_named_without_a_warning(tmp_path: Path) -> None:
    signalling = np.array([0x3F800000, 0x7F800001], dtype="<u4").view("<f4")
    np.save(tmp_path / "scene.npy", signalling)
    with pytest.raises(FileError, match=r"scene\[1\] is nan"):
        read_array(tmp_path / "scene.npy", "scene")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1\n2.5\n-3e2\n", [1.0, 2.5, -300.0]),
        ("\ufeffcounts\r\n7\r\n8\r\n\r\n", [7.0, 8.0]),
        ("low,high\n1,2\n3,4\n", [[1.0, 2.0], [3.0, 4.0]]),
        ("1.5,2\n3,4\n", [[1.5, 2.0], [3.0, 4.0]]),  # a point: no decimal commas
        ("1,-5\n3,4\n", [[1.0, -5.0], [3.0, 4.0]]),
        ("1,2,3\n4,5,6\n", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        # numpy.savetxt with and without a header, and comments of a lab program between.
        ("# counts\n1.5\n2.5\n# paused\n3.5\n", [1.5, 2.5, 3.5]),
        ("# recorded 2026-01-01, lamp 2\n# time,counts\n0.0,7\n0.1,8\n", [7.0, 8.0]),
        # Time or index beside the reading.
        ("time,reading\n0.00,12\n0.25,13\n", [12.0, 13.0]),
        ("Time (s),Voltage (V)\n0,1.5\n1,2.5\n", [1.5, 2.5]),
        ("t_s,counts\n0,5\n2,6\n", [5.0, 6.0]),
        ("index,counts\n7,5\n8,6\n", [5.0, 6.0]),
        ("index,low,high\n0,5,6\n1,7,8\n", [[5.0, 6.0], [7.0, 8.0]]),
        # European Excel.
        ("1,5;2,25\r\n3;4\r\n", [[1.5, 2.25], [3.0, 4.0]]),
        ("Zeit [s];Spannung\r\n0,1;0,512\r\n0,2;1,5E-02\r\n", [0.512, 0.015]),
        ("sep=;\n1,5\n2,5\n", [1.5, 2.5]),
        ("0,123;1,234\n2,345;3,456\n", [[0.123, 1.234], [2.345, 3.456]]),  # 0,123 is no thousand
        ("1.25;2\n", [[1.25, 2.0]]),
        # Trailing separators, tabs, pairs, lines of units, times that were rounded, settings beside the numbers.
        ("1,5;\n2,5;\n", [1.5, 2.5]),
        ("7,\n8,\n", [7.0, 8.0]),
        ("1\t2\n3\t4\n", [[1.0, 2.0], [3.0, 4.0]]),
        ("Zeit\tKanal A\n(ms)\t(mV)\n\n0,0\t1,5\n0,5\t2,5\n", [1.5, 2.5]),
        ("pattern,positive,negative\n0,9,1\n1,5,4\n", [9.0, 1.0, 5.0, 4.0]),
        ("x-axis,1\nsecond,Volt\n0.0,1.5\n2.5e-4,2.5\n", [1.5, 2.5]),
        ("X,CH1,Start,Increment,\nSequence,Volt,0.0,2e-4\n0,1.5,,\n1,2.5,,\n", [1.5, 2.5]),
        ("t [ms],U [V]\n" + "".join(f"{k // 4},{k}.5\n" for k in range(12)), [k + 0.5 for k in range(12)]),
        ("Model,X\nInterval,1e-3\n\nLabels,,\nTIME,CH1\n0,1\n1,2\n", [1.0, 2.0]),
        ("Length,9,,0.0,7,\n,,,0.1,8,\n" + "".join(f",,,0.{k},8,\n" for k in range(2, 9)), [7.0] + 8 * [8.0]),
    ],
)
def test_csv(tmp_path: Path, text: str, wanted: list[object]) -> None:
    (tmp_path / "a.csv").write_text(text, newline="")
    assert read_array(tmp_path / "a.csv", "scene").tolist() == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n2\nthree\n", "line 3 of scene holds 'three'"),
        ("1\n2,5\n", "line 2 of scene has 2 columns"),
        ("counts\n", "no numbers"),
        ("", "no numbers"),
        ("1\nnan\n3\ninf\n", r"scene\[1\] is nan and 2 of 4"),
        ("1\n1_000\n", "'1_000'"),
        ("1,5\n2,25\n", r"two columns, or one with decimal commas \(1,5\)"),
        ("-1,5\n2,5e3\n", "two columns, or one with decimal commas"),
        ("counts\n1,5\n2,5\n", "has 1 titles over 2 columns"),
        ('"1,5"\n"2,5"\n', "holds '1,5', which is not a number"),
        ("1,5;2.5\n", "which is the decimal sign"),
        ("1.234,5;2\n", "which is the decimal sign"),
        ("1,234;2,345\n", "'1,234', which can be a number with three decimals or one of thousands"),
        ("1.234.567;5\n", "or one of thousands"),
        ("1;;2\n3;;4\n", "holds ''"),
        ("index,counts\n0,5\n1,6\n3,7\n", "'index' of scene goes from 1 to 3 after row 1"),
        ("time,counts\n0,5\n0.5,6\n0.5,7\n", "'time' of scene goes from 0.5 to 0.5"),
        ("time,counts\nnan,5\n1,6\n", "goes from nan to 1"),
        ("# only\n# comments\n", "no numbers"),
    ],
)
def test_wrong_csv(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match=said):
        read_array(tmp_path / "a.csv", "scene")


def test_nan_is_named_by_its_index(tmp_path: Path) -> None:
    readings = np.ones((2, 5))
    readings[1, 3] = np.nan
    np.save(tmp_path / "scene.npy", readings)
    with pytest.raises(FileError, match=r"scene\[1, 3\] is nan and 1 of 10"):
        read_array(tmp_path / "scene.npy", "scene")


@pytest.mark.parametrize("array", [np.array(["1"]), np.array([1j]), np.array([True])])
def test_only_real_numbers(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "scene.npy", array)
    with pytest.raises(FileError, match="real numbers are needed"):
        read_array(tmp_path / "scene.npy", "scene")


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "scene.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="never loaded"):
        read_array(tmp_path / "scene.npy", "scene")


def test_a_declared_size_takes_no_memory(tmp_path: Path) -> None:
    """A header that promises 8 TB in a file of 200 bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream,
        {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)},  # type: ignore[no-untyped-call]
    )
    (tmp_path / "scene.npy").write_bytes(stream.getvalue() + bytes(100))
    with pytest.raises(FileError, match="declares shape"):
        read_array(tmp_path / "scene.npy", "scene")


@pytest.mark.parametrize(
    ("name", "said"), [("a.tiff", "not a sound TIFF file"), ("a.xlsx", r"use \.npy, \.npz"), ("a", "nameless")]
)
def test_other_formats(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileError, match=said):
        read_array(tmp_path / name, "scene")


CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "19_scope_csv"


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_what_instruments_write() -> None:
    """One record of 204 readings as eleven instruments and programs write it, in volts, millivolts or counts."""
    wanted = read_array(CASES / "tsv.csv", "scene")
    assert wanted.shape == (204,)
    for path in sorted(CASES.glob("*.csv")):
        found = read_array(path, "scene")
        assert found.shape == (204,), path.name
        assert np.corrcoef(found, wanted)[0, 1] > 0.999999, path.name


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Zeit (µs)\tSpannung\r\n0\t1,5\r\n1\t2,5\r\n".encode(encoding))
    assert read_array(tmp_path / "a.txt", "scene").tolist() == [1.5, 2.5]


def test_titles_of_a_european_excel(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("Zähler;Gerät µV\r\n1,5;2,5\r\n".encode("cp1252"))
    assert read_array(tmp_path / "a.csv", "scene").tolist() == [[1.5, 2.5]]


def save(path: Path, arrays: dict[str, Any]) -> None:
    if path.suffix == ".mat":
        savemat(path, arrays)
    else:
        np.savez_compressed(path, **arrays)


@pytest.mark.parametrize("name", ["a.npz", "a.mat"])
def test_the_array_that_is_meant(tmp_path: Path, name: str) -> None:
    """The array named like its role, or the only one; never the dark readings for the scene."""
    path, readings = tmp_path / name, np.arange(1.0, 7.0).reshape(2, 3)
    save(path, {"scene": readings, "dark": np.ones(3)})
    assert np.array_equal(read_array(path, "scene"), readings)
    with pytest.raises(FileError, match=r"no array 'white', only scene, dark; name the one that is meant 'white'"):
        read_array(path, "white")
    save(path, {"y": readings.astype(np.uint16)})
    assert np.array_equal(read_array(path, "scene"), readings)
    save(path, {"dark": readings})
    with pytest.raises(FileError, match="no array 'scene', only dark"):
        read_array(path, "scene")
    save(path, {"a": readings, "b": readings})
    with pytest.raises(FileError, match="only a, b"):
        read_array(path, "scene")


def test_mat_vectors_and_what_is_no_matrix(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for vector in (np.arange(4.0)[None], np.arange(4.0)[:, None]):
        save(path, {"y": vector, "note": "text"})
        assert read_array(path, "scene").tolist() == [0, 1, 2, 3]
    save(path, {"scene": "text", "y": np.ones(3)})
    with pytest.raises(FileError, match="`scene` is a char"):
        read_array(path, "scene")
    save(path, {"note": "text"})
    with pytest.raises(FileError, match=r"only none \(and note, which hold no real numbers\)"):
        read_array(path, "scene")
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(105) + b"\x00\x02IM")
    with pytest.raises(FileError, match="not a sound MATLAB file"):
        read_array(path, "scene")
    # Level 4, and structures: what lies outside comes first, then what has the name.
    savemat(path, {"y": np.arange(4.0)}, format="4")
    assert read_array(path, "scene").tolist() == [0, 1, 2, 3]
    save(path, {"y": np.arange(4.0), "settings": {"gains": np.ones(3)}})
    assert read_array(path, "scene").tolist() == [0, 1, 2, 3]
    save(path, {"scan": {"scene": np.arange(4.0), "dark": np.ones(3)}})
    assert read_array(path, "scene").tolist() == [0, 1, 2, 3]
    with pytest.raises(FileError, match=r"no array 'white', only scan\.scene, scan\.dark"):
        read_array(path, "white")


def test_an_archive_that_declares_too_much(tmp_path: Path) -> None:
    """Arrays of zeros: 0.3 MB that would become 320 MB."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}.npy", bytes(160_000_000))
    with pytest.raises(FileError, match="declares 320000000 bytes of arrays; at most 256000000"):
        read_array(path, "scene")


def test_archives_are_no_single_arrays() -> None:
    """A capture record must say which array of a .npz it means, so it is not among the files of one array."""
    assert ".npz" not in ARRAY_SUFFIXES


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet='0123456789.,;-+eE# \n\ttimendx"=', max_size=60))
def test_any_text_is_an_error_or_numbers(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "scene.csv"
    path.write_text(text)
    message = ""
    try:
        assert np.isfinite(read_array(path, "scene")).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_mutated_archive_is_an_error_or_numbers(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "scene.npz"
    save(path, {"scene": np.arange(12.0).reshape(3, 4), "dark": np.ones(5, dtype=np.uint16)})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = ""
    try:
        assert np.isfinite(read_array(path, "scene")).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_npy_is_an_error_or_numbers(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "scene.npy"
    np.save(path, np.arange(12, dtype=np.float32).reshape(3, 4))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = ""
    try:
        assert np.isfinite(read_array(path, "scene")).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message
