"""Bare arrays of readings: .npy and .csv."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.calibration.readers import read_array
from cidesign.errors import CidesignError, FileError


def test_npy_is_read_in_its_order(tmp_path: Path) -> None:
    for order in ("C", "F"):
        array = np.asarray(np.arange(6, dtype=np.uint16).reshape(2, 3), order=order)  # type: ignore[call-overload]
        np.save(tmp_path / "scene.npy", array)
        assert read_array(tmp_path / "scene.npy", "scene").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1\n2.5\n-3e2\n", [1.0, 2.5, -300.0]),
        ("\ufeffcounts\r\n7\r\n8\r\n\r\n", [7.0, 8.0]),
        ("low,high\n1,2\n3,4\n", [[1.0, 2.0], [3.0, 4.0]]),
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
    ("name", "said"), [("a.tiff", "image stacks are not read"), ("a.xlsx", "use .npy"), ("a", "nameless")]
)
def test_other_formats(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileError, match=said):
        read_array(tmp_path / name, "scene")


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
